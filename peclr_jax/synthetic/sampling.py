"""What scenes are sampled with: named random numbers, and vector algebra on the last axis.

Every call of `jax.random` unrolls its hash into the program. So a picture draws one table of
U(0, 1) numbers from its key, and every sampler is a deterministic function of one row of that
table: compilation is short, and no two samplers can share a number.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from peclr_jax.geometry.arrays import assemble

NUMBERS = 80
Numbers = Float[Array, "80"]


def table(key: Key[Array, ""], rows: int) -> Float[Array, "rows 80"]:
    """Draws the U(0, 1) numbers of several samplers."""
    return jax.random.uniform(key, (rows, NUMBERS))


def named(numbers: Numbers, **shapes: tuple[int, ...]) -> dict[str, Float[Array, "..."]]:
    """Splits a row of `table` into arrays by name; no number is used twice."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    assert sum(sizes) <= NUMBERS, f"{sum(sizes)} random numbers of a row of {NUMBERS}"
    arrays, start = {}, 0
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        arrays[name] = numbers[start : start + size].reshape(shape)
        start += size
    return arrays


def between(
    u: Float[Array, "..."],
    low: int | float | Float[Array, "..."],
    high: int | float | Float[Array, "..."],
) -> Float[Array, "..."]:
    """Turns U(0, 1) numbers into U(low, high).

    Args:
      u: U(0, 1) numbers.
      low: Lower end.
      high: Upper end.
    """
    return low + (high - low) * u


def gaussian(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Turns U(0, 1) numbers into N(0, 1), cut at 3.5 standard deviations."""
    return jnp.sqrt(2.0) * jax.lax.erf_inv(jnp.clip(2 * u - 1, -0.99953, 0.99953))


def normalize(v: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """Scales vectors to unit length."""
    return v / jnp.sqrt(jnp.sum(v * v, axis=-1, keepdims=True) + 1e-9)


def rotation(axis: int, angle: Float[Array, "*batch"]) -> Float[Array, "*batch 3 3"]:
    """Returns rotations by radians; those about x (axis 0) turn +y toward +z, and so on."""
    c, s, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle), jnp.ones_like(angle)
    about_x = [[one, zero, zero], [zero, c, -s], [zero, s, c]]
    return assemble(*(tuple(about_x[i - axis][j - axis] for j in range(3)) for i in range(3)))


def rotation_from_quaternion(q: Float[Array, "*batch 4"]) -> Float[Array, "*batch 3 3"]:
    """Returns the rotations of quaternions (w, x, y, z); N(0, 1) numbers give uniform rotations."""
    q = q / jnp.sqrt(jnp.sum(q * q, axis=-1, keepdims=True) + 1e-9)
    w, x, y, z = jnp.moveaxis(q, -1, 0)
    return assemble(
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )


def frame(
    direction: Float[Array, "*batch 3"], palmar: Float[Array, "*batch 3"]
) -> Float[Array, "*batch 3 3"]:
    """Returns the frame of a bone: columns (side, direction, palmar made orthogonal to it)."""
    direction = normalize(direction)
    along = jnp.sum(direction * palmar, axis=-1, keepdims=True)
    palmar = normalize(palmar - along * direction)
    return jnp.stack([jnp.cross(direction, palmar), direction, palmar], axis=-1)


def segment_distance(
    point: Float[Array, "*batch 3"], start: Float[Array, "3"], end: Float[Array, "3"]
) -> Float[Array, "*batch"]:
    """Computes the distances of points to a segment.

    Args:
      point: The points.
      start: One end of the segment.
      end: The other end.
    """
    axis, offset = end - start, point - start
    along = jnp.sum(offset * axis, axis=-1) / (jnp.sum(axis * axis, axis=-1) + 1e-6)
    offset = offset - axis * jnp.clip(along, 0.0, 1.0)[..., None]
    return jnp.sqrt(jnp.sum(offset * offset, axis=-1) + 1e-9)
