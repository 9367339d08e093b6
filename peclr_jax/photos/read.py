"""Image files decoded to upright RGB pixels, or refused with the reason."""

import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from peclr_jax.errors import UserError, is_machine_fault
from peclr_jax.photos.crop import Window

FORMATS = ("JPEG", "PNG", "WEBP")
SMALLEST_SIDE = 16  # px


class UnreadableImageError(UserError):
    """A file that cannot be used; the message is the reason, without the file's name."""


class Photo(NamedTuple):
    """An upright photo: the size of its file, and its pixels, perhaps at a fraction of that size.

    Attributes:
      width, height: At full size, pixels.
      focal_35mm: Focal length of an equivalent camera for 35 mm film, mm, from EXIF if known.
    """

    width: int
    height: int
    pixels: Window
    focal_35mm: float | None


def read(
    source: Path | io.BytesIO | Image.Image,
    *,
    smallest: float = math.inf,
    reduction: float = math.inf,
) -> Photo:
    """Reads a JPEG, PNG or WebP file of any mode; of animations the first frame.

    Args:
      source: The file, or its bytes as one in memory; or an image, taken as a file's content.
      smallest: Pixels that the shorter side keeps at least: a JPEG may be decoded at 1/2, 1/4 or
        1/8 of its size, which saves most of the time and memory of a large one.
      reduction: Largest factor by which the file's size is reduced.
    """
    try:
        if isinstance(source, Image.Image):
            return _decode(source, smallest, reduction)
        with Image.open(source, formats=FORMATS) as image:
            return _decode(image, smallest, reduction)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("not a JPEG, PNG or WebP image") from None
    except Image.DecompressionBombError:
        most = round(2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6)
        raise UnreadableImageError(f"more than {most} million pixels; shrink it") from None
    except Exception as error:
        # Decoders raise errors of every type on broken files, and the other images must go on.
        raise UnreadableImageError(f"cannot be decoded ({error})") from error


def _decode(image: Image.Image, smallest: float, reduction: float) -> Photo:
    full = image.size
    if min(full) < SMALLEST_SIDE:
        raise UnreadableImageError(
            f"{full[0]}x{full[1]} px is too small to show a hand (at least {SMALLEST_SIDE} px)"
        )
    exif = image.getexif()
    focal = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm)
    fraction = max(smallest / min(full), 1 / reduction)
    if fraction < 1:
        image.draft(image.mode, (math.ceil(full[0] * fraction), math.ceil(full[1] * fraction)))
    # The decoded size is rounded up, so that its ratio to the full size is not the scale.
    scale = 1 / 2 ** round(math.log2(full[0] / image.size[0]))
    turned = exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    upright = to_rgb(ImageOps.exif_transpose(image))
    width, height = full[::-1] if turned else full
    pixels = Window(upright, -0.5, -0.5, (scale, scale))
    return Photo(width, height, pixels, _positive(focal))


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts any mode to 8-bit RGB; transparent pixels become white."""
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


def focal_from_35mm(focal_35mm: float, size: tuple[int, int]) -> float:
    """Converts a focal length (mm) for 35 mm film to pixels, by equal angle across the diagonal."""
    return focal_35mm / math.hypot(36, 24) * math.hypot(*size)


def focal_from_field_of_view(angle_deg: float, size: tuple[int, int]) -> float:
    """Returns the focal length in pixels that sees `angle_deg` along the longer side."""
    return max(size) / 2 / math.tan(math.radians(angle_deg) / 2)


def seen_size(path: Path) -> tuple[int, int] | None:
    """Returns the width and height of a photo as it is seen, not decoded; None if it is broken."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return image.size[::-1] if turned else image.size
    # Decoders raise errors of every type on broken files.
    except Exception as error:
        if is_machine_fault(error):
            raise
        return None
