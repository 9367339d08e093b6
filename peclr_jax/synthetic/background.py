"""Procedural backgrounds in linear RGB: clouds of colour, and shapes of all kinds before them.

"green" and "shared" exist because a unique background tells images apart without the hand.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from peclr_jax.synthetic.appearance import SKIN_TONES, to_linear
from peclr_jax.synthetic.sampling import between

_OCTAVES = (3, 6, 13, 29)
_SHAPES = 8
_NUMBERS_PER_SHAPE = 16
_GREEN = np.array([0.12, 0.42, 0.16], np.float32)


def green_screen(key: Key[Array, ""], size: int) -> Float[Array, "{size} {size} 3"]:
    """Draws a green screen of `size` pixels, unevenly lit."""
    u = jax.random.uniform(key, (6,))
    ramp = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    light = 1 + 0.25 * ((u[0] - 0.5) * ramp[None] + (u[1] - 0.5) * ramp[:, None])
    color = jnp.asarray(_GREEN) * between(u[2], 0.75, 1.25) * (1 + 0.1 * (u[3:] - 0.5))
    return color * light[..., None]


def clutter(key: Key[Array, ""], size: int) -> Float[Array, "{size} {size} 3"]:
    """Draws clouds and eight soft or sharp shapes, some of them striped or coloured as skin."""
    noise = [(2, n, n) for n in _OCTAVES]
    sizes = [math.prod(shape) for shape in noise]
    u = jax.random.uniform(key, (sum(sizes) + 16 + _SHAPES * _NUMBERS_PER_SHAPE,))
    *grids, palette, shapes = jnp.split(u, np.cumsum([*sizes, 16]))
    clouds = _clouds([g.reshape(s) for g, s in zip(grids, noise, strict=True)], size)
    colors = _colors(palette[:12].reshape(3, 4))
    # Some walls are plain.
    contrast = between(palette[12], 0.1, 1.2)
    mix = jnp.clip(0.5 + contrast * (clouds - 0.5), 0.0, 1.0)[..., None]
    image = colors[0] + (colors[1] - colors[0]) * mix[0]
    image = image + (colors[2] - image) * mix[1] * palette[13]
    return to_linear(jnp.clip(_draw_shapes(image, shapes, size), 0.01, 1.0))


def _clouds(grids: list[Float[Array, "2 _ _"]], size: int) -> Float[Array, "2 {size} {size}"]:
    total, weight = jnp.zeros((2, size, size)), 0.0
    for octave, grid in enumerate(grids):
        spread = _interpolation(grid.shape[-1], size)
        total = total + 0.55**octave * (spread @ grid @ spread.T)
        weight += 0.55**octave
    return 0.5 + 1.6 * (total / weight - 0.5)


def _interpolation(count: int, size: int) -> Float[np.ndarray, "{size} {count}"]:
    """Matrix that samples `count` grid values smoothly at `size` pixels."""
    place = np.linspace(0.0, count - 1.0, size)
    weights = np.clip(1 - np.abs(place[:, None] - np.arange(count)), 0.0, 1.0)
    weights = weights * weights * (3 - 2 * weights)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _colors(u: Float[Array, "*batch 4"]) -> Float[Array, "*batch 3"]:
    """Colours (sRGB), dull more often than vivid."""
    grey = between(u[..., :1], 0.05, 0.95)
    vivid = 0.9 * u[..., 1:2] * u[..., 2:3]
    return grey + (u[..., 1:] - grey) * vivid


def _draw_shapes(
    image: Float[Array, "size size 3"], u: Float[Array, " numbers"], size: int
) -> Float[Array, "size size 3"]:
    ramp = jnp.linspace(-1.0, 1.0, size)
    tones = jnp.asarray(SKIN_TONES)

    def draw(
        image: Float[Array, "size size 3"], u: Float[Array, "16"]
    ) -> tuple[Float[Array, "size size 3"], None]:
        angle = 2 * jnp.pi * u[0]
        dx, dy = ramp[None] - between(u[1], -1, 1), ramp[:, None] - between(u[2], -1, 1)
        x = jnp.cos(angle) * dx + jnp.sin(angle) * dy
        y = jnp.cos(angle) * dy - jnp.sin(angle) * dx
        width, height = between(u[3] ** 2, 0.06, 0.8), between(u[4] ** 2, 0.06, 0.8)
        box = jnp.maximum(jnp.abs(x) - width, jnp.abs(y) - height)
        ellipse = (jnp.sqrt((x / width) ** 2 + (y / height) ** 2) - 1) * jnp.minimum(width, height)
        edge = between(u[5] ** 3, 0.7, 14.0) / size
        distance = jnp.where(u[6] < 0.5, box, ellipse)
        cover = jax.nn.sigmoid(-2 * distance / edge) * (u[7] < 0.6)
        tone = tones[jnp.clip((u[8] * len(SKIN_TONES)).astype(jnp.int32), 0, len(SKIN_TONES) - 1)]
        color = jnp.where(u[9] < 0.3, tone, _colors(u[10:14]))
        stripes = jnp.where(u[14] < 0.3, 0.25 * (1 + jnp.sin(x * between(u[15], 5, 60))), 0.0)
        cover = cover[..., None]
        return image + (color * (1 - stripes[..., None]) - image) * cover, None

    return jax.lax.scan(draw, image, u.reshape(_SHAPES, _NUMBERS_PER_SHAPE))[0]
