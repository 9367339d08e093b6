"""Sphere tracing from coarse to fine, in the rays-by-scenes layout of `distance.py`.

A square tile of pixels first marches as one cone, which skips empty tiles and gives the others a
depth to start from. The surface drawn lies half a pixel inside the true one: a ray's nearest miss,
in pixels, then is exactly the part of its pixel that the hand leaves uncovered.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from peclr_jax.synthetic.distance import Field, Geometry, Points, scene_distance
from peclr_jax.synthetic.scene import FARTHEST

NEAR, FAR = 120.0, FARTHEST + 350.0
# Shares of a pixel: what counts as touching, and the shortest step, which keeps rays that graze a
# silhouette from using up their steps there (rings of background).
_TOUCH = 0.06
_SHORTEST_STEP = 0.3

# Number of steps; distance and miss (in pixels) now; distance and miss where it was least.
_State = tuple[Array, Array, Array, Array, Array]


class Rays(NamedTuple):
    """Unit directions of rays from the camera.

    Attributes:
        x: right.
        y: down.
        z: forward.
    """

    x: Float[Array, "rays scenes"]
    y: Float[Array, "rays scenes"]
    z: Float[Array, "rays scenes"]

    def at(self, distance: Float[Array, "rays scenes"]) -> Points:
        """The points that lie `distance` along the rays."""
        return self.x * distance, self.y * distance, self.z * distance


class Hits(NamedTuple):
    """Where rays come closest to a surface.

    Attributes:
        distance: along the ray, millimetres.
        coverage: part of the pixel that is covered, 0 to 1.
    """

    distance: Float[Array, "rays scenes"]
    coverage: Float[Array, "rays scenes"]


def rays_through(
    x: Float[Array, "rays #scenes"], y: Float[Array, "rays #scenes"], focal: Float[Array, " scenes"]
) -> Rays:
    """Rays through pixels.

    Args:
        x: pixels right of the image's centre.
        y: pixels below it.
        focal: focal length, pixels.
    """
    x, y = x / focal, y / focal
    inverse = 1 / jnp.sqrt(x * x + y * y + 1)
    return Rays(x * inverse, y * inverse, inverse)


def trace_cones(
    geometry: Geometry, rays: Rays, slope: Float[Array, " scenes"], steps: int
) -> tuple[Float[Array, "rays scenes"], Bool[Array, "rays scenes"]]:
    """Marches cones about `rays` until they touch something.

    Args:
        geometry: the scenes.
        rays: middle rays.
        slope: radius of the cones at unit distance.
        steps: number of steps; too few cost time later, never correctness.

    Returns:
        A distance up to which every ray in the cone is free, and whether the cone may hit.
    """

    def step(_: Int[Array, ""], distance: Field) -> Field:
        free = scene_distance(geometry, rays.at(distance)) - slope * distance
        # The step after which the cone's rim leaves the free ball.
        return jnp.minimum(distance + jnp.maximum(free, 0.0) / (1 + slope), FAR)

    distance = jax.lax.fori_loop(0, steps, step, jnp.full_like(rays.x, NEAR))
    return distance, distance < FAR


def trace_rays(
    geometry: Geometry,
    rays: Rays,
    start: Float[Array, "rays scenes"],
    pixel: Float[Array, " scenes"],
    steps: int,
) -> Hits:
    """Marches rays until each touches a surface or leaves the scene.

    Args:
        geometry: the scenes.
        rays: rays through the centres of pixels.
        start: distance up to which the rays are free.
        pixel: side of a pixel at unit distance.
        steps: largest number of steps.
    """

    def going(state: _State) -> Bool[Array, ""]:
        step, distance, miss, _, _ = state
        return (step < steps) & jnp.any((miss > _TOUCH) & (distance < FAR))

    def advance(state: _State) -> _State:
        step, distance, miss, nearest, nearest_miss = state
        size = pixel * distance
        free = scene_distance(geometry, rays.at(distance)) + 0.5 * size
        miss = jnp.where(miss > _TOUCH, free / size, miss)
        nearest = jnp.where(miss < nearest_miss, distance, nearest)
        ahead = distance + jnp.maximum(free, _SHORTEST_STEP * size)
        distance = jnp.where((miss > _TOUCH) & (distance < FAR), ahead, distance)
        return step + 1, distance, miss, nearest, jnp.minimum(nearest_miss, miss)

    far_away = jnp.full_like(start, 1e6)
    _, _, _, nearest, miss = jax.lax.while_loop(
        going, advance, (jnp.zeros((), jnp.int32), start, far_away, start, far_away)
    )
    return Hits(nearest, jnp.where(miss <= _TOUCH, 1.0, jnp.clip(1.0 - miss, 0.0, 1.0)))
