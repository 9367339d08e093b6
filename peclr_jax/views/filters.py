"""Photometric operations on neighbourhoods: Gaussian blur and Sobel, batched.

Images are float32 RGB in [0, 255]. Borders are reflected about the edge pixel (reflect-101).
"""

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from peclr_jax.views.color import ChannelOrder, Images, grey


def blur_kernel_size(side: int, fraction: float = 0.1) -> int:
    """Returns `fraction` of the image's side, truncated and made odd (PeCLR: 13 at 128 px)."""
    return int(fraction * side) | 1


def gaussian_blur(
    images: Float[Array, "batch height width channels"],
    sigma: Float[Array, " batch"],
    kernel_size: int,
) -> Float[Array, "batch height width channels"]:
    """Convolves with a sampled, truncated Gaussian.

    Args:
      images: Any range.
      sigma: Standard deviation in pixels.
      kernel_size: Odd number of taps along each axis, at most 2 * side - 1.
    """
    radius = kernel_size // 2
    offsets = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
    kernel = jnp.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(axis=1, keepdims=True)
    return _correlate(_correlate(images, kernel, axis=1), kernel, axis=2)


def sobel(images: Images, *, channel_order: ChannelOrder = "rgb", wrap: bool = False) -> Images:
    """Replaces every pixel by dx + dy of the grey image under the 3x3 Sobel kernels.

    Args:
      images: RGB in [0, 255].
      channel_order: Which channel counts as red in the grey value.
      wrap: Whether to use the official code's 8-bit arithmetic: the grey is rounded and the
        response taken modulo 256. By default it is the response's magnitude, clipped to 255.
    """
    luma = grey(images, channel_order=channel_order)
    response = sobel_response(jnp.round(luma) if wrap else luma)
    response = jnp.mod(response, 256) if wrap else jnp.clip(jnp.abs(response), 0, 255)
    return jnp.broadcast_to(response[..., None], images.shape)


def sobel_response(luma: Float[Array, "batch height width"]) -> Float[Array, "batch height width"]:
    """Returns dx + dy, signed, each the 3x3 Sobel derivative (8 times the slope per pixel)."""
    smooth = jnp.array([[1.0, 2.0, 1.0]], jnp.float32)
    difference = jnp.array([[-1.0, 0.0, 1.0]], jnp.float32)
    image = luma[..., None]
    dx = _correlate(_correlate(image, smooth, axis=1), difference, axis=2)
    dy = _correlate(_correlate(image, difference, axis=1), smooth, axis=2)
    return (dx + dy)[..., 0]


def _correlate(images: Array, kernel: Float[Array, "#batch taps"], axis: int) -> Array:
    """Correlates along one axis with an odd kernel of each image's own, or one for all."""
    taps = kernel.shape[1]
    padding = [(0, 0)] * images.ndim
    padding[axis] = (taps // 2, taps // 2)
    # Without the barrier XLA fuses the reflection into every tap and computes it `taps` times.
    padded = jax.lax.optimization_barrier(jnp.pad(images, padding, mode="reflect"))
    length = images.shape[axis]
    windows = (jax.lax.slice_in_dim(padded, tap, tap + length, axis=axis) for tap in range(taps))
    weights = kernel.T[:, :, None, None, None]
    return functools.reduce(operator.add, map(operator.mul, weights, windows))
