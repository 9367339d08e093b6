"""A training run from its first line to its last checkpoint, whatever it trains."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from peclr_jax import files, specs, trees
from peclr_jax.console import say
from peclr_jax.devices.mesh import local_copy, replicate
from peclr_jax.devices.processes import check_alike
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline import Source
from peclr_jax.input_pipeline.spec import as_list
from peclr_jax.runs import memory_advice, provenance
from peclr_jax.runs.initialisation import Initialisation
from peclr_jax.runs.resuming import SUMMARY, check_resumable
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.training import profiling, trainer
from peclr_jax.training.accumulation import GradientFn
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.preemption import telling_what_is_saved
from peclr_jax.training.progress import METRICS, Progress, read_metrics
from peclr_jax.training.spec import Schedule
from peclr_jax.training.workdir import locked

Variables = dict[str, Any]


@contextmanager
def workdir_of(spec: PretrainSpec | FinetuneSpec, workdir: Path) -> Iterator[None]:
    """Holds a run's folder for this process, once it is sure that the run may go on there."""
    for folder in as_list(spec.data.manual_dir):
        # Pictures that the run writes would be photos at its next start.
        if Path(folder).expanduser().resolve() == workdir.resolve():
            raise UserError(
                f"--workdir={workdir} is the folder of the data, --config.data.manual_dir: choose "
                "another, which may lie inside of it"
            )
    with telling_what_is_saved(workdir), locked(workdir), memory_advice.advising(spec):
        check_resumable(spec, workdir)
        yield


def fit(
    spec: PretrainSpec | FinetuneSpec,
    workdir: Path,
    console: Console,
    *,
    mesh: Mesh,
    source: Source,
    schedule: Schedule,
    variables: Variables,
    optimizer: optax.GradientTransformation,
    compute_gradients: GradientFn,
    show: Callable[[], None],
    measure: Callable[[Variables, int, Progress], Mapping[str, float]],
    results: Mapping[str, Any] | None = None,
) -> Variables:
    """Trains a network, from the newest checkpoint if there is one, and returns it on one device.

    Args:
      spec: Of the run, resolved.
      workdir: Of the run.
      console: Where to show progress.
      mesh: The devices.
      source: Of the batches.
      schedule: Length of the run and its learning rate.
      variables: "params" and "batch_stats" to start from.
      optimizer: The optimizer.
      compute_gradients: Of a batch.
      show: Called on process 0 after the first step, to draw what is trained on.
      measure: Called every `spec.evaluation.every_steps` and after the last, for the metrics.
      results: What the run has found out, kept inside of each checkpoint; fit for JSON.
    """
    if jax.process_count() > 1:
        check_alike({"the weights to start from": trees.digest(variables)})
    with Checkpoints(
        workdir,
        specs.to_dict(spec),
        results=results,
        save_every=spec.checkpoint.every_steps,
        keep_last=spec.checkpoint.keep,
    ) as checkpoints:
        progress = Progress(
            workdir,
            total_steps=schedule.total_steps,
            images_per_step=spec.batch_size,
            log_every=spec.log.every_steps,
            console=console,
        )
        if jax.process_index() == 0:
            # Of an earlier training here; the run is finished once it has one.
            (workdir / SUMMARY).unlink(missing_ok=True)
            described = provenance.describe(specs.to_dict(spec), source.fingerprint)
            lines, change = provenance.keep(workdir, described, progress.note)
            progress.log(lines)
            if change:
                progress.note(change)

        def show_first() -> None:
            if jax.process_index() == 0:
                show()

        def measure_state(step: int, state: trainer.TrainState) -> Mapping[str, float]:
            return measure(_variables(state), step, progress)

        state = trainer.fit(
            replicate(trainer.create_state(variables, optimizer), mesh),
            trainer.make_train_step(
                compute_gradients,
                optimizer,
                mesh=mesh,
                learning_rate=schedule.learning_rate,
                skip_nonfinite=spec.optimizer.skip_nonfinite > 0,
            ),
            source.batches,
            key=spec.training_key,
            total_steps=schedule.total_steps,
            checkpoints=checkpoints,
            progress=progress,
            after_first=show_first,
            hooks=[trainer.Hook(spec.evaluation.every_steps, measure_state)],
            profile=profiling.parse_steps(spec.profile),
            most_skipped=spec.optimizer.skip_nonfinite,
        )
        return _variables(state)


def announce(
    console: Console,
    spec: PretrainSpec | FinetuneSpec,
    what: str,
    source: Source,
    total_steps: int,
    start: Initialisation,
    workdir: Path,
) -> None:
    """Prints what is trained, on how much and where.

    Args:
      console: Where to print.
      spec: Of the run.
      what: The network in words.
      source: Of the batches.
      total_steps: Of the run.
      start: The weights that are given.
      workdir: Of the run.
    """
    say(
        f"{spec.task}:{spec.recipe}: {what}, {source.num_examples or 'endless'} images, "
        f"{total_steps} steps of {spec.batch_size} on {jax.device_count()} "
        f"{jax.default_backend()} device(s)",
        f"encoder: {start.source}",
        f"pictures, logs and checkpoints: {workdir}",
        console=console,
    )


def conclude(
    workdir: Path, console: Console, began: float, summary: dict[str, Any], table: Table, look: str
) -> None:
    """Draws the loss, writes the summary, and prints what a finished run has come to.

    Args:
      workdir: Of the run.
      console: Where to print.
      began: When the run was started, by `time.perf_counter`.
      summary: Numbers to keep.
      table: The same for people.
      look: A sentence on what to look at.
    """
    from peclr_jax.pages import charts, figures

    seconds = time.perf_counter() - began
    records, _ = read_metrics(workdir / METRICS)
    losses = [(record["step"], record["loss"]) for record in records if "loss" in record]
    steps, values = np.asarray(losses, np.float64).reshape(-1, 2).T
    figures.save(charts.curve(steps, values, "loss"), workdir / "loss.png")
    with files.writing(workdir / SUMMARY) as file:
        json.dump({**summary, "seconds": round(seconds, 1)}, file, indent=2)
    console.print(table)
    say(f"{seconds / 60:.1f} minutes. {look}", console=console)


def _variables(state: trainer.TrainState) -> Variables:
    return local_copy({"params": state.params, "batch_stats": state.batch_stats})
