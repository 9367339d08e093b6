"""Encodes images of any kind as the JPEGs that records hold."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError

from peclr_jax.errors import UserError, is_machine_fault
from peclr_jax.geometry import crop
from peclr_jax.photos import read
from peclr_jax.photos.pixels import to_rgb
from peclr_jax.reading import bounded

QUALITY = 95
UPRIGHT = "store it upright"
# Crops begin and end where JPEG's blocks do, those of images with halved colours, too.
_BLOCK = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


def encode(pixels: Image.Image) -> bytes:
    """Encodes RGB pixels, with colours at full resolution because hands are small."""
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def as_jpeg(path: Path, remedy: str) -> bytes:
    """Returns a JPEG file byte for byte, and any other image encoded as one.

    Args:
      path: An image of one of `read.FORMATS`.
      remedy: What to do about a broken file, to follow a colon.
    """
    with opened(path, remedy) as image:
        if image.format == "JPEG":
            image.load()
            return bounded.content(path, bounded.PHOTO, remedy)
        return encode(to_rgb(image).image)


def size(path: Path, remedy: str) -> tuple[int, int]:
    """Returns an image's width and height in pixels.

    Args:
      path: An image of one of `read.FORMATS`.
      remedy: What to do about a broken file, to follow a colon.
    """
    with opened(path, remedy) as image:
        return image.size


class Crop(NamedTuple):
    """A part of an image as a JPEG, and where it was: x, y of its first pixel."""

    image: bytes
    origin: tuple[int, int]


def cut_out(path: Path, box: Float[np.ndarray, "4"], margin: float, remedy: str) -> Crop:
    """Cuts a square around a hand out of an image, pixel by pixel, as far as it lies inside.

    Args:
      path: An image of one of `read.FORMATS`.
      box: The hand's box, x0, y0, x1, y1 in pixels.
      margin: Side of the square over the larger side of the box, at least.
      remedy: What to do about a broken file, to follow a colon.
    """
    with opened(path, remedy) as image:
        pixels = to_rgb(image).image
    size = np.array(pixels.size)
    edges = np.array(crop.around(box, margin).edges)
    # Pipelines cut at whole pixels of what they decode at an eighth, at the least.
    low = np.floor((edges[:2] + 0.5 - _BLOCK / 2) / _BLOCK) * _BLOCK
    high = np.ceil((edges[2:] + 0.5 + _BLOCK / 2) / _BLOCK) * _BLOCK
    low = np.clip(low, 0, (size - 1) // _BLOCK * _BLOCK)
    high = np.minimum(np.maximum(high, low + _BLOCK), size)
    left, top, right, bottom = np.concatenate([low, high]).astype(int).tolist()
    return Crop(encode(pixels.crop((left, top, right, bottom))), (left, top))


@contextmanager
def opened(path: Path, remedy: str) -> Iterator[Image.Image]:
    """Opens an image; what goes wrong with it, or that it is turned, is said in one sentence."""
    try:
        with (
            bounded.opened(path, bounded.PHOTO, remedy) as file,
            Image.open(file, formats=read.FORMATS) as image,
        ):
            if problem := turned(image):
                raise UserError(f"{path} {problem}: {UPRIGHT}, or {remedy}")
            yield image
    except UserError:
        raise
    except Exception as error:
        # Decoders raise errors of every kind over broken files.
        if is_machine_fault(error):
            raise
        reason = str(error)
        if isinstance(error, UnidentifiedImageError):
            reason = "of no known kind" if os.path.getsize(path) else "it is empty"
        raise UserError(f"{path} is not an image, corrupt or truncated ({reason}): {remedy}") from (
            error
        )


def turned(image: Image.Image) -> str | None:
    """Returns that a JPEG is to be turned before it is seen, as labels do not say, or None.

    Those who read it without its notes, as records are read, would not turn it.
    """
    # Other kinds are seldom turned, and a PNG is decoded to find its notes.
    orientation = read.orientation_of(image) if image.format in ("JPEG", "MPO") else 1
    return None if orientation == 1 else f"is stored turned (EXIF orientation {orientation})"


def as_jpegs(paths: Iterable[Path], remedy: str) -> Iterator[bytes]:
    """Yields `as_jpeg` of each path in order, computed a few ahead."""
    return ahead(lambda path: as_jpeg(path, remedy), paths)


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields the results of a function in order, computed a few ahead with one thread per core."""
    workers = os.cpu_count() or 1
    items = iter(items)
    with futures.ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(items, 4 * workers))
        while waiting:
            done = waiting.popleft()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
            yield done.result()
