"""Whether memory stays flat over long runs: 2,000 training steps, 10,000 batches of records.

    python scripts/stress/memory.py        # some ten minutes on two cores

Prints the memory of the process along the way, and exits with 1 if it grows by more than 2 % after
the first tenth.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from small_run import ENVIRONMENT, ROOT, command

MOST_GROWTH = 0.02
LONGEST = 3600  # seconds for each of both


def _run(arguments: list[str], **options: object) -> str:
    return subprocess.run(
        arguments,
        env=ENVIRONMENT,
        check=True,
        timeout=LONGEST,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    ).stdout


def of_training(steps: int, folder: Path) -> list[float]:
    """Runs a pre-training; returns the GiB at each step."""
    fields = {"checkpoint__every_steps": max(steps // 10, 1), "log__every_steps": 1}
    _run(command(folder / "run", folder / "cache", steps, **fields))
    lines = map(json.loads, (folder / "run/metrics.jsonl").read_text().splitlines())
    return [record["host_memory_gib"] for record in lines if "host_memory_gib" in record]


def of_records(batches: int, folder: Path) -> list[float]:
    """Reads batches of records in a process of its own; returns the GiB after each hundredth."""
    code = f"import memory; memory.read({batches}, {str(folder)!r})"
    return json.loads(
        _run([sys.executable, "-c", code], cwd=Path(__file__).parent).splitlines()[-1]
    )


def read(batches: int, folder: str) -> None:
    """Reads batches of records and prints the memory along the way."""
    from peclr_jax.devices.memory import memory_in_use
    from peclr_jax.devices.mesh import make_mesh
    from peclr_jax.input_pipeline import DataSpec, make_source

    spec = DataSpec(
        source="tfds",
        manual_dir=str(ROOT / "data/freihand/dummy_data"),
        data_dir=folder,
        split="train+validation",
        source_size=32,
    )
    source = make_source(spec, batch_size=8, seed=0, mesh=make_mesh())
    found = []
    for number, _ in enumerate(itertools.islice(source.batches(), batches), 1):
        if number % max(batches // 100, 1) == 0:
            found.append(memory_in_use()["host_memory_gib"])
    print(json.dumps(found))


def main() -> int:
    """Measures both; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batches", type=int, default=10_000)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = {
            f"{flags.steps:,} training steps": of_training(flags.steps, Path(folder)),
            f"{flags.batches:,} batches": of_records(flags.batches, Path(folder) / "data"),
        }
    table, grew = Table("", "after 10 %, MiB", "half-way", "end", "growth"), False
    for name, memory in measured.items():
        settled = memory[len(memory) // 10 :]
        growth = max(settled) / settled[0] - 1
        grew |= growth > MOST_GROWTH
        places = 1024 * np.array([settled[0], memory[len(memory) // 2], memory[-1]])
        table.add_row(name, *(f"{place:.1f}" for place in places), f"{100 * growth:.2f} %")
    Console().print(table)
    return int(grew)


if __name__ == "__main__":
    sys.exit(main())
