"""Specs of whole training runs: what configs/pretrain.py and configs/finetune.py describe."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Key

from peclr_jax.devices import mesh
from peclr_jax.errors import FieldError, UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.models.spec import PoseModelSpec, ProjectorSpec
from peclr_jax.objectives.spec import ContrastiveLossSpec, PoseLossSpec
from peclr_jax.places import Place
from peclr_jax.specs import LARGEST_INT, Between, NonNegativeInt, PositiveInt, Seed, Spec
from peclr_jax.training import profiling
from peclr_jax.training import spec as training
from peclr_jax.training.optimizer import warmup_cosine
from peclr_jax.views.spec import ViewSpec

# Prefixes of the fields that may differ when a run is resumed.
_NOT_OF_THE_RESULT = (
    "log.",
    "checkpoint.",
    "evaluation.",
    "statistics.",
    "data.rendered.cache_dir",
    "profile",
)
# Fields that were added later, with the value that means what runs did before.
_ADDED_LATER = {
    "optimizer.skip_nonfinite": 0,
    "model.channels": 64,
    "model.finest": 1,
    "init.sha256": "",
    "loss.weights": "equal",
    "loss.maps": 0.0,
    "data.rendered.motion_deg": 0.0,
}


@dataclasses.dataclass(frozen=True)
class TorchInitSpec(Spec):
    """The weights that pre-training starts from.

    Attributes:
      torch_checkpoint: Weights of PyTorch: torchvision's, timm's or the official releases'
        (docs/weights.md says where to get them); "" for random ones.
      parts: "encoder", or "all" with an official projection head, to go on with it.
      sha256: Of the file that is named, or of a run's parameters; noted when a run starts; "" takes
        any.
    """

    torch_checkpoint: Place = ""
    parts: Literal["encoder", "all"] = "encoder"
    sha256: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sha256 and not (self.torch_checkpoint or getattr(self, "checkpoint", "")):
            raise FieldError(
                "sha256", "is of weights to start from, but none are named: leave it empty"
            )


@dataclasses.dataclass(frozen=True)
class InitSpec(TorchInitSpec):
    """The weights that fine-tuning starts from; `parts` may be "all" of a fine-tuned network.

    Attributes:
      checkpoint: A run, one of its steps, a file of configs/release.py, or "released", the network
        in the package, in place of `torch_checkpoint`; "" for none.
    """

    checkpoint: Place = ""


@dataclasses.dataclass(frozen=True)
class RunSpec(Spec):
    """What pre-training and fine-tuning have in common.

    Attributes:
      recipe: Only a name, for the log.
      seed: Of the run: order of the images, augmentation, initialisation.
      batch_size: Images an optimizer step, over all devices.
      num_epochs, num_steps: Length of the run; the steps, if positive, in place of the epochs. An
        epoch is of what is trained on: with `data.label_fraction` 0.2 it has a fifth of the steps.
      profile: "10:20" writes an XProf trace of these steps beside TensorBoard's events; "": none.
    """

    recipe: str = "quick"
    seed: Seed = 0
    batch_size: PositiveInt = 64
    num_epochs: Annotated[float, Between(0, LARGEST_INT, above=True)] = 100.0
    num_steps: NonNegativeInt = 0
    data: DataSpec = DataSpec()
    views: ViewSpec = ViewSpec()
    optimizer: training.OptimizerSpec = training.OptimizerSpec()
    checkpoint: training.CheckpointSpec = training.CheckpointSpec()
    profile: str = ""
    evaluation: training.EvaluationSpec = training.EvaluationSpec()

    def __post_init__(self) -> None:
        super().__post_init__()
        views = dataclasses.replace(self.views, source_margin=self.data.source_margin)
        object.__setattr__(self, "views", views)
        profiling.parse_steps(self.profile)
        warmup, epochs = self.optimizer.warmup_epochs, self.num_epochs
        if warmup >= epochs:
            raise FieldError(
                "optimizer.warmup_epochs",
                f"is {warmup:g}, not less than the run of num_epochs={epochs:g}: shorten it",
            )

    def schedule(self, steps_per_epoch: int | None, peak: float) -> training.Schedule:
        """Returns the run's length, which endless data need to be given, and learning rate."""
        if self.num_steps > 0:
            total_steps = self.num_steps
        elif steps_per_epoch is None:
            raise UserError(
                "endless data have no epochs: give the run's length by --config.num_steps=10000"
            )
        else:
            total_steps = max(1, round(self.num_epochs * steps_per_epoch))
        if total_steps > LARGEST_INT:
            raise UserError(
                f"--config.num_epochs={self.num_epochs:g} makes a run of {total_steps:g} steps, "
                f"more than {LARGEST_INT}: shorten it"
            )
        warmup_steps = round(total_steps * self.optimizer.warmup_epochs / self.num_epochs)
        warmup_steps = min(warmup_steps, total_steps - 1)  # which is what rounding may exceed
        return training.Schedule(total_steps, warmup_cosine(peak, warmup_steps, total_steps))

    @property
    def training_key(self) -> Key[Array, ""]:
        """The key of training itself."""
        return jax.jit(jax.random.key)(np.uint32(self.seed))

    def key(self, use: int) -> Key[Array, ""]:
        """Returns the key of a use of the seed apart from training's, which folds it by step."""
        return _fold(np.uint32(self.seed), np.uint32(2**31 + use))

    def check_devices(self, num_devices: int, where: str = "--config") -> None:
        """Checks that a batch, or micro-batch, divides over the devices of all processes.

        Args:
          num_devices: Of all processes.
          where: What holds the spec, for messages.
        """
        try:
            mesh.check_batch_size(self.batch_size, num_devices, self.parts)
        except FieldError as error:
            raise UserError(f"{where}.{error.field} {error.problem}") from None

    @property
    def parts(self) -> int:
        """Micro-batches of a step."""
        return 1

    def _check_view_size(self, smallest: int) -> None:
        if self.views.size < smallest:
            raise FieldError(
                "views.size",
                f"is {self.views.size}, too small for the encoder's stem, which needs at least "
                f"{smallest} px",
            )


@dataclasses.dataclass(frozen=True)
class PretrainSpec(RunSpec):
    """Contrastive pre-training (Sec. 3 and 4.1).

    Attributes:
      micro_batches: Parts that an optimizer step is computed in, to save memory.
      negatives: "micro", within the micro-batch (the official code's), or "global", of all of the
        batch, at the same memory and one more forward pass (gradient caching, Gao et al. 2021).
    """

    task: Literal["pretrain"] = "pretrain"
    init: TorchInitSpec = TorchInitSpec()
    model: ProjectorSpec = ProjectorSpec()
    loss: ContrastiveLossSpec = ContrastiveLossSpec()
    micro_batches: PositiveInt = 1
    negatives: Literal["micro", "global"] = "micro"
    log: training.PretrainLogSpec = training.PretrainLogSpec()

    def __post_init__(self) -> None:
        super().__post_init__()
        loss = dataclasses.replace(self.loss, view_size=self.views.size)
        object.__setattr__(self, "loss", loss)
        self._check_view_size(self.model.smallest_view)
        self._check_pairs()
        if self.batch_size // self.micro_batches < 2:
            raise FieldError(
                "micro_batches",
                f"is {self.micro_batches} for batch_size={self.batch_size}, one image a "
                "micro-batch, hence no negatives: use fewer micro-batches or a larger batch",
            )

    def _check_pairs(self) -> None:
        if self.loss.weights == "adaptive" and not self.data.labels:
            raise FieldError(
                "loss.weights",
                "is 'adaptive' to how alike hands' keypoints are, which data.labels=False leaves "
                "out: set it to True",
            )
        moved = self.data.is_paired and self.data.rendered.motion_deg > 0
        if self.loss.maps and (self.data.pairs == "mined" or moved):
            raise FieldError(
                "loss.maps",
                "compares the same places of two views, but data.pairs="
                f"{self.data.pairs!r} takes them of different poses: set it to 0, or pairs to "
                "'image'",
            )

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after the warm-up: `learning_rate * sqrt(batch_size)` (Sec. 8)."""
        return self.optimizer.learning_rate * math.sqrt(self.batch_size)

    @property
    def parts(self) -> int:
        """Micro-batches of a step."""
        return self.micro_batches


@dataclasses.dataclass(frozen=True)
class FinetuneSpec(RunSpec):
    """Fine-tuning to 2.5D hand poses (Sec. 4.1 and Eq. 5)."""

    task: Literal["finetune"] = "finetune"
    init: InitSpec = InitSpec()
    data: DataSpec = DataSpec(labels=True)
    model: PoseModelSpec = PoseModelSpec()
    loss: PoseLossSpec = PoseLossSpec()
    log: training.FinetuneLogSpec = training.FinetuneLogSpec()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model.open_fields:
            self._check_view_size(self.model.network.smallest_view)
        if self.data.pairs != "image":
            raise FieldError(
                "data.pairs",
                f"is {self.data.pairs!r}, which is for pre-training: fine-tuning looks at one view "
                "at a time; leave it at 'image'",
            )
        if self.data.crop != "hand":
            raise FieldError(
                "data.crop",
                f"is {self.data.crop!r}, which is for pre-training: a fine-tuned network is shown "
                "the square around the hand; leave it at 'hand'",
            )
        if not self.data.labels:
            raise FieldError(
                "data.labels", "is False, which leaves nothing to fine-tune on: set it to True"
            )
        if self.refine_root_depth and self.batch_size < 2:
            raise FieldError(
                "batch_size",
                "is 1, of which the BatchNorm that refines the root's depth knows no variance: "
                "give 2 or more, or set loss.root_depth to 0",
            )

    @property
    def refine_root_depth(self) -> bool:
        """Whether the network has a refinement of the root's depth."""
        return self.loss.root_depth > 0


@jax.jit
def _fold(seed: Array, use: Array) -> Key[Array, ""]:
    return jax.random.fold_in(jax.random.key(seed), use)


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that decide what a run comes to, by their dotted names, fit for JSON.

    The config, a run's spec as a mapping, may be of an earlier version.
    """
    fields = flatten_dict(json.loads(json.dumps(config)), sep=".")
    return {
        # Earlier versions wrote places as the user had.
        name: os.path.expanduser(value) if isinstance(value, str) else value
        for name, value in fields.items()
        if not name.startswith(_NOT_OF_THE_RESULT) and (name, value) not in _ADDED_LATER.items()
    }
