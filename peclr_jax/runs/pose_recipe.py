"""From a fine-tuning config to network, views and optimizer; checked first, resolved once."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from peclr_jax import specs
from peclr_jax.devices import mesh
from peclr_jax.errors import UserError
from peclr_jax.models.heads import PoseHead, RootDepthRefiner
from peclr_jax.models.pose_network import PoseNetwork
from peclr_jax.networks.description import read_description
from peclr_jax.runs import recipe
from peclr_jax.runs.initialisation import (
    AUTO,
    ENCODER_FIELDS,
    PARTS,
    RANDOM,
    Initialisation,
    fill,
    from_torch,
    match_encoder,
)
from peclr_jax.training import restoring

HEADS = ("linear", "mlp")


def check_finetuning(config: ConfigDict, num_devices: int) -> None:
    """Finds what is wrong with a fine-tuning config before anything is allocated.

    Args:
      config: the run's, resolved.
      num_devices: devices of all processes.

    Raises:
      UserError: one sentence that names the field and the remedy.
    """
    recipe.check_model(config)
    recipe.check_choice("model.head", config.model.head, HEADS)
    recipe.check_choice("init.parts", config.init.parts, PARTS)
    recipe.check_choice("optimizer.name", config.optimizer.name, recipe.OPTIMIZERS)
    recipe.check_choice("optimizer.decay_mask", config.optimizer.decay_mask, recipe.DECAY_MASKS)
    recipe.check_positive(
        config,
        "batch_size",
        "num_epochs",
        "model.hidden",
        "optimizer.learning_rate",
        "checkpoint.every_steps",
        "checkpoint.keep",
        "log.every_steps",
        "log.images",
        "evaluation.images",
        "evaluation.every_steps",
    )
    mesh.check_batch_size(config.batch_size, num_devices)
    recipe.check_supervision(config)
    recipe.check_length(config)
    recipe.check_view_size(config)
    for name, weight in config.loss.items():
        if not weight >= 0:
            raise UserError(f"--config.loss.{name} must be zero or more, got {weight}")
    if config.loss.keypoints_2d == 0:
        raise UserError("--config.loss.keypoints_2d=0 leaves nothing to find the hand by")
    if config.data.pairs != "image":
        raise UserError(
            f"--config.data.pairs={config.data.pairs!r} is for pre-training: fine-tuning looks at "
            "one view at a time; leave it at 'image'"
        )
    recipe.view_spec(config)


def resolve(config: ConfigDict) -> tuple[ConfigDict, Initialisation]:
    """Reads the checkpoint to start from, ours or PyTorch's, and the fields that it decides.

    Args:
      config: the run's; `model` fields may be "auto" (0 for the width).

    Returns:
      A copy without "auto", and what to start from.

    Raises:
      MissingFileError: no checkpoint at `config.init.checkpoint` or `.torch_checkpoint`.
      UserError: it holds another network than the config names, or none is named anywhere.
    """
    config = ConfigDict(config.to_dict())
    recipe.check_choice("init.parts", config.init.parts, PARTS)
    if config.init.torch_checkpoint:
        return config, from_torch(config, whole="")
    path = config.init.checkpoint
    if not path:
        for field in ENCODER_FIELDS:
            if config.model[field] in (AUTO, 0):
                raise UserError(
                    f"--config.model.{field} is to be that of the pre-trained checkpoint, but none "
                    "is named: give --config.init.checkpoint=WORKDIR, or train from scratch by the "
                    "recipe's variant +scratch"
                )
        return config, RANDOM
    trained = read_description(path)
    match_encoder(config.model, specs.to_dict(trained.model), f"the checkpoint {path}")
    restored = restoring.restore_params(path)
    source = str(restoring.find(path))
    if config.init.parts == "encoder":
        if not all("encoder" in parts for parts in restored.values()):
            raise UserError(
                f"the checkpoint {path} holds no encoder: get it again from where it was made, or "
                "name another --config.init.checkpoint"
            )
        restored = {name: {"encoder": parts["encoder"]} for name, parts in restored.items()}
    elif trained.task != config.task:
        raise UserError(
            f"--config.init.parts='all' goes on from a fine-tuned network, but {path} is of the "
            f"task {trained.task!r}: use 'encoder', or name a fine-tuning run"
        )
    return config, Initialisation(restored, source)


def make_pose_network(config: ConfigDict) -> PoseNetwork:
    """The network to fine-tune."""
    return PoseNetwork(
        recipe.make_encoder(config),
        PoseHead((config.model.hidden,) if config.model.head == "mlp" else ()),
        RootDepthRefiner() if config.loss.root_depth > 0 else None,
        frozen_encoder=config.model.frozen,
    )


def make_optimizer(
    config: ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
    """Adam, or what the config names; a frozen encoder is left alone and has no state."""
    trained = recipe.make_optimizer(config, learning_rate)
    if not config.model.frozen:
        return trained

    def label(params: dict[str, Any]) -> dict[str, str]:
        # A label may stand for a whole subtree.
        return {name: "frozen" if name == "encoder" else "trained" for name in params}

    return optax.partition({"trained": trained, "frozen": optax.set_to_zero()}, label)


def initialise(
    key: Key[Array, ""], network: PoseNetwork, side: int, given: Initialisation
) -> dict[str, Any]:
    """Random parameters, but for those that are given.

    Args:
      key: PRNG key.
      network: to initialise.
      side: of the views, pixels.
      given: what to put in.

    Returns:
      Variables for `network.apply`.

    Raises:
      UserError: its tensors are not those of the network.
    """
    intrinsics = jnp.eye(3)[None]
    variables = jax.jit(network.init)(key, jnp.zeros((1, side, side, 3)), intrinsics)
    return fill(variables, given)
