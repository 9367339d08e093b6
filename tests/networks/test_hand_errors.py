"""The errors of a batch against errors that are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.hands.skeleton import FINGERTIPS
from peclr_jax.networks import hand_errors


def test_the_truth_has_no_error(network, hands, exact):
    measured = hand_errors.measure_errors(network, hands, exact, "given")
    for (predictor, kind), errors in measured.errors.items():
        assert measured.valid[predictor, kind].all()
        if predictor == "prediction":
            assert errors.max() < (1e-2 if kind == "2d" else 1e-5), kind
        else:
            assert errors.mean() > (1e-1 if kind == "2d" else 1e-4), (predictor, kind)


def test_pixels_are_those_of_the_image_and_of_the_view(network, hands, exact):
    moved = exact.estimate.pose + jnp.array([3.0, 4.0, 0.0])
    wrong = exact._replace(estimate=exact.estimate._replace(pose=moved))
    measured = hand_errors.measure_errors(network, hands, wrong, "given")
    of_image = measured.errors["prediction", "2d"]
    expected = np.broadcast_to(5 / hands["crop_scale"][:, None], of_image.shape)
    np.testing.assert_allclose(of_image, expected, rtol=1e-3)
    # Of the view: 16 px where the source has 24 for 1.5 times the scene.
    of_view = of_image * measured.to_view[:, None]
    np.testing.assert_allclose(of_view, 5 * 16 * 1.5 / 24, rtol=1e-3)


def test_the_mean_bone_makes_another_size(network, hands, exact):
    measured = hand_errors.measure_errors(network, hands, exact, "mean")
    factor = network.statistics.bone_length / hands["bone_length"][:, None]
    distance = np.linalg.norm(hands["keypoints_3d"], axis=-1)
    expected = np.abs(factor - 1) * distance
    np.testing.assert_allclose(measured.errors["prediction", "3d"], expected, atol=1e-5)
    assert measured.errors["prediction", "pa"].max() < 1e-5


def lacking(hands, **rows):
    """The hands, of which one each lacks a label."""
    changed = dict(hands)
    for name, row in rows.items():
        changed[name] = hands[name].copy()
        changed[name][row] = False
    return changed


def test_without_a_label_nothing_is_measured(network, hands, exact):
    some = lacking(hands, intrinsics_valid=0, bone_length_valid=1, keypoints_3d_valid=2)
    measured = hand_errors.measure_errors(network, some, exact, "given")
    for kind in ("3d", "root_aligned", "scale_aligned"):
        valid = measured.valid["prediction", kind]
        assert not valid[:3].any(), kind
        assert valid[3:].all(), kind
    assert measured.valid["prediction", "2d"].all()
    measured = hand_errors.measure_errors(network, some, exact, "mean")
    assert measured.valid["prediction", "3d"][1].all()


def test_procrustes_asks_for_joints_in_space_alone(network, hands, exact):
    """Neither for intrinsics, nor for a bone's length, nor for the wrist's depth."""
    some = lacking(hands, intrinsics_valid=0, bone_length_valid=1, keypoints_3d_valid=2)
    some["keypoints_3d_valid"][3] = np.isin(np.arange(21), FINGERTIPS)
    measured = hand_errors.measure_errors(network, some, exact, "given")
    for predictor, kind in (
        ("prediction", "pa"),
        ("prediction", "pa_proper"),
        ("mean_pose", "pa"),
        ("mean_hand", "pa"),
    ):
        np.testing.assert_array_equal(
            measured.valid[predictor, kind], some["keypoints_3d_valid"], f"{predictor} {kind}"
        )
    errors = measured.errors["prediction", "pa"]
    assert errors[[1, *range(3, 16)]].max() < 1e-5
    # By weak perspective, which is off by a hand's depth over its distance.
    assert 1e-5 < errors[0].max() < 0.1 * np.ptp(hands["keypoints_3d"][0], axis=0).max()


def test_without_intrinsics_a_hand_in_weak_perspective_has_no_error(network, hands, exact):
    """A mesh in pixels: x and y are what the image shows, z is in the same unit."""
    joints = hands["keypoints_3d"] - hands["keypoints_3d"][:, :1]
    focal = np.asarray(exact.intrinsics)[:, 0, 0]
    bone, depth = hands["bone_length"], np.asarray(exact.estimate.root_depth)
    pixels = joints[..., :2] * (focal / depth / bone)[:, None, None] + 9.0
    pose = jnp.concatenate([jnp.asarray(pixels), exact.estimate.pose[..., 2:]], -1)
    seen = exact._replace(estimate=exact.estimate._replace(pose=pose))
    unknown = {name: np.zeros(16, bool) for name in ("intrinsics_valid", "bone_length_valid")}
    for size in (1.0, 40.0):
        meshes = hands | unknown | {"keypoints_3d": np.float32(size) * joints}
        measured = hand_errors.measure_errors(network, meshes, seen, "given")
        assert measured.errors["prediction", "pa"].max() < 1e-4 * size
        assert not measured.valid["prediction", "root_aligned"].any()


@pytest.mark.parametrize("size", ["given", "mean"])
def test_the_mean_pose_lies_at_the_true_depth(network, hands, exact, size):
    """Where its joints are is the mean's, how far away they are the hand's own wrist's."""
    measured = hand_errors.measure_errors(network, hands, exact, size)
    given = hands["bone_length"]
    bone = given if size == "given" else np.full_like(given, network.statistics.bone_length)
    mean = np.asarray(network.mean_estimate(exact.first_matrix))
    true = hands["keypoints_3d"]
    depths = true[:, :1, 2] + mean[..., 2] * bone[:, None]
    pixels = np.concatenate([mean[..., :2], np.ones((*mean.shape[:2], 1))], -1)
    lifted = np.einsum("nij,nkj->nki", np.linalg.inv(hands["intrinsics"]), pixels)
    lifted = lifted * depths[..., None]
    offsets = (lifted - lifted[:, :1]) - (true - true[:, :1])
    expected = np.linalg.norm(offsets, axis=-1)
    np.testing.assert_allclose(measured.errors["mean_pose", "root_aligned"], expected, atol=1e-4)
