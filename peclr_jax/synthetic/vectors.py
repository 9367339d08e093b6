"""Small vector algebra for the sampling of scenes (one scene, coordinates last)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def normalize(v: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """Scales vectors to unit length."""
    return v / jnp.sqrt(jnp.sum(v * v, axis=-1, keepdims=True) + 1e-9)


def rotation_x(angle: Float[Array, "*batch"]) -> Float[Array, "*batch 3 3"]:
    """Rotation about x: turns +y toward +z. Radians."""
    c, s, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle), jnp.ones_like(angle)
    return _matrix([[one, zero, zero], [zero, c, -s], [zero, s, c]])


def rotation_y(angle: Float[Array, "*batch"]) -> Float[Array, "*batch 3 3"]:
    """Rotation about y: turns +z toward +x. Radians."""
    c, s, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle), jnp.ones_like(angle)
    return _matrix([[c, zero, s], [zero, one, zero], [-s, zero, c]])


def rotation_z(angle: Float[Array, "*batch"]) -> Float[Array, "*batch 3 3"]:
    """Rotation about z: turns +x toward +y. Radians."""
    c, s, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle), jnp.ones_like(angle)
    return _matrix([[c, -s, zero], [s, c, zero], [zero, zero, one]])


def rotation_from_quaternion(q: Float[Array, "*batch 4"]) -> Float[Array, "*batch 3 3"]:
    """Rotation of a quaternion (w, x, y, z) of any length; four normals give a uniform rotation."""
    q = q / jnp.sqrt(jnp.sum(q * q, axis=-1, keepdims=True) + 1e-9)
    w, x, y, z = jnp.moveaxis(q, -1, 0)
    return _matrix(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def frame(
    direction: Float[Array, "*batch 3"], palmar: Float[Array, "*batch 3"]
) -> Float[Array, "*batch 3 3"]:
    """Frame of a bone, its columns (side, direction, palmar); `palmar` is made orthogonal."""
    direction = normalize(direction)
    along = jnp.sum(direction * palmar, axis=-1, keepdims=True)
    palmar = normalize(palmar - along * direction)
    return jnp.stack([jnp.cross(direction, palmar), direction, palmar], axis=-1)


def segment_distance(
    point: Float[Array, "*batch 3"], start: Float[Array, "3"], end: Float[Array, "3"]
) -> Float[Array, "*batch"]:
    """Distance of points to a segment."""
    axis, offset = end - start, point - start
    along = jnp.sum(offset * axis, axis=-1) / (jnp.sum(axis * axis, axis=-1) + 1e-6)
    offset = offset - axis * jnp.clip(along, 0.0, 1.0)[..., None]
    return jnp.sqrt(jnp.sum(offset * offset, axis=-1) + 1e-9)


def _matrix(rows: list[list[Float[Array, "*batch"]]]) -> Float[Array, "*batch 3 3"]:
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
