"""Image files decoded to upright RGB pixels, or refused with the reason."""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from peclr_jax.errors import UserError, is_machine_fault
from peclr_jax.photos import kinds
from peclr_jax.photos.crop import Window
from peclr_jax.photos.pixels import Rgb, to_rgb
from peclr_jax.reading import bounded

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
"""Formats that are read besides HEIC, in Pillow's words: some of its others start programs."""

SMALLEST_SIDE = 16  # px
MOST_PIXELS = 64_000_000
"""Pixels that are kept of a photo: larger ones are reduced by a power of two."""

# JPEGs are decoded at an eighth of their sides where need be, so that three times as many pixels
# take less memory than those of another format. Progressive ones are held whole while decoded.
_LARGER_JPEGS = 3
# Angles of view across the diagonal that lenses have, from the longest to a fisheye.
_ANGLES_DEG = 1.0, 150.0
# Cameras put previews, or the other eye's picture, behind a photo.
_WITH_PREVIEWS = ("JPEG", "MPO", "HEIF")
# Aspect of the widest sensors and screens: what is longer was stitched, or cut out.
_WIDEST = 2.5
# Difference of the aspect from the one in EXIF, as a fraction, from which on a photo was cropped:
# it then sees less than the lens did, and how much less is not known.
_CROPPED = 0.02
_ANOTHER = "see to the file and its rights"
_FULL_FRAME = math.hypot(36, 24)  # mm
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Orientations after whose turn x, or y, runs against an axis of the pixels as they are stored.
_REVERSED_X, _REVERSED_Y = (2, 3, 6, 7), (3, 4, 7, 8)


class UnreadableImageError(UserError):
    """A file that cannot be used; the message is the reason, without the file's name."""


class Photo(NamedTuple):
    """An upright photo: the size of its file, and its pixels, perhaps at a fraction of that size.

    Attributes:
      width, height: At full size, pixels.
      pixels: They may reach over the photo's edges, by less than one of them.
      focal_35mm: Focal length of an equivalent camera for 35 mm film, mm, from EXIF if known.
      remarks: What its notes say that cannot be, and was ignored.
    """

    width: int
    height: int
    pixels: Window
    focal_35mm: float | None
    remarks: tuple[str, ...] = ()


def read(
    source: Path | io.BytesIO | Image.Image,
    *,
    smallest: float = math.inf,
    reduction: float = math.inf,
) -> Photo:
    """Reads JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF, by what it holds; of several the first.

    Args:
      source: The file, or its bytes as one in memory; or an image, taken as a file's content and
        left at its size.
      smallest: Pixels that the shorter side keeps at least: a JPEG may be decoded at 1/2, 1/4 or
        1/8 of its size, which saves most of the time and memory of a large one.
      reduction: Largest factor by which the file's size is reduced, but for photos of more than
        `MOST_PIXELS`.
    """
    if isinstance(source, Image.Image):
        with _explained():
            return _decode(source, smallest, reduction, is_ours=False)
    with opened(source) as image:
        return _decode(image, smallest, reduction)


@contextmanager
def opened(source: Path | io.BytesIO) -> Iterator[Image.Image]:
    """Opens a picture by what it holds, to be decoded within the block.

    Raises:
      UnreadableImageError: Here or within the block, with the decoder's reason.
    """
    with _explained(), ExitStack() as stack:
        file: Any = source
        if isinstance(source, Path):
            file = stack.enter_context(bounded.opened(source, bounded.PHOTO, _ANOTHER))
        head = file.read(kinds.HEAD)
        file.seek(0)
        if head.startswith(b"\xff\xd8\xff"):
            # Of several pictures in a JPEG this class knows the first alone, and it has no limit.
            image: Image.Image = stack.enter_context(jpeg := JpegImageFile(file))
            _check_size(jpeg)
        else:
            try:
                with warnings.catch_warnings():  # half of what is refused is not worth a warning
                    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                    image = stack.enter_context(Image.open(file, formats=_formats(head)))
            except UnidentifiedImageError:
                raise UnreadableImageError(kinds.why_unreadable(head)) from None
        yield image


def _formats(head: bytes) -> tuple[str, ...]:
    """Returns the formats to try, with HEIC's decoder loaded where it is needed."""
    return (*FORMATS, "HEIF") if kinds.is_heic(head) and kinds.load_heic_decoder() else FORMATS


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except UnreadableImageError:
        raise
    except UserError as error:  # of a file that is none, is too large, or may not be opened
        raise UnreadableImageError(str(error)) from error
    except Image.DecompressionBombError:
        raise _too_large(2) from None
    except MemoryError:
        raise UnreadableImageError(
            "does not fit into the memory that is left: shrink it, or end other programs"
        ) from None
    except Exception as error:
        # Decoders raise errors of every type on broken files, and the other images must go on.
        raise UnreadableImageError(f"cannot be decoded ({error}): copy it again") from error


def _check_size(jpeg: JpegImageFile) -> None:
    times = 2 if jpeg.info.get("progressive") else 2 * _LARGER_JPEGS
    if Image.MAX_IMAGE_PIXELS and math.prod(jpeg.size) > times * Image.MAX_IMAGE_PIXELS:
        raise _too_large(times)


def _too_large(times: int) -> UnreadableImageError:
    most = round(times * (Image.MAX_IMAGE_PIXELS or 0) / 1e6)
    return UnreadableImageError(f"more than {most} million pixels; shrink it")


def largest_fraction(width: int, height: int) -> float:
    """Returns which power of 1/2 a photo's sides are reduced by, to `MOST_PIXELS` at most."""
    return 0.5 ** max(0, math.ceil(math.log2(max(width * height, 1) / MOST_PIXELS) / 2))


def _decode(
    image: Image.Image, smallest: float, reduction: float, *, is_ours: bool = True
) -> Photo:
    full = image.size
    if min(full) < SMALLEST_SIDE:
        raise UnreadableImageError(
            f"{full[0]}x{full[1]} px is too small to show a hand (at least {SMALLEST_SIDE} px)"
        )
    most = largest_fraction(*full)
    fraction = min(max(smallest / min(full), 1 / reduction), most)
    # A caller's own image would keep the smaller size, and the next answer be for that one.
    if is_ours and fraction < 1 and isinstance(image, JpegImageFile):
        factor = 2 ** math.floor(-math.log2(max(fraction, 1 / 8)) + 1e-9)
        image.draft(image.mode, (full[0] // factor, full[1] // factor))
    count = 1 if image.format in _WITH_PREVIEWS else getattr(image, "n_frames", 1)
    image.load()  # TIFFs are turned here, and their note of it is gone.
    # The decoded size is rounded up, so that its ratio to the full size is not the scale.
    scale = 1 / 2 ** round(math.log2(max(full) / max(image.size)))
    orientation, focal, noted, remarks = _notes(image)
    is_plain = image.mode == "RGB" and not image.has_transparency_data
    pixels, unusual = Rgb(image) if is_plain and orientation > 1 else to_rgb(image)
    remarks += unusual
    if scale > most:
        pixels = pixels.reduce(round(scale / most))
        scale = most
    width, height = full[::-1] if orientation >= 5 else full
    if count > 1:
        remarks += (f"it holds {count} pictures, of which the first was looked at",)
    if focal is not None and (why := _why_of_another(full, noted)):
        focal = None
        remarks += (f"its EXIF focal length {why}, and was ignored",)
    return Photo(width, height, _turned(pixels, orientation, scale, full), focal, remarks)


def _why_of_another(full: tuple[int, int], noted: tuple[int, int] | None) -> str | None:
    """Returns why a focal length is not that of the photo of this size, None if it may be."""
    aspect = max(full) / min(full)
    if aspect > _WIDEST:
        return "is not of a panorama, or of a strip"
    if noted and abs(max(noted) / min(noted) / aspect - 1) > _CROPPED:
        return f"is of {noted[0]}x{noted[1]} px, of which this is a part"
    return None


def _turned(image: Image.Image, orientation: int, scale: float, full: tuple[int, int]) -> Window:
    """Turns pixels upright, of a photo of the size `full` before; their number is rounded up."""
    beyond_x, beyond_y = image.width / scale - full[0], image.height / scale - full[1]
    if orientation >= 5:
        beyond_x, beyond_y = beyond_y, beyond_x
    if (turn := _TURNS.get(orientation)) is not None:
        image = image.transpose(turn)
    # The surplus lies at the right and at the bottom, until the photo is turned.
    left = -0.5 - beyond_x * (orientation in _REVERSED_X)
    top = -0.5 - beyond_y * (orientation in _REVERSED_Y)
    return Window(image, left, top, (scale, scale))


def seen_size(path: Path) -> tuple[int, int] | None:
    """Returns the width and height of a photo as it is seen, not decoded; None if it is broken."""
    try:
        with opened(path) as image:
            # Pillow tells the size of TIFFs as they are seen.
            turned = image.format != "TIFF" and orientation_of(image) >= 5
            return image.size[::-1] if turned else image.size
    except UnreadableImageError as error:
        if is_machine_fault(error):
            raise
        return None


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation of an image, 1 to 8; 1, upright, where it says none of these."""
    return _notes(image).orientation


class _Notes(NamedTuple):
    """Of EXIF: orientation, focal length in 35 mm film, size in pixels, what cannot be."""

    orientation: int
    focal: float | None
    size: tuple[int, int] | None
    remarks: tuple[str, ...]


def _notes(image: Image.Image) -> _Notes:
    try:
        exif = image.getexif()
        said: Any = exif.get(ExifTags.Base.Orientation)
        details: Any = exif.get_ifd(ExifTags.IFD.Exif)
        focal = details.get(ExifTags.Base.FocalLengthIn35mmFilm)
        size = tuple(
            details.get(side)
            for side in (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
        )
    except Exception:  # Of every type, from files that other programs have edited.
        return _Notes(1, None, None, ("its EXIF notes are broken and were ignored",))
    remarks = []
    # Zero is how cameras say that they do not know.
    if (orientation := _whole(said)) not in range(1, 9):
        if said not in (None, 0):
            remarks.append(f"its EXIF orientation, {said!r:.20}, is none of 1 to 8 and was ignored")
        orientation = 1
    if not (length := _plausible(focal)) and focal not in (None, 0):
        remarks.append(
            f"its EXIF focal length, {focal!s:.20} mm for 35 mm film, is of no camera and was "
            "ignored"
        )
    known = all(isinstance(side, int) and side > 0 for side in size)
    return _Notes(orientation, length, size if known else None, tuple(remarks))


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value in range(1, 9) else 0


def _plausible(focal_35mm: Any) -> float | None:
    """Returns a focal length for 35 mm film, mm, None if no lens has one like it."""
    try:
        number = float(focal_35mm)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    angle = math.degrees(2 * math.atan2(_FULL_FRAME / 2, number))
    return number if _ANGLES_DEG[0] <= angle <= _ANGLES_DEG[1] else None


def focal_from_35mm(focal_35mm: float, size: tuple[int, int]) -> float:
    """Converts a focal length (mm) for 35 mm film to pixels, by equal angle across the diagonal."""
    return focal_35mm / _FULL_FRAME * math.hypot(*size)


def focal_from_field_of_view(angle_deg: float, size: tuple[int, int]) -> float:
    """Returns the focal length in pixels that sees `angle_deg` along the longer side."""
    return max(size) / 2 / math.tan(math.radians(angle_deg) / 2)
