"""The supervised losses of fine-tuning (PeCLR, Eq. 5), on 2.5D poses.

Each loss is a mean of absolute errors over the valid labels alone, weighted by their scores.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from peclr_jax.geometry import affine, camera
from peclr_jax.hands.skeleton import WRIST


class PoseTarget(NamedTuple):
    """Labels of a batch of views.

    Attributes:
      pose: 2.5D: (x px, y px) in the view, root-relative depth in reference bone lengths.
      keypoints_valid, depth_valid: Which joints' pixels and relative depths are known.
      root_depth, root_depth_valid: Depth of the wrist, bone lengths, and whether it is known.
      weight: How far a hand's labels are to be trusted.
    """

    pose: Float[Array, "batch 21 3"]
    keypoints_valid: Bool[Array, "batch 21"]
    depth_valid: Bool[Array, "batch 21"]
    root_depth: Float[Array, " batch"]
    root_depth_valid: Bool[Array, " batch"]
    weight: Float[Array, " batch"]


def target_in_view(
    labels: Mapping[str, Shaped[Array, "batch ..."]],
    matrix: Float[Array, "batch 2 3"],
    assumed_intrinsics: Float[Array, "3 3"],
) -> tuple[PoseTarget, Float[Array, "batch 3 3"]]:
    """Moves the labels of source images into views of them, and returns the views' intrinsics too.

    A similarity of the image is a roll and a zoom of the camera: it changes pixels and intrinsics,
    but neither depths nor the bone's length.

    Args:
      labels: Labels from the input pipeline, in source pixels and metres.
      matrix: Source pixels to view pixels.
      assumed_intrinsics: Intrinsics for views whose own are unknown.
    """
    keypoints, joints = labels["keypoints_2d"], labels["keypoints_3d"]
    has_bone = labels["bone_length_valid"] & (labels["bone_length"] > 0)
    bone = jnp.where(has_bone, labels["bone_length"], 1.0)
    depth = joints[..., 2] / bone[:, None]
    depth_valid = labels["keypoints_3d_valid"] & has_bone[:, None]
    root_valid = depth_valid[:, WRIST]
    pixels = affine.apply_to_points(matrix, keypoints)
    target = PoseTarget(
        pose=jnp.concatenate([pixels, (depth - depth[:, WRIST, None])[..., None]], axis=-1),
        keypoints_valid=labels["keypoints_2d_valid"],
        depth_valid=depth_valid & root_valid[:, None],
        root_depth=depth[:, WRIST],
        root_depth_valid=root_valid & labels["intrinsics_valid"],
        weight=labels.get("score", jnp.ones(len(depth))),
    )
    known = labels["intrinsics_valid"][:, None, None]
    intrinsics = jnp.where(known, labels["intrinsics"], jnp.eye(3))
    intrinsics = camera.warp_intrinsics(matrix, intrinsics)
    return target, jnp.where(known, intrinsics, assumed_intrinsics)


def keypoints_2d(
    pose: Float[Array, "batch 21 3"], target: PoseTarget, side: int
) -> Float[Array, ""]:
    """Returns the mean absolute error of the pixels, over both axes, in halves of the view's side.

    Args:
      pose: The prediction, in view pixels.
      target: The labels.
      side: Side of the view, pixels.
    """
    error = jnp.abs(pose[..., :2] - target.pose[..., :2]).mean(-1) / (side / 2)
    return weighted_mean(error, target.keypoints_valid, target.weight)


def relative_depth(pose: Float[Array, "batch 21 3"], target: PoseTarget) -> Float[Array, ""]:
    """Returns the mean absolute error of root-relative depths, bone lengths, without the root."""
    error = jnp.abs(pose[..., 2] - target.pose[..., 2])
    return weighted_mean(error[:, 1:], target.depth_valid[:, 1:], target.weight)


def root_depth(depth: Float[Array, " batch"], target: PoseTarget) -> Float[Array, ""]:
    """Returns the mean absolute error of the wrist's depth, bone lengths."""
    error = jnp.abs(depth - target.root_depth)
    return weighted_mean(error, target.root_depth_valid, target.weight)


def weighted_mean(
    values: Float[Array, "batch *joints"],
    valid: Bool[Array, "batch *joints"],
    weight: Float[Array, " batch"],
) -> Float[Array, ""]:
    """Returns the mean over the valid entries, zero if none has a weight; others may be NaN.

    Args:
      values: Of hands, or of their joints.
      valid: Which of them count.
      weight: Of each hand, not negative.
    """
    weights = jnp.where(valid, weight.reshape(-1, *[1] * (values.ndim - 1)), 0.0)
    total = jnp.sum(jnp.where(valid, values, 0.0) * weights)
    whole = jnp.sum(weights)
    return total / jnp.where(whole == 0, 1.0, whole)
