"""Synthetic hands a second: `python -m benchmarks.cpu.render [--sizes 64 128]`."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table

from benchmarks import harness, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column


@dataclass(frozen=True)
class Settings:
    """Sizes in pixels; `batch` images a call, new ones every time."""

    sizes: tuple[int, ...] = (64, 128)
    background: str = "shared"
    batch: int = 64
    seconds: float = 3.0
    rounds: int = 5


TOY = Settings(sizes=(16,), background="green", batch=2, seconds=0.01, rounds=2)


def prepare(size: int, background: str, batch: int, seconds: float) -> Callable[[], Figures]:
    import itertools
    import time

    import jax
    import jax.numpy as jnp

    from peclr_jax.synthetic.render import RenderSpec, render_indices

    key = jax.random.key(0)
    start = time.perf_counter()
    spec = RenderSpec(size=size, background=background)
    program = render_indices.lower(key, jnp.arange(batch), spec).compile()
    compiling = time.perf_counter() - start
    indices = (jnp.arange(batch) + number * batch for number in itertools.count())

    def measure_once() -> Figures:
        figures = harness.timed(
            lambda: jax.block_until_ready(program(key, next(indices))), seconds, units=batch
        )
        return {**figures, "compile_seconds": compiling}

    return measure_once


def measure(settings: Settings) -> Benchmark:
    candidates = {
        f"{size} px": Candidate(
            prepare,
            {
                "size": size,
                "background": settings.background,
                "batch": settings.batch,
                "seconds": settings.seconds,
            },
            environment=ON_CPU,
        )
        for size in settings.sizes
    }
    measured = harness.measure_in_turn(candidates, settings.rounds)
    return harness.with_ratios(measured, [], settings)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("per_second", "images/s", 1),
        Column("per_core_second", "images/s a core", 1),
        Column("compile_seconds", "compiled in s", 1),
        Column("peak_memory_mib", "peak MiB", 0),
    ]
    return report.table("Synthetic hands", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
