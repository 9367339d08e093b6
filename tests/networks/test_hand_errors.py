"""The errors of a batch against errors that are known."""

import jax.numpy as jnp
import numpy as np

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


def test_without_a_label_nothing_is_measured(network, hands, exact):
    lacking = dict(hands)
    for name, row in (("intrinsics_valid", 0), ("bone_length_valid", 1), ("keypoints_3d_valid", 2)):
        lacking[name] = hands[name].copy()
        lacking[name][row] = False
    measured = hand_errors.measure_errors(network, lacking, exact, "given")
    for kind in ("3d", "pa"):
        valid = measured.valid["prediction", kind]
        assert not valid[:3].any()
        assert valid[3:].all()
    assert measured.valid["prediction", "2d"].all()
    assert measured.valid["mean_hand", "pa"][:2].all()
    measured = hand_errors.measure_errors(network, lacking, exact, "mean")
    assert measured.valid["prediction", "3d"][1].all()


def test_the_mean_pose_lies_at_the_true_depth(network, hands, exact):
    """Where its joints are is the mean's, how far away they are the hand's own wrist's."""
    measured = hand_errors.measure_errors(network, hands, exact, "given")
    mean = np.asarray(network.mean_estimate(exact.first_matrix))
    true = hands["keypoints_3d"]
    depths = true[:, :1, 2] + mean[..., 2] * hands["bone_length"][:, None]
    pixels = np.concatenate([mean[..., :2], np.ones((*mean.shape[:2], 1))], -1)
    lifted = np.einsum("nij,nkj->nki", np.linalg.inv(hands["intrinsics"]), pixels)
    lifted = lifted * depths[..., None]
    offsets = (lifted - lifted[:, :1]) - (true - true[:, :1])
    expected = np.linalg.norm(offsets, axis=-1)
    np.testing.assert_allclose(measured.errors["mean_pose", "root_aligned"], expected, atol=1e-4)
