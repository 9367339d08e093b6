"""Two augmented views of every image: ours, and the same recipe in OpenCV.

    python -m benchmarks.cpu.augmentation [--output augmentation.json]

* ours: `two_views` with the paper's ranges, from sources of `--source_size`, compiled, on one core;
* ours, all cores: the same without that bound;
* opencv, official: the official code's steps on photographs of `--photo_size` (see
  benchmarks/peers/opencv_views.py), on one thread;
* opencv, best: one warp and look-up tables, on one thread.

A view is an image here: `images/s` counts both of a pair.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table

from benchmarks import harness, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column


@dataclass(frozen=True)
class Settings:
    """Sizes in pixels."""

    batch: int = 64
    source_size: int = 192
    photo_size: int = 224
    size: int = 128
    seconds: float = 2.0
    rounds: int = 7


TOY = Settings(batch=2, source_size=24, photo_size=28, size=16, seconds=0.01, rounds=2)


def prepare_ours(batch: int, source_size: int, size: int, seconds: float) -> Callable[[], Figures]:
    import itertools

    import jax

    from peclr_jax.views.augment import two_views
    from peclr_jax.views.spec import ViewSpec

    spec = ViewSpec(size=size)
    program = jax.jit(lambda key, images: [v.images for v in two_views(key, images, spec)])
    shape = (batch, source_size, source_size, 3)
    images = jax.random.bits(jax.random.key(0), shape, "uint8")
    keys = map(jax.random.key, itertools.count())
    return lambda: harness.timed(
        lambda: jax.block_until_ready(program(next(keys), images)), seconds, units=2 * batch
    )


def measure(settings: Settings) -> Benchmark:
    sizes = {"batch": settings.batch, "size": settings.size, "seconds": settings.seconds}
    ours = Candidate(
        prepare_ours, {**sizes, "source_size": settings.source_size}, cores=1, environment=ON_CPU
    )
    candidates: dict[str, Candidate | str] = {
        "ours": ours,
        "ours, all cores": ours._replace(cores=None),
    }
    for style in ("official", "best"):
        candidates[f"opencv, {style}"] = harness.missing("cv2") or _opencv(
            {**sizes, "style": style, "photo_side": settings.photo_size}
        )
    measured = harness.measure_in_turn(candidates, settings.rounds)
    for row in harness.rows(measured).values():
        if "per_core_second" in row:
            row["core_ms_per_pair"] = harness.spread(
                [2000 / rate for rate in row["per_core_second"]["rounds"]]
            )
    pairs = [("ours", f"opencv, {style}", "per_core_second") for style in ("official", "best")]
    return harness.with_ratios(measured, pairs, settings)


def _opencv(kwargs: dict) -> Candidate:
    from benchmarks.peers import opencv_views

    return Candidate(opencv_views.prepare, kwargs, cores=1)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("per_second", "images/s", 0),
        Column("per_core_second", "images/s a core", 0),
        Column("core_ms_per_pair", "ms of a core a pair", 2),
        Column("peak_memory_mib", "peak MiB", 0),
    ]
    return report.table("Two views of every image", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
