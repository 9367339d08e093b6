"""Whether memory stays flat over long runs: 2,000 training steps, 10,000 batches of records.

    python tests/stress/memory.py        # some ten minutes on two cores

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
from small_run import ROOT, command, environment

sys.path.insert(0, str(ROOT))

MOST_GROWTH = 0.02
LONGEST = 3600  # seconds for each of both


def of_training(steps: int, folder: Path) -> np.ndarray:
    """Runs a pre-training; returns the GiB at each step."""
    fields = {"checkpoint__every_steps": max(steps // 10, 1), "log__every_steps": 1}
    subprocess.run(
        command(folder / "run", folder / "cache", steps, **fields),
        env=environment(),
        check=True,
        timeout=LONGEST,
        stdout=subprocess.DEVNULL,
    )
    lines = (folder / "run/metrics.jsonl").read_text().splitlines()
    records = [record for line in lines if "host_memory_gib" in (record := json.loads(line))]
    return np.array([record["host_memory_gib"] for record in records])


def of_records(batches: int, folder: Path) -> np.ndarray:
    """Reads batches of records in a process of its own; returns the GiB after each hundredth."""
    code = f"import memory; memory.read({batches}, {str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        check=True,
        timeout=LONGEST,
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    return np.array(json.loads(done.stdout.splitlines()[-1]))


def read(batches: int, folder: str) -> None:
    """Reads batches of drawn hands and prints the memory along the way."""
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
    source = make_source(spec, train=True, batch_size=8, seed=0, mesh=make_mesh())
    found = []
    for number, _ in enumerate(itertools.islice(source.batches(), batches), 1):
        if number % max(batches // 100, 1) == 0:
            found.append(memory_in_use()["host_memory_gib"])
    print(json.dumps(found))


def growth(memory: np.ndarray) -> float:
    """How far memory rises above what it was after the first tenth, as a fraction of that."""
    settled = memory[len(memory) // 10 :]
    return float(settled.max() / settled[0] - 1)


def main() -> int:
    """Measures both; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batches", type=int, default=10_000)
    arguments = parser.parse_args()
    table = Table("", "after 10 %, MiB", "half-way", "end", "growth")
    with tempfile.TemporaryDirectory() as folder:
        measured = {
            f"{arguments.steps:,} training steps": of_training(arguments.steps, Path(folder)),
            f"{arguments.batches:,} batches": of_records(arguments.batches, Path(folder) / "data"),
        }
    for name, memory in measured.items():
        places = (memory[len(memory) // 10], memory[len(memory) // 2], memory[-1])
        numbers = [f"{1024 * place:.1f}" for place in places]
        table.add_row(name, *numbers, f"{100 * growth(memory):.2f} %")
    Console().print(table)
    return int(any(growth(memory) > MOST_GROWTH for memory in measured.values()))


if __name__ == "__main__":
    sys.exit(main())
