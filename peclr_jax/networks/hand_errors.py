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
_PROCRUSTES = ("pa", "pa_proper")


class HandErrors(NamedTuple):
    """The errors of a batch.

    Attributes:
      errors: (predictor, kind) to errors of every joint, metres or pixels of the original image.
      valid: (predictor, kind) to which of them count.
      to_view: Pixels of a view of the labelled hand over pixels of the original image.
      joints: The prediction in camera space, metres; relative to the wrist without intrinsics, and
        in bone lengths without the bone's.
    """

    errors: dict[tuple[str, str], Float[np.ndarray, "batch 21"]]
    valid: dict[tuple[str, str], Bool[np.ndarray, "batch 21"]]
    to_view: Float[np.ndarray, " batch"]
    joints: Float[np.ndarray, "batch 21 3"]


def measure_errors(
    estimator: Estimator, batch: Batch, inference: Inference, bone_length: str
) -> HandErrors:
    """Measures a batch in every way in which its labels allow it.

    Errors after a Procrustes alignment ask for 3D labels alone: size and place do not matter then.
    Without intrinsics joints are lifted by weak perspective, under the supposed field of view at
    the depth that the network estimates; so is the mean pose where the true depth is unknown.

    Args:
      estimator: The network.
      batch: With labels.
      inference: What the network says of it.
      bone_length: "given" by the labels, or the "mean" of the training set.
    """
    intrinsics, statistics = inference.intrinsics, estimator.statistics
    knows_pose, knows_hand = (s is not None for s in (statistics.mean_pose, statistics.mean_hand))
    sized = batch["bone_length_valid"] & (batch["bone_length"] > 0)
    true_bone = np.where(sized, batch["bone_length"], 1.0)
    if bone_length == "given":
        bone, bone_known = jnp.asarray(true_bone, jnp.float32), sized
    elif statistics.bone_length is None:
        raise UserError("the network knows no mean bone length: choose --config.bone_length=given")
    else:
        bone = jnp.full(len(sized), statistics.bone_length, jnp.float32)
        bone_known = np.ones_like(sized)
    # The mean pose is lifted at the wrist's true depth: joints that are averaged over all
    # directions nearly coincide, so that its reference bone has its length far behind any hand.
    pictured, labelled = batch["intrinsics_valid"], batch["keypoints_3d_valid"]
    depth_known = bone_known & pictured & labelled[:, WRIST]
    estimated = np.asarray(inference.estimate.root_depth)
    true_depth = batch["keypoints_3d"][:, WRIST, 2] / np.asarray(bone)
    true_depth = np.where(depth_known, true_depth, estimated)
    mean_pose = estimator.mean_estimate(inference.first_matrix)

    def lift(pose: Array, depth: np.ndarray) -> np.ndarray:
        z_root = jnp.asarray(depth, jnp.float32)
        through = camera.from_25d(pose, intrinsics, bone, z_root=z_root)
        weakly = camera.from_25d_weakly(pose, z_root / intrinsics[:, 0, 0], bone)
        return np.where(pictured[:, None, None], through, weakly)

    joints = lift(inference.estimate.pose, estimated)
    hand = np.asarray(statistics.mean_hand or np.zeros((21, 3)), np.float32)
    in_space = {
        "prediction": joints,
        "mean_pose": lift(mean_pose, true_depth),
        "mean_hand": np.broadcast_to(hand, joints.shape),
    }
    shaped = {
        "prediction": labelled,
        "mean_pose": labelled & knows_pose,
        "mean_hand": labelled & knows_hand,
    }
    placed = {"prediction": labelled & (pictured & bone_known)[:, None]}
    placed["mean_pose"] = placed["prediction"] & depth_known[:, None] & knows_pose
    seen = batch["keypoints_2d_valid"]
    in_image = {
        "prediction": (np.asarray(inference.estimate.pose)[..., :2], seen),
        "mean_pose": (np.asarray(mean_pose)[..., :2], seen & knows_pose),
    }
    to_image = 1 / batch["crop_scale"].astype(np.float64)[:, None, None]

    errors, valid = {}, {}
    for predictor, kinds in PREDICTORS.items():
        for kind in kinds:
            if kind == "2d":
                # Distances do not care for the crop's shift.
                points, known = in_image[predictor]
                predicted, target = to_image * points, to_image * batch["keypoints_2d"]
            else:
                predicted, target = in_space[predictor], batch["keypoints_3d"]
                known = (shaped if kind in _PROCRUSTES else placed)[predictor]
            measured, valid[predictor, kind] = scores.errors_of(predicted, target, known, kind=kind)
            errors[predictor, kind] = measured.astype(np.float32)
    return HandErrors(errors, valid, inference.zoom * batch["crop_scale"], joints)
