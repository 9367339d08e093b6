"""From a file to upright RGB pixels, or to a sentence that says why not."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from peclr_jax.errors import UserError
from peclr_jax.photos.crop import Window

FORMATS = ("JPEG", "PNG", "WEBP")
SMALLEST_SIDE = 16  # px
DIAGONAL_35MM = math.hypot(36, 24)  # mm, of a frame of 35 mm film


class UnreadableImageError(UserError):
    """A file that cannot be predicted on; the message is the reason, without the file's name."""


class Photo(NamedTuple):
    """A photo as it is seen.

    Attributes:
      width: In pixels, of the file (upright).
      height: In pixels, of the file (upright).
      pixels: All of it, perhaps at a fraction of its size.
      focal_35mm: The focal length in mm that a camera for 35 mm film would need for the same view,
        as the camera noted it; None if it did not.
    """

    width: int
    height: int
    pixels: Window
    focal_35mm: float | None


def read(path: Path, *, smallest: float = math.inf, reduction: float = math.inf) -> Photo:
    """Reads a JPEG, PNG or WebP file of any mode; of animations the first frame.

    Args:
      path: The file.
      smallest: A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as its shorter side
        keeps at least so many pixels. That saves most of the time and memory of a large one.
      reduction: And at no less than 1 / reduction of its size.

    Raises:
      UnreadableImageError: The file is no such image, is broken, or is too small.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return _decode(image, smallest, reduction)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("not a JPEG, PNG or WebP image") from None
    except Image.DecompressionBombError:
        most = round(2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6)
        raise UnreadableImageError(f"more than {most} million pixels; shrink it") from None
    except Exception as error:
        # Decoders meet broken files with errors of every kind, and the other images must go on.
        raise UnreadableImageError(f"cannot be decoded ({error})") from error


def _decode(image: Image.Image, smallest: float, reduction: float) -> Photo:
    stored = image.size
    if min(stored) < SMALLEST_SIDE:
        raise UnreadableImageError(
            f"{stored[0]}x{stored[1]} px is too small to show a hand (at least {SMALLEST_SIDE} px)"
        )
    exif = image.getexif()
    focal = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm)
    fraction = max(smallest / min(stored), 1 / reduction)
    if fraction < 1:
        image.draft(image.mode, (math.ceil(stored[0] * fraction), math.ceil(stored[1] * fraction)))
    # The last pixels may reach beyond the file's own, so that the sizes alone would not do.
    scale = 1 / 2 ** round(math.log2(stored[0] / image.size[0]))
    turned = exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    upright = to_rgb(ImageOps.exif_transpose(image))
    width, height = stored[::-1] if turned else stored
    pixels = Window(upright, -0.5, -0.5, (scale, scale))
    return Photo(width, height, pixels, _positive(focal))


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts any mode to 8-bit RGB; what is transparent becomes white.

    Args:
      image: An image of any mode.
    """
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would cut off at 255
        grey = np.asarray(image, np.float32) * (255 / 65535)
        return Image.fromarray(np.clip(grey + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        opaque = Image.new("RGB", layer.size, "white")
        opaque.paste(layer, mask=layer.getchannel("A"))
        return opaque
    return image.convert("RGB")


def _positive(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < math.inf else None


def focal_from_35mm(focal_35mm: float, width: int, height: int) -> float:
    """Converts an equivalent focal length (mm) to pixels, by equal angle across the diagonal.

    Args:
      focal_35mm: Focal length of an equivalent camera for 35 mm film, mm.
      width: Of the photo, pixels.
      height: Of the photo, pixels.
    """
    return focal_35mm / DIAGONAL_35MM * math.hypot(width, height)


def focal_from_field_of_view(angle_deg: float, width: int, height: int) -> float:
    """Returns the focal length in pixels that sees `angle_deg` along the longer side.

    Args:
      angle_deg: Field of view along the longer side, degrees.
      width: Of the photo, pixels.
      height: Of the photo, pixels.
    """
    return max(width, height) / 2 / math.tan(math.radians(angle_deg) / 2)
