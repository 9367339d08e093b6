"""Kills a run again and again, and compares what it comes to with a run that nobody killed.

    python scripts/stress/sigkill.py                  # 20 kills, and 5 of each other command
    python scripts/stress/sigkill.py --kills=3 --seed=1
    python scripts/stress/sigkill.py --only=experiment,predict

Kills come at random moments: while hands are rendered, while the step is compiled, between steps
and while a checkpoint is written. After the last one the run is started once more and left alone.
Then its parameters must be those of the uninterrupted run, bit by bit, and nothing half-written may
be left in its folder. More tables are of the commands in commands.py: an experiment, an evaluation,
a prediction, an export and records. After each kill all files that have their final names must be
whole, and in the end the result must be that of a run that nobody killed. Exits with 1 if anything
differs.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import commands
import jax
import numpy as np
from commands import unreadable
from rich.console import Console
from rich.table import Table
from small_run import ENVIRONMENT, ROOT, command

sys.path.insert(0, str(ROOT))

from peclr_jax.training.restoring import restore_params

NUM_STEPS = 600
LONGEST = 1800  # seconds that a run may take


class Kill(NamedTuple):
    """What a kill has interrupted."""

    after_seconds: float
    last_line: str
    step: int
    half_written: int


class Run(NamedTuple):
    """How a command ended: seconds until its first step and to the end, and what it printed."""

    was_killed: bool
    first: float
    seconds: float
    printed: list[str]


def run(
    arguments: list[str],
    seconds: float = LONGEST,
    steps: int | None = None,
    later: float = 0.0,
    kill: bool = False,
) -> Run:
    """Runs a command.

    Args:
      arguments: The command.
      seconds: Time after which it is killed.
      steps: Steps after which it is killed.
      later: Seconds after these steps.
      kill: Whether it may be killed; else its end is a failure.
    """
    began, first, taken, printed = time.perf_counter(), 0.0, 0, []
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(arguments, env=ENVIRONMENT, cwd=ROOT, **options) as process:
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        for line in process.stdout:
            printed.append(line)
            if line.startswith("step "):
                taken += 1
                first = first or time.perf_counter() - began
                if taken == steps:
                    threading.Timer(later, process.kill).start()
        timer.cancel()
    if process.returncode not in ((0, -signal.SIGKILL) if kill else (0,)):
        raise SystemExit(f"ended with {process.returncode}:\n{''.join(printed)}")
    return Run(process.returncode != 0, first, time.perf_counter() - began, printed)


def half_written(folder: Path) -> list[Path]:
    """Returns the files and folders whose names say that they are not complete."""
    return [p for p in folder.rglob("*") if any(mark in p.name for mark in commands.UNFINISHED)]


def newest_step(workdir: Path) -> int:
    """Returns the step of the newest checkpoint, 0 without any."""
    folder = workdir / "checkpoints"
    names = [p.name for p in folder.iterdir()] if folder.exists() else []
    return max((int(name) for name in names if name.isdecimal()), default=0)


def kill_a_run(kills: int, chance: random.Random, folder: Path) -> tuple[list[Kill], list[str]]:
    """Kills a pre-training; returns the kills, and what differs in the end."""
    whole, victim, cache = folder / "whole", folder / "victim", folder / "cache"
    often = {"checkpoint__every_steps": 10}
    # Once before, so that the others find their programs compiled, as later starts do.
    run(command(folder / "first", cache, 10, **often))
    _, first, total, _ = run(command(whole, cache, NUM_STEPS, **often))
    shared = {path.name: path.read_bytes() for path in cache.glob("hands-*")}
    found = []
    for number in range(kills):
        if number < 3:  # these have hands to render
            for path in cache.glob("hands-*"):
                path.unlink()
        # A third of them before the first step, the others counted from there, whatever else the
        # machine has to do by then; so few steps that the run is not over too soon.
        if chance.random() < 1 / 3:
            when = {"seconds": chance.uniform(0.0, first)}
        else:
            steps = chance.randint(1, NUM_STEPS // kills)
            when = {"steps": steps, "later": chance.uniform(0.0, 0.2)}
        ended = run(command(victim, cache, NUM_STEPS, **often), kill=True, **when)
        if not ended.was_killed:
            raise SystemExit(f"the run was over after {number} kills of {kills}")
        last = ended.printed[-1].split("|")[0].strip() if ended.printed else "before the first line"
        unfinished = len(half_written(victim) + half_written(cache))
        found.append(Kill(ended.seconds, last[:48], newest_step(victim), unfinished))
        print(f"{number + 1}: {found[-1]}", flush=True)
    run(command(victim, cache, NUM_STEPS, **often))
    differences = [f"left behind: {p}" for p in half_written(victim) + half_written(cache)]
    differences += [
        f"hands differ: {name}"
        for name, content in shared.items()
        if (cache / name).read_bytes() != content
    ]
    named = jax.tree_util.tree_leaves_with_path(restore_params(whole))
    for (path, one), other in zip(named, jax.tree.leaves(restore_params(victim)), strict=True):
        if not np.array_equal(one, other):
            differences.append(f"parameters differ: {jax.tree_util.keystr(path)}")
    print(f"uninterrupted: {total:.0f} s, {first:.0f} s of them before the first step")
    return found, differences


def kill_a_command(
    name: str, command: commands.Command, kills: int, chance: random.Random, folder: Path
) -> tuple[list[Kill], list[str]]:
    """Kills a command again and again; returns the kills, and what differs in the end.

    It need not go on from where it was, but after each kill all that has its final name must be
    whole, and the next start must come through.
    """
    whole, victim = folder / "whole", folder / "victim"
    longest = run(command.arguments(whole)).seconds
    expected, found, differences = command.outcome(whole), [], []
    for _ in range(5 * kills):
        if len(found) == kills:
            break
        ended = run(command.arguments(victim), chance.uniform(0.2, 1.0) * longest, kill=True)
        if not ended.was_killed:  # faster than before, with programs that are compiled
            longest = min(longest, ended.seconds)
            shutil.rmtree(victim)  # of which there would be nothing left to interrupt
            continue
        found.append(Kill(ended.seconds, name, 0, len(half_written(victim))))
        differences += [f"not whole after kill {len(found)}: {p}" for p in unreadable(victim)]
        print(f"{name} {len(found)}: {found[-1]}", flush=True)
    run(command.arguments(victim))
    if len(found) < kills:
        differences.append(f"only {len(found)} kills of {name} came before its end")
    differences += [f"left behind: {path}" for path in half_written(victim)]
    if command.outcome(victim) != expected:
        differences.append(f"the result of {name} differs")
    return found, differences


def show(title: str, kills: list[Kill], differences: list[str], console: Console) -> None:
    """Prints a table of the kills and what they came to."""
    table = Table(title=title, title_justify="left")
    for column in ("kill", "after, s", "last line", "newest checkpoint", "half-written"):
        table.add_column(column, justify="left" if column == "last line" else "right")
    for number, kill in enumerate(kills, 1):
        cells = f"{kill.after_seconds:.1f}", kill.last_line, str(kill.step), str(kill.half_written)
        table.add_row(str(number), *cells)
    console.print(table)
    console.print("\n".join(differences) or "in the end: as if nobody had killed it")


def main() -> int:
    """Runs all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of the pre-training; a fourth each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="what to kill, with commas between")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        victims = commands.commands(folder / "shared")
        chosen = arguments.only.split(",") if arguments.only else ["pre-training", *victims]
        wrong = []
        if "experiment" not in chosen:  # whose network the others are asked with
            run(victims["experiment"].arguments(folder / "whole"))
        for victim in chosen:
            chance = random.Random(f"{arguments.seed} {victim}")
            (folder / victim).mkdir()
            if victim == "pre-training":
                kills, differences = kill_a_run(arguments.kills, chance, folder / victim)
            else:
                some = max(arguments.kills // 4, 1)
                found = victims[victim], some, chance, folder / victim
                kills, differences = kill_a_command(victim, *found)
            show(victim, kills, differences, console)
            wrong += differences
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
