"""From an experiment's spec to the trainings and evaluations of its arms.

A training's folder is named after all that decides its result, so arms, and experiments, that need
the same network share it.
"""

import dataclasses
import hashlib
import json
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.experiments.spec import STEPS, ExperimentSpec
from peclr_jax.input_pipeline.spec import RENDERED, DataSpec
from peclr_jax.models.spec import ENCODER_FIELDS
from peclr_jax.networks.evaluation_data import named_data
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.runs import initialisation
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec, identity
from peclr_jax.training import restoring

_DIGITS = 10
# What names a file or folder, whose content other fields tell, and the name of a recipe.
_PLACES = (
    *("recipe", "init.checkpoint", "init.torch_checkpoint"),
    *("data.manual_dir", "data.data_dir"),
)


class Job(NamedTuple):
    """Something to run, and its folder."""

    spec: Any
    workdir: Path


class Run(NamedTuple):
    """One arm with one seed.

    Attributes:
      arm, seed: Name of the arm, and seed of its trainings.
      trainings: The pre-training, unless the encoder's weights are random, and the fine-tuning.
      evaluations: By name, of the network that the last training yields.
    """

    arm: str
    seed: int
    trainings: tuple[Job, ...]
    evaluations: dict[str, Job]

    @property
    def network(self) -> Path:
        """The workdir of the network that is evaluated."""
        return self.trainings[-1].workdir


def plan(spec: ExperimentSpec) -> list[Run]:
    """Returns what is to be trained and evaluated, all arms of a seed before the next seed's."""
    recipes = {name: _recipe(spec, name) for name in spec.arms}
    folders = _Folders(spec.networks_dir)
    return [
        _run(spec, name, seed, *recipes[name], folders) for seed in spec.seeds for name in spec.arms
    ]


def digest(spec: Any) -> str:
    """Returns a short name for all that decides the result of a run."""
    decisive = identity(specs.to_dict(spec))
    decisive.pop("recipe", None)  # only a name for people: the same network goes by many
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def recipe_digest(run: Run) -> str:
    """Returns a short name for the trainings of an arm, wherever its files are and of any seed."""
    start = PurePath(run.trainings[-1].spec.init.checkpoint)
    decisive: list[Any] = [start.name if start.parent.name == restoring.DIRECTORY else ""]
    for training in run.trainings:
        fields = identity(specs.to_dict(dataclasses.replace(training.spec, seed=0)))
        decisive.append({name: value for name, value in fields.items() if name not in _PLACES})
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def beside_training(data: EvaluationDataSpec, trained_on: DataSpec) -> EvaluationDataSpec:
    """Returns data to evaluate on, at the places of the training's unless others are named.

    Places in a checkpoint are not trusted, but those of an experiment's own trainings are.
    """
    rendered = dataclasses.replace(data.rendered, cache_dir=trained_on.rendered.cache_dir)
    data = dataclasses.replace(data, rendered=rendered)
    is_rendered = (data.source or trained_on.source) == RENDERED
    if is_rendered or data.names or data.manual_dir or data.data_dir:
        return data
    return dataclasses.replace(data, manual_dir=trained_on.manual_dir, data_dir=trained_on.data_dir)


def evaluated_on(given: EvaluationDataSpec, trained: DataSpec) -> DataSpec:
    """Returns which data a network is evaluated on, by their names and places alone.

    Args:
      given: Of the evaluation.
      trained: What the network was fine-tuned on.
    """
    source, names = named_data(given, trained)
    if source == RENDERED:
        return DataSpec(source="rendered")
    return DataSpec(
        source="tfds", names=names, manual_dir=given.manual_dir, data_dir=given.data_dir
    )


def _recipe(spec: ExperimentSpec, name: str) -> tuple[PretrainSpec | None, FinetuneSpec]:
    """Returns the trainings of an arm; without a pre-training its encoder is given, or random.

    Raises:
      UserError: The arm asks for a checkpoint that the pre-training would not keep, or fine-tunes
        another encoder than it pre-trains.
    """
    arm, where = spec.arms[name], f"--config.arms.{name}"
    pretraining = specs.changed(spec.pretrain, arm.pretrain, f"{where}.pretrain")
    pretraining = initialisation.pin(pretraining)
    tuning = specs.changed(spec.finetune, arm.finetune, f"{where}.finetune")
    encoder = {field: getattr(pretraining.model, field) for field in ENCODER_FIELDS}
    # Also where the encoder is pre-trained: days later is late to hear that views are too small.
    resolved = specs.changed(tuning, {"model": encoder}, f"{where}.finetune")
    if arm.pretrained:
        if tuning.init.torch_checkpoint:
            raise UserError(
                f"{where}.finetune.init.torch_checkpoint would take the place of the encoder that "
                f"is pre-trained: leave it out, or set {where}.pretrained=False"
            )
        for field, value in encoder.items():
            asked = getattr(tuning.model, field)
            if field not in tuning.model.open_fields and asked != value:
                raise UserError(
                    f"{where} pre-trains an encoder with model.{field}={value!r} and fine-tunes "
                    f"one with {asked!r}: set --config.finetune.model.{field}={value}"
                )
        _check_step(arm.step, pretraining, where)
        # The end of a run, drawn over steps that its recipe supposed.
        if spec.x_label == STEPS and not arm.step and arm.x != (total := pretraining.num_steps):
            raise UserError(
                f"{where} is to be shown after {arm.x:g} steps, but its pre-training takes "
                f"{total or 'as many as its data have'}: the recipe sets the steps, so leave out "
                "--config.pretrain.num_steps and num_epochs"
            )
        return pretraining, tuning
    if tuning.init.checkpoint:
        return None, tuning
    return None, _starting_from(resolved, "")


def _check_step(step: int, pretraining: PretrainSpec, where: str) -> None:
    every, keep = pretraining.checkpoint.every_steps, pretraining.checkpoint.keep
    total = pretraining.num_steps
    # The last state is a checkpoint, too.
    saved = sorted({*range(every, total + 1, every), total})
    if step and (step not in saved[-keep:] if total else step % every):
        raise UserError(
            f"{where}.step is {step}, but of {total or 'its'} steps the pre-training keeps the "
            f"last {keep} checkpoints, one every {every}: choose one of these, or see to "
            "--config.pretrain.checkpoint"
        )


def _run(
    spec: ExperimentSpec,
    name: str,
    seed: int,
    pretraining: PretrainSpec | None,
    tuning: FinetuneSpec,
    folders: "_Folders",
) -> Run:
    trainings, arm = [], spec.arms[name]
    tuning = dataclasses.replace(tuning, seed=seed)
    if pretraining is None:
        named = tuning = initialisation.pin(tuning)
    else:
        pretraining = dataclasses.replace(pretraining, seed=seed)
        start = digest(pretraining)
        workdir = folders.of(f"pretrain-{name}-{seed}", start)
        trainings.append(Job(pretraining, workdir))
        step = f"/{restoring.DIRECTORY}/{arm.step}" if arm.step else ""
        # By its digest, as the folder's name depends on who was first to ask for it.
        named = _starting_from(tuning, start + step)
        tuning = _starting_from(tuning, f"{workdir}{step}")
    workdir = folders.of(f"finetune-{name}-{seed}", digest(named))
    trainings.append(Job(tuning, workdir))
    evaluations = {}
    for evaluation, wanted in spec.evaluations.items():
        data = beside_training(wanted.data, tuning.data)
        measured = dataclasses.replace(wanted, checkpoint=str(workdir), data=data)
        folder = workdir / "evaluations" / f"{evaluation}-{digest(wanted)}"
        evaluations[evaluation] = Job(measured, folder)
    return Run(name, seed, tuple(trainings), evaluations)


def _starting_from(tuning: FinetuneSpec, checkpoint: str) -> FinetuneSpec:
    # A digest that was given is of another start.
    init = dataclasses.replace(tuning.init, checkpoint=checkpoint, sha256="")
    return dataclasses.replace(tuning, init=init)


class _Folders:
    """The folders of trainings, each named after the arm that is first to ask for it."""

    def __init__(self, root: str):
        self._root, self._known = Path(root), dict[str, Path]()

    def of(self, name: str, digest: str) -> Path:
        if digest not in self._known:
            existing = sorted(self._root.glob(f"*-{digest}"))
            self._known[digest] = existing[0] if existing else self._root / f"{name}-{digest}"
        return self._known[digest]
