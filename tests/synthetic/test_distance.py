import jax
import jax.numpy as jnp
import numpy as np

from peclr_jax.synthetic import body, distance


def test_the_distance_to_a_capsule_is_exact():
    cones = body.RoundCones(
        jnp.array([[0.0, 0, 0]]), jnp.array([[10.0, 0, 0]]), jnp.array([[2.0, 2.0]])
    )
    prepared = jax.tree.map(lambda leaf: leaf[..., None], distance.prepare(cones))
    x, y, z = (jnp.array(v)[:, None] for v in ([5.0, 14.0, -3.0], [6.0, 3.0, 0.0], [0.0, 0.0, 4.0]))
    np.testing.assert_allclose(
        distance.cone_distances(prepared, (x, y, z))[0, :, 0], [4.0, 3.0, 3.0], atol=1e-5
    )


def test_smooth_minimum_never_exceeds_the_minimum():
    a, b = jnp.linspace(-5, 5, 41), jnp.zeros(41)
    smooth = distance.smooth_min(a, b, jnp.asarray(3.0))
    assert np.all(smooth <= np.minimum(a, b) + 1e-6)
    assert np.all(smooth >= np.minimum(a, b) - 0.75 - 1e-6)
