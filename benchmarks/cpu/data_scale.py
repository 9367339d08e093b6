"""What grows with a data set, from FreiHAND's size to a hundred million photographs.

    python -m benchmarks.cpu.data_scale [--output=benchmarks/results/data_scale.json]

So many photographs are not at hand. The order of a run is computed at the full size. The index of
records is read from files of `--records` empty ones, and its memory and time are multiplied. The
rest is arithmetic with rates that others have measured, which are settings:

* records: `--kb` a photograph with its labels, in TFDS's number of files;
* build: `--built` photographs a second, as `benchmarks.cpu.full_size` measures it; in memory what
  `image_folder` knows of each photograph, measured on `--photos`, and what TFDS sorts at a time;
* index: where each record lies, held while records are read; read when they are first used;
* order: one batch of `--batch`, in time and memory;
* epoch: one GPU that trains on `--pairs` photographs a second.
"""

import math
import os
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

INDEX, LISTED = "index, a record", "folder of photographs, each"
_PAGE = 4096
# What TFDS holds before it writes to a disk.
_HELD_BYTES = 1000 * 2**20


@dataclass(frozen=True)
class Settings:
    """Numbers of photographs, and rates."""

    sizes: tuple[int, ...] = (130_240, 10**7, 10**8)
    batch: int = 2048
    records: int = 1_000_000
    photos: int = 3000
    kb: float = 15.0
    built: float = 1400.0
    pairs: float = 8000.0
    rounds: int = 5


TOY = Settings(sizes=(10**3, 10**7), batch=8, records=1000, photos=10, rounds=2)


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


def prepare_photos(photos: int, folder: str) -> Callable[[], Figures]:
    """Reads a folder of photographs, as far as it is done before the first record is written."""
    from PIL import Image

    from data.image_folder import layout

    root = Path(folder) / "photos"
    root.mkdir()
    first = root / f"{0:012d}.jpg"
    Image.new("RGB", (16, 16)).save(first)
    for number in range(1, photos):
        os.link(first, root / f"{number:012d}.jpg")

    def measure_once() -> Figures:
        tracemalloc.start()
        layout.read_folder(root)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {"photo_bytes": peak / photos}

    return measure_once


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def extrapolated(size: int, settings: Settings, index: harness.Row, photo: float) -> Figures:
    """Returns what follows from the rates for a number of photographs.

    Args:
      size: Number of photographs.
      settings: The rates.
      index: Spreads of what `prepare_index` measures.
      photo: Bytes that are known of each photograph.
    """
    from tensorflow_datasets.core.utils.shard_utils import ShardConfig

    total = round(1000 * settings.kb) * size
    # The largest bucket of `data.base.apart`.
    bucket = min(size, 200 * math.isqrt(size // 100) + 100) * 1000 * settings.kb
    return {
        "records_gb": total / 1e9,
        "files": ShardConfig().get_number_shards(total, size),
        "build_hours": size / settings.built / 3600,
        "build_gib": (size * photo + max(min(_HELD_BYTES, total), bucket)) / 2**30,
        "index_mib": size * index["index_bytes"]["median"] / 2**20,
        "open_seconds": size * index["index_us"]["median"] / 1e6,
        "epoch_minutes": size / settings.pairs / 60,
    }


def measure(settings: Settings) -> Benchmark:
    with tempfile.TemporaryDirectory() as folder:
        kwargs = {"records": settings.records, "folder": folder}
        candidates = {INDEX: Candidate(prepare_index, kwargs, environment=ON_CPU)}
        kwargs = {"photos": settings.photos, "folder": folder}
        candidates[LISTED] = Candidate(prepare_photos, kwargs, environment=ON_CPU)
        for size in settings.sizes:
            kwargs = {"size": size, "batch": settings.batch}
            candidates[f"{size:,}"] = Candidate(prepare_order, kwargs, environment=ON_CPU)
        measured = harness.measure_in_turn(candidates, settings.rounds)
    for size in settings.sizes:
        photo = measured[LISTED]["photo_bytes"]["median"]
        figures = extrapolated(size, settings, measured[INDEX], photo)
        measured[f"{size:,}"] |= {name: harness.spread([one]) for name, one in figures.items()}
    return harness.with_ratios(measured, [], settings)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("records_gb", "GB of records", 0),
        Column("files", "files", 0),
        Column("build_hours", "hours to build", 1),
        Column("build_gib", "GiB to build", 1),
        Column("index_mib", "index MiB", 0),
        Column("open_seconds", "s to open", 1),
        Column("order_mib", "order MiB", 2),
        Column("order_ms", "order ms a batch", 2),
        Column("epoch_ms", "order ms, first of an epoch", 1),
        Column("epoch_minutes", "min an epoch, one GPU", 1),
        Column("index_bytes", "bytes", 1),
        Column("index_us", "us", 3),
        Column("photo_bytes", "bytes", 0),
    ]
    return report.table("Photographs", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
