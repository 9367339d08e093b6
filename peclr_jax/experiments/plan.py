"""From an experiment's config to the trainings and evaluations of its arms.

An arm is what one row or point of the paper stands for: an encoder, pre-trained or random, then
fine-tuned or probed, then evaluated. It is told as changes to the experiment's trainings. A
training's folder is named after all that decides its result, so arms, and experiments, that need
the same network share it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from peclr_jax.errors import UserError
from peclr_jax.runs import recipe
from peclr_jax.runs.initialisation import ENCODER_FIELDS

# Only a name, for people; the same network goes by many.
_NAMES = ("recipe",)
_DIGITS = 10


class Training(NamedTuple):
    """A network to be trained.

    Attributes:
      config: of the task `config.task`.
      workdir: of its checkpoints, logs and pictures.
    """

    config: ConfigDict
    workdir: Path


class Evaluation(NamedTuple):
    """A network to be evaluated.

    Attributes:
      config: as in configs/evaluate.py.
      workdir: of metrics.json and the pictures.
    """

    config: ConfigDict
    workdir: Path


class Run(NamedTuple):
    """One arm with one seed.

    Attributes:
      arm: its name.
      seed: of its trainings; the hands are the same for all.
      trainings: in order: pre-training, unless the encoder starts from random weights, then
        fine-tuning.
      evaluations: of the network that the last training yields, by name.
    """

    arm: str
    seed: int
    trainings: tuple[Training, ...]
    evaluations: dict[str, Evaluation]

    @property
    def network(self) -> Path:
        """The workdir of the network that is evaluated."""
        return self.trainings[-1].workdir


def plan(config: ConfigDict) -> list[Run]:
    """Says what is to be trained and evaluated, all arms of a seed before the next seed's.

    Args:
      config: the experiment's, see configs/experiments/common.py.

    Raises:
      UserError: an arm changes a field that there is not.
    """
    return [_run(config, arm, seed) for seed in config.seeds for arm in config.arms]


def choose(runs: Iterable[Run], only: str) -> list[Run]:
    """Returns the runs of some arms.

    Args:
      runs: of all arms.
      only: names of arms, separated by commas; "" for all.

    Raises:
      UserError: there is no such arm.
    """
    runs = list(runs)
    known = list(dict.fromkeys(run.arm for run in runs))
    names = [name.strip() for name in only.split(",") if name.strip()] or known
    for name in names:
        recipe.check_choice("only", name, known)
    return [run for run in runs if run.arm in names]


def changed(base: ConfigDict, changes: Mapping[str, Any], where: str) -> ConfigDict:
    """Returns a copy of a config with some fields changed.

    Args:
      base: the config.
      changes: nested as the config is.
      where: whose changes they are, for the message.

    Raises:
      UserError: a field that the config has not.
    """
    config = ConfigDict(base.to_dict())
    flat = flatten_dict(dict(changes), sep=".")
    unknown = flat.keys() - flatten_dict(base.to_dict(), sep=".").keys()
    if unknown:
        raise UserError(
            f"{where} changes {', '.join(sorted(unknown))}, which the {base.task} config has not"
        )
    config.update_from_flattened_dict(flat)
    return config


def digest(config: ConfigDict) -> str:
    """Returns a short name for all that decides what a run of this config comes to."""
    return _digest(_identity(config))


def _run(config: ConfigDict, name: str, seed: int) -> Run:
    arm = config.arms[name]
    label = f"{name}-{seed}"
    pretraining = _seeded(
        changed(config.pretrain, arm.pretrain.to_dict(), f"config.arms.{name}.pretrain"), seed
    )
    tuning = _seeded(
        changed(config.finetune, arm.finetune.to_dict(), f"config.arms.{name}.finetune"), seed
    )
    trainings = []
    identity = _identity(tuning)
    if arm.pretrained:
        start = digest(pretraining)
        workdir = _workdir(config.networks_dir, f"pretrain-{label}", start)
        trainings.append(Training(pretraining, workdir))
        tuning.init.checkpoint = str(workdir)
        identity["init.checkpoint"] = start
    else:
        tuning.init.checkpoint = identity["init.checkpoint"] = ""
        for field in ENCODER_FIELDS:
            tuning.model[field] = identity[f"model.{field}"] = pretraining.model[field]
    workdir = _workdir(config.networks_dir, f"finetune-{label}", _digest(identity))
    trainings.append(Training(tuning, workdir))
    evaluations = {
        evaluation: _evaluation(evaluation, settings, tuning, workdir)
        for evaluation, settings in config.evaluations.items()
    }
    return Run(name, seed, tuple(trainings), evaluations)


def name_places(data: ConfigDict, trained_on: ConfigDict) -> None:
    """Has networks evaluated where the data lie that they were trained on, unless others are named.

    Places in a checkpoint are not trusted (see `inference.resolve_data`), but these are our own.

    Args:
      data: fields of configs/evaluate.py, changed here.
      trained_on: fields of the training's data.
    """
    data.rendered.cache_dir = trained_on.rendered.cache_dir
    if not (data.names or data.manual_dir or data.data_dir):
        data.manual_dir, data.data_dir = trained_on.manual_dir, trained_on.data_dir


def _seeded(config: ConfigDict, seed: int) -> ConfigDict:
    config.seed = seed
    return config


def _evaluation(name: str, settings: ConfigDict, tuning: ConfigDict, network: Path) -> Evaluation:
    config = ConfigDict(settings.to_dict())
    workdir = network / "evaluations" / f"{name}-{digest(config)}"
    config.checkpoint = str(network)
    name_places(config.data, tuning.data)
    return Evaluation(config, workdir)


def _identity(config: ConfigDict) -> dict[str, Any]:
    fields = recipe.identity(config.to_dict())
    return {name: value for name, value in fields.items() if name not in _NAMES}


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _workdir(folder: str, name: str, digest: str) -> Path:
    """The folder of a training: whoever asked for it first has named it."""
    existing = sorted(Path(folder).glob(f"*-{digest}"))
    return existing[0] if existing else Path(folder) / f"{name}-{digest}"
