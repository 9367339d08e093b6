"""What a network starts from: random numbers, a checkpoint of ours, or a file of PyTorch's."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from peclr_jax import trees
from peclr_jax.errors import UserError
from peclr_jax.models import torch_weights
from peclr_jax.models.torch_weights import TorchWeights

AUTO = "auto"
"""In place of a field of `config.model`: what the checkpoint has."""
ENCODER_FIELDS = ("architecture", "width", "stem")
PARTS = ("encoder", "all")


class Initialisation(NamedTuple):
    """What a run starts from.

    Attributes:
      variables: "params" and "batch_stats", in each the parts of the network that are given
        ("encoder", or all of them); the others are random.
      source: where they are from, for the log.
    """

    variables: dict[str, dict[str, Any]]
    source: str


RANDOM = Initialisation({}, "random initialisation")


def match_encoder(model: ConfigDict, found: Mapping[str, Any], source: str) -> None:
    """Checks the encoder's fields against those of a checkpoint, and fills in what is left open.

    Args:
      model: `config.model`; "auto", or 0 for the width, is replaced.
      found: the fields of the checkpoint.
      source: what holds it, for the message.

    Raises:
      UserError: a field differs.
    """
    for field in ENCODER_FIELDS:
        wanted = model[field]
        if wanted in (AUTO, 0):
            model[field] = found[field]
        elif wanted != found[field]:
            raise UserError(
                f"{source} holds an encoder with model.{field}={found[field]!r}, the config asks "
                f"for {wanted!r}: set --config.model.{field}={found[field]}, or name a checkpoint "
                "of the network that you want"
            )


def from_torch(config: ConfigDict, *, whole: str) -> Initialisation:
    """Reads `config.init.torch_checkpoint`; nothing in the file is executed.

    Args:
      config: the run's; its encoder's fields are checked, and filled in where they are "auto".
      whole: the layout of the networks that `config.init.parts="all"` can take; "" for none.

    Raises:
      MissingFileError: there is no such file.
      UserError: no weights that we know, those of another network, or not all parts.
    """
    path = config.init.torch_checkpoint
    weights = torch_weights.read_weights(path)
    match_encoder(config.model, weights._asdict(), path)
    source = f"{path} ({weights.layout})"
    if config.init.parts == "encoder":
        return Initialisation(encoder_of(weights), source)
    if weights.layout != whole:
        raise UserError(
            f"--config.init.parts='all' asks {path} for more than an encoder, but its layout "
            f"({weights.layout}) does not hold what this network has: use "
            "--config.init.parts=encoder"
        )
    return Initialisation(weights.variables, source)


def encoder_of(weights: TorchWeights) -> dict[str, dict[str, Any]]:
    """Returns the encoder's variables under "encoder", whatever the layout of the file."""
    if weights.layout == "torchvision":
        return {collection: {"encoder": tree} for collection, tree in weights.variables.items()}
    return {
        collection: {"encoder": parts["encoder"]} for collection, parts in weights.variables.items()
    }


def fill(variables: Mapping[str, Any], given: Initialisation) -> dict[str, Any]:
    """Puts what is given in the place of random parameters.

    Args:
      variables: of the network, "params" and "batch_stats" by part.
      given: what to put in.

    Raises:
      UserError: its tensors are not those of the network.
    """
    filled = {collection: dict(parts) for collection, parts in variables.items()}
    for collection, parts in given.variables.items():
        for part, tensors in parts.items():
            if trees.first_difference(tensors, filled[collection].get(part)):
                raise UserError(
                    f"the {part} in {given.source} has not the tensors that this config asks for: "
                    "use the model's fields of that run, or --config.init.parts=encoder"
                )
            filled[collection][part] = jax.tree.map(jnp.asarray, tensors)
    return filled
