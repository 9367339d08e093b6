"""From an experiment's spec to the trainings and evaluations of its arms.

A training's folder is named after all that decides its result, so arms, and experiments, that need
the same network share it.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from peclr_jax import specs
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.models.spec import ENCODER_FIELDS
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.runs import initialisation
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec, identity

_DIGITS = 10


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
    return [_run(spec, name, seed, *recipes[name]) for seed in spec.seeds for name in spec.arms]


def digest(spec: Any) -> str:
    """Returns a short name for all that decides the result of a run."""
    decisive = identity(specs.to_dict(spec))
    decisive.pop("recipe", None)  # only a name for people: the same network goes by many
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def beside_training(data: EvaluationDataSpec, trained_on: DataSpec) -> EvaluationDataSpec:
    """Returns data to evaluate on, at the places of the training's unless others are named.

    Places in a checkpoint are not trusted, but those of an experiment's own trainings are.
    """
    rendered = dataclasses.replace(data.rendered, cache_dir=trained_on.rendered.cache_dir)
    data = dataclasses.replace(data, rendered=rendered)
    if data.names or data.manual_dir or data.data_dir:
        return data
    return dataclasses.replace(data, manual_dir=trained_on.manual_dir, data_dir=trained_on.data_dir)


def _recipe(spec: ExperimentSpec, name: str) -> tuple[PretrainSpec | None, FinetuneSpec]:
    """Returns the trainings of an arm; without a pre-training its encoder is given, or random."""
    arm, where = spec.arms[name], f"--config.arms.{name}"
    pretraining = specs.changed(spec.pretrain, arm.pretrain, f"{where}.pretrain")
    tuning = specs.changed(spec.finetune, arm.finetune, f"{where}.finetune")
    encoder = {field: getattr(pretraining.model, field) for field in ENCODER_FIELDS}
    # Also where the encoder is pre-trained: days later is late to hear that views are too small.
    resolved = specs.changed(tuning, {"model": encoder}, f"{where}.finetune")
    if arm.pretrained:
        return pretraining, tuning
    # The checkpoint of the experiment's own fine-tuning is a recipe's default, not a choice.
    if tuning.init.checkpoint != spec.finetune.init.checkpoint:
        return None, tuning
    return None, _starting_from(resolved, "")


def _run(
    spec: ExperimentSpec,
    name: str,
    seed: int,
    pretraining: PretrainSpec | None,
    tuning: FinetuneSpec,
) -> Run:
    trainings = []
    tuning = dataclasses.replace(tuning, seed=seed)
    if pretraining is None:
        named = tuning = initialisation.pin(tuning)
    else:
        pretraining = dataclasses.replace(pretraining, seed=seed)
        start = digest(pretraining)
        workdir = _workdir(spec.networks_dir, f"pretrain-{name}-{seed}", start)
        trainings.append(Job(pretraining, workdir))
        # By its digest, as the folder's name depends on who was first to ask for it.
        named, tuning = _starting_from(tuning, start), _starting_from(tuning, str(workdir))
    workdir = _workdir(spec.networks_dir, f"finetune-{name}-{seed}", digest(named))
    trainings.append(Job(tuning, workdir))
    evaluations = {}
    for evaluation, wanted in spec.evaluations.items():
        data = beside_training(wanted.data, tuning.data)
        measured = dataclasses.replace(wanted, checkpoint=str(workdir), data=data)
        folder = workdir / "evaluations" / f"{evaluation}-{digest(wanted)}"
        evaluations[evaluation] = Job(measured, folder)
    return Run(name, seed, tuple(trainings), evaluations)


def _starting_from(tuning: FinetuneSpec, checkpoint: str) -> FinetuneSpec:
    return dataclasses.replace(tuning, init=dataclasses.replace(tuning.init, checkpoint=checkpoint))


def _workdir(folder: str, name: str, digest: str) -> Path:
    """Returns the folder of a training, whatever the arm that first asked for it is called."""
    existing = sorted(Path(folder).glob(f"*-{digest}"))
    return existing[0] if existing else Path(folder) / f"{name}-{digest}"
