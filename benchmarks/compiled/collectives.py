"""Collective operations of a compiled program, read from its text: JAX gives no more."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import jax

from benchmarks.compiled.operand import Operand, operands_of

_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%(?P<name>[\w.\-]+) = (?P<type>\([^=]*?\)|\S+) (?P<opcode>[a-z][\w\-]*)"
    r"\((?P<operands>[^)]*)\)(?P<rest>.*)$"
)
_COLLECTIVE = re.compile(
    r"(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast)"
    r"(-start)?"
)


class Collective(NamedTuple):
    """A collective operation of a compiled program.

    Attributes:
      kind: "all-reduce", "all-gather", "reduce-scatter", "all-to-all" or "collective-permute".
      operands: What every device puts in.
      times: How often a step runs it; more than once within loops.
      name: The operation of the program that it was made for, as JAX names it.
    """

    kind: str
    operands: tuple[Operand, ...]
    times: int
    name: str

    @property
    def bytes(self) -> int:
        """Bytes that every device puts in, each time."""
        return sum(operand.bytes for operand in self.operands)

    def sent(self, devices: int) -> float:
        """Returns the bytes that a device sends each time, in rings over all devices."""
        others = devices - 1
        return self.bytes * {
            "all-reduce": 2 * others / devices,
            "all-gather": others,
            "reduce-scatter": others / devices,
            "all-to-all": others / devices,
        }.get(self.kind, 1)


def collectives(compiled: jax.stages.Compiled) -> list[Collective]:
    """Returns the collective operations of a compiled program, those of loops included."""
    found = []
    for instruction, times in _executed(compiled.as_text()):
        match = _COLLECTIVE.fullmatch(instruction.opcode)
        if match:
            name = _first(r'op_name="([^"]*)"', instruction.rest)
            found.append(Collective(match.group(1), instruction.operands, times, name))
    return found


class _Instruction(NamedTuple):
    opcode: str
    operands: tuple[Operand, ...]
    rest: str


def _executed(text: str) -> Iterator[tuple[_Instruction, int]]:
    """Yields every instruction that a program runs and how often; loops must be of known length."""
    computations = _computations(text)
    called: Counter[str] = Counter()

    def visit(name: str, times: int) -> None:
        called[name] += times
        for instruction in computations[name]:
            if instruction.opcode == "while":
                trips = _first(r'"known_trip_count":\{"n":"(\d+)"', instruction.rest)
                visit(_first(r"\bbody=%([\w.\-]+)", instruction.rest), times * int(trips or 1))
            elif instruction.opcode in ("call", "async-start"):
                visit(_first(r"\b(?:to_apply|calls)=%([\w.\-]+)", instruction.rest), times)

    visit(_first(r"^ENTRY %([\w.\-]+)", text), 1)
    for name, times in called.items():
        for instruction in computations[name]:
            yield instruction, times


def _computations(text: str) -> dict[str, list[_Instruction]]:
    computations: dict[str, list[_Instruction]] = {}
    for block in re.finditer(r"^(?:ENTRY )?%([\w.\-]+) [^\n]*\{\n(.*?)^\}", text, re.M | re.S):
        shapes: dict[str, tuple[Operand, ...]] = {}
        instructions = computations[block.group(1)] = []
        for line in block.group(2).splitlines():
            match = _INSTRUCTION.match(re.sub(r"/\*.*?\*/", "", line))
            if match is None:
                continue
            shapes[match["name"]] = operands_of(match["type"])
            names = re.findall(r"%([\w.\-]+)", match["operands"])
            operands = tuple(operand for name in names for operand in shapes.get(name, ()))
            instructions.append(_Instruction(match["opcode"], operands, match["rest"]))
    return computations


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.M)
    return match.group(1) if match else ""
