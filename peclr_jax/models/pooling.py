"""Max-pooling of ResNet's stem, with a derivative that keeps the place of each maximum."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike
from jaxtyping import Array, Float

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

    # Checkpointed to keep the place and not nine comparisons with it.
    @partial(jax.checkpoint, prevent_cse=False)
    def tangent(place: Array, x_dot: Array) -> Array:
        windows = enumerate(_windows(x_dot, 0))
        return reduce(jnp.add, (jnp.where(place == index, w, 0) for index, w in windows))

    return y, tangent(place, x_dot)


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
