"""The errors of a batch of hands, and of knowing nothing about them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from peclr_jax.errors import UserError
from peclr_jax.geometry import camera
from peclr_jax.hands import scores
from peclr_jax.hands.skeleton import WRIST
from peclr_jax.input_pipeline import Batch
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.looking import Inference

PREDICTORS = {
    "prediction": ("3d", "root_aligned", "scale_aligned", "pa", "pa_proper", "2d"),
    "mean_pose": ("root_aligned", "pa", "2d"),
    "mean_hand": ("pa",),
}
"""What is measured of each predictor, as in `scores.KINDS`.

"prediction" is the network; "mean_pose" the mean 2.5D pose of its training labels, in the view of
the first look and lifted at the wrist's true depth; "mean_hand" their mean hand in space.
"""


class HandErrors(NamedTuple):
    """The errors of a batch.

    Attributes:
      errors: (predictor, kind) to errors of every joint, metres or pixels of the original image.
      valid: (predictor, kind) to which of them count.
      to_view: Pixels of the view over pixels of the original image.
      joints: The prediction in camera space, metres.
    """

    errors: dict[tuple[str, str], Float[np.ndarray, "batch 21"]]
    valid: dict[tuple[str, str], Bool[np.ndarray, "batch 21"]]
    to_view: Float[np.ndarray, " batch"]
    joints: Float[np.ndarray, "batch 21 3"]


def measure_errors(
    estimator: Estimator, batch: Batch, inference: Inference, bone_length: str
) -> HandErrors:
    """Measures a batch in every way in which its labels allow it.

    Args:
      estimator: The network.
      batch: With labels.
      inference: What the network says of it.
      bone_length: "given" by the labels, or the "mean" of the training set.
    """
    intrinsics, statistics = inference.intrinsics, estimator.statistics
    knows_pose, knows_hand = (s is not None for s in (statistics.mean_pose, statistics.mean_hand))
    bone, bone_known = _bone_length(estimator, batch, bone_length)
    mean_pose = estimator.mean_estimate(inference.first_matrix)
    joints = np.asarray(inference.estimate.lift(intrinsics, bone))
    true_depth, depth_known = _root_depth(batch)
    in_space = {
        "prediction": joints,
        "mean_pose": np.asarray(camera.from_25d(mean_pose, intrinsics, bone, z_root=true_depth)),
        "mean_hand": np.broadcast_to(
            np.asarray(statistics.mean_hand or np.zeros((21, 3)), np.float32), joints.shape
        ),
    }
    in_image = {
        "prediction": np.asarray(inference.estimate.pose)[..., :2],
        "mean_pose": np.asarray(mean_pose)[..., :2],
    }
    labelled = batch["keypoints_3d_valid"]
    lifted = labelled & (batch["intrinsics_valid"] & bone_known)[:, None]
    valid_3d = {
        "prediction": lifted,
        "mean_pose": lifted & depth_known[:, None] & knows_pose,
        "mean_hand": labelled & knows_hand,
    }
    valid_2d = {
        "prediction": batch["keypoints_2d_valid"],
        "mean_pose": batch["keypoints_2d_valid"] & knows_pose,
    }
    to_image = 1 / batch["crop_scale"].astype(np.float64)[:, None, None]

    errors, valid = {}, {}
    for predictor, kinds in PREDICTORS.items():
        for kind in kinds:
            if kind == "2d":
                # Distances do not care for the crop's shift.
                predicted = to_image * in_image[predictor]
                target, known = to_image * batch["keypoints_2d"], valid_2d[predictor]
            else:
                predicted, target = in_space[predictor], batch["keypoints_3d"]
                known = valid_3d[predictor]
            measured, counts = scores.errors_of(predicted, target, known, kind=kind)
            errors[predictor, kind] = measured.astype(np.float32)
            valid[predictor, kind] = counts
    zoom = np.sqrt(np.abs(np.linalg.det(np.asarray(inference.matrix)[:, :, :2])))
    return HandErrors(errors, valid, zoom * batch["crop_scale"], joints)


def _bone_length(
    estimator: Estimator, batch: Batch, choice: str
) -> tuple[Float[Array, " batch"], Bool[np.ndarray, " batch"]]:
    known = batch["bone_length_valid"] & (batch["bone_length"] > 0)
    if choice == "given":
        return jnp.asarray(np.where(known, batch["bone_length"], 1.0), jnp.float32), known
    mean = estimator.statistics.bone_length
    if mean is None:
        raise UserError("the network knows no mean bone length: choose --config.bone_length=given")
    return jnp.full(len(known), mean, jnp.float32), np.ones_like(known)


def _root_depth(batch: Batch) -> tuple[Float[Array, " batch"], Bool[np.ndarray, " batch"]]:
    """Returns the wrist's true depth in bone lengths, and where it is known.

    The mean pose needs it: joints that are averaged over all directions nearly coincide, so that
    the depth at which its reference bone has its length is far behind any hand.
    """
    known = batch["bone_length_valid"] & (batch["bone_length"] > 0)
    known = known & batch["keypoints_3d_valid"][:, WRIST]
    depth = batch["keypoints_3d"][:, WRIST, 2] / np.where(known, batch["bone_length"], 1.0)
    return jnp.asarray(np.where(known, depth, 1.0), jnp.float32), known
