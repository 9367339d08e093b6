"""Trained networks as functions of plain RGB views, to be exported and compared with."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from peclr_jax.models.projector import Projector
from peclr_jax.models.resnet import ResNet
from peclr_jax.networks.opening import Network
from peclr_jax.networks.proportions import in_proportion, known_bones
from peclr_jax.views.augment import normalize

Variables = dict[str, Any]


class ViewFunction(NamedTuple):
    """A function of views; the standardisation of colours is part of it.

    Attributes:
      inputs: Names of what `call` takes: "images" (B, S, S, 3) uint8 RGB; where poses are
        estimated also "intrinsics" (B, 3, 3) float32, of the views, pixels.
      call: The function; returns outputs by name, all float32.
    """

    inputs: tuple[str, ...]
    call: Callable[..., dict[str, Any]]


class Written(NamedTuple):
    """An exported network: a function for each file, read from it again, and how to open it."""

    reopened: dict[str, ViewFunction]
    opening: str


def encode(encoder: ResNet, variables: Variables) -> ViewFunction:
    """Returns the function from images to {"features": (B, C)}."""

    def call(images: UInt8[Array | np.ndarray, "batch side side 3"]) -> dict[str, Any]:
        return {"features": encoder.apply(variables, _standardised(images))}

    return ViewFunction(("images",), jax.jit(call))


def project(projector: Projector, variables: Variables) -> ViewFunction:
    """Returns the function to {"features": (B, C), "projection": (B, m, 2)}, not normalised."""

    def parts(module: Projector, images: Array) -> tuple[Array, Array]:
        features = module.encoder(images)
        return features, module.head(features)

    def call(images: UInt8[Array | np.ndarray, "batch side side 3"]) -> dict[str, Any]:
        outputs: Any = projector.apply(variables, _standardised(images), method=parts)
        return dict(zip(("features", "projection"), outputs, strict=True))

    return ViewFunction(("images",), jax.jit(call))


def estimate(
    network: nn.Module, variables: Variables, bones: Float[Array, " bones"] | None = None
) -> ViewFunction:
    """Returns the function to {"keypoints_25d": (B, 21, 3), "root_depth": (B,)}.

    The pose is x px, y px in the view and depth relative to the wrist; depths are in bone lengths.

    Args:
      network: Of 2.5D poses.
      variables: Its own.
      bones: What relative depths are to be in proportion to, as `known_bones` returns it.
    """

    def call(
        images: UInt8[Array | np.ndarray, "batch side side 3"],
        intrinsics: Float[Array | np.ndarray, "batch 3 3"],
    ) -> dict[str, Any]:
        output: Any = network.apply(variables, _standardised(images), intrinsics)
        pose, depth = output.pose, output.root_depth
        if bones is not None:
            pose = in_proportion(pose, depth, jnp.asarray(intrinsics), bones)
        return {"keypoints_25d": pose, "root_depth": depth}

    return ViewFunction(("images", "intrinsics"), jax.jit(call))


def encoder_of(network: Network) -> ViewFunction:
    """Returns the function to features, of either task's network."""
    return encode(network.module.encoder, network.part("encoder"))


def features_or_poses(network: Network) -> ViewFunction:
    """Returns the function to features of a pre-trained network, to poses of a fine-tuned one."""
    return _poses_of(network) if network.estimates_poses else encoder_of(network)


def projection_or_poses(network: Network) -> ViewFunction:
    """Returns the function to all that a network says: projections, or poses."""
    if isinstance(network.module, Projector):
        return project(network.module, network.variables)
    return _poses_of(network)


def explain_views(network: Network) -> str:
    """Returns how a network's views are cut from images, for those who open its export."""
    data, last = network.description.data, network.view_size - 1
    if data.crop == "hand":
        cut = f"""\
A view is a square about the centre of the hand's box (that of its 21 keypoints). Its side is
{data.hand_margin:g} times the larger side of the box; beyond the image's border it is black."""
    else:
        cut = f"A view is the middle 1/{data.source_margin:g} of the image's central square."
    poses = network.estimates_poses
    back = f", as well as cx of the intrinsics,\nand x back (x px becomes {last} - x)" * poses
    return f"{cut}\nHands are right hands: mirror the views of left ones{back}.\n"


def _poses_of(network: Network) -> ViewFunction:
    bones = known_bones(network.module, network.description.statistics)
    return estimate(network.module, network.variables, bones)


def _standardised(
    images: UInt8[Array | np.ndarray, "batch side side 3"],
) -> Float[Array, "batch side side 3"]:
    return normalize(jnp.asarray(images, jnp.float32))
