"""Max-pooling of ResNet's stem, with a derivative that keeps the place of each maximum."""

import itertools
from functools import partial, reduce

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from peclr_jax.devices.linear_calls import linear_call

_SIZE, _STRIDE, _PADDING = 3, 2, 1


@jax.custom_jvp
def max_pool(x: Float[Array, "batch h w c"]) -> Float[Array, "batch h2 w2 c"]:
    """Returns the maxima of windows of 3x3 pixels, two pixels apart; the border never wins.

    On GPUs, XLA's own derivative of pooling is a scatter from coordinates that take ten times the
    memory of the result. This one keeps a byte a window, the place of its (first) maximum, and
    every pixel looks up the windows that it lies in.
    """
    window, strides = (_SIZE, _SIZE), (_STRIDE, _STRIDE)
    return nn.max_pool(x, window, strides, padding=((_PADDING, _PADDING),) * 2)


@max_pool.defjvp
def _max_pool_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (x_dot,) = primals, tangents
    y, *others = _windows(x, -jnp.inf)
    place = jnp.zeros(y.shape, jnp.uint8)
    for index, window in enumerate(others, start=1):
        place = jnp.where(window > y, jnp.uint8(index), place)
        y = jnp.maximum(y, window)
    sides = x.shape[1], x.shape[2]
    return y, linear_call(_push_forward, partial(_pull_back, sides), place, x_dot)


def _push_forward(place: Array, x_dot: Array) -> Array:
    """Returns the tangents at the maxima."""
    windows = enumerate(_windows(x_dot, 0))
    return reduce(jnp.add, (jnp.where(place == index, window, 0) for index, window in windows))


def _pull_back(sides: tuple[int, int], place: Array, gradient: Array) -> Array:
    """Returns the sum, at every pixel, over the windows whose maximum it is.

    A pixel in an even row lies in the middle row of one window, one in an odd row in the last row
    of a window and in the first row of the next; columns alike.
    """
    # The barriers keep compilers from writing the windows of each place to memory one by one.
    place, gradient = jax.lax.optimization_barrier((place, gradient))
    border = ((0, 0), (0, 1), (0, 1), (0, 0))
    place = jnp.pad(place, border, constant_values=_SIZE**2)
    gradient = jnp.pad(gradient, border)
    height, width = gradient.shape[1] - 1, gradient.shape[2] - 1

    def through(row: int, column: int) -> Array:
        """Returns what comes through one place of each window to a pixel of its own parity."""
        down, right = int(row == 0), int(column == 0)
        near = slice(None), slice(down, down + height), slice(right, right + width)
        return jnp.where(place[near] == _SIZE * row + column, gradient[near], 0)

    rows_of = {0: (1,), 1: (2, 0)}
    total: Array = jnp.zeros((), gradient.dtype)
    for odd_row, odd_column in itertools.product(rows_of, rows_of):
        found = itertools.product(rows_of[odd_row], rows_of[odd_column])
        pixels = reduce(jnp.add, (through(*each) for each in found))
        spread = [(odd, 1 - odd, 1) for odd in (odd_row, odd_column)]
        total += jax.lax.pad(pixels, jnp.zeros((), pixels.dtype), ((0, 0, 0), *spread, (0, 0, 0)))
    return jax.lax.optimization_barrier(total[:, : sides[0], : sides[1]])


def _windows(x: Array, border: ArrayLike) -> list[Array]:
    """Returns the pixels of every window, by their place in it."""
    sides = (_PADDING, _PADDING, 0)
    x = jax.lax.pad(x, jnp.asarray(border, x.dtype), ((0, 0, 0), sides, sides, (0, 0, 0)))
    last = [side - _SIZE for side in x.shape[1:3]]
    return [
        x[:, i : i + last[0] + 1 : _STRIDE, j : j + last[1] + 1 : _STRIDE]
        for i in range(_SIZE)
        for j in range(_SIZE)
    ]
