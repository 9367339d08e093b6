"""Bounds of the speed of a step of pre-training, by its operations and its least bytes.

    python -m benchmarks.compiled.roofline --size 128 --pairs 2048 --tflops 989 --bandwidth 3.35

A step cannot be faster than all operations at the machine's rate, nor than all bytes at its
bandwidth, nor than the sum over its passes of the larger of the two. The passes and the rules
"separate", "fused" and "ideal" are those of `passes.py`.
"""

import argparse
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.compiled.network import Network, network_of
from benchmarks.compiled.passes import RULES, Pass, passes

# TFLOP/s and TB/s by a part of the device's name; the first that fits counts.
_DATASHEETS = (
    ("H100 PCIe", 756.0, 2.0),
    ("H100 NVL", 835.0, 3.9),
    ("H100", 989.4, 3.35),
    ("H200", 989.4, 4.8),
    ("A100-SXM4-80GB", 312.0, 2.039),
    ("A100 80GB PCIe", 312.0, 1.935),
    ("A100", 312.0, 1.555),
)


class Machine(NamedTuple):
    """Rates of a processor.

    Attributes:
      flops: Operations a second, bfloat16.
      bandwidth: Bytes a second to and from its memory.
    """

    flops: float
    bandwidth: float


class Bounds(NamedTuple):
    """The least time of a step, in seconds.

    Attributes:
      arithmetic: All operations at the full rate.
      bandwidth: All bytes at the full bandwidth.
      passes: The sum over the passes of the larger of the two.
    """

    arithmetic: float
    bandwidth: float
    passes: float


def bounds(all_passes: Iterable[Pass], machine: Machine) -> Bounds:
    """Returns the least time of passes on a machine."""
    times = [(one.flops / machine.flops, one.bytes / machine.bandwidth) for one in all_passes]
    arithmetic, bandwidth = (sum(column) for column in zip(*times, strict=True))
    return Bounds(arithmetic, bandwidth, sum(max(pair) for pair in times))


def datasheet(device_kind: str) -> Machine | None:
    """Returns the rates in an accelerator's data sheet, dense bfloat16; `None` if it is unknown."""
    for name, tflops, terabytes in _DATASHEETS:
        if name in device_kind:
            return Machine(tflops * 1e12, terabytes * 1e12)
    return None


def table(networks: Sequence[tuple[str, Network]], pairs: int, machine: Machine) -> Table:
    """Lays out the bounds of networks under every rule."""
    result = Table(
        title=f"Bounds of a step of {pairs} pairs at {machine.flops / 1e12:.0f} TFLOP/s and "
        f"{machine.bandwidth / 1e12:.2f} TB/s, in pairs/s (views/s are twice as many)",
        title_justify="left",
    )
    for heading in ("network", "fused", "GFLOP a pair", "MB a pair", "by arithmetic", "by bytes"):
        result.add_column(heading, justify="left" if heading in ("network", "fused") else "right")
    result.add_column("pass by pass", justify="right")
    for name, network in networks:
        for rule in RULES:
            listed = passes(network, pairs, rule)
            seconds = bounds(listed, machine)
            flops, moved = sum(one.flops for one in listed), sum(one.bytes for one in listed)
            result.add_row(
                name,
                rule,
                f"{flops / pairs / 1e9:.1f}",
                f"{moved / pairs / 1e6:.1f}",
                *(f"{pairs / value:,.0f}" for value in seconds),
            )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architectures", nargs="+", default=["resnet50", "resnet152"])
    parser.add_argument("--size", type=int, default=128, help="side of the views in pixels")
    parser.add_argument("--pairs", type=int, default=2048, help="images in a batch")
    parser.add_argument("--tflops", type=float, default=989.0, help="bfloat16, dense")
    parser.add_argument("--bandwidth", type=float, default=3.35, help="TB/s")
    arguments = parser.parse_args()
    machine = Machine(arguments.tflops * 1e12, arguments.bandwidth * 1e12)
    networks = [(name, network_of(name, arguments.size)) for name in arguments.architectures]
    Console().print(table(networks, arguments.pairs, machine))


if __name__ == "__main__":
    main()
