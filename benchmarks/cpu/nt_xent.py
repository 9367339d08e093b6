"""NT-Xent, forward and backward: ours, whole and in chunks, and Optax's.

    python -m benchmarks.cpu.nt_xent [--counts 1024 2048 4096]

N images are 2N rows to compare. Three kinds of memory are told apart: what the compiled program
needs beside its inputs, the most the process has held, and what of that it held before. A candidate
whose program needs more than `--limit_gib` is not run: its row says how much that is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks import harness, process, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column


@dataclass(frozen=True)
class Settings:
    """`counts` of images, `chunks` of rows; one call is all from `one_call_from` images on."""

    counts: tuple[int, ...] = (1024, 2048, 4096, 8192, 16384, 32768)
    dimension: int = 128
    chunks: tuple[int, ...] = (512, 1024)
    temperature: float = 0.5
    limit_gib: float = 8.0
    one_call_from: int = 8192
    seconds: float = 2.0
    rounds: int = 3


TOY = Settings((8, 16), dimension=4, chunks=(4,), one_call_from=16, seconds=0.01, rounds=2)


def value_and_gradient(candidate: str, temperature: float) -> Callable[[Any], tuple[Any, Any]]:
    """Returns the loss of (2N, D) projections, with i and i + N of one image, and its gradient.

    Args:
      candidate: "optax", "ours", or "ours, chunk C".
      temperature: Of the loss.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from peclr_jax.objectives.contrastive import nt_xent

    def optax_loss(z: Any) -> Any:
        labels = jnp.arange(z.shape[0]) % (z.shape[0] // 2)
        return optax.losses.ntxent(z, labels, temperature)

    def our_loss(z: Any) -> Any:
        _, _, chunk = candidate.partition(" chunk ")
        return nt_xent(z, temperature, chunk=int(chunk) if chunk else None)

    return jax.value_and_grad(optax_loss if candidate == "optax" else our_loss)


def prepare(
    candidate: str,
    images: int,
    dimension: int,
    temperature: float,
    seconds: float,
    limit_gib: float,
) -> Callable[[], Figures]:
    import jax

    z = jax.random.normal(jax.random.key(0), (2 * images, dimension))
    program = jax.jit(value_and_gradient(candidate, temperature)).lower(z).compile()
    memory = program.memory_analysis()
    needed = (memory.temp_size_in_bytes + memory.output_size_in_bytes) / 2**20
    if needed > 1024 * limit_gib:
        return lambda: {"program_mib": needed}
    before = process.peak_memory_mib()

    def measure_once() -> Figures:
        figures = harness.timed(
            lambda: jax.block_until_ready(program(z)), seconds, units=images, warm_up=seconds > 0
        )
        return {**figures, "program_mib": needed, "before_mib": before}

    return measure_once


def measure(settings: Settings) -> Benchmark:
    measured: Benchmark = {}
    pairs = []
    names = ["ours", *(f"ours, chunk {chunk}" for chunk in settings.chunks), "optax"]
    for images in settings.counts:
        one_call = images >= settings.one_call_from
        kwargs = {
            "images": images,
            "dimension": settings.dimension,
            "temperature": settings.temperature,
            "limit_gib": settings.limit_gib,
            "seconds": 0.0 if one_call else settings.seconds,
        }
        candidates: dict[str, Candidate | str] = {
            f"N = {images}, {name}": Candidate(
                prepare, {"candidate": name, **kwargs}, environment=ON_CPU
            )
            for name in names
        }
        rounds = 1 if one_call else settings.rounds
        measured |= harness.measure_in_turn(candidates, rounds)
        *ours, peer = candidates
        pairs += [(mine, peer, "per_second") for mine in ours]
    return harness.with_ratios(_refuse(measured), pairs, settings)


def _refuse(measured: Benchmark) -> Benchmark:
    """Replaces the rows of programs that were not run by the reason."""
    return {
        name: row
        if "median_ms" in row
        else {
            "skipped": f"its program would take {row['program_mib']['median'] / 1024:,.1f} GiB",
        }
        for name, row in measured.items()
    }


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("median_ms", "ms", 1),
        Column("per_second", "images/s", 0),
        Column("program_mib", "program MiB", 0),
        Column("peak_memory_mib", "peak MiB", 0),
        Column("before_mib", "of these before", 0),
    ]
    return report.table("NT-Xent, forward and backward", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
