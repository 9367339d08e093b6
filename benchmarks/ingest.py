"""Speed of the way from image files to batches, next to bare JPEG decoding of the same files.

    python -m benchmarks.ingest --images DIR [--output ingest.json]

DIR holds JPEGs of the kind that matters to you; a few suffice, they are copied until there are
`--count`. Prints, for wall time and per second of a core:

* records built: files to checked TFDS records, by the builder for folders of images;
* bare decoding: `tf.io.decode_jpeg` alone, in a parallel tf.data map;
* records decoded: random access to the records, parsing and decoding, in the pipeline's own reader;
* crops: the whole pipeline, which resamples each image to a square of `--source_size` as well;
* cached crops: the same from host memory.

The candidates are measured in turn for several rounds in one process; the median counts.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from data import build
from peclr_jax.input_pipeline import memory
from peclr_jax.input_pipeline.records import RecordStore, import_tensorflow

BARE = "bare decode_jpeg"


class DecodedStore(RecordStore):
    """Records decoded whole, without a crop; they must be of one size."""

    def _decode(self, serialized: Any) -> dict[str, Any]:
        tf = import_tensorflow()
        example = self._features.deserialize_example(serialized, decoders=self._decoders)
        return {"image": tf.io.decode_jpeg(example["image"], channels=3)}


def core_seconds() -> float:
    """Seconds that this process has kept cores busy."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rates(batches: Iterator, batch_size: int, seconds: float) -> tuple[float, float]:
    """Counts images for a given time, after two batches to warm up.

    Returns:
      Images a second, and a second of a core.
    """
    for _ in range(2):
        next(batches)
    count, start, busy = 0, time.perf_counter(), core_seconds()
    while time.perf_counter() - start < seconds:
        next(batches)
        count += batch_size
    return count / (time.perf_counter() - start), count / (core_seconds() - busy)


def bare_decoding(files: list[Path], batch_size: int, threads: int) -> Iterator[np.ndarray]:
    """Decodes the files over and over and yields batches of whole images."""
    tf = import_tensorflow()
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    encoded = [file.read_bytes() for file in files]
    dataset = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    dataset = dataset.map(
        lambda data: tf.io.decode_jpeg(data, channels=3), num_parallel_calls=threads
    )
    dataset = dataset.batch(batch_size).prefetch(1).with_options(options)
    return dataset.as_numpy_iterator()


def random_rows(count: int, batch_size: int) -> Iterator[np.ndarray]:
    """Yields batches of row numbers without end."""
    random = np.random.default_rng(0)
    while True:
        yield random.integers(0, count, batch_size)


def copies(images: Path, folder: Path, count: int) -> list[Path]:
    """Fills a folder with copies of the JPEGs in another one."""
    originals = sorted(path for path in images.rglob("*.jp*g"))
    if not originals:
        raise SystemExit(f"error: {images} holds no JPEG")
    files = [folder / f"{number:06d}.jpg" for number in range(count)]
    for original, file in zip(itertools.cycle(originals), files, strict=False):
        shutil.copyfile(original, file)
    return files


def build_records(folder: Path, data_dir: Path, count: int) -> tuple[Any, dict[str, float]]:
    """Writes the records of a folder of images."""
    builder = build.make_builder("image_folder", data_dir)
    start, busy = time.perf_counter(), core_seconds()
    build.prepare(builder, folder)
    rate = count / (time.perf_counter() - start), count / (core_seconds() - busy)
    return builder, {"per_second": rate[0], "per_core_second": rate[1]}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs everything and returns what the JSON holds."""
    threads = arguments.threads or os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        folder.mkdir()
        files = copies(Path(arguments.images), folder, arguments.count)
        builder, built = build_records(folder, Path(scratch) / "records", arguments.count)
        parts = [(builder, "train")]
        options: dict[str, Any] = {"size": arguments.source_size, "margin": None}
        crops = RecordStore(parts, threads=threads, **options)
        decoded = DecodedStore(parts, threads=threads, **options)
        cached = memory.load(crops)
        size = arguments.batch_size

        def stream(store: Any) -> Callable[[], Iterator]:
            return lambda: store.stream(random_rows(len(store), size))

        candidates: dict[str, Callable[[], Iterator]] = {
            BARE: lambda: bare_decoding(files, size, threads),
            "records decoded": stream(decoded),
            "crops": stream(crops),
            "cached crops": stream(cached),
        }
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        for _ in range(arguments.rounds):
            for name, candidate in candidates.items():
                measured[name].append(rates(candidate(), size, arguments.seconds))
    medians = {
        name: [statistics.median(values) for values in zip(*rounds, strict=True)]
        for name, rounds in measured.items()
    }
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "jax": jax.__version__,
        "tensorflow": import_tensorflow().__version__,
        "images": arguments.count,
        "source_size": arguments.source_size,
        "batch_size": size,
        "threads": threads,
        "records built": built,
        **{
            name: {
                "per_second": wall,
                "per_core_second": core,
                "of_bare_per_core": core / medians[BARE][1],
                "of_bare_wall": wall / medians[BARE][0],
            }
            for name, (wall, core) in medians.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", required=True, help="folder of JPEGs of one size")
    parser.add_argument("--count", type=int, default=2000, help="images to ingest")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--source_size", type=int, default=192)
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    result = measure(arguments)
    table = Table("", "images/s", "a core", "of bare, a core", title="Ingest", title_justify="left")
    for name in ("records built", BARE, "records decoded", "crops", "cached crops"):
        row = result[name]
        share = f"{row['of_bare_per_core']:.2f}" if "of_bare_per_core" in row else ""
        table.add_row(name, f"{row['per_second']:.0f}", f"{row['per_core_second']:.0f}", share)
    Console().print(table)
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
