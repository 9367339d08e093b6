"""Relative depths in proportion to the known bones of a hand."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from peclr_jax.geometry import camera
from peclr_jax.hands.skeleton import BONES
from peclr_jax.models.heads import HeatmapHead
from peclr_jax.models.pose_network import PoseNetwork
from peclr_jax.networks.label_statistics import LabelStatistics


def has_heatmaps(module: nn.Module) -> bool:
    """Returns whether a network localises joints by heatmaps."""
    return isinstance(module, PoseNetwork) and isinstance(module.head, HeatmapHead)


def known_bones(
    module: nn.Module, statistics: LabelStatistics | None
) -> Float[Array, " bones"] | None:
    """Returns the lengths of the mean hand's bones over that of the reference bone.

    None leaves depths as they are estimated: of networks that have learned them where the camera
    is known, as the paper's, and of those whose training labels have no mean hand.

    Args:
      module: The network.
      statistics: Of its training labels.
    """
    if not (has_heatmaps(module) and statistics and statistics.mean_hand):
        return None
    hand = jnp.asarray(statistics.mean_hand)
    first, second = np.array(BONES).T
    return jnp.linalg.norm(hand[first] - hand[second], axis=-1) / camera.bone_length(hand)


@jax.jit
def in_proportion(
    pose: Float[Array, "batch 21 3"],
    root_depth: Float[Array, " batch"],
    intrinsics: Float[Array, "batch 3 3"],
    lengths: Float[Array, " bones"],
) -> Float[Array, "batch 21 3"]:
    """Scales relative depths so that at the estimated distance bones are in the known proportions.

    Photographs without a camera teach relative depths, but no distance, and a distance that is off
    stretches the hand in the image plane alone. It should stretch all of it.

    Args:
      pose: 2.5D poses: pixels, and depths relative to the root in bone lengths.
      root_depth: Of the root, in bone lengths, as estimated.
      intrinsics: Of the images that the pixels are of.
      lengths: Of `skeleton.BONES`, in lengths of the reference bone.
    """
    depth = camera.root_depth_of_bones(pose, intrinsics, lengths)
    factor = (root_depth / depth)[:, None]
    return pose * jnp.stack([jnp.ones_like(factor)] * 2 + [factor], axis=-1)
