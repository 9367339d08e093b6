import jax
import numpy as np

from peclr_jax.synthetic.scene import Motion, Probabilities, sample_scene


def test_nothing_is_nan(scenes):
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(scenes))


def test_hands_span_and_centre_as_promised(scenes):
    projected = scenes.joints[:, :2] / scenes.joints[:, 2:] * scenes.focal
    low, high = np.min(projected, axis=0), np.max(projected, axis=0)
    span = np.max(high - low, axis=0)
    assert np.all((span > 0.46) & (span < 0.76))
    assert np.all(np.abs(low + high) / 2 < 0.1)
    assert np.all(scenes.joints[:, 2] > 250)


def test_a_moment_later_the_hand_is_the_same_elsewhere_in_another_light(scenes):
    most = 8.0

    def later(key):
        motion = Motion(jax.random.fold_in(key, 1), most)
        return sample_scene(key, Probabilities(0.5, 0.15, 0.5), motion=motion)

    keys = jax.random.split(jax.random.key(1), scenes.focal.shape[0])
    moved = jax.jit(jax.vmap(later, out_axes=-1))(keys)
    # Bones keep their lengths, and each turns by what the wrist and the joints before it turn.
    before, after = (
        np.diff(np.asarray(s.joints)[1:].reshape(5, 4, 3, -1), axis=1) for s in (scenes, moved)
    )
    lengths = [np.linalg.norm(bones, axis=2) for bones in (before, after)]
    np.testing.assert_allclose(*lengths, rtol=1e-3)
    cosines = np.sum(before * after, axis=2) / (lengths[0] * lengths[1])
    turned = np.rad2deg(np.arccos(np.clip(cosines, -1, 1)))
    assert 1 < turned[:, 0].mean() < 2 * most
    # Three turns of the wrist, the palm's arch; two turns at the first joint, one at each other.
    assert turned.max() < 3 * most + 2 * most + 2 * most + 1
    np.testing.assert_array_equal(moved.radii, scenes.radii)
    jax.tree.map(np.testing.assert_array_equal, moved.appearance, scenes.appearance)
    assert np.abs(moved.lights.exposure - scenes.lights.exposure).mean() > 0.05
    test_hands_span_and_centre_as_promised(moved)
