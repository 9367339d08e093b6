"""The forms of convolutions for CPUs against XLA's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.devices.convolutions import POINTWISE, implementation

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
sides = st.integers(1, 8)


def compare(ours, size, stride, height, width):
    """Compares values, both gradients and the derivative in a direction of random whole numbers."""
    random = np.random.default_rng(height + 10 * width)
    draw = lambda *shape: random.integers(-3, 4, shape).astype(np.float32)  # noqa: E731
    padding = [((size - 1) // 2, (size - 1) // 2)] * 2

    @partial(jax.jit, static_argnums=0)
    def derivatives(convolve, x, kernel, x_dot, kernel_dot, gradient):
        def apply(x, kernel):
            strides = (stride, stride)
            return convolve(x, kernel, strides, padding, dimension_numbers=DIMENSIONS)

        y, pull_back = jax.vjp(apply, x, kernel)
        _, y_dot = jax.jvp(apply, (x, kernel), (x_dot, kernel_dot))
        return y, pull_back(gradient), y_dot

    x, x_dot = draw(2, 2, height, width, 3)
    kernel, kernel_dot = draw(2, size, size, 3, 5)
    gradient = draw(2, -(-height // stride), -(-width // stride), 5)
    values = x, kernel, x_dot, kernel_dot, gradient
    # Sums of so few whole numbers are exact in float32, and equal in any order.
    jax.tree.map(
        np.testing.assert_array_equal,
        derivatives(ours, *values),
        derivatives(jax.lax.conv_general_dilated, *values),
    )


@given(sides, sides, st.sampled_from([1, 2]))
def test_of_size_3(height, width, stride):
    compare(implementation(3, "platform"), 3, stride, height, width)


@given(sides, sides, st.sampled_from([1, 2]), st.sampled_from(list(POINTWISE)))
def test_of_size_1(height, width, stride, pointwise):
    compare(implementation(1, pointwise), 1, stride, height, width)


@pytest.mark.parametrize("shape", [(16, 16), (10, 6), (9, 12)])
def test_of_the_stem(shape):
    compare(implementation(7, "platform"), 7, 2, *shape)


@pytest.mark.parametrize(
    ("side", "stride", "convolutions"), [(1, 1, 0), (2, 1, 0), (2, 2, 0), (3, 1, 1), (4, 2, 1)]
)
def test_maps_smaller_than_the_kernel_are_products(side, stride, convolutions):
    """XLA's convolutions of them are slow, so that there is to be none in the program."""

    def apply(x, kernel):
        return implementation(3, "platform")(
            x, kernel, (stride, stride), [(1, 1)] * 2, dimension_numbers=DIMENSIONS
        )

    program = jax.jit(apply).lower(jnp.ones((2, side, side, 4)), jnp.ones((3, 3, 4, 4))).compile()
    assert program.as_text().count(" convolution(") == convolutions


@pytest.mark.parametrize("pointwise", ["platform", "convolution"])
def test_the_gradient_at_stride_2_multiplies_no_zeros(pointwise):
    """XLA's own does: its convolution dilates the gradient."""

    def loss(x, kernel):
        convolve = implementation(3, pointwise)
        return convolve(x, kernel, (2, 2), [(1, 1)] * 2, dimension_numbers=DIMENSIONS).sum()

    arrays = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
    program = jax.jit(jax.grad(loss)).lower(*arrays).compile().as_text()
    assert ("lhs_dilate" in program) == (pointwise == "convolution")


def test_of_other_platforms_are_xlas_own():
    def apply(x, kernel):
        return implementation(3, "platform")(
            x, kernel, (1, 1), [(1, 1)] * 2, dimension_numbers=DIMENSIONS
        )

    traced = jax.jit(apply).trace(jnp.ones((2, 2, 2, 4)), jnp.ones((3, 3, 4, 4)))
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.convolution") == 1
    assert "dot_general" not in text
