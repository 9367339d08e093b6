"""Pre-training over several devices: equal losses, and the bytes sent between devices.

    python -m benchmarks.compiled.scaling [--toy] [--output=benchmarks/results/scaling.json]

The devices are virtual, XLA's CPUs on the cores of this machine: no speed is measured. The losses
come from training the quick start's network. The bytes are read from compiled programs of the
paper's ResNet-50, for CPUs and, where JAX can compile for CUDA, for H100s.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import harness, machine, report
from benchmarks.compiled.steps import Program, compile_step, train
from benchmarks.harness import Benchmark, Candidate, Figures
from benchmarks.report import Column
from peclr_jax import files
from peclr_jax.places import argument

_MIB = 2**20
PARTS = ("gradients", "statistics", "loss")
# Elements: more than the statistics of a layer, fewer than combined gradients.
_STATISTICS = 2**14


@dataclass(frozen=True)
class Settings:
    """Sizes; `train` and `compile` change configs/pretrain.py, `pairs` are those of a device."""

    devices: tuple[int, ...] = (1, 2, 4, 8)
    steps: int = 10
    train: tuple[str, ...] = ("quick",)
    compile: tuple[str, ...] = ("paper_rn50",)
    pairs: tuple[int, ...] = (64, 256)
    micro_batches: int = 4
    platforms: tuple[str, ...] = ("cpu", "h100")


_SMALL = (
    "model.width=4",
    "model.hidden=16",
    "model.num_points=8",
    "data.source_size=24",
    "views.size=16",
)
TOY = Settings(
    devices=(1, 8),
    steps=3,
    train=("quick", "batch_size=16", *_SMALL),
    compile=("quick", "model.dtype=bfloat16", *_SMALL),
    pairs=(2,),
    micro_batches=2,
    platforms=("cpu",),
)


_LEGEND = """
JAX {jax}, {date}. "Difference": the greatest of the losses, relative to one device's; "of
parameters": after the last step, relative to how far they have come. "Times" are operations a step,
"MiB sent" what each device sends for them in rings. No speed was measured: the devices are virtual.
"""


def prepare_training(
    changes: tuple[str, ...], devices: tuple[int, ...], steps: int
) -> Callable[[], Figures]:
    def measure_once() -> Figures:
        import jax
        import numpy as np
        import optax

        def distance(one: Any, other: Any) -> float:
            return float(optax.tree.norm(jax.tree.map(np.subtract, one, other)))

        figures, runs = {}, {count: train(changes, count, steps) for count in devices}
        expected, before, after = runs[min(devices)]
        for count, (losses, _, parameters) in runs.items():
            difference = np.max(np.abs(np.divide(losses, expected) - 1))
            figures[f"loss {count}"] = losses[-1]
            figures[f"loss_difference {count}"] = float(difference)
            figures[f"parameter_difference {count}"] = distance(parameters, after) / distance(
                before, after
            )
        return figures

    return measure_once


def prepare_program(changes: tuple[str, ...], program: Program) -> Callable[[], Figures]:
    def measure_once() -> Figures:
        from benchmarks.compiled.collectives import collectives

        return count(collectives(compile_step(changes, program)), program.devices)

    return measure_once


def part(collective: Any) -> str:
    """Returns what a collective is for: "gradients", "statistics" (of BatchNorm) or "loss".

    A collective that XLA combined from several may have no name.
    """
    if collective.kind != "all-reduce" or "Projector" not in (collective.name or "Projector"):
        return "loss"
    elements = sum(math.prod(array.shape) for array in collective.operands)
    flat = all(len(array.shape) <= 1 for array in collective.operands)
    return "statistics" if flat and elements <= _STATISTICS else "gradients"


def count(collectives: list[Any], devices: int) -> Figures:
    """Returns how often each part communicates in a step, and the MiB that a device sends."""
    operations: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for collective in collectives:
        operations[part(collective)] += collective.times
        sent[part(collective)] += collective.times * collective.sent(devices)
    return {
        **{f"{name}_operations": float(operations[name]) for name in PARTS},
        **{f"{name}_mib": sent[name] / _MIB for name in PARTS},
    }


def measure(settings: Settings) -> Benchmark:
    from benchmarks.compiled import virtual_gpus

    most = max(settings.devices)
    # Compiled programs are not run, so they need no optimisation.
    flags = f"--xla_force_host_platform_device_count={most}"
    on_cpus = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    in_a_hurry = {**on_cpus, "XLA_FLAGS": f"{flags} --xla_backend_optimization_level=0"}
    environments = {"cpu": in_a_hurry, "h100": virtual_gpus.ENVIRONMENT}

    trained = harness.measure_in_turn(
        {
            "": Candidate(
                prepare_training,
                {
                    "changes": settings.train,
                    "devices": settings.devices,
                    "steps": settings.steps,
                },
                environment=on_cpus,
            )
        },
        1,
    )[""]
    figures = ("loss", "loss_difference", "parameter_difference")
    benchmark: Benchmark = {
        f"trained on {devices}": {name: trained[f"{name} {devices}"] for name in figures}
        for devices in settings.devices
    }
    for program in programs(settings):
        name = f"{program.platform}: {program.devices} x {program.pairs} pairs"
        if program.micro_batches > 1:
            name += f" x {program.micro_batches} micro-batches"
        candidate: Candidate | str = Candidate(
            prepare_program,
            {"changes": settings.compile, "program": program},
            environment=environments[program.platform],
        )
        if program.platform == "h100" and not virtual_gpus.are_here():
            candidate = 'JAX cannot compile for CUDA: pip install "jax[cuda13]"'
        benchmark |= harness.measure_in_turn({name: candidate}, 1)
    return harness.with_ratios(benchmark, [], settings)


def programs(settings: Settings) -> list[Program]:
    """Returns the programs: all numbers of devices, then more pairs, then micro-batches."""
    few, most = min(settings.pairs), max(settings.devices)
    return [
        Program(platform, *sizes)
        for platform in settings.platforms
        for sizes in (
            *((devices, few, 1) for devices in settings.devices if devices > 1),
            *((most, pairs, 1) for pairs in settings.pairs if pairs != few),
            (most, few, settings.micro_batches),
        )
    ]


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("loss", "loss", 5),
        Column("loss_difference", "difference", 7),
        Column("parameter_difference", "of parameters", 4),
        *(
            column
            for name in PARTS
            for column in (
                Column(f"{name}_operations", f"{name}: times", 0),
                Column(f"{name}_mib", "MiB sent", 2),
            )
        ),
    ]
    return report.table("Pre-training over several devices", benchmark, columns)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--toy", action="store_true", help="the smallest sizes: does it run?")
    parser.add_argument("--output", type=argument, help="JSON file to write, and a table")
    given = parser.parse_args()
    benchmark = measure(TOY if given.toy else Settings())
    laid_out = table(benchmark)
    Console().print(laid_out)
    if given.output:
        place = machine.environment(device="none: programs were compiled, not timed")
        report.write(given.output, {"environment": place, "results": {"scaling": benchmark}})
        with files.writing(given.output.with_suffix(".md")) as file:
            file.write(report.markdown([laid_out], "Pre-training over several devices"))
            file.write(_LEGEND.format(jax=place["versions"]["jax"], date=place["date"]))


if __name__ == "__main__":
    main()
