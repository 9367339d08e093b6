"""What is measured of training labels, and what of it a stranger may claim."""

import numpy as np
import pytest

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.networks import label_statistics
from peclr_jax.networks.label_statistics import LabelStatistics


def test_statistics_of_labels(opened):
    statistics = opened.description.statistics
    assert statistics.hands > 0
    assert 0.01 < statistics.bone_length < 0.2
    assert np.shape(statistics.mean_pose) == (21, 3)
    assert np.abs(np.asarray(statistics.mean_pose)[:, :2]).max() < 1
    assert np.linalg.norm(statistics.mean_hand[0]) < 1e-6
    again = specs.from_mapping(LabelStatistics, specs.to_dict(statistics), "results")
    assert again == statistics


@pytest.mark.parametrize(
    "fields",
    [
        {"mean_pose": [[0.0, 0.0, 0.0]] * 20},
        {"mean_hand": [[0.0, 0.0]] * 21},
        {"mean_pose": 3.0},
        {"bone_length": float("nan")},
        {"bone_length": "0.03"},
        {"hands": -1},
    ],
)
def test_impossible_statistics_are_refused(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        specs.from_mapping(LabelStatistics, fields, "results")


def test_mean_hand_is_the_hand_that_was_turned():
    generator = np.random.default_rng(0)
    shape = generator.normal(size=(21, 3)) * 0.05
    rotations = np.linalg.qr(generator.normal(size=(40, 3, 3)))[0]
    rotations *= np.linalg.det(rotations)[:, None, None]
    hands = shape @ rotations + generator.normal(size=(40, 1, 3))
    mean = label_statistics.mean_hand(hands)
    np.testing.assert_allclose(mean[0], 0, atol=1e-12)
    distances = np.linalg.norm(mean[:, None] - mean, axis=-1)
    expected = np.linalg.norm(shape[:, None] - shape, axis=-1)
    np.testing.assert_allclose(distances, expected, atol=1e-9)
