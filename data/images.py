"""Encodes images of any kind as the JPEGs that records hold."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from itertools import islice
from pathlib import Path
from typing import TypeVar

from PIL import Image

from peclr_jax.errors import MissingFileError, UserError, is_machine_fault
from peclr_jax.photos import read

QUALITY = 95
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
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.format == "JPEG":
                image.load()
                return path.read_bytes()
            return encode(read.to_rgb(image))
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
