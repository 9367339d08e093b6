"""Named random numbers.

A scene needs some hundred random numbers, and every call of `jax.random` unrolls its hash into the
program. So a picture draws one table of U(0, 1) numbers from its key, and every sampler is a
deterministic function of one row of that table: compilation is short, and no two samplers can share
a number.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from peclr_jax.errors import UserError

NUMBERS = 80
Numbers = Float[Array, "80"]


def table(key: Key[Array, ""], rows: int) -> Float[Array, "rows 80"]:
    """Draws the numbers of `rows` samplers."""
    return jax.random.uniform(key, (rows, NUMBERS))


def named(numbers: Numbers, **shapes: tuple[int, ...]) -> dict[str, Float[Array, "..."]]:
    """Hands out a row by name.

    Args:
        numbers: one row of `table`.
        **shapes: name and shape of every array.

    Returns:
        U(0, 1) arrays by name; no number is handed out twice.

    Raises:
        UserError: if the row is too short.
    """
    wanted = sum(math.prod(shape) for shape in shapes.values())
    if wanted > NUMBERS:
        raise UserError(f"{wanted} random numbers wanted of a row of {NUMBERS}: raise NUMBERS.")
    arrays, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        arrays[name] = numbers[start : start + size].reshape(shape)
        start += size
    return arrays


def between(
    u: Float[Array, "..."],
    low: int | float | Float[Array, "..."],
    high: int | float | Float[Array, "..."],
) -> Float[Array, "..."]:
    """Turns U(0, 1) numbers into U(low, high)."""
    return low + (high - low) * u


def gaussian(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Turns U(0, 1) numbers into N(0, 1), cut at 3.5 standard deviations."""
    return jnp.sqrt(2.0) * jax.lax.erf_inv(jnp.clip(2 * u - 1, -0.99953, 0.99953))
