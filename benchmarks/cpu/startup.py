"""Seconds from the start of the quick start to the end of its first optimizer step.

    python -m benchmarks.cpu.startup

* cold: nothing has been compiled or rendered before, as the user's home is a new folder;
* warm: the same command again, with the caches that the cold run left there;
* rendered: the rendered hands are there, but no compiled program.

The command is `python main.py --config=configs/pretrain.py --config.num_steps=1`. The clock
stops when it reports the first step, after the imports, the rendering and the compilation. A
further warm run, whose time does not count, counts the programs and modules that are there by then.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks import harness, report
from benchmarks.harness import ON_CPU, Benchmark, Figures
from benchmarks.process import CandidateError
from benchmarks.report import Column
from peclr_jax import versions

FIRST_STEP = re.compile(r"step 1/\d+ .*first step after ([\d.]+) s")
# What Python and JAX say of a module, and of a program that is compiled or read from disk.
_COUNTED = {"modules": "import time: ", "programs": "Finished XLA compilation of "}


@dataclass(frozen=True)
class Settings:
    """`flags` are added to the command; a round is a run of each kind."""

    flags: str = ""
    rounds: int = 3


TOY = Settings(
    "--config.batch_size=2 --config.model.width=4 --config.model.hidden=8 --config.views.size=16 "
    "--config.data.rendered.count=4 --config.data.rendered.size=16 --config.data.source_size=16 "
    "--config.data.rendered.held_out=2 --config.evaluation.images=2 --config.log.pairs=1",
    rounds=1,
)


def first_step(command: Sequence[str], environment: dict[str, str]) -> Figures:
    """Runs a training and measures the time until it reports its first step.

    Returns:
      "first_step_seconds" from the start of the process, "of_that_step_seconds" of the step itself
      (its compilation above all), and "whole_seconds" to the end of the process.

    Raises:
      CandidateError: If the run failed, or never reported a step.
    """
    figures: Figures = {}
    start = time.perf_counter()
    for line in _lines(command, environment):
        if found := FIRST_STEP.search(line):
            figures["first_step_seconds"] = time.perf_counter() - start
            figures["of_that_step_seconds"] = float(found[1])
    figures["whole_seconds"] = time.perf_counter() - start
    return figures


def count(command: Sequence[str], environment: dict[str, str]) -> Figures:
    """Runs a training and counts its "modules" and "programs" up to the first step.

    Raises:
      CandidateError: If the run failed, or never reported a step.
    """
    python, *rest = command
    logged = environment | {"JAX_LOG_COMPILES": "1"}
    lines = list(_lines([python, "-X", "importtime", *rest], logged))
    before = lines[: next(i for i, line in enumerate(lines) if FIRST_STEP.search(line))]
    return {name: sum(text in line for line in before) for name, text in _COUNTED.items()}


def _lines(command: Sequence[str], environment: dict[str, str]) -> Iterator[str]:
    """Yields what a training prints, as it does."""
    lines = []
    with subprocess.Popen(
        command,
        env=environment,
        cwd=versions.ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout:
            lines.append(line)
            yield line
    if process.returncode or not any(map(FIRST_STEP.search, lines)):
        raise CandidateError(f"{' '.join(command)} did not get to a step:\n{''.join(lines[-20:])}")


def one_round(flags: str) -> dict[str, Figures]:
    """Runs the command in each state of the caches, which are empty at first."""
    with tempfile.TemporaryDirectory() as scratch:
        # All caches lie below the user's home.
        home = {"HOME": f"{scratch}/home", "XDG_CACHE_HOME": f"{scratch}/home/.cache"}
        Path(home["HOME"]).mkdir()
        inherited = {name: v for name, v in os.environ.items() if "_CACHE_" not in name}
        environment = {**inherited, **ON_CPU, **home, "PYTHONUNBUFFERED": "1"}
        command = [
            *(sys.executable, "main.py", "--config=configs/pretrain.py"),
            *("--config.num_steps=1", *flags.split()),
        ]

        def workdir(name: str) -> list[str]:
            return [*command, f"--workdir={scratch}/{name}"]

        measured = {name: first_step(workdir(name), environment) for name in ("cold", "warm")}
        measured["warm"] |= count(workdir("counted"), environment)
        shutil.rmtree(f"{home['XDG_CACHE_HOME']}/peclr_jax/compiled")
        return measured | {"rendered": first_step(workdir("rendered"), environment)}


def measure(settings: Settings) -> Benchmark:
    all_rounds = [one_round(settings.flags) for _ in range(settings.rounds)]
    measured: Benchmark = {
        name: {
            figure: harness.spread([one[name][figure] for one in all_rounds])
            for figure in all_rounds[0][name]
        }
        for name in all_rounds[0]
    }
    return harness.with_ratios(measured, [("cold", "warm", "first_step_seconds")], settings)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("first_step_seconds", "s to the first step", 1),
        Column("of_that_step_seconds", "s of these in the step", 1),
        Column("whole_seconds", "s to the end", 1),
        Column("programs", "programs", 0),
        Column("modules", "modules", 0),
    ]
    return report.table("Start of the quick start", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
