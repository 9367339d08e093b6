"""Random numbers by name, and the vectors that they become."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.synthetic import sampling


def test_a_row_of_numbers_never_runs_out_silently():
    row = sampling.table(jax.random.key(0), 1)[0]
    arrays = sampling.named(row, few=(2, 3), rest=(sampling.NUMBERS - 6,))
    np.testing.assert_array_equal(jnp.concatenate([a.ravel() for a in arrays.values()]), row)
    with pytest.raises(AssertionError, match="81 random numbers of a row of 80"):
        sampling.named(row, many=(sampling.NUMBERS + 1,))


def test_rotations_turn_as_they_say():
    quarter = jnp.asarray(np.pi / 2)
    x, y, z = np.eye(3)
    for rotation, before, after in (
        (sampling.rotation(0, quarter), y, z),
        (sampling.rotation(1, quarter), z, x),
        (sampling.rotation(2, quarter), x, y),
        (sampling.rotation_from_quaternion(jnp.array([2.0, 2.0, 0.0, 0.0])), y, z),
        (sampling.frame(jnp.array([0.0, 2.0, 0.0]), jnp.array([0.0, 1.0, 5.0])), x, x),
    ):
        np.testing.assert_allclose(rotation @ before, after, atol=1e-6)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


def test_distances_to_a_segment():
    points = jnp.array([[5.0, 3.0, 0.0], [-3.0, 0.0, 4.0], [14.0, 0.0, 3.0]])
    distances = sampling.segment_distance(points, jnp.zeros(3), jnp.array([10.0, 0.0, 0.0]))
    np.testing.assert_allclose(distances, [3.0, 5.0, 5.0], rtol=1e-5)
