"""From a config to what the pure functions take: network, views, optimizer; checked first."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from peclr_jax.models import resnet
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector
from peclr_jax.objectives import contrastive
from peclr_jax.training import mesh, optimizer
from peclr_jax.views.spec import ViewSpec

OBJECTIVES: dict[str, Callable[..., Float[Array, ""]]] = {
    "peclr": contrastive.equivariant_nt_xent,
    "simclr": contrastive.invariant_nt_xent,
    "direct_translation": partial(contrastive.equivariant_nt_xent, range_of=contrastive.unit_range),
}
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "lars_adam": optimizer.lars_adam,
    "lamb": optimizer.lamb,
    # L2 decay through the gradient, as PyTorch's Adam (the official runs without LARS).
    "adam": lambda schedule, weight_decay, mask: optax.chain(
        optax.add_decayed_weights(weight_decay, mask), optax.adam(schedule)
    ),
}
DECAY_MASKS: dict[str, Callable[[Any], Any]] = {
    "kernels": optimizer.decay_mask,
    "official": optimizer.official_decay_mask,
}
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
      ValueError: the name is not among the choices; the message lists them.
    """
    choices = tuple(choices)
    if name not in choices:
        raise ValueError(f"--config.{field}={name!r} is none of {', '.join(map(repr, choices))}")


def check_pretraining(config: ConfigDict, num_devices: int) -> None:
    """Rejects impossible combinations before anything is compiled or allocated.

    Raises:
      ValueError: one sentence that names the field and the remedy.
    """
    check_choice("loss.objective", config.loss.objective, OBJECTIVES)
    check_choice("optimizer.name", config.optimizer.name, OPTIMIZERS)
    check_choice("optimizer.decay_mask", config.optimizer.decay_mask, DECAY_MASKS)
    check_choice("model.architecture", config.model.architecture, resnet.BY_NAME)
    check_choice("model.dtype", config.model.dtype, DTYPES)
    check_choice("model.stem", config.model.stem, resnet.STEMS)
    check_choice("model.remat", config.model.remat, ("none", *resnet.REMAT_POLICIES))
    check_choice("negatives", config.negatives, ("micro", "global"))
    for field in ("batch_size", "micro_batches", "num_epochs"):
        if config[field] <= 0:
            raise ValueError(f"--config.{field} must be positive, got {config[field]}")
    for group, field in (
        ("model", "width"),
        ("model", "hidden"),
        ("model", "num_points"),
        ("loss", "temperature"),
        ("optimizer", "learning_rate"),
        ("checkpoint", "every_steps"),
        ("checkpoint", "keep"),
        ("log", "every_steps"),
        ("log", "pairs"),
        ("evaluation", "images"),
        ("evaluation", "every_steps"),
    ):
        if config[group][field] <= 0:
            raise ValueError(
                f"--config.{group}.{field} must be positive, got {config[group][field]}"
            )
    mesh.check_batch_size(config.batch_size, num_devices, config.micro_batches)
    if config.batch_size // config.micro_batches < 2:
        raise ValueError(
            f"--config.batch_size={config.batch_size} in --config.micro_batches="
            f"{config.micro_batches} leaves one image a micro-batch, hence no negatives; "
            "use fewer micro-batches"
        )
    if config.num_steps < 0:
        raise ValueError(f"--config.num_steps must be zero or positive, got {config.num_steps}")
    if not 0 <= config.optimizer.warmup_epochs <= config.num_epochs:
        raise ValueError(
            f"--config.optimizer.warmup_epochs={config.optimizer.warmup_epochs} does not "
            f"lie within the run of --config.num_epochs={config.num_epochs}; shorten it"
        )
    # The last stage must not shrink below one pixel.
    smallest = 32 if config.model.stem == "imagenet" else 16
    if config.views.size < smallest:
        raise ValueError(
            f"--config.views.size={config.views.size} is too small for the stem "
            f"{config.model.stem!r}, which needs at least {smallest} px"
        )
    view_spec(config)


def view_spec(config: ConfigDict) -> ViewSpec:
    """The ranges of the augmentation; `config.views` holds them by `ViewSpec`'s names.

    Raises:
      ValueError: a range that cannot be meant.
    """
    values: dict[str, Any] = config.views.to_dict()
    try:
        return ViewSpec(**values, source_margin=config.data.source_margin)
    except ValueError as error:
        raise ValueError(str(error).replace("ViewSpec.", "--config.views.")) from None


def make_projector(config: ConfigDict) -> Projector:
    """The network to pre-train."""
    dtype = DTYPES[config.model.dtype]
    encoder = resnet.BY_NAME[config.model.architecture](
        width=config.model.width,
        stem=config.model.stem,
        dtype=dtype,
        remat=config.model.remat,
    )
    head = ProjectionHead(config.model.hidden, config.model.num_points, dtype)
    return Projector(encoder, head)


def make_schedule(config: ConfigDict, steps_per_epoch: int | None) -> Schedule:
    """The length of the run and its learning rate (Sec. 4.2: sqrt scaling, warm-up, cosine).

    Args:
      config: the run's.
      steps_per_epoch: of the data; None if they have no end.

    Raises:
      ValueError: endless data and no `num_steps`.
    """
    if config.num_steps > 0:
        total_steps = config.num_steps
    elif steps_per_epoch is None:
        raise ValueError(
            "endless data have no epochs: give the run's length by --config.num_steps=10000"
        )
    else:
        total_steps = max(1, round(config.num_epochs * steps_per_epoch))
    warmup_steps = round(total_steps * config.optimizer.warmup_epochs / config.num_epochs)
    peak = optimizer.sqrt_batch_learning_rate(config.optimizer.learning_rate, config.batch_size)
    return Schedule(total_steps, optimizer.warmup_cosine(peak, warmup_steps, total_steps))


def make_optimizer(
    config: ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
    """LARS + Adam, or what the config names instead."""
    return OPTIMIZERS[config.optimizer.name](
        learning_rate, config.optimizer.weight_decay, DECAY_MASKS[config.optimizer.decay_mask]
    )
