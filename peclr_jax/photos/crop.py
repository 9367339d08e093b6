"""Square crops of a photo, resampled with a low-pass filter.

Coordinates are pixels of the upright photo, (x, y) with the origin at the centre of the
top-left pixel, whatever the size at which the file was decoded.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from peclr_jax.errors import UserError
from peclr_jax.geometry.crop import Square


class Window(NamedTuple):
    """A part of a photo that is kept in memory.

    Attributes:
      image: Pixels of the part, RGB.
      left, top: Edges of the part, half a pixel before the centre of its first pixel.
      scale: Pixels kept per pixel of the photo, (x, y).
    """

    image: Image.Image
    left: float
    top: float
    scale: tuple[float, float]


def keep(photo: Window, square: Square, most: int) -> Window:
    """Returns the part of a photo inside a square, at no more than a given resolution.

    Args:
      photo: A whole photo, or a part of it.
      square: The region to keep, as far as it lies inside the photo.
      most: Largest side of the region in pixels kept; larger ones are low-pass filtered and shrunk.
    """
    image = photo.image
    x0, y0, x1, y1 = _inside(photo, square)
    left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
    right, bottom = min(image.width, int(np.ceil(x1))), min(image.height, int(np.ceil(y1)))
    if left >= right or top >= bottom:
        raise UserError("the region lies outside of the image")
    part = image.crop((left, top, right, bottom))
    shrink = min(1.0, most / max(x1 - x0, y1 - y0))
    size = max(1, round(shrink * part.width)), max(1, round(shrink * part.height))
    if size != part.size:
        part = part.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    scale_x, scale_y = photo.scale
    scale = scale_x * part.width / (right - left), scale_y * part.height / (bottom - top)
    return Window(part, photo.left + left / scale_x, photo.top + top / scale_y, scale)


def cut_out(
    photo: Window, square: Square, size: int, *, mirror: bool = False
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Crops a square in RGB, black outside of what is kept of the photo.

    Args:
      photo: The pixels to crop from.
      square: The region; `geometry.crop.to_matrix(square, size)` leads to the crop's pixels.
      size: Side of the crop in pixels.
      mirror: Whether to exchange left and right.
    """
    x0, y0, x1, y1 = _inside(photo, square)
    left, top = int(np.floor(x0)), int(np.floor(y0))
    # Pillow fills the outside with black.
    part = photo.image.crop((left, top, int(np.ceil(x1)), int(np.ceil(y1))))
    inside = (x0 - left, y0 - top, min(x1 - left, part.width), min(y1 - top, part.height))
    crop = part.resize((size, size), Image.Resampling.BILINEAR, inside, reducing_gap=3.0)
    return np.asarray(ImageOps.mirror(crop) if mirror else crop)


def _inside(photo: Window, square: Square) -> tuple[float, float, float, float]:
    """Returns the square's edges in pixels of the window, from its left and top edge."""
    (x0, y0, x1, y1), (scale_x, scale_y) = square.edges, photo.scale
    left, right = ((x - photo.left) * scale_x for x in (x0, x1))
    top, bottom = ((y - photo.top) * scale_y for y in (y0, y1))
    return left, top, right, bottom
