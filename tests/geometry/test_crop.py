"""Boxes to crops and what becomes of labels, the same for NumPy, JAX and TensorFlow."""

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.geometry import affine, camera, crop
from peclr_jax.geometry.crop import Square

LIBRARIES = {"numpy": np.array, "jax": jnp.array, "tensorflow": tf.constant}
libraries = pytest.mark.parametrize("array", LIBRARIES.values(), ids=LIBRARIES)


def labels(array=np.array):
    """Of two hands, as arrays of a library."""
    joints = np.random.default_rng(0).normal(size=(2, 21, 3)) * 0.05 + [0.02, 0, 0.5]
    intrinsics = np.array([[[300.0, 1, 60], [0, 310, 50], [0, 0, 1]]] * 2)
    points = camera.project(joints, intrinsics)
    values = {
        "keypoints_2d": points,
        "keypoints_3d": joints,
        "intrinsics": intrinsics,
        "hand_box": crop.bounding_box(points),
        "bone_length": np.array([0.03, 0.02]),
    }
    return {name: array(value.astype(np.float32)) for name, value in values.items()}


def assert_consistent(moved, points):
    """Joints project onto the keypoints, and the box holds them."""
    values = {name: np.asarray(value, np.float64) for name, value in moved.items()}
    np.testing.assert_allclose(values["keypoints_2d"], points, rtol=1e-5, atol=1e-4)
    projected = camera.project(values["keypoints_3d"], values["intrinsics"])
    np.testing.assert_allclose(projected, points, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(values["hand_box"], crop.bounding_box(points), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(values["intrinsics"][:, 2], [[0, 0, 1]] * 2)
    assert (values["intrinsics"][:, [0, 1], [0, 1]] > 0).all()


@libraries
def test_a_box_becomes_the_square_about_its_centre(array):
    boxes = array(np.array([[10, 20, 30, 60], [7, 7, 7, 7], [0, 0, 900, 10]], np.float32))
    square = crop.around(boxes, 1.5, most=600.0)
    expected = [(20, 40, 60), (7, 7, 1.5), (450, 5, 600)]  # the second box as if of one pixel
    np.testing.assert_array_equal(np.stack(square, -1), expected)
    np.testing.assert_array_equal(crop.around(boxes, 1.5, least=70.0).side, [70, 70, 1350])
    assert type(square.side) is type(boxes)
    width, height = (array(np.array([side], np.float32)) for side in (101, 51))
    np.testing.assert_array_equal(np.stack(crop.central(width, height, 0.5), -1), [[50, 25, 25.5]])


@libraries
def test_a_square_becomes_its_crop(array):
    square = Square(*(array(np.array([value], np.float32)) for value in (20, 40, 60)))
    matrix = crop.to_matrix(square, 30)
    edges = np.stack(square.edges, -1).reshape(1, 2, 2)
    np.testing.assert_array_equal(edges, [[[-10, 10], [50, 70]]])
    corners = affine.apply_to_points(matrix, array(edges))
    np.testing.assert_allclose(corners, [[[-0.5, -0.5], [29.5, 29.5]]])
    for mirrored, expected in ((False, corners), (True, [[[29.5, -0.5], [-0.5, 29.5]]])):
        moved = crop.mirror_matrix(matrix, array([mirrored]), 30)
        np.testing.assert_allclose(affine.apply_to_points(moved, array(edges)), expected)


@libraries
def test_labels_follow_the_crop(array):
    before = labels(array)
    matrix = crop.scaling(
        *(array(np.array(v, np.float32)) for v in ([0.7, 2], [0.8, 2], [3, -100], [-40, 7]))
    )
    moved = crop.warp_labels(before, matrix)
    points = np.asarray(before["keypoints_2d"]) * np.array([[[0.7, 0.8]], [[2, 2]]])
    assert_consistent(moved, points + np.array([[[3, -40]], [[-100, 7]]]))
    assert moved["bone_length"] is before["bone_length"]
    only = crop.warp_labels({"intrinsics": before["intrinsics"]}, matrix)
    np.testing.assert_array_equal(only["intrinsics"], moved["intrinsics"])


@libraries
def test_mirrored_labels_are_those_of_a_right_hand(array):
    before = labels(array)
    moved = crop.mirror_labels(before, array([True, False]), 96)
    for name, value in before.items():
        np.testing.assert_array_equal(moved[name][1], value[1])
    points = np.array(before["keypoints_2d"])
    points[0, :, 0] = 95 - points[0, :, 0]
    assert_consistent(moved, points)
    turned = np.asarray(before["keypoints_3d"])[0] * [-1, 1, 1]
    np.testing.assert_array_equal(moved["keypoints_3d"][0], turned)


@given(x=st.floats(-50, 50), y=st.floats(-50, 50), side=st.floats(2, 300))
def test_labels_mirrored_are_labels_under_the_mirrored_matrix(x, y, side):
    matrix = np.stack([crop.to_matrix(Square(x, y, side), 96)] * 2)
    mirrored = np.array([True, False])
    moved = crop.mirror_labels(crop.warp_labels(labels(), matrix), mirrored, 96)
    matrix = crop.mirror_matrix(matrix, mirrored, 96)
    expected = affine.apply_to_points(matrix, labels()["keypoints_2d"])
    np.testing.assert_allclose(moved["keypoints_2d"], expected, atol=1e-9)


def test_source_and_canonical_view_share_center_and_scale():
    matrix = crop.source_to_canonical(source_side=60, view_side=20, source_margin=1.5)
    corners = jnp.array([[29.5, 29.5], [-0.5, -0.5], [59.5, 59.5]])
    # The source's edges lie a quarter of the view's side beyond the view's own.
    np.testing.assert_allclose(
        affine.apply_to_points(matrix, corners), [[9.5, 9.5], [-5.5, -5.5], [24.5, 24.5]]
    )
