"""Draws the foregrounds of many scenes: sphere tracing from coarse to fine.

A square tile of pixels first marches as one cone, which skips empty tiles and gives the others a
depth to start from. Tiles of all scenes that may show something are gathered into one list and
worked off block by block, so that the work follows the hands' area, not the images', and no tile is
ever dropped.

The surface drawn lies half a pixel inside the true one: a ray's nearest miss, in pixels, then is
exactly the part of its pixel that the hand leaves uncovered.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from peclr_jax.synthetic.distance import Field, Geometry, Rays, scene_distance
from peclr_jax.synthetic.scene import FARTHEST, Scene
from peclr_jax.synthetic.shading import shade

_TILES_PER_SIDE = 16
# Marching steps that find a tile's depth, of which fewer shift work to the rays; most of a pixel.
_CONE_STEPS, _RAY_STEPS = 28, 48
_CHANNELS = 6
_NEAR, _FAR = 120.0, FARTHEST + 350.0
# Shares of a pixel: what counts as touching, and the shortest step, which keeps rays that graze a
# silhouette from using up their steps there (rings of background).
_TOUCH = 0.06
_SHORTEST_STEP = 0.3

# Number of steps; distance and miss (in pixels) now; distance and miss where it was least.
_State = tuple[Array, Array, Array, Array, Array]


class Foreground(NamedTuple):
    """Linear RGB, share of a pixel covered, whether skin is nearest, millimetres along rays."""

    color: Float[Array, "scenes size size 3"]
    coverage: Float[Array, "scenes size size"]
    skin: Bool[Array, "scenes size size"]
    distance: Float[Array, "scenes size size"]


def draw_foreground(scene: Scene, size: int, rays_per_block: int) -> Foreground:
    """Traces and shades all scenes.

    Args:
      scene: The scenes, on the last axis.
      size: Side of the images, pixels.
      rays_per_block: Rays worked on at once.
    """
    tile = max(size // _TILES_PER_SIDE, 1)
    side = math.ceil(size / tile)
    corner = np.arange(side * side)[:, None] // np.array([1, side]) % side * tile
    inner = np.stack(np.divmod(np.arange(tile * tile), tile)[::-1], axis=-1)
    center = (size - 1) / 2
    focal = scene.focal * size

    middle = (corner - center + (tile - 1) / 2).astype(np.float32)
    rays = _rays_through(jnp.asarray(middle[:, :1]), jnp.asarray(middle[:, 1:]), focal)
    # Half a tile's diagonal, and the half pixel of coverage around every silhouette.
    slope = (tile / math.sqrt(2) + 0.6) / focal
    start, shown = _trace_cones(scene.geometry, rays, slope, _CONE_STEPS)

    count, scenes = shown.size, shown.shape[-1]
    block = min(max(rays_per_block // tile**2, 1), count)
    order = jnp.argsort(~shown.ravel(), stable=True)
    slots = math.ceil(count / block) * block
    padded = jnp.pad(order, (0, slots - count))

    def draw_block(index: Int[Array, ""], buffer: Array) -> Array:
        chosen = jax.lax.dynamic_slice(padded, (index * block,), (block,))
        part = jax.tree.map(lambda leaf: leaf[..., chosen % scenes], scene)
        x, y = jnp.asarray(corner - center, jnp.float32)[chosen // scenes].T
        part_focal = part.focal * size
        rays = _rays_through(inner[:, :1] + x, inner[:, 1:] + y, part_focal)
        near = jnp.broadcast_to(start.ravel()[chosen], rays.x.shape)
        distance, cover = _trace_rays(part.geometry, rays, near, 1 / part_focal, _RAY_STEPS)
        color, surface = shade(part, rays, distance, 1 / part_focal)
        drawn = jnp.stack([*color, cover, surface.on_skin.astype(jnp.float32), distance])
        return jax.lax.dynamic_update_slice(buffer, drawn, (0, 0, index * block))

    blocks = (jnp.sum(shown) + block - 1) // block
    buffer = jnp.zeros((_CHANNELS, tile * tile, slots))
    buffer = jax.lax.fori_loop(0, blocks, draw_block, buffer)
    place = jnp.zeros(count, jnp.int32).at[order].set(jnp.arange(count, dtype=jnp.int32))
    tiles = buffer[:, :, place].reshape(_CHANNELS, tile, tile, side, side, scenes)
    images = tiles.transpose(5, 3, 1, 4, 2, 0).reshape(scenes, side * tile, side * tile, _CHANNELS)
    images = images[:, :size, :size]
    return Foreground(images[..., :3], images[..., 3], images[..., 4] > 0.5, images[..., 5])


def _rays_through(
    x: Float[Array, "rays #scenes"], y: Float[Array, "rays #scenes"], focal: Float[Array, " scenes"]
) -> Rays:
    """Returns the rays through pixels x right of the image's centre and y below it."""
    x, y = x / focal, y / focal
    inverse = 1 / jnp.sqrt(x * x + y * y + 1)
    return Rays(x * inverse, y * inverse, inverse)


def _trace_cones(
    geometry: Geometry, rays: Rays, slope: Float[Array, " scenes"], steps: int
) -> tuple[Float[Array, "rays scenes"], Bool[Array, "rays scenes"]]:
    """Marches cones, of radius `slope` at unit distance, until they touch something.

    Returns how far each cone is free, and whether it may hit; too few steps only cost time.
    """

    def step(_: Int[Array, ""], distance: Field) -> Field:
        free = scene_distance(geometry, rays.at(distance)) - slope * distance
        # The step after which the cone's rim leaves the free ball.
        return jnp.minimum(distance + jnp.maximum(free, 0.0) / (1 + slope), _FAR)

    distance = jax.lax.fori_loop(0, steps, step, jnp.full_like(rays.x, _NEAR))
    return distance, distance < _FAR


def _trace_rays(
    geometry: Geometry, rays: Rays, start: Field, pixel: Float[Array, " scenes"], steps: int
) -> tuple[Field, Field]:
    """Marches rays from `start` until each touches a surface or leaves the scene.

    Returns where they come closest to a surface, and the share of the pixel covered there.
    """

    def going(state: _State) -> Bool[Array, ""]:
        step, distance, miss, _, _ = state
        return (step < steps) & jnp.any((miss > _TOUCH) & (distance < _FAR))

    def advance(state: _State) -> _State:
        step, distance, miss, nearest, nearest_miss = state
        size = pixel * distance
        free = scene_distance(geometry, rays.at(distance)) + 0.5 * size
        miss = jnp.where(miss > _TOUCH, free / size, miss)
        nearest = jnp.where(miss < nearest_miss, distance, nearest)
        ahead = distance + jnp.maximum(free, _SHORTEST_STEP * size)
        distance = jnp.where((miss > _TOUCH) & (distance < _FAR), ahead, distance)
        return step + 1, distance, miss, nearest, jnp.minimum(nearest_miss, miss)

    far_away = jnp.full_like(start, 1e6)
    _, _, _, nearest, miss = jax.lax.while_loop(
        going, advance, (jnp.zeros((), jnp.int32), start, far_away, start, far_away)
    )
    return nearest, jnp.where(miss <= _TOUCH, 1.0, jnp.clip(1.0 - miss, 0.0, 1.0))
