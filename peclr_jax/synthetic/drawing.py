"""Draws the foregrounds of many scenes: only tiles that show something, in blocks of one shape.

Tiles of all scenes that may show something are gathered into one list and worked off block by
block, so that the work follows the hands' area, not the images', and no tile is ever dropped.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from peclr_jax.synthetic.scene import Scene
from peclr_jax.synthetic.shading import shade
from peclr_jax.synthetic.tracing import rays_through, trace_cones, trace_rays

_TILES_PER_SIDE = 16
_CHANNELS = 6


class Foreground(NamedTuple):
    """What stands before the background.

    Attributes:
        color: linear RGB.
        coverage: part of every pixel that is covered, 0 to 1.
        skin: whether the nearest surface is the hand or bare forearm.
        distance: along the pixel's ray, millimetres.
    """

    color: Float[Array, "scenes size size 3"]
    coverage: Float[Array, "scenes size size"]
    skin: Bool[Array, "scenes size size"]
    distance: Float[Array, "scenes size size"]


def draw_foreground(
    scene: Scene, size: int, *, cone_steps: int, ray_steps: int, rays_per_block: int
) -> Foreground:
    """Traces and shades all scenes.

    Args:
        scene: the scenes, on the last axis.
        size: side of the images, pixels.
        cone_steps: marching steps of a tile.
        ray_steps: largest number of marching steps of a pixel.
        rays_per_block: rays worked on at once.
    """
    tile = max(size // _TILES_PER_SIDE, 1)
    side = math.ceil(size / tile)
    corner = np.arange(side * side)[:, None] // np.array([1, side]) % side * tile
    inner = np.stack(np.divmod(np.arange(tile * tile), tile)[::-1], axis=-1)
    center = (size - 1) / 2
    focal = scene.focal * size

    middle = (corner - center + (tile - 1) / 2).astype(np.float32)
    rays = rays_through(jnp.asarray(middle[:, :1]), jnp.asarray(middle[:, 1:]), focal)
    # Half a tile's diagonal, and the half pixel of coverage around every silhouette.
    slope = (tile / math.sqrt(2) + 0.6) / focal
    start, shown = trace_cones(scene.geometry, rays, slope, cone_steps)

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
        rays = rays_through(inner[:, :1] + x, inner[:, 1:] + y, part_focal)
        near = jnp.broadcast_to(start.ravel()[chosen], rays.x.shape)
        hits = trace_rays(part.geometry, rays, near, 1 / part_focal, ray_steps)
        color, surface = shade(part, rays, hits, 1 / part_focal)
        skin = surface.on_skin.astype(jnp.float32)
        drawn = jnp.stack([*color, hits.coverage, skin, hits.distance])
        return jax.lax.dynamic_update_slice(buffer, drawn, (0, 0, index * block))

    blocks = (jnp.sum(shown) + block - 1) // block
    buffer = jnp.zeros((_CHANNELS, tile * tile, slots))
    buffer = jax.lax.fori_loop(0, blocks, draw_block, buffer)
    place = jnp.zeros(count, jnp.int32).at[order].set(jnp.arange(count, dtype=jnp.int32))
    tiles = buffer[:, :, place].reshape(_CHANNELS, tile, tile, side, side, scenes)
    images = tiles.transpose(5, 3, 1, 4, 2, 0).reshape(scenes, side * tile, side * tile, _CHANNELS)
    images = images[:, :size, :size]
    covered = images[..., 3]
    return Foreground(images[..., :3], covered, images[..., 4] > 0.5, images[..., 5])
