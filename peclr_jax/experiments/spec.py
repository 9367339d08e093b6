"""Specs of experiments: what the files in configs/experiments/ describe."""

import dataclasses
from typing import Any, Literal

from peclr_jax.errors import FieldError, nearest
from peclr_jax.experiments.metrics import METRICS, ErrorName, MetricName
from peclr_jax.input_pipeline.spec import as_list
from peclr_jax.networks.spec import EquivarianceSpec, EvaluateSpec
from peclr_jax.places import Place
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.specs import NonNegativeInt, Seed, Spec, check_seeds

STEPS = "steps of pre-training"
"""The `x_label` of experiments whose curves are over these."""


@dataclasses.dataclass(frozen=True)
class ArmSpec(Spec):
    """One row or point of a result: an encoder that is fine-tuned or probed, then evaluated.

    Attributes:
      label: Its name for people.
      pretrained: Whether the encoder is pre-trained; otherwise its weights are random.
      series, x: The curve that it is a point of, where curves are drawn, and where it is on it.
      pretrain, finetune: Changes to the experiment's trainings, nested as their specs.
      step: Of the pre-training, whose checkpoint is taken; 0 for its end.
    """

    label: str = ""
    pretrained: bool = True
    series: str = ""
    x: float = 0.0
    pretrain: dict[str, Any] = dataclasses.field(default_factory=dict)
    finetune: dict[str, Any] = dataclasses.field(default_factory=dict)
    step: NonNegativeInt = 0


@dataclasses.dataclass(frozen=True)
class ComparisonSpec(Spec):
    """The question by how much one arm errs less than another.

    Attributes:
      arm, against: Names of the arm that should err less, and of the other one.
      paper: What the paper says of it.
    """

    arm: str = ""
    against: str = ""
    paper: str = ""


@dataclasses.dataclass(frozen=True)
class ExperimentSpec(Spec):
    """A table or figure: arms to train and evaluate, and how their results are shown.

    Attributes:
      task, recipe: Names only; the recipe's is of the scale and its variants.
      name, title: Of the file in configs/experiments/, and of the page of results.
      claim, paper: The paper's claim in words, and by evaluation rows of its numbers: label to
        metric to number.
      data_name: What the data are, in bold on the page of results.
      only: Names of the arms to run, separated by commas; "" for all.
      plan: Whether to print what would be run beside the paper's numbers, and to run nothing.
      seeds: Of the trainings; the hands are the same for all.
      networks_dir: Folder of the trainings' workdirs, where experiments share networks.
      photos: Folder of labelled photographs, laid out as the recipe says; None where none are used.
      labelled_by: By evaluation the detector whose labels it is on, with which networks agree more
        or less; those on true labels, of which they have errors, are not named.
      pretrain, finetune: The trainings that arms change.
      evaluations: By name, what every network is evaluated on.
      on_training: Names of those that may hold images which some arms are fine-tuned on, which the
        page of results says.
      equivariance: What is measured of each comparison on the data of each evaluation; None for
        nothing.
      arms, comparisons: By name, for flags and folders.
      metrics: Columns of the table; those without labels are left out.
      compared: Errors among them, to compare and draw arms by.
      figure, x_label: How a picture shows the arms, and what its curves are over; "steps" are
        curves whose steps double.
    """

    task: Literal["experiment"] = "experiment"
    recipe: str = ""
    name: str = ""
    title: str = ""
    claim: str = ""
    data_name: str = ""
    only: str = ""
    plan: bool = False
    seeds: tuple[Seed, ...] = (0, 1, 2)
    networks_dir: Place = "runs/networks"
    photos: Place | None = None
    labelled_by: dict[str, str] = dataclasses.field(default_factory=dict)
    pretrain: PretrainSpec = PretrainSpec()
    finetune: FinetuneSpec = FinetuneSpec()
    evaluations: dict[str, EvaluateSpec] = dataclasses.field(default_factory=dict)
    on_training: tuple[str, ...] = ()
    equivariance: EquivarianceSpec | None = None
    arms: dict[str, ArmSpec] = dataclasses.field(default_factory=dict)
    comparisons: dict[str, ComparisonSpec] = dataclasses.field(default_factory=dict)
    metrics: tuple[MetricName, ...] = tuple(METRICS)
    compared: tuple[ErrorName, ...] = ("epe_2d", "root_aligned", "pa_epe")
    figure: Literal["bars", "curves", "steps", "none"] = "bars"
    x_label: str = ""
    paper: dict[str, dict[str, dict[str, float]]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seeds("seeds", self.seeds)
        if self.photos == "":
            raise FieldError(
                "photos",
                "is empty: give a folder of labelled photographs, as the recipe's file says",
            )
        self._check_own()
        for name, comparison in self.comparisons.items():
            self._check_arm(f"comparisons.{name}.arm", comparison.arm)
            self._check_arm(f"comparisons.{name}.against", comparison.against)
        for name in self.chosen:
            self._check_arm("only", name)
        if self.only and not as_list(self.only):
            raise FieldError("only", f"is {self.only!r}, which names no arm: leave it out for all")
        for field in ("paper", "labelled_by", "on_training"):
            for name in getattr(self, field):
                if name not in self.evaluations:
                    raise FieldError(field, f"names {name!r}, no evaluation of this one")

    @property
    def chosen(self) -> list[str]:
        """The arms to run."""
        return as_list(self.only) or list(self.arms)

    def _check_own(self) -> None:
        """Refuses what arms and seeds decide, and would be passed over or be the same for all."""
        for field in ("pretrain", "finetune"):
            if seed := getattr(self, field).seed:
                raise FieldError(
                    f"{field}.seed",
                    f"is {seed}, but runs take `seeds`: give --config.seeds={seed},",
                )
        if checkpoint := self.finetune.init.checkpoint:
            raise FieldError(
                "finetune.init.checkpoint",
                f"is {checkpoint}, but arms start from their own pre-training: leave it out, or "
                "give it to an arm without one, in arms.NAME.finetune",
            )
        if self.finetune.init.torch_checkpoint:
            raise FieldError(
                "finetune.init.torch_checkpoint",
                "would take the place of every arm's own encoder: give it to an arm without "
                "pre-training, in arms.NAME.finetune",
            )
        asked: dict[str, EvaluateSpec | EquivarianceSpec] = {
            f"evaluations.{name}": evaluation for name, evaluation in self.evaluations.items()
        }
        if self.equivariance is not None:
            asked["equivariance"] = self.equivariance
        for name, spec in asked.items():
            if spec.checkpoint != type(spec).checkpoint or spec.init.torch_checkpoint:
                raise FieldError(
                    name,
                    "names a checkpoint, but the networks of the arms are measured: leave it out",
                )

    def _check_arm(self, field: str, name: str) -> None:
        if name not in self.arms:
            known = ", ".join(map(repr, self.arms))
            raise FieldError(field, f"names {name!r}, no arm of {known}{nearest(name, self.arms)}")
