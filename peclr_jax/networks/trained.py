"""A trained network of either task, as a function of plain RGB views."""

from collections.abc import Callable
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from peclr_jax.errors import UserError
from peclr_jax.models.pose_network import PoseNetwork
from peclr_jax.models.projector import Projector
from peclr_jax.models.resnet import ResNet
from peclr_jax.networks import stored
from peclr_jax.runs import pose_recipe, recipe
from peclr_jax.training import restoring
from peclr_jax.views.augment import normalize

Variables = dict[str, Any]


class ViewFunction(NamedTuple):
    """What a network says of views; the standardisation of colours is part of it.

    Attributes:
      inputs: names of what `call` takes: "images" (B, S, S, 3) uint8 RGB; where poses are
        estimated also "intrinsics" (B, 3, 3) float32, of the views, pixels.
      call: the function; returns outputs by name, all float32.
    """

    inputs: tuple[str, ...]
    call: Callable[..., dict[str, Any]]


class Trained(NamedTuple):
    """A network as it came out of pre-training or fine-tuning.

    Attributes:
      config: of the run, resolved.
      network: in float32, whatever the run computed in.
      variables: its parameters and running statistics, NumPy arrays.
      source: the checkpoint they are from.
    """

    config: ConfigDict
    network: Projector | PoseNetwork
    variables: Variables
    source: str

    @property
    def estimates_poses(self) -> bool:
        """Whether it was fine-tuned."""
        return isinstance(self.network, PoseNetwork)

    @property
    def view_size(self) -> int:
        """Side of the views that it was trained on, pixels."""
        return self.config.views.size


def load(checkpoint: str | PathLike[str]) -> Trained:
    """Restores a network.

    Args:
      checkpoint: the directory of a pre-training or a fine-tuning run, or of one of its steps.

    Raises:
      MissingFileError: there is no checkpoint.
      UserError: none is named, it is of another task, or damaged.
    """
    if not str(checkpoint):
        raise UserError(
            "no checkpoint is named: give --config.checkpoint=WORKDIR of a pre-training or a "
            "fine-tuning run"
        )
    config = stored.read(checkpoint)
    config.model.update(dtype="float32", remat="none")
    finetuned = config.task == "finetune"
    network = (pose_recipe.make_pose_network if finetuned else recipe.make_projector)(config)
    variables = restoring.restore_params(checkpoint)
    stored.check_variables(variables, network, config, f"the checkpoint {checkpoint}")
    return Trained(config, network, variables, str(restoring.find(checkpoint)))


def part(variables: Variables, name: str) -> Variables:
    """Returns the variables of one part of a network, such as "encoder"."""
    return {collection: parts[name] for collection, parts in variables.items() if name in parts}


def encode(encoder: ResNet, variables: Variables) -> ViewFunction:
    """Images to {"features": (B, C)}.

    Args:
      encoder: the network.
      variables: of the encoder.
    """

    def call(images: UInt8[Array | np.ndarray, "batch side side 3"]) -> dict[str, Any]:
        return {"features": encoder.apply(variables, _standardised(images))}

    return ViewFunction(("images",), jax.jit(call))


def project(projector: Projector, variables: Variables) -> ViewFunction:
    """Images to {"features": (B, C), "projection": (B, m, 2)}, not normalised.

    Args:
      projector: the network.
      variables: of encoder and head.
    """

    def call(images: UInt8[Array | np.ndarray, "batch side side 3"]) -> dict[str, Any]:
        views = _standardised(images)
        features = projector.encoder.apply(part(variables, "encoder"), views)
        points = projector.head.apply(part(variables, "head"), features)
        return {"features": features, "projection": points}

    return ViewFunction(("images",), jax.jit(call))


def estimate(network: nn.Module, variables: Variables) -> ViewFunction:
    """Images and intrinsics to {"keypoints_25d": (B, 21, 3), "root_depth": (B,)}.

    The 2.5D pose is (x px, y px) in the view and depth relative to the wrist in bone lengths; the
    root depth is the wrist's, in bone lengths.

    Args:
      network: one whose output is a `PoseOutput`.
      variables: of the network.
    """

    def call(
        images: UInt8[Array | np.ndarray, "batch side side 3"],
        intrinsics: Float[Array | np.ndarray, "batch 3 3"],
    ) -> dict[str, Any]:
        output: Any = network.apply(variables, _standardised(images), intrinsics)
        return {"keypoints_25d": output.pose, "root_depth": output.root_depth}

    return ViewFunction(("images", "intrinsics"), jax.jit(call))


def _standardised(
    images: UInt8[Array | np.ndarray, "batch side side 3"],
) -> Float[Array, "batch side side 3"]:
    return normalize(jnp.asarray(images, jnp.float32))
