"""Convolutions, products, transposes and residuals of a lowered program.

The operations are read from the StableHLO of `jax.jit(f).lower(...)`, for any platform, also one
that is not installed.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo as dialect

from benchmarks.compiled.operand import Operand


class Convolution(NamedTuple):
    """A convolution of a lowered program.

    Attributes:
      operands: The images and the kernel.
      result: The result.
      layout: The roles of the dimensions, in the notation of XLA, "b01f_01io->b01f": batch, spatial
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


def convolutions(lowered: jax.stages.Lowered) -> list[Convolution]:
    """Returns the convolutions of a lowered program, forward and backward."""
    return [
        Convolution(
            (_operand(op.operands[0]), _operand(op.operands[1])),
            _operand(op.results[0]),
            _layout(dialect.ConvDimensionNumbers(op.attributes["dimension_numbers"])),
        )
        for op in _operations(lowered, "stablehlo.convolution")
    ]


def products(lowered: jax.stages.Lowered) -> list[Product]:
    """Returns the products of matrices of a lowered program."""
    return [
        Product((_operand(op.operands[0]), _operand(op.operands[1])), _operand(op.results[0]))
        for op in _operations(lowered, "stablehlo.dot_general")
    ]


def transposes(lowered: jax.stages.Lowered) -> list[Transpose]:
    """Returns the transpositions of a lowered program."""
    return [
        Transpose(
            _operand(op.operands[0]),
            tuple(ir.DenseI64ArrayAttr(op.attributes["permutation"])),
        )
        for op in _operations(lowered, "stablehlo.transpose")
    ]


def residuals(function: Callable[..., Any], *arguments: Any) -> list[jax.ShapeDtypeStruct]:
    """Returns what is kept from a function's forward to its backward pass, without optimisation.

    Args:
      function: A function of arrays, derived by its first argument.
      *arguments: Arrays or `jax.ShapeDtypeStruct`s, in pytrees.
    """

    def pull_back(first: Any, *others: Any) -> Any:
        return jax.vjp(lambda first: function(first, *others), first)[1]

    return jax.tree.leaves(jax.eval_shape(pull_back, *arguments))


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
