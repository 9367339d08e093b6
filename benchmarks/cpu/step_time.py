"""Where the time of a training step goes on a CPU: convolutions, BatchNorm, pooling, the rest.

    python -m benchmarks.cpu.step_time [--architecture resnet50]

Ours alone, the step of `train_step` with its augmentation, traced by XLA. Its operations are told
apart by the layer that they belong to, forward or backward ("gradient"). Convolutions go on after
the mark that they leave in the trace: theirs is what the others leave of the cores' time.
"""

import collections
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import harness, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column

_TRACED = {"XLA_FLAGS": f"{ON_CPU['XLA_FLAGS']} --xla_cpu_enable_xprof_traceme=true"}
CONVOLUTIONS = "convolutions"
# An instruction of XLA's text: its name, and whatever follows.
_INSTRUCTION = re.compile(r"^ *(?:ROOT )?%?([\w.-]+) = (.*)$", re.MULTILINE)
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) [^\n]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
# Parts of the step by what their path contains; the first that does counts.
_PARTS = (
    (re.compile(r"(layer\d_\d+|encoder[^/]*)/(conv\d|downsample_conv)"), CONVOLUTIONS),
    (re.compile(r"(layer\d)_\d+/(?:bn\d|downsample_bn)"), r"\1, BatchNorm, ReLU and sums"),
    (re.compile(r"encoder[^/]*/bn1"), "stem, BatchNorm and ReLU"),
    (re.compile(r"encoder"), "pooling"),
    (re.compile(r"Projector|jvp\("), "projection and loss"),
    (re.compile(r"augment|views|sample|image"), "augmentation"),
)


@dataclass(frozen=True)
class Settings:
    """Sizes in pixels, the batch in pairs."""

    architecture: str = "resnet18"
    width: int = 64
    batch: int = 16
    source_size: int = 192
    size: int = 128
    steps: int = 5


TOY = Settings(width=4, batch=2, source_size=48, size=32, steps=1)


def prepare(steps: int, **of_step: Any) -> Callable[[], Figures]:
    import jax

    from benchmarks.cpu import train_step

    step, state, data, key = train_step.make_step(augmented=True, **of_step)
    program = step.lower(state, data, key).compile()
    parts = parts_of(program.as_text())

    def advance() -> None:
        nonlocal state
        state, metrics = program(state, data, key)
        jax.block_until_ready((state, metrics))

    def measure_once() -> Figures:
        advance()
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                busy = harness.core_seconds()
                for _ in range(steps):
                    advance()
                busy = harness.core_seconds() - busy
            (trace,) = Path(folder).rglob("*.xplane.pb")
            times: collections.Counter[str] = collections.Counter()
            for name, milliseconds in _events(trace):
                if parts.get(name, CONVOLUTIONS) != CONVOLUTIONS:
                    times[parts[name]] += milliseconds / steps
        return {CONVOLUTIONS: 1000 * busy / steps - times.total(), **times}

    return measure_once


def parts_of(text: str) -> dict[str, str]:
    """Returns the part of the step that each instruction of a compiled program belongs to.

    Args:
      text: The program, as XLA writes it.
    """
    inside = dict(_COMPUTATION.findall(text))
    found = {}
    for name, rest in _INSTRUCTION.findall(text):
        called = re.search(r"calls=%?([\w.-]+)", rest)
        # What XLA has made of several operations has no path of its own.
        work = rest + (inside.get(called[1], "") if called else "")
        paths = re.findall(r'op_name="([^"]*)"', work)
        if name.startswith("transpose_copy"):
            found[name] = "copies in another order, for gradients of kernels"
        elif not paths and re.match(r"f32\[\d+,\d+,\d+,\d+\]", rest):  # of a kernel's gradient
            found[name] = CONVOLUTIONS
        else:
            found[name] = _part(paths[-1]) if paths else "update and reports"
    return found


def _part(path: str) -> str:
    backward = ", gradient" if "transpose(" in path else ""
    for pattern, part in _PARTS:
        if found := pattern.search(path):
            return part if part == CONVOLUTIONS else found.expand(part) + backward
    return "update and reports"


def _events(trace: Path) -> Iterator[tuple[str, float]]:
    """Yields the operations that XLA's threads did, and their milliseconds."""
    import jax

    for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
        for line in plane.lines:
            if "XLA" in (line.name or ""):
                for event in line.events:
                    yield event.name, event.duration_ns / 1e6


def measure(settings: Settings) -> Benchmark:
    candidate = Candidate(prepare, asdict(settings), environment={**ON_CPU, **_TRACED})
    measured = harness.measure_in_turn({"step": candidate}, 1)["step"]
    measured.pop("peak_memory_mib", None)
    total = sum(part["median"] for part in measured.values())
    rows = {
        part: {"core_ms": time, "share": harness.spread([100 * time["median"] / total])}
        for part, time in sorted(measured.items(), key=lambda item: -item[1]["median"])
    }
    return harness.with_ratios(rows, [], settings)


def table(benchmark: Benchmark) -> Table:
    columns = [Column("core_ms", "core-ms a step", 1), Column("share", "%", 1)]
    return report.table("Where a training step's time goes", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
