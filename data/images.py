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
from PIL import Image

from peclr_jax.errors import MissingFileError, UserError, is_machine_fault
from peclr_jax.geometry import crop
from peclr_jax.photos import read

QUALITY = 95
# Crops begin and end where decoders begin and end their blocks, at a half of the size as well.
_BLOCK = 16
# Of all formats that Pillow knows: some of the others start programs.
FORMATS = (*read.FORMATS, "BMP")

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
      path: An image of one of `FORMATS`; JPEGs must be stored upright.
      remedy: What to do about a broken file, to follow a colon.
    """
    with _opened(path, remedy) as image:
        if image.format == "JPEG":
            image.load()
            return path.read_bytes()
        return encode(read.to_rgb(image))


def size(path: Path, remedy: str) -> tuple[int, int]:
    """Returns an image's width and height in pixels.

    Args:
      path: An image of one of `FORMATS`.
      remedy: What to do about a broken file, to follow a colon.
    """
    with _opened(path, remedy) as image:
        return image.size


class Crop(NamedTuple):
    """A part of an image as a JPEG, and the matrix from the image's pixels to its own."""

    image: bytes
    matrix: Float[np.ndarray, "2 3"]


def cut_out(
    path: Path, box: Float[np.ndarray, "4"], margin: float, longest: int, remedy: str
) -> Crop:
    """Cuts a square around a hand out of an image, as far as it lies inside.

    Args:
      path: An image of one of `FORMATS`, stored upright.
      box: The hand's box, x0, y0, x1, y1 in pixels.
      margin: Side of the square over the larger side of the box, at least.
      longest: Longer side of the result in pixels, at most: what is larger is shrunk.
      remedy: What to do about a broken file, to follow a colon.
    """
    with _opened(path, remedy) as image:
        pixels = read.to_rgb(image)
    width, height = pixels.size
    low, high = np.split(np.array(crop.around(box, margin).edges) + 0.5, 2)
    # Some pixels more, because pipelines cut at whole pixels of what they decode at an eighth.
    last = np.maximum((width - 1, height - 1), 0) // _BLOCK * _BLOCK
    left, top = np.clip((low - _BLOCK / 2) // _BLOCK * _BLOCK, 0, last).astype(int).tolist()
    ends = -((-high - _BLOCK / 2) // _BLOCK) * _BLOCK
    right, bottom = np.clip(ends, (left + _BLOCK, top + _BLOCK), None).astype(int).tolist()
    right, bottom = min(right, width), min(bottom, height)
    shrink = min(1.0, longest / max(right - left, bottom - top))
    size = (max(1, round(shrink * (right - left))), max(1, round(shrink * (bottom - top))))
    part = pixels.crop((left, top, right, bottom))
    if size != part.size:
        part = part.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    scale_x, scale_y = size[0] / (right - left), size[1] / (bottom - top)
    # A pixel's centre is at a whole number, its edges are half a pixel away.
    shift_x, shift_y = (0.5 - left) * scale_x - 0.5, (0.5 - top) * scale_y - 0.5
    return Crop(encode(part), crop.scaling(scale_x, scale_y, shift_x, shift_y))


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[Image.Image]:
    """Opens an image; what goes wrong with it is said in one sentence."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except FileNotFoundError:
        raise MissingFileError(f"{path} is missing: {remedy}") from None
    except Exception as error:
        # Decoders raise errors of every kind over broken files.
        if is_machine_fault(error):
            raise
        raise UserError(f"{path} is not an image, corrupt or truncated ({error}): {remedy}") from (
            error
        )


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
