"""What programs say before they run: convolutions, transposes, residuals, collectives, traffic.

Of a lowered program (`jax.jit(f).lower(...)`, for any platform, whether it is at hand or not) the
operations are read from its StableHLO. Of a compiled one (`.compile()`) the text is read, which is
all that JAX gives: what is fused, what is communicated, what is read and written.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

_BITS = {"pred": 8, "bf16": 16, "s4": 4, "u4": 4}
_SHAPE = re.compile(r"\b(pred|bf16|[sufc]\d+[a-z0-9]*)\[([\d,]*)\]")
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%(?P<name>[\w.\-]+) = (?P<type>\([^=]*?\)|\S+) (?P<opcode>[a-z][\w\-]*)"
    r"\((?P<operands>[^)]*)\)(?P<rest>.*)$"
)
_COLLECTIVE = re.compile(
    r"(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast)"
    r"(-start)?"
)
# They move nothing: names for what is there, or what has been counted at the start.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "while"}


class Operand(NamedTuple):
    """The type and shape of an array."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """How many it takes."""
        bits = _BITS.get(self.dtype) or int(re.search(r"\d+", self.dtype).group())
        return math.prod(self.shape) * bits // 8


class Convolution(NamedTuple):
    """A convolution of a lowered program.

    Attributes:
      operands: what is convolved, and with what.
      result: its result.
      layout: the roles of the dimensions, in the notation of XLA, "b01f_01io->b01f": batch, spatial
        dimensions, features in (or of an image) and out.
    """

    operands: tuple[Operand, Operand]
    result: Operand
    layout: str


class Product(NamedTuple):
    """A product of matrices of a lowered program."""

    operands: tuple[Operand, Operand]
    result: Operand


class Transpose(NamedTuple):
    """A transposition of a lowered program."""

    operand: Operand
    permutation: tuple[int, ...]


class Collective(NamedTuple):
    """A collective operation of a compiled program.

    Attributes:
      kind: "all-reduce", "all-gather", "reduce-scatter", "all-to-all" or "collective-permute".
      operands: what every device puts in.
      times: how often a step runs it; more than once within loops.
      name: the operation of the program that it was made for, as JAX names it.
    """

    kind: str
    operands: tuple[Operand, ...]
    times: int
    name: str

    @property
    def bytes(self) -> int:
        """That every device puts in, each time."""
        return sum(operand.bytes for operand in self.operands)

    def sent(self, devices: int) -> float:
        """Bytes that a device sends each time, if it is done in rings over all devices."""
        others = devices - 1
        return self.bytes * {
            "all-reduce": 2 * others / devices,
            "all-gather": others,
            "reduce-scatter": others / devices,
            "all-to-all": others / devices,
        }.get(self.kind, 1)


class Access(NamedTuple):
    """What an instruction of a compiled program reads and writes, were no cache between.

    Attributes:
      kind: its opcode, for a fusion with what the compiler calls it, for a library's routine its
        name.
      read: bytes.
      written: bytes.
      times: how often a step runs it.
      name: the operation of the program that it was made for.
    """

    kind: str
    read: int
    written: int
    times: int
    name: str


def convolutions(lowered: jax.stages.Lowered) -> list[Convolution]:
    """The convolutions of a lowered program, forward and backward."""
    return [
        Convolution(
            (_operand(op.operands[0]), _operand(op.operands[1])),
            _operand(op.results[0]),
            _layout(stablehlo.ConvDimensionNumbers(op.attributes["dimension_numbers"])),
        )
        for op in _operations(lowered, "stablehlo.convolution")
    ]


def products(lowered: jax.stages.Lowered) -> list[Product]:
    """The products of matrices of a lowered program."""
    return [
        Product((_operand(op.operands[0]), _operand(op.operands[1])), _operand(op.results[0]))
        for op in _operations(lowered, "stablehlo.dot_general")
    ]


def transposes(lowered: jax.stages.Lowered) -> list[Transpose]:
    """The transpositions of a lowered program."""
    return [
        Transpose(
            _operand(op.operands[0]),
            tuple(ir.DenseI64ArrayAttr(op.attributes["permutation"])),
        )
        for op in _operations(lowered, "stablehlo.transpose")
    ]


def residuals(function: Callable[..., Any], *arguments: Any) -> list[jax.ShapeDtypeStruct]:
    """What is kept from a function's forward to its backward pass, were nothing optimised.

    Args:
      function: of arrays, to be derived by its first argument.
      arguments: arrays or `jax.ShapeDtypeStruct`s, in pytrees.
    """

    def pull_back(first: Any, *others: Any) -> Any:
        return jax.vjp(lambda first: function(first, *others), first)[1]

    return jax.tree.leaves(jax.eval_shape(pull_back, *arguments))


def collectives(compiled: jax.stages.Compiled) -> list[Collective]:
    """The collective operations of a compiled program, those of loops included."""
    found = []
    for instruction, times in _executed(compiled.as_text()):
        match = _COLLECTIVE.fullmatch(instruction.opcode)
        if match:
            operands = tuple(shape for each in instruction.operands for shape in each)
            found.append(Collective(match.group(1), operands, times, instruction.op_name))
    return found


def traffic(compiled: jax.stages.Compiled) -> list[Access]:
    """What the instructions of a compiled program read and write, the greatest first.

    Inside of fusions nothing is counted: what they compute on the way stays in registers.
    """
    accesses = [
        Access(
            instruction.kind,
            sum({name: _bytes(shapes) for name, shapes in instruction.named_operands}.values()),
            _bytes(instruction.results),
            times,
            instruction.op_name,
        )
        for instruction, times in _executed(compiled.as_text())
        if instruction.opcode not in _FREE and not instruction.opcode.endswith("-done")
    ]
    return sorted(accesses, key=lambda a: -(a.read + a.written) * a.times)


class _Instruction(NamedTuple):
    name: str
    opcode: str
    results: tuple[Operand, ...]
    named_operands: tuple[tuple[str, tuple[Operand, ...]], ...]
    rest: str

    @property
    def operands(self) -> list[tuple[Operand, ...]]:
        return [shapes for _, shapes in self.named_operands]

    @property
    def op_name(self) -> str:
        return _first(r'op_name="([^"]*)"', self.rest)

    @property
    def kind(self) -> str:
        if self.opcode == "custom-call":
            return _first(r'custom_call_target="([^"]*)"', self.rest)
        if self.opcode == "fusion":
            return re.sub(r"[.\d]+$", "", self.name)
        return self.opcode


def _executed(text: str) -> Iterator[tuple[_Instruction, int]]:
    """Every instruction that a program runs as such, and how often; loops must have an end."""
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
            shapes[match["name"]] = _shapes(match["type"])
            operands = re.findall(r"%([\w.\-]+)", match["operands"])
            instructions.append(
                _Instruction(
                    match["name"],
                    match["opcode"],
                    shapes[match["name"]],
                    tuple((name, shapes[name]) for name in operands if name in shapes),
                    match["rest"],
                )
            )
    return computations


def _shapes(text: str) -> tuple[Operand, ...]:
    return tuple(
        Operand(dtype, tuple(map(int, filter(None, dimensions.split(",")))))
        for dtype, dimensions in _SHAPE.findall(text)
    )


def _bytes(shapes: tuple[Operand, ...]) -> int:
    return sum(shape.bytes for shape in shapes)


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.M)
    return match.group(1) if match else ""


def _operations(lowered: jax.stages.Lowered, name: str) -> Iterator[Any]:
    def visit(operation: Any) -> Iterator[Any]:
        if operation.name == name:
            yield operation
        for region in operation.regions:
            for block in region:
                for inner in block:
                    yield from visit(inner.operation)

    yield from visit(lowered.compiler_ir("stablehlo").operation)


def _operand(value: Any) -> Operand:
    kind = ir.RankedTensorType(value.type)
    return Operand(str(kind.element_type), tuple(kind.shape))


def _layout(numbers: Any) -> str:
    def roles(batch: int, features: int, spatial: list[int], names: str) -> str:
        found = {batch: names[0], features: names[1]}
        found |= {dimension: str(index) for index, dimension in enumerate(spatial)}
        return "".join(found[dimension] for dimension in sorted(found))

    images, kernel, result = (
        roles(
            numbers.input_batch_dimension,
            numbers.input_feature_dimension,
            list(numbers.input_spatial_dimensions),
            "bf",
        ),
        roles(
            numbers.kernel_output_feature_dimension,
            numbers.kernel_input_feature_dimension,
            list(numbers.kernel_spatial_dimensions),
            "oi",
        ),
        roles(
            numbers.output_batch_dimension,
            numbers.output_feature_dimension,
            list(numbers.output_spatial_dimensions),
            "bf",
        ),
    )
    return f"{images}_{kernel}->{result}"
