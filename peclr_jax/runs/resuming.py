"""Whether a folder holds a run that may go on, and trainings that are done only once."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from peclr_jax import files, input_pipeline, specs
from peclr_jax.console import say
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.runs import initialisation, provenance
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec, RunSpec, identity
from peclr_jax.training import restoring

SUMMARY = "summary.json"
"""The last file that a training writes."""
_START, _CONTENT = "init.checkpoint", "init.sha256"
_WORDS = {_CONTENT: "digest of the weights that it starts from,"}
# Of all that decides a training, as experiments name folders, with the step that is taken of it.
_DIGEST = re.compile(
    rf"(?:^|/)pretrain-[^/]+-\d+-([0-9a-f]{{10}}(?:/{restoring.DIRECTORY}/\d+)?)/?$"
)
# Fields that are part of a run's name, but that may be others on the machine it goes on with.
_OF_THE_MACHINE = {"data.decode_threads", "data.rendered.chunk"}


def check_resumable(spec: RunSpec, workdir: Path) -> None:
    """Refuses to resume a run, if there is one, when a resolved spec would change its result."""
    saved = restoring.restore_run_config(workdir)
    if saved is None:
        return
    here, there = identity(specs.to_dict(spec)), identity(saved)
    if _CONTENT not in there:  # of a run from before it was noted
        here.pop(_CONTENT, None)
    before, now = there.get(_START), here.get(_START)
    if _are_one_training(before, now):
        there |= {name: here[name] for name in (_START, _CONTENT) if name in here}
    elif before and now and os.path.realpath(before) == os.path.realpath(now):
        there[_START] = now
    changed = [
        f"{_WORDS.get(name, name)} {there.get(name)!r} -> {here.get(name)!r}"
        for name in sorted((here.keys() | there.keys()) - _OF_THE_MACHINE)
        if here.get(name) != there.get(name)
    ]
    if changed:
        raise UserError(
            f"{workdir} holds a run of another config ({'; '.join(changed)}): resume it with its "
            "own config, or choose another --workdir"
        )


def _are_one_training(*checkpoints: str | None) -> bool:
    """Returns whether checkpoints are of one experiment's pre-training, wherever it was moved."""
    digests = {found[1] if (found := _DIGEST.search(path or "")) else None for path in checkpoints}
    return len(digests) == 1 and None not in digests


def run_unless_finished(
    train: Callable[[Any, Path], None],
    spec: PretrainSpec | FinetuneSpec,
    workdir: Path,
    console: Console,
) -> None:
    """Runs or resumes a training that is a part of something larger, unless it is finished.

    Args:
      train: Runs it, for example `pretrain.pretrain`.
      spec: Of the training.
      workdir: Of the training.
      console: For its headline.

    Raises:
      UserError: It is finished, but with another config, or on data that have changed since.
    """
    console.rule(workdir.name, align="left")
    if not (workdir / SUMMARY).exists():
        train(spec, workdir)
        return
    check_resumable(initialisation.resolve(spec)[0], workdir)
    _check_data(spec.data, workdir)
    say(f"finished before: {workdir}", console=console)


def _check_data(data: DataSpec, workdir: Path) -> None:
    """Refuses a finished training on what the data were before, which others are compared with."""
    starts, _ = files.read_json_lines(workdir / provenance.FILE)
    before = starts[-1].get("data") if starts else None
    if before and before != (now := input_pipeline.fingerprint(data)):
        raise UserError(
            f"{workdir} is finished, but was trained on other data than there are today ({before} "
            f"-> {now}): move the folder away to train again, or put the data back"
        )
