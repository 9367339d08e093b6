"""Specs of sections that training runs share: optimizer, checkpoints, log, evaluation."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import optax

from peclr_jax.specs import (
    Between,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Spec,
)
from peclr_jax.training import optimizer

_OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "lars_adam": optimizer.lars_adam,
    "lamb": optax.lamb,
    # L2 decay through the gradient, as PyTorch's Adam (the official runs without LARS).
    "adam": lambda schedule, weight_decay, mask: optax.chain(
        optax.add_decayed_weights(weight_decay, mask), optax.adam(schedule)
    ),
}
_DECAY_MASKS = {"kernels": optimizer.decay_mask, "official": optimizer.official_decay_mask}


class Schedule(NamedTuple):
    """How long a run is, and its learning rate by step."""

    total_steps: int
    learning_rate: optax.Schedule


@dataclasses.dataclass(frozen=True)
class OptimizerSpec(Spec):
    """The optimizer.

    Attributes:
      name: "lars_adam" (the official code's order), "lamb", or "adam".
      learning_rate: After the warm-up; pre-training multiplies it by sqrt(batch_size) (Sec. 8).
      weight_decay: Strength; not in the paper, 1e-6 is the official code's for pre-training.
      decay_mask: What is decayed: "kernels", or "official", its omissions by name.
      warmup_epochs: Of linear warm-up; scaled with `num_steps` where that is given.
      skip_nonfinite: Steps with no finite loss or gradient to skip at most; more end the run.
    """

    name: Literal["lars_adam", "lamb", "adam"] = "lars_adam"
    learning_rate: PositiveFloat = 1e-4
    weight_decay: NonNegativeFloat = 1e-6
    decay_mask: Literal["kernels", "official"] = "kernels"
    warmup_epochs: NonNegativeFloat = 10.0
    skip_nonfinite: NonNegativeInt = 0

    def build(self, learning_rate: optax.Schedule) -> optax.GradientTransformation:
        """Makes the optimizer of a learning rate schedule."""
        mask = _DECAY_MASKS[self.decay_mask]
        return _OPTIMIZERS[self.name](learning_rate, weight_decay=self.weight_decay, mask=mask)


@dataclasses.dataclass(frozen=True)
class CheckpointSpec(Spec):
    """Steps between checkpoints, and how many of the newest are kept."""

    every_steps: PositiveInt = 200
    keep: PositiveInt = 2


@dataclasses.dataclass(frozen=True)
class EvaluationSpec(Spec):
    """Number of held-out images, and steps between evaluations; one is at the end in any case."""

    images: PositiveInt = 256
    every_steps: PositiveInt = 200


@dataclasses.dataclass(frozen=True)
class PretrainLogSpec(Spec):
    """What pre-training shows: steps between reports, and rows of views.png."""

    every_steps: PositiveInt = 20
    pairs: Annotated[int, Between(1, 1000)] = 8


@dataclasses.dataclass(frozen=True)
class FinetuneLogSpec(Spec):
    """What fine-tuning shows: steps between reports, and images of labels.png."""

    every_steps: PositiveInt = 20
    images: Annotated[int, Between(1, 1000)] = 8
