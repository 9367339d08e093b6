"""A table or a figure of the paper: its arms through the other tasks, then one page of results."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from peclr_jax import commandline, files, outputs, specs
from peclr_jax.console import say
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.experiments import page, photo_parts, protocol, results
from peclr_jax.experiments import plan as plans
from peclr_jax.experiments.plan import Run
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.hands import scores
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.networks.evaluation_data import (
    check_split,
    default_split,
    find_trained_on,
    fingerprint_of_records,
)
from peclr_jax.runs.resuming import SUMMARY, run_unless_finished
from peclr_jax.tasks import equivariance, evaluate, finetune, pretrain
from peclr_jax.terminal import Console
from peclr_jax.training import restoring

_TASKS: dict[str, Any] = {"pretrain": pretrain.pretrain, "finetune": finetune.finetune}
Fingerprint = Callable[[DataSpec], str]


def run(config: ConfigDict, workdir: Path) -> None:
    """Runs an experiment."""
    spec = specs.from_config(ExperimentSpec, config)
    changed = commandline.changed_fields()
    check_changed(spec, changed)
    experiment(spec, workdir, changed)


def experiment(
    spec: ExperimentSpec, workdir: Path, changed: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Trains and evaluates the arms that are not finished, and writes the results of all.

    With `plan` it prints what it would do, and does nothing. Else it writes to `workdir`:
    `results.json`, `results.md` and pictures, of the arms that are finished; to `networks_dir`: a
    workdir for each training.

    Args:
      spec: The experiment.
      workdir: Its folder.
      changed: The fields by which it differs from its recipe, for the page of results.
    """
    console = Console()
    if spec.plan:
        protocol.show(spec, console)
        return
    began = time.perf_counter()
    if spec.photos is not None and not Path(spec.photos).is_dir():
        raise MissingFileError(
            f"--config.photos={spec.photos} is no folder: give one of labelled photographs, in the "
            "layout that the recipe's file names"
        )
    # Parts have a use if a detector has labelled some of them.
    photographs = photo_parts.describe(Path(spec.photos or "")) if spec.labelled_by else None
    runs = plans.plan(spec)
    chosen = [arm for arm in runs if arm.arm in spec.chosen]
    for arm in chosen:
        for training in arm.trainings:
            restoring.check_writable_name(training.workdir, "--config.networks_dir")
            training.spec.check_devices(jax.device_count(), f"--config.{training.spec.task}")
    with _alone(Path(spec.networks_dir)):
        pass  # whether it can be one, before anything is trained
    open_evaluation_data(spec)
    for arm in chosen:
        check_checkpoint(arm)
        check_held_out(arm, spec.on_training)
    # To tell one data set may take a walk through its raw files; many arms ask.
    fingerprint = functools.cache(fingerprint_of_records)
    for arm in chosen:
        for training in arm.trainings:
            train = _TASKS[training.spec.task]
            run_unless_finished(train, training.spec, training.workdir, console)
        for name in arm.evaluations:
            if _is_done(arm, name, fingerprint):
                continue
            with _alone(arm.evaluations[name].workdir):
                if not _is_done(arm, name, fingerprint):  # by another experiment meanwhile
                    evaluate.evaluate(*arm.evaluations[name])
    finished = [
        arm for arm in runs if all(_is_done(arm, name, fingerprint) for name in arm.evaluations)
    ]
    compared = measure_equivariance(spec, finished, workdir, fingerprint)
    page.write(results.collect(spec, finished, compared, photographs, changed), workdir)
    minutes = (time.perf_counter() - began) / 60
    say("", f"{minutes:.1f} minutes. Look at {workdir / 'results.md'}", console=console)


def check_changed(spec: ExperimentSpec, changed: Mapping[str, Any]) -> None:
    """Checks that flags change something.

    Args:
      spec: The experiment.
      changed: By dotted names, the fields that flags have set.

    Raises:
      UserError: A field of the trainings that every arm sets itself.
    """
    for name in changed:
        section, _, field = name.partition(".")
        if section not in _TASKS:
            continue
        arms = {
            key: arm for key, arm in spec.arms.items() if arm.pretrained or section != "pretrain"
        }
        setting = [
            key for key in arms if field in flatten_dict(getattr(arms[key], section), sep=".")
        ]
        if setting and len(setting) == len(arms):
            raise UserError(
                f"--config.{name} changes nothing, as every arm sets it: leave it out, or change "
                f"it in each arm, as by --config.arms.{setting[0]}.{name}"
            )


def open_evaluation_data(spec: ExperimentSpec) -> None:
    """Opens the data sets to evaluate on, before networks are trained for days.

    Records that are still to be written from raw files are written here.
    """
    for evaluation in spec.evaluations.values():
        wanted = evaluation.data
        if not (wanted.names or wanted.manual_dir):
            continue
        # Imported here because this is what brings TensorFlow in.
        from peclr_jax.input_pipeline import from_records

        places = {name: getattr(wanted, name) for name in ("names", "manual_dir", "data_dir")}
        given = {name: place for name, place in places.items() if place}
        from_records.open_datasets(DataSpec(source="tfds", **given))


def check_checkpoint(run: Run) -> None:
    """Checks that a pre-training which is finished has kept the checkpoint that an arm starts from.

    Raises:
      UserError: It has kept others, for an experiment that did not ask for this one.
    """
    pretraining, start = run.trainings[0].workdir, Path(run.trainings[-1].spec.init.checkpoint)
    finished = start.is_relative_to(pretraining) and (pretraining / SUMMARY).exists()
    if finished and not start.exists():
        raise UserError(
            f"arm {run.arm!r} starts from step {start.name} of {pretraining}, which is finished "
            "and has kept other checkpoints: move that folder away to pre-train again, or leave "
            "the arm out by --config.only"
        )


def check_held_out(run: Run, on_training: Collection[str] = ()) -> None:
    """Checks before days of training what a network is evaluated on.

    Args:
      run: Of an arm.
      on_training: Names of the evaluations that may be, on purpose.

    Raises:
      UserError: There is no such split or it has no labels; or the network is fine-tuned on it:
        only errors of new images are worth a comparison of arms.
    """
    trained = run.trainings[-1].spec.data
    for name, evaluation in run.evaluations.items():
        data = plans.evaluated_on(evaluation.spec.data, trained)
        split = evaluation.spec.split or default_split(data)
        check_split(data, split)
        if name not in on_training and (found := find_trained_on(trained, data, split)):
            raise UserError(
                f"arm {run.arm!r}, evaluation {name!r}: {found}: choose another "
                f"--config.evaluations.{name}.split, or --config.finetune.data.split"
            )


def measure_equivariance(
    spec: ExperimentSpec, finished: list[Run], workdir: Path, fingerprint: Fingerprint
) -> dict[str, dict[int, dict[str, Any]]]:
    """Measures how much more equivariant arms are than those that they are compared with.

    Args:
      spec: The experiment.
      finished: Runs whose networks are trained.
      workdir: Folder in which each measurement has one of its own.
      fingerprint: Tells records from others.

    Returns:
      By comparison with its evaluation ("NAME on EVALUATION"), and seed, what `equivariance.json`
      holds; empty if the experiment asks for none.
    """
    if spec.equivariance is None:
        return {}
    networks = {(run.arm, run.seed): str(run.network) for run in finished}
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for (name, comparison), (where, evaluation), seed in itertools.product(
        spec.comparisons.items(), spec.evaluations.items(), spec.seeds
    ):
        network = networks.get((comparison.arm, seed))
        baseline = networks.get((comparison.against, seed))
        if network is None or baseline is None:
            continue
        wanted = dataclasses.replace(
            spec.equivariance,
            checkpoint=network,
            baseline=baseline,
            data=plans.beside_training(evaluation.data, spec.finetune.data),
            split=evaluation.split,
        )
        folder = workdir / f"equivariance-{name}-{where}-{seed}-{plans.digest(wanted)}"
        file = folder / equivariance.FILE
        data = plans.evaluated_on(wanted.data, spec.finetune.data)
        if not _holds(file, equivariance.VERSION, data, fingerprint):
            with _alone(folder):
                equivariance.compare(wanted, folder)
        found.setdefault(f"{name} on {where}", {})[seed] = files.read_json(file)
    return found


def _alone(folder: Path) -> AbstractContextManager[None]:
    """Claims a folder that experiments may share; waits for another one."""
    return outputs.held(folder, "--config.networks_dir", "results")


def _is_done(run: Run, evaluation: str, fingerprint: Fingerprint) -> bool:
    """Returns whether an evaluation of an arm is there, of the images that there are today."""
    job = run.evaluations[evaluation]
    data = plans.evaluated_on(job.spec.data, run.trainings[-1].spec.data)
    return _holds(job.workdir / results.METRICS_FILE, scores.VERSION, data, fingerprint)


def _holds(file: Path, version: int, data: DataSpec, fingerprint: Fingerprint) -> bool:
    """Returns whether a file is there, of the version and the data of today."""
    if not file.exists():
        return False
    held = files.read_json(file)
    # Measurements of before this was noted count as of the same data.
    return held.get("version") == version and (
        "fingerprint" not in held or held["fingerprint"] == fingerprint(data)
    )
