"""Programs small enough to say by hand what stands in them."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.compiled import collectives, stablehlo
from benchmarks.compiled.operand import Operand
from peclr_jax.devices.mesh import data_sharding, make_mesh, replicated

IMAGES = jax.ShapeDtypeStruct((8, 6, 6, 3), jnp.bfloat16)
KERNEL = jax.ShapeDtypeStruct((3, 3, 3, 4), jnp.bfloat16)


def convolve(images, kernel):
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_convolutions_of_a_platform_that_is_not_here():
    lowered = jax.jit(convolve).trace(IMAGES, KERNEL).lower(lowering_platforms=("cuda",))
    (convolution,) = stablehlo.convolutions(lowered)
    assert convolution.operands == (Operand("bf16", (8, 6, 6, 3)), Operand("bf16", (3, 3, 3, 4)))
    assert convolution.result == Operand("bf16", (8, 6, 6, 4))
    assert convolution.layout == "b01f_01io->b01f"


def test_products_and_transposes():
    lowered = jax.jit(lambda x: x.T @ x).lower(jnp.ones((5, 2)))
    (product,), (transpose,) = stablehlo.products(lowered), stablehlo.transposes(lowered)
    assert product.result == Operand("f32", (2, 2))
    assert transpose == stablehlo.Transpose(Operand("f32", (5, 2)), (1, 0))


def test_residuals_are_what_the_backward_pass_reads():
    x = jax.ShapeDtypeStruct((7,), jnp.float32)
    assert [leaf.shape for leaf in stablehlo.residuals(jnp.sin, x)] == [(7,)]
    assert stablehlo.residuals(lambda x: x + 1, x) == []


@pytest.mark.parametrize("repeated", [1, 3])
def test_collectives_are_counted_in_loops_too(repeated):
    """The mean over a batch that four devices share, once or in a loop."""
    mesh = make_mesh(jax.devices()[:4])

    def means(x):
        step = lambda carry, _: (carry + jnp.mean(x * carry, axis=0), None)  # noqa: E731
        if repeated == 1:
            return step(jnp.ones(5), None)[0]
        return jax.lax.scan(step, jnp.ones(5), length=repeated)[0]

    program = jax.jit(means, in_shardings=data_sharding(mesh), out_shardings=replicated(mesh))
    (collective,) = collectives.collectives(program.lower(jnp.ones((8, 5))).compile())
    assert (collective.kind, collective.times, collective.bytes) == ("all-reduce", repeated, 20)
    assert collective.sent(4) == 2 * 20 * 3 / 4


def test_gathering_sends_a_share_to_every_other_device():
    mesh = make_mesh(jax.devices()[:4])
    program = jax.jit(lambda x: x, in_shardings=data_sharding(mesh), out_shardings=replicated(mesh))
    (collective,) = collectives.collectives(program.lower(jnp.ones((8, 5))).compile())
    assert (collective.kind, collective.operands) == ("all-gather", (Operand("f32", (2, 5)),))
    assert collective.sent(4) == 3 * 40
