"""What grows with a data set, from FreiHAND's size to a hundred million photographs.

    python -m benchmarks.cpu.data_scale [--output=benchmarks/results/data_scale.json]

So many photographs are not at hand. The order of a run is computed at the full size. The index of
records is read from files of `--records` empty ones, and its memory and time are multiplied. The
rest is arithmetic with rates that others have measured, which are settings:

* records: `--kb` a photograph with its labels, in TFDS's number of files;
* build: `--built` photographs a second, as `benchmarks.cpu.full_size` measures it;
* index: where each record lies, held while records are read; read when they are first used;
* order: one batch of `--batch`, in time and memory;
* epoch: one GPU that trains on `--pairs` photographs a second.
"""

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks import harness, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column

INDEX = "index, a record"
_PAGE = 4096


@dataclass(frozen=True)
class Settings:
    """Numbers of photographs, and rates."""

    sizes: tuple[int, ...] = (130_240, 10**7, 10**8)
    batch: int = 2048
    records: int = 1_000_000
    kb: float = 15.0
    built: float = 1400.0
    pairs: float = 8000.0
    rounds: int = 5


TOY = Settings(sizes=(10**3, 10**7), batch=8, records=1000, rounds=2)


def prepare_order(size: int, batch: int) -> Callable[[], Figures]:
    """Computes batches of an epoch that has not been seen before."""
    from peclr_jax.input_pipeline.order import Order

    order = Order((size,), batch, seed=0)
    epochs = iter(range(10**6))

    def measure_once() -> Figures:
        first = next(epochs) * order.steps_per_epoch
        tracemalloc.start()
        order.indices(first)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        first = next(epochs) * order.steps_per_epoch
        begin = time.perf_counter()
        order.indices(first)
        fresh = time.perf_counter() - begin
        then = harness.timed(lambda: order.indices(first + 1), seconds=0.2, units=1)
        return {
            "order_ms": then["median_ms"],
            "epoch_ms": 1000 * fresh,
            "order_mib": peak / 2**20,
        }

    return measure_once


def prepare_index(records: int, folder: str) -> Callable[[], Figures]:
    """Writes a file of empty records, and opens it again and again."""
    from array_record.python import array_record_module
    from array_record.python.array_record_data_source import ArrayRecordDataSource
    from tensorflow_datasets.core.utils.shard_utils import FileInstruction

    path = f"{folder}/empty.array_record"
    writer = array_record_module.ArrayRecordWriter(path, "group_size:1")
    for _ in range(records):
        writer.write(b"")
    writer.close()
    held = []

    def measure_once() -> Figures:
        before, begin = _resident(), time.perf_counter()
        source = ArrayRecordDataSource([FileInstruction(path, 0, records, records)])
        source[records - 1]
        seconds = time.perf_counter() - begin
        held.append(source)  # or the next would take its memory
        return {
            "index_bytes": (_resident() - before) / records,
            "index_us": 1e6 * seconds / records,
        }

    return measure_once


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def extrapolated(size: int, settings: Settings, index: harness.Row) -> Figures:
    """Returns what follows from the rates for a number of photographs.

    Args:
      size: Number of photographs.
      settings: The rates.
      index: Spreads of what `prepare_index` measures.
    """
    from tensorflow_datasets.core.utils.shard_utils import ShardConfig

    total = round(1000 * settings.kb) * size
    return {
        "records_gb": total / 1e9,
        "files": ShardConfig().get_number_shards(total, size),
        "build_hours": size / settings.built / 3600,
        "index_mib": size * index["index_bytes"]["median"] / 2**20,
        "open_seconds": size * index["index_us"]["median"] / 1e6,
        "epoch_minutes": size / settings.pairs / 60,
    }


def measure(settings: Settings) -> Benchmark:
    with tempfile.TemporaryDirectory() as folder:
        kwargs = {"records": settings.records, "folder": folder}
        candidates = {INDEX: Candidate(prepare_index, kwargs, environment=ON_CPU)}
        for size in settings.sizes:
            kwargs = {"size": size, "batch": settings.batch}
            candidates[f"{size:,}"] = Candidate(prepare_order, kwargs, environment=ON_CPU)
        measured = harness.measure_in_turn(candidates, settings.rounds)
    for size in settings.sizes:
        figures = extrapolated(size, settings, measured[INDEX])
        measured[f"{size:,}"] |= {name: harness.spread([one]) for name, one in figures.items()}
    return harness.with_ratios(measured, [], settings)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("records_gb", "GB of records", 0),
        Column("files", "files", 0),
        Column("build_hours", "hours to build", 1),
        Column("index_mib", "index MiB", 0),
        Column("open_seconds", "s to open", 1),
        Column("order_mib", "order MiB", 2),
        Column("order_ms", "order ms a batch", 2),
        Column("epoch_ms", "order ms, first of an epoch", 1),
        Column("epoch_minutes", "min an epoch, one GPU", 1),
        Column("index_bytes", "bytes", 1),
        Column("index_us", "us", 3),
    ]
    return report.table("Photographs", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
