"""Images of any kind as the JPEGs that records hold."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from itertools import islice
from pathlib import Path
from typing import TypeVar

from PIL import Image

from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.photos import read

QUALITY = 95
# Of all that Pillow knows: some of its other formats start programs, or read what no photo is.
FORMATS = (*read.FORMATS, "BMP")

Item = TypeVar("Item")
Result = TypeVar("Result")


def encode(pixels: Image.Image) -> bytes:
    """Encodes RGB pixels, all colours at full resolution: hands are small."""
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def as_jpeg(path: Path, remedy: str) -> bytes:
    """Returns a JPEG file byte for byte, and any other image encoded as one.

    Args:
      path: an image of one of `FORMATS`; of JPEGs one that stands upright as it is stored.
      remedy: what to do about a broken file, a full sentence.

    Raises:
      MissingFileError: there is no such file.
      UserError: it is not an image, corrupt or truncated.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.format == "JPEG":
                image.load()
                return path.read_bytes()
            return encode(read.to_rgb(image))
    except FileNotFoundError:
        raise MissingFileError(f"{path} is missing. {remedy}") from None
    except Exception as error:
        # Decoders meet broken files with errors of every kind.
        raise UserError(f"{path} is not an image, corrupt or truncated ({error}). {remedy}") from (
            error
        )


def as_jpegs(paths: Iterable[Path], remedy: str) -> Iterator[bytes]:
    """Yields `as_jpeg` of each path in order, a few of them ahead."""
    return ahead(lambda path: as_jpeg(path, remedy), paths)


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields a function of each item in order, a few of them ahead, one thread per core."""
    workers = os.cpu_count() or 1
    items = iter(items)
    with futures.ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(items, 4 * workers))
        while waiting:
            done = waiting.popleft()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
            yield done.result()
