"""From a config to what the pure functions take: network, views, optimizer; checked first."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict

from peclr_jax.devices import mesh
from peclr_jax.errors import FieldError, UserError
from peclr_jax.models import resnet
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector
from peclr_jax.objectives import contrastive
from peclr_jax.runs.initialisation import PARTS
from peclr_jax.training import optimizer, profiling, restoring
from peclr_jax.views.spec import ViewSpec

# What NT-Xent compares, of the latent points and the views' transformations.
OBJECTIVES: dict[str, Callable[..., Float[Array, "views dim"]]] = {
    "peclr": contrastive.equivariant_projections,
    "simclr": contrastive.invariant_projections,
    "direct_translation": partial(
        contrastive.equivariant_projections, range_of=contrastive.unit_range
    ),
    "attached_range": partial(
        contrastive.equivariant_projections, range_of=contrastive.attached_range
    ),
    "centered": contrastive.centered_projections,
}
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "lars_adam": optimizer.lars_adam,
    "lamb": lambda schedule, weight_decay, mask: optax.lamb(
        schedule, weight_decay=weight_decay, mask=mask
    ),
    # L2 decay through the gradient, as PyTorch's Adam (the official runs without LARS).
    "adam": lambda schedule, weight_decay, mask: optax.chain(
        optax.add_decayed_weights(weight_decay, mask), optax.adam(schedule)
    ),
}
DECAY_MASKS: dict[str, Callable[[Any], Any]] = {
    "kernels": optimizer.decay_mask,
    "official": optimizer.official_decay_mask,
}
# Parts of the config that may differ when a run is resumed.
_CHANGES_NOTHING = (
    "log.",
    "checkpoint.",
    "evaluation.",
    "statistics.",
    "data.rendered.cache_dir",
    "profile",
)
# Fields that came later, and the value under which a run is what it was without them.
_CAME_LATER = {"optimizer.skip_nonfinite": 0}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Schedule(NamedTuple):
    """How long a run is and how fast it learns.

    Attributes:
      total_steps: of the run.
      learning_rate: step to learning rate.
    """

    total_steps: int
    learning_rate: optax.Schedule


def check_choice(field: str, name: str, choices: Iterable[str]) -> None:
    """Rejects what a config may not choose.

    Raises:
      UserError: the name is not among the choices; the message lists them.
    """
    choices = tuple(choices)
    if name not in choices:
        raise UserError(f"--config.{field}={name!r} is none of {', '.join(map(repr, choices))}")


def check_pretraining(config: ConfigDict, num_devices: int) -> None:
    """Rejects impossible combinations before anything is compiled or allocated.

    Raises:
      UserError: one sentence that names the field and the remedy.
    """
    check_model(config)
    check_choice("loss.objective", config.loss.objective, OBJECTIVES)
    check_choice("optimizer.name", config.optimizer.name, OPTIMIZERS)
    check_choice("optimizer.decay_mask", config.optimizer.decay_mask, DECAY_MASKS)
    check_choice("negatives", config.negatives, ("micro", "global"))
    check_choice("init.parts", config.init.parts, PARTS)
    check_positive(
        config,
        "batch_size",
        "micro_batches",
        "num_epochs",
        "model.hidden",
        "model.num_points",
        "loss.temperature",
        "optimizer.learning_rate",
        "checkpoint.every_steps",
        "checkpoint.keep",
        "log.every_steps",
        "log.pairs",
        "evaluation.images",
        "evaluation.every_steps",
    )
    mesh.check_batch_size(config.batch_size, num_devices, config.micro_batches)
    if config.batch_size // config.micro_batches < 2:
        raise UserError(
            f"--config.batch_size={config.batch_size} in --config.micro_batches="
            f"{config.micro_batches} leaves one image a micro-batch, hence no negatives; "
            "use fewer micro-batches"
        )
    check_supervision(config)
    check_length(config)
    check_view_size(config)
    view_spec(config)


def check_model(config: ConfigDict) -> None:
    """Checks the encoder's fields.

    Raises:
      UserError: a network that we do not have.
    """
    check_choice("model.architecture", config.model.architecture, resnet.BY_NAME)
    check_choice("model.dtype", config.model.dtype, DTYPES)
    check_choice("model.stem", config.model.stem, resnet.STEMS)
    check_choice("model.remat", config.model.remat, ("none", *resnet.REMAT_POLICIES))
    check_choice("model.pointwise", config.model.pointwise, resnet.POINTWISE)
    check_positive(config, "model.width")


def check_positive(config: ConfigDict, *fields: str) -> None:
    """Checks numbers, named as in a flag: "model.width".

    Raises:
      UserError: one is zero or less.
    """
    for field in fields:
        value: Any = config
        for name in field.split("."):
            value = value[name]
        if not value > 0:
            raise UserError(f"--config.{field} must be positive, got {value}")


def check_supervision(config: ConfigDict) -> None:
    """Checks what is to be watched in a run.

    Raises:
      UserError: steps to trace that there are not, or a negative number of steps to skip.
    """
    profiling.parse_steps(config.profile)
    if config.optimizer.skip_nonfinite < 0:
        raise UserError(
            "--config.optimizer.skip_nonfinite must be zero or positive, got "
            f"{config.optimizer.skip_nonfinite}"
        )


def check_length(config: ConfigDict) -> None:
    """Checks the run's length and its warm-up.

    Raises:
      UserError: a negative length, or a warm-up longer than the run.
    """
    if config.num_steps < 0:
        raise UserError(f"--config.num_steps must be zero or positive, got {config.num_steps}")
    if not 0 <= config.optimizer.warmup_epochs <= config.num_epochs:
        raise UserError(
            f"--config.optimizer.warmup_epochs={config.optimizer.warmup_epochs} does not "
            f"lie within the run of --config.num_epochs={config.num_epochs}; shorten it"
        )


def check_view_size(config: ConfigDict) -> None:
    """Checks that the last stage does not shrink below one pixel.

    Raises:
      UserError: views too small for the stem.
    """
    smallest = 32 if config.model.stem == "imagenet" else 16
    if config.views.size < smallest:
        raise UserError(
            f"--config.views.size={config.views.size} is too small for the stem "
            f"{config.model.stem!r}, which needs at least {smallest} px"
        )


def check_resumable(config: ConfigDict, workdir: Path) -> None:
    """Refuses to go on with a run under another config.

    Args:
      config: of the run to start or to resume.
      workdir: of the run; a new one, or one that holds checkpoints.

    Raises:
      UserError: a field differs that changes the result; the message names all that do.
    """
    stored = restoring.restore_run_config(workdir)
    if stored is None:
        return
    here, there = identity(config.to_dict()), identity(stored)
    changed = [
        f"{name} {there.get(name)!r} -> {here.get(name)!r}"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]
    if changed:
        raise UserError(
            f"{workdir} holds a run of another config ({'; '.join(changed)}): resume it with its "
            "own config, or choose another --workdir"
        )


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that decide what a run comes to, by their dotted names, fit for JSON."""
    fields = flatten_dict(json.loads(json.dumps(config)), sep=".")
    return {
        name: value
        for name, value in fields.items()
        if not name.startswith(_CHANGES_NOTHING)
        and not (name in _CAME_LATER and value == _CAME_LATER[name])
    }


def key(config: ConfigDict, use: int) -> Key[Array, ""]:
    """The key of a use of the run's seed, apart from training's, which folds it by step."""
    return jax.random.fold_in(jax.random.key(config.seed), np.uint32(2**31 + use))


def view_spec(config: ConfigDict) -> ViewSpec:
    """The ranges of the augmentation; `config.views` holds them by `ViewSpec`'s names.

    Raises:
      UserError: a range that cannot be meant.
    """
    values: dict[str, Any] = config.views.to_dict()
    try:
        return ViewSpec(**values, source_margin=config.data.source_margin)
    except FieldError as error:
        raise UserError(f"--config.views.{error.field} {error.problem}") from None


def make_encoder(config: ConfigDict) -> resnet.ResNet:
    """The ResNet that `config.model` describes."""
    return resnet.BY_NAME[config.model.architecture](
        width=config.model.width,
        stem=config.model.stem,
        dtype=DTYPES[config.model.dtype],
        remat=config.model.remat,
        # Runs of before the field are still read.
        pointwise=config.model.get("pointwise", "platform"),
    )


def make_projector(config: ConfigDict) -> Projector:
    """The network to pre-train."""
    dtype = DTYPES[config.model.dtype]
    head = ProjectionHead(config.model.hidden, config.model.num_points, dtype)
    return Projector(make_encoder(config), head)


def sqrt_scaled_peak(config: ConfigDict) -> float:
    """The learning rate of pre-training: the config's times sqrt(batch size) (Sec. 4.2)."""
    return optimizer.sqrt_batch_learning_rate(config.optimizer.learning_rate, config.batch_size)


def make_schedule(config: ConfigDict, steps_per_epoch: int | None, peak: float) -> Schedule:
    """The length of the run and its learning rate: linear warm-up, then a cosine to zero.

    Args:
      config: the run's.
      steps_per_epoch: of the data; None if they have no end.
      peak: learning rate after the warm-up.

    Raises:
      UserError: endless data and no `num_steps`.
    """
    if config.num_steps > 0:
        total_steps = config.num_steps
    elif steps_per_epoch is None:
        raise UserError(
            "endless data have no epochs: give the run's length by --config.num_steps=10000"
        )
    else:
        total_steps = max(1, round(config.num_epochs * steps_per_epoch))
    warmup_steps = round(total_steps * config.optimizer.warmup_epochs / config.num_epochs)
    return Schedule(total_steps, optimizer.warmup_cosine(peak, warmup_steps, total_steps))


def make_optimizer(
    config: ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
    """LARS + Adam, or what the config names instead."""
    return OPTIMIZERS[config.optimizer.name](
        learning_rate, config.optimizer.weight_decay, DECAY_MASKS[config.optimizer.decay_mask]
    )
