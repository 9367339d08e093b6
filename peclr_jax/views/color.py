"""Photometric operations on single pixels, batched, each image with its own parameters.

Images are float32 RGB in [0, 255]. `operations.py` draws the parameters.

The official PeCLR code takes RGB images for BGR wherever it computes a hue or a grey value.
`channel_order="bgr"` reproduces that; the default is the true order.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

ChannelOrder = Literal["rgb", "bgr"]
Images = Float[Array, "batch height width 3"]

# ITU-R BT.601, the weights of OpenCV and PIL.
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114

# Far below one grey level: keeps 0/0 out of the hue and saturation of greys.
_TINY = 1e-9


def color_jitter(
    images: Images,
    hue: Float[Array, " batch"],
    saturation: Float[Array, " batch"],
    gain: Float[Array, " batch"],
    offset: Float[Array, " batch"],
    *,
    channel_order: ChannelOrder = "rgb",
    quantize: bool = False,
) -> Images:
    """Multiplies hue and saturation and maps value V to `gain * V + offset` (PeCLR, Sec. 8).

    The hue angle starts at red, so a factor below one turns every hue back toward red (toward
    blue with `channel_order="bgr"`).

    Args:
      images: RGB in [0, 255].
      hue: Factor on the hue angle.
      saturation: Factor on the saturation.
      gain: Factor on the value.
      offset: Term added to the value, in grey levels.
      channel_order: Which channel counts as red where hue is measured.
      quantize: Whether hue, saturation and value pass through OpenCV's 8-bit HSV (hue in steps
        of two degrees, scaled channels truncated), as in the official code.
    """
    hue, saturation, gain, offset = (
        factor[:, None, None] for factor in (hue, saturation, gain, offset)
    )
    h, s, v = _to_hsv(*_channels(images, channel_order))
    if quantize:
        h, s, v = _round(30 * h), _round(255 * s) / 255, _round(v)
        h = jnp.where(h < 180, h, h - 180) / 30  # a whole turn is red, the hue 0
    h = h * hue
    s = jnp.clip(s * saturation, 0, 1)
    v = jnp.clip(v * gain + offset, 0, 255)
    if quantize:
        h, s, v = jnp.floor(30 * h) / 30, jnp.floor(255 * s) / 255, jnp.floor(v)
    jittered = _from_hsv(h - 6 * jnp.floor(h / 6), s, v)
    result = jnp.stack(jittered if channel_order == "rgb" else jittered[::-1], axis=-1)
    return _round(result) if quantize else result


def grey(
    images: Images, *, channel_order: ChannelOrder = "rgb"
) -> Float[Array, "batch height width"]:
    """Returns the luma of every pixel."""
    red, green, blue = _channels(images, channel_order)
    return _RED * red + _GREEN * green + _BLUE * blue


def color_drop(images: Images, *, channel_order: ChannelOrder = "rgb") -> Images:
    """Replaces every pixel by its grey value."""
    luma = grey(images, channel_order=channel_order)
    return jnp.broadcast_to(luma[..., None], images.shape)


def gaussian_noise(key: Key[Array, ""], images: Images, deviation: float) -> Images:
    """Adds independent Gaussian noise to every value, clipped to [0, 255].

    The official code's noise is one-sided and wraps modulo 256, both by accident of uint8.

    Args:
      key: PRNG key.
      images: RGB in [0, 255].
      deviation: Standard deviation in grey levels.
    """
    noise = jax.random.normal(key, images.shape, jnp.float32)
    return jnp.clip(images + deviation * noise, 0, 255)


def cut_out(
    images: Images,
    center: Float[Array, "batch 2"],
    side: Float[Array, " batch"],
    fill: Float[Array, " batch"],
) -> Images:
    """Paints a square of one grey over each image.

    Args:
      images: RGB in [0, 255].
      center: (x, y) of the square in pixels; parts outside the image are cut off.
      side: Side of the square in pixels; its fraction is dropped.
      fill: Grey level in [0, 255].
    """
    _, height, width, _ = images.shape
    side = jnp.floor(side)[:, None]
    # Truncated, not floored: the official boxes are integers made by Python's int().
    corner = jnp.trunc(center - side / 2)

    def covered(length: int, start: Float[Array, " batch"]) -> Array:
        pixel = jnp.arange(length)
        return (pixel >= start[:, None]) & (pixel < start[:, None] + side)

    mask = covered(height, corner[:, 1])[:, :, None] & covered(width, corner[:, 0])[:, None, :]
    return jnp.where(mask[..., None], fill[:, None, None, None], images)


def _channels(images: Array, channel_order: ChannelOrder) -> tuple[Array, Array, Array]:
    """Returns what counts as red, green and blue."""
    first, second, third = images[..., 0], images[..., 1], images[..., 2]
    return (first, second, third) if channel_order == "rgb" else (third, second, first)


def _to_hsv(red: Array, green: Array, blue: Array) -> tuple[Array, Array, Array]:
    """Returns hue in sixths of a turn [0, 6], saturation in [0, 1], value in [0, 255].

    Sorting the channels by two compare-and-swaps, each of which reflects the hue, needs no
    branch per sector of the colour wheel. XLA's CPU code for it, fused behind the resampling, is
    six times as fast as the textbook's nested selects.
    """
    high, low = jnp.maximum(green, blue), jnp.minimum(green, blue)
    turn = jnp.where(green < blue, -6.0, 0.0)
    value, middle = jnp.maximum(red, high), jnp.minimum(red, high)
    turn = jnp.where(red < high, -2.0 - turn, turn)
    chroma = value - jnp.minimum(middle, low)
    hue = jnp.abs(turn + (middle - low) / (chroma + _TINY))
    return hue, chroma / (value + _TINY), value


def _from_hsv(hue: Array, saturation: Array, value: Array) -> tuple[Array, Array, Array]:
    chroma = value * saturation
    return (
        value - chroma * (1 - jnp.clip(jnp.abs(hue - 3) - 1, 0, 1)),
        value - chroma * (1 - jnp.clip(2 - jnp.abs(hue - 2), 0, 1)),
        value - chroma * (1 - jnp.clip(2 - jnp.abs(hue - 4), 0, 1)),
    )


def _round(values: Array) -> Array:
    """Rounds halves up, as OpenCV's integer tables do."""
    return jnp.floor(values + 0.5)
