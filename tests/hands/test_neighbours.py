"""Hands in a similar pose are what comparing all pairs finds, and not the same hand again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.hands import neighbours
from peclr_jax.hands.neighbours import nearest, pose_features


def distances(features):
    return np.linalg.norm(features[:, None] - features[None], axis=-1)


@given(
    hands=st.integers(1, 40),
    images=st.integers(1, 3),
    count=st.integers(1, 5),
    block=st.integers(1, 200),
    seed=st.integers(0, 2**31),
)
def test_they_are_those_of_brute_force(hands, images, count, block, seed):
    random = np.random.default_rng(seed)
    groups = random.permutation(np.repeat(np.arange(hands), images))
    features = random.normal(size=(len(groups), 6)).astype(np.float32)
    whole, neighbours._BLOCK = neighbours._BLOCK, block
    try:
        found = nearest(features, groups, count)
    finally:
        neighbours._BLOCK = whole
    between = distances(features)
    for row, chosen in enumerate(found):
        # The nearest image of each other hand, in order.
        least = {g: between[row, groups == g].min() for g in set(groups) - {groups[row]}}
        expected = sorted(least.values())[:count]
        kept = chosen[: len(expected)]
        np.testing.assert_array_equal(chosen[len(expected) :], -1)
        np.testing.assert_allclose(between[row, kept], expected, atol=1e-5)
        assert len(set(groups[kept]) | {groups[row]}) == len(expected) + 1


@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(1e-3, 1e3),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_place_and_size_of_each_hand_mean_nothing(seed, scale, shift):
    random = np.random.default_rng(seed)
    keypoints = random.normal(size=(30, 21, 2))
    moved = keypoints.copy()
    moved[::2] = scale * keypoints[::2] + np.array(shift)
    expected = distances(pose_features(keypoints))
    np.testing.assert_allclose(distances(pose_features(moved)), expected, atol=1e-4)


def test_a_hand_turned_in_the_plane_is_another_pose():
    keypoints = np.random.default_rng(0).normal(size=(2, 21, 2))
    turned = keypoints[:1] @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    between = distances(pose_features(np.concatenate([keypoints, turned])))
    assert between[0, 2] > 1.0


def test_few_dimensions_keep_the_distances_of_few_degrees_of_freedom():
    random = np.random.default_rng(0)
    poses = random.normal(size=(100, 5)) @ random.normal(size=(5, 40))
    keypoints = np.concatenate([np.zeros((100, 1, 2)), poses.reshape(100, 20, 2)], axis=1)
    features = pose_features(keypoints)
    assert features.shape == (100, neighbours.DIMENSIONS)
    flat = poses / np.linalg.norm(poses, axis=1, keepdims=True)
    np.testing.assert_allclose(distances(features), distances(flat), atol=1e-5)


def test_hands_without_extent_have_finite_poses():
    assert np.isfinite(pose_features(np.ones((3, 21, 2)))).all()
