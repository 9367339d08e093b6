import jax
import numpy as np


def test_nothing_is_nan(scenes):
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(scenes))


def test_hands_span_and_centre_as_promised(scenes):
    projected = scenes.joints[:, :2] / scenes.joints[:, 2:] * scenes.focal
    low, high = np.min(projected, axis=0), np.max(projected, axis=0)
    span = np.max(high - low, axis=0)
    assert np.all((span > 0.46) & (span < 0.76))
    assert np.all(np.abs(low + high) / 2 < 0.1)
    assert np.all(scenes.joints[:, 2] > 250)
