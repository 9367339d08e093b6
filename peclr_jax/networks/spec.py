"""Specs of what is asked of a trained network: configs/evaluate.py and configs/equivariance.py."""

import dataclasses
import math
from typing import Annotated, Literal

from peclr_jax.errors import FieldError
from peclr_jax.places import CachePlace, Place, Places
from peclr_jax.specs import Between, NonNegativeInt, PositiveFloat, Seed, Spec

_MOST_STEPS = 1000


@dataclasses.dataclass(frozen=True)
class EvaluationRenderedSpec(Spec):
    """Rendered hands to evaluate on.

    Attributes:
      held_out: How many; 0 for as many as in training.
      background: "green", "shared" or "clutter"; "" for that of training.
      cache_dir: Folder that keeps rendered hands for later runs; "" renders them anew.
    """

    held_out: NonNegativeInt = 0
    background: str = ""
    cache_dir: CachePlace = "~/.cache/peclr_jax"


@dataclasses.dataclass(frozen=True)
class EvaluationDataSpec(Spec):
    """Data to evaluate on; "" and 0 stand for what the network was trained on.

    Places are an exception: "" stands for the usual ones, for a checkpoint may be anybody's and
    nothing is read at places that it names. How crops are cut is always as in training.

    Attributes:
      source: "rendered" or "tfds"; "" for "tfds" if `names` or `manual_dir` are given.
      names: TFDS names, separated by commas.
      manual_dir: Folders of their raw files, one each, from which records are written.
      data_dir: Folder of the records.
      source_size: Side of the crops, pixels.
      decode_threads: Threads that decode; 0 for one per core.
    """

    source: Literal["", "rendered", "tfds"] = ""
    names: str = ""
    manual_dir: Places = ""
    data_dir: Place = ""
    source_size: Annotated[int, Between(0, 8192)] = 0
    decode_threads: Annotated[int, Between(0, 1024)] = 0
    rendered: EvaluationRenderedSpec = EvaluationRenderedSpec()


@dataclasses.dataclass(frozen=True)
class TorchFileSpec(Spec):
    """An official release or an export in its layout, in place of `checkpoint`; "" for none."""

    torch_checkpoint: Place = ""


@dataclasses.dataclass(frozen=True)
class QuestionSpec(Spec):
    """A fine-tuned network, and the data that it is asked about.

    Attributes:
      checkpoint: A fine-tuning run's folder, or one of its steps; a file of configs/release.py; or
        "released", the network in the package.
      split: One for all data sets, or one each, separated by commas; "" for "held_out" of rendered
        hands (those of "test" are others), "validation" of image_folder, "test" of synthetic_hands,
        youtube_3d_hands and dexter_object, else "evaluation".
      batch_size: Images at a time; nothing but speed and memory depends on it.
    """

    task: str = ""
    checkpoint: Place = "runs/finetune"
    init: TorchFileSpec = TorchFileSpec()
    data: EvaluationDataSpec = EvaluationDataSpec()
    split: str = ""
    batch_size: Annotated[int, Between(1, 65536)] = 64


@dataclasses.dataclass(frozen=True)
class EvaluateSpec(QuestionSpec):
    """Evaluation on a labelled split.

    Attributes:
      crop: What the network is shown: "two_pass", the image's middle and then its own estimate's
        surroundings, without any label: as `submission` for FreiHAND's leaderboard and `predict`
        do, and with other squares the official test code; "box", the labelled hand's surroundings,
        as in training.
      bone_length: What makes the 3D metric: "given" by the labels, or the training set's "mean".
      resamples, seed: Of the bootstrap; 0 resamples for no intervals.
      pictures: Hands in best.png and in worst.png.
    """

    task: Literal["evaluate"] = "evaluate"
    crop: Literal["box", "two_pass"] = "box"
    bone_length: Literal["given", "mean"] = "given"
    resamples: Annotated[int, Between(0, 1_000_000)] = 1000
    seed: Seed = 0
    pictures: Annotated[int, Between(0, 1000)] = 8


@dataclasses.dataclass(frozen=True)
class EquivarianceSpec(QuestionSpec):
    """How equivariant a fine-tuned network is (Sec. 11, Figs. 9 and 10); labels are not needed.

    Attributes:
      baseline: Another network to compare with; "" for none.
      images: The first of the split; 0 for all, as Sec. 11 (each passes the network 138 times).
      rotation_deg, rotation_step_deg: Largest rotation, either way, and the step (Fig. 9).
      translation_px, translation_step_px: Likewise, along either axis, in pixels of a view of 128,
        whatever the network's own (Fig. 10).
    """

    task: Literal["equivariance"] = "equivariance"
    baseline: Place = ""
    images: NonNegativeInt = 0
    rotation_deg: Annotated[float, Between(0, 360)] = 80.0
    rotation_step_deg: PositiveFloat = 10.0
    translation_px: Annotated[float, Between(0, 128)] = 25.0
    translation_step_px: PositiveFloat = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, unit in (("rotation", "deg"), ("translation", "px")):
            largest, step = f"{name}_{unit}", f"{name}_step_{unit}"
            if getattr(self, largest) / getattr(self, step) > _MOST_STEPS:
                raise FieldError(
                    step, f"is {getattr(self, step)}, more than {_MOST_STEPS} steps: choose fewer"
                )
            steps = getattr(self, largest) / getattr(self, step)
            if not math.isclose(steps, round(steps), abs_tol=1e-6):
                raise FieldError(
                    largest,
                    f"is {getattr(self, largest)}, no multiple of {step}={getattr(self, step)}, so "
                    "that no step would leave the image as it is: choose one that is",
                )
