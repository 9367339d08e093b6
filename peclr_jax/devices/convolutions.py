"""A ResNet's convolutions in the forms that XLA's CPU backend computes fast; elsewhere unchanged.

Each takes what Flax passes to `jax.lax.conv_general_dilated`, and returns the same up to rounding.
On a CPU convolutions of size 1 are products of matrices, the stem's is one over blocks of pixels,
those of maps smaller than their kernel are products with a matrix over the whole map, and those of
stride 2 have a backward pass of their own. What each gains is in docs/speed.md.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from peclr_jax.devices.linear_calls import linear_call

Convolution = Callable[..., Array]
_NHWC = ("NHWC", "HWIO", "NHWC")


def implementation(size: int, pointwise: str) -> Convolution:
    """Returns the convolution for kernels of a size, in place of `jax.lax.conv_general_dilated`.

    Args:
      size: Side of the kernel, 1, 3 or 7; padded by (size - 1) / 2.
      pointwise: A key of `POINTWISE`; "platform" chooses for the other sizes, too.
    """
    if size == 1:
        return POINTWISE[pointwise]
    if pointwise != "platform":
        return jax.lax.conv_general_dilated
    return {3: _3x3_by_platform, 7: _stem_by_platform}[size]


def _as_dot(
    x: Float[Array, "batch h w c"],
    kernel: Float[Array, "1 1 c features"],
    strides: Sequence[int],
    *_: Any,
    **__: Any,
) -> Float[Array, "batch h2 w2 features"]:
    """Computes a convolution of size 1 as a product of two matrices."""
    x = x[:, :: strides[0], :: strides[1]]
    # XLA copies arrays of more than two axes in another order for the gradient of the kernel, which
    # took a quarter of a ResNet-50's step.
    return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], kernel.shape[-1])


def _on_cpus(convolve: Convolution) -> Convolution:
    """Returns a convolution that is computed by `convolve` on CPUs and by XLA's elsewhere."""

    def by_platform(x: Array, kernel: Array, *arguments: Any, **options: Any) -> Array:
        return jax.lax.platform_dependent(
            x,
            kernel,
            cpu=lambda x, kernel: convolve(x, kernel, *arguments, **options),
            default=lambda x, kernel: jax.lax.conv_general_dilated(
                x, kernel, *arguments, **options
            ),
        )

    return by_platform


POINTWISE: dict[str, Convolution] = {
    "platform": _on_cpus(_as_dot),
    "dot": _as_dot,
    "convolution": jax.lax.conv_general_dilated,
}


def _stem_by_platform(
    x: Float[Array, "batch h w c"],
    kernel: Float[Array, "7 7 c features"],
    *arguments: Any,
    **options: Any,
) -> Float[Array, "batch h2 w2 features"]:
    """Computes the 7x7 convolution of stride 2."""
    if x.shape[1] % 2 or x.shape[2] % 2:
        return jax.lax.conv_general_dilated(x, kernel, *arguments, **options)
    return _on_cpus(_by_blocks)(x, kernel, *arguments, **options)


def _by_blocks(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    """Computes the stem as a 4x4 convolution over blocks of 2x2 pixels.

    XLA's CPU convolutions are three times slower at 3 channels than at 12.
    """
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 4 * channels)
    # A row and a column of zeros before, so that the taps, too, pair up in blocks.
    kernel = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
    kernel = kernel.reshape(4, 2, 4, 2, channels, -1).transpose(0, 2, 1, 3, 4, 5)
    return _convolve(x, kernel.reshape(4, 4, 4 * channels, -1), 1, [(2, 1), (2, 1)])


def _3x3_by_platform(
    x: Float[Array, "batch h w c"],
    kernel: Float[Array, "3 3 c features"],
    strides: Sequence[int],
    *arguments: Any,
    **options: Any,
) -> Float[Array, "batch h2 w2 features"]:
    """Computes a 3x3 convolution of one stride in both directions."""
    stride, *_ = strides
    convolve: Convolution = jax.lax.conv_general_dilated
    if max(x.shape[1:3]) <= 2:
        convolve = _on_cpus(_over_the_map)
    elif stride == 2 and x.shape[1] % 2 == x.shape[2] % 2 == 0:
        convolve = _on_cpus(lambda x, kernel, *_, **__: _of_stride_2(x, kernel))
    return convolve(x, kernel, strides, *arguments, **options)


def _over_the_map(
    x: Array, kernel: Array, strides: Sequence[int], *_: Any, **__: Any
) -> Float[Array, "batch h2 w2 features"]:
    """Computes a 3x3 convolution of a map of at most 2x2 pixels as a product of two matrices.

    XLA's CPU convolutions take up to a hundred times as long where the kernel is the larger one.
    """
    batch, height, width, channels = x.shape
    rows, columns = range(0, height, strides[0]), range(0, width, strides[1])
    taps = jnp.pad(kernel, ((height, height), (width, width), (0, 0), (0, 0)))

    def taps_of(row: int, column: int) -> Array:
        """Returns what each pixel of the map has for a weight in one pixel of the result."""
        top, left = height + 1 - row, width + 1 - column
        return taps[top : top + height, left : left + width]

    matrix = jnp.stack([taps_of(*place) for place in itertools.product(rows, columns)], axis=3)
    y = x.reshape(batch, -1) @ matrix.reshape(height * width * channels, -1)
    return y.reshape(batch, len(rows), len(columns), -1)


@jax.custom_jvp
def _of_stride_2(x: Array, kernel: Array) -> Array:
    """Computes a 3x3 convolution of stride 2 of maps with even sides."""
    return _convolve(x, kernel, 2, [(1, 1), (1, 1)])


@_of_stride_2.defjvp
def _of_stride_2_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (x, kernel), (x_dot, kernel_dot) = primals, tangents
    of_x = linear_call(lambda kernel, x_dot: _of_stride_2(x_dot, kernel), _pull_back, kernel, x_dot)
    y_dot = of_x + _convolve(x, kernel_dot, 2, [(1, 1), (1, 1)])
    return _of_stride_2(x, kernel), y_dot


def _pull_back(
    kernel: Float[Array, "3 3 c features"], gradient: Float[Array, "batch h w features"]
) -> Float[Array, "batch 2*h 2*w c"]:
    """Returns the gradient of the input of `_of_stride_2`, by the parity of rows and columns.

    Row 2i of the input meets the middle row of the kernel, in row i of the result; row 2i + 1 the
    last row, in row i, and the first, in row i + 1. XLA's own derivative is a convolution with
    zeros between the pixels of the gradient, which multiplies the zeros, too.
    """
    batch, height, width, _ = gradient.shape
    taps = slice(1, 2), slice(None, None, -2)

    def of_parity(row: int, column: int) -> Array:
        part = kernel[taps[row], taps[column]].swapaxes(2, 3)
        if row == column == 0:
            return _as_dot(gradient, part, (1, 1))
        return _convolve(gradient, part, 1, [(0, row), (0, column)])

    rows = [jnp.stack([of_parity(row, column) for column in (0, 1)], axis=3) for row in (0, 1)]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)


def _convolve(x: Array, kernel: Array, stride: int, padding: Sequence[tuple[int, int]]) -> Array:
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_NHWC)
