"""From image files to batches, next to bare JPEG decoding of the same files.

    python -m benchmarks.cpu.ingest [--images DIR]

DIR holds JPEGs of the kind that matters to you; a few suffice, as they are copied until there are
`--count`. Without it the files are `--hands` of our rendered hands over clutter, JPEGs of
`--image_size` at quality 90, whose mean size is "kb_a_file". FreiHAND's photographs, of
224 px, take 10 to 15 kB.

* records built: files to checked TFDS records, by the builder for folders of images;
* bare decode_jpeg: `tf.io.decode_jpeg` alone, in a parallel tf.data map;
* records decoded: random access to the records, parsing and decoding, in the pipeline's own reader;
* crops: the whole pipeline, which resamples each image to a square of `--source_size` as well;
* canvases: the whole pipeline as training reads it, which leaves the resampling to the accelerator,
  where it is one with that of the views;
* canvases, not decoded: the same with black images: what all else takes;
* cached crops: the same from host memory.
"""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import harness, machine, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column

BARE, BUILT = "bare decode_jpeg", "records built"
QUALITY = 90


@dataclass(frozen=True)
class Settings:
    """Sizes in pixels; `threads` 0 means one per core."""

    images: str = ""
    hands: int = 32
    image_size: int = 224
    count: int = 2000
    batch: int = 32
    source_size: int = 192
    threads: int = 0
    seconds: float = 3.0
    rounds: int = 5


TOY = Settings(
    hands=1, image_size=24, count=4, batch=2, source_size=16, threads=1, seconds=0.01, rounds=2
)


def _decoded(parts: Any, options: dict[str, Any]) -> Any:
    """Opens records to be decoded whole, without a crop; they must be of one size."""
    from peclr_jax.input_pipeline.records import RecordStore, import_tensorflow

    class DecodedStore(RecordStore):
        def _decode(self, example: dict[str, Any]) -> dict[str, Any]:
            return {"image": import_tensorflow().io.decode_jpeg(example["image"], channels=3)}

    return DecodedStore(parts, **options)


def _crops(parts: Any, options: dict[str, Any]) -> Any:
    from peclr_jax.input_pipeline.records import RecordStore

    return RecordStore(parts, **options)


def _canvases(parts: Any, options: dict[str, Any]) -> Any:
    return _crops(parts, options | {"canvases": True})


def _undecoded(parts: Any, options: dict[str, Any]) -> Any:
    from peclr_jax.input_pipeline.records import RecordStore, import_tensorflow

    class UndecodedStore(RecordStore):
        def _decode(self, example: dict[str, Any]) -> dict[str, Any]:
            tf = import_tensorflow()
            image = tf.zeros(example["cut"].form, tf.uint8)
            return {"image": image, "to_source": example["to_source"]}

    return UndecodedStore(parts, **options, canvases=True)


def _cached(parts: Any, options: dict[str, Any]) -> Any:
    from peclr_jax.input_pipeline import stores

    return stores.load(_crops(parts, options))


STORES: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "records decoded": _decoded,
    "crops": _crops,
    "canvases": _canvases,
    "canvases, not decoded": _undecoded,
    "cached crops": _cached,
}


def prepare_files(
    images: str, hands: int, image_size: int, count: int, folder: str
) -> Callable[[], Figures]:
    """Fills a folder with JPEGs; the figures are their number and mean size."""
    target = Path(folder)
    target.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        originals = _given(Path(images)) if images else _rendered(hands, image_size, Path(scratch))
        for number, original in zip(range(count), itertools.cycle(originals), strict=False):
            shutil.copyfile(original, target / f"{number:06d}.jpg")
    size = sum(file.stat().st_size for file in target.iterdir())
    return lambda: {"files": count, "kb_a_file": size / count / 1000}


def _given(folder: Path) -> list[Path]:
    originals = sorted(path for path in folder.rglob("*.jp*g"))
    if not originals:
        raise ValueError(f"{folder} holds no JPEG")
    return originals


def _rendered(hands: int, size: int, folder: Path) -> list[Path]:
    import jax
    import numpy as np
    from PIL import Image

    from peclr_jax.synthetic.render import RenderSpec, render_indices

    spec = RenderSpec(size=size, background="clutter")
    files = []
    rendered = render_indices(jax.random.key(0), jax.numpy.arange(hands), spec)
    for number, image in enumerate(np.asarray(rendered.images)):
        files.append(folder / f"{number}.jpg")
        Image.fromarray(image).save(files[-1], quality=QUALITY)
    return files


def _build(folder: str, data_dir: str) -> Any:
    from data import build

    return build.prepare(build.make_builder("image_folder", Path(data_dir)), Path(folder)).builder


def prepare_building(folder: str, data_dir: str, count: int) -> Callable[[], Figures]:
    """Writes the records anew in every round; the others read those of the preparation."""
    _build(folder, data_dir)

    def measure_once() -> Figures:
        with tempfile.TemporaryDirectory() as scratch:
            return harness.timed(
                lambda: _build(folder, scratch), seconds=0, units=count, warm_up=False
            )

    return measure_once


def prepare_bare(folder: str, batch: int, threads: int, seconds: float) -> Callable[[], Figures]:
    """Decodes the files over and over, in batches of whole images."""
    from peclr_jax.input_pipeline.records import import_tensorflow

    tf = import_tensorflow()
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    encoded = [file.read_bytes() for file in sorted(Path(folder).iterdir())]

    def decode(data: Any) -> Any:
        return tf.io.decode_jpeg(data, channels=3)

    dataset = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    dataset = dataset.map(decode, num_parallel_calls=threads)
    dataset = dataset.batch(batch).prefetch(1).with_options(options)
    return lambda: _rates(dataset.as_numpy_iterator(), batch, seconds)


def prepare_store(
    kind: str, data_dir: str, source_size: int, batch: int, threads: int, seconds: float
) -> Callable[[], Figures]:
    """Reads records in random order."""
    import numpy as np

    from data import build

    builder = build.make_builder("image_folder", Path(data_dir))
    options = {"size": source_size, "margin": None, "threads": threads}
    store = STORES[kind]([(builder, "train")], options)

    def rows() -> Iterator[np.ndarray]:
        random = np.random.default_rng(0)
        while True:
            yield random.integers(0, len(store), batch)

    return lambda: _rates(store.stream(rows()), batch, seconds)


def _rates(batches: Iterator, batch: int, seconds: float) -> Figures:
    next(batches)  # starts the threads
    return harness.timed(lambda: next(batches), seconds, units=batch)


def measure(settings: Settings) -> Benchmark:
    with tempfile.TemporaryDirectory() as scratch:
        folder, data_dir = f"{scratch}/images", f"{scratch}/records"
        files = {
            "images": settings.images,
            "hands": settings.hands,
            "image_size": settings.image_size,
            "count": settings.count,
            "folder": folder,
        }
        of_files = harness.measure_in_turn(
            {"files": Candidate(prepare_files, files, environment=ON_CPU)}, 1
        )["files"]
        building = {"folder": folder, "data_dir": data_dir, "count": settings.count}
        reading = {
            "batch": settings.batch,
            "threads": settings.threads or machine.cores(),
            "seconds": settings.seconds,
        }
        reading_records = {"data_dir": data_dir, "source_size": settings.source_size, **reading}
        candidates = {
            BUILT: Candidate(prepare_building, building, environment=ON_CPU),
            BARE: Candidate(prepare_bare, {"folder": folder, **reading}, environment=ON_CPU),
        }
        for kind in STORES:
            kwargs = {"kind": kind, **reading_records}
            candidates[kind] = Candidate(prepare_store, kwargs, environment=ON_CPU)
        measured = harness.measure_in_turn(candidates, settings.rounds)
    for figure in ("files", "kb_a_file"):
        measured[BUILT][figure] = of_files[figure]
    pairs = [(kind, BARE, "per_core_second") for kind in STORES]
    return harness.with_ratios(measured, pairs, settings)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("per_second", "images/s", 0),
        Column("per_core_second", "images/s a core", 0),
        Column("peak_memory_mib", "peak MiB", 0),
        Column("kb_a_file", "kB a file", 1),
    ]
    return report.table("From files to batches", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
