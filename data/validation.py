"""Checks of raw files, before anything is written: each failure names the file and the remedy."""

import array
import codecs
import io
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import numpy as np
from jaxtyping import Float
from PIL import Image
from tqdm import auto as tqdm

from peclr_jax.errors import UserError, is_machine_fault

# NaN and infinity are not JSON, but Python's writer and others produce them.
_NOT_FINITE = re.compile(rb"-?(?:NaN|Infinity)")
_CHUNK_BYTES = 1 << 16
# Formats that are named where a JPEG is expected; Pillow's others are not tried.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# Depth of nested brackets; labels have a few.
_DEEPEST = 100
_BRACKETS = (b"[{", b"]}")


def stream(path: Path, prefix: str, remedy: str) -> Iterator[Any]:
    """Yields the parts of a JSON file as `json.load` returns them, however large the file.

    NaN and infinity become the strings "NaN" and "Infinity", which NumPy reads as numbers. Parts
    before the place where a file is broken are yielded.

    Args:
      path: The JSON file.
      prefix: Which parts, in ijson's notation: "item" for those of a list, "images.item" for those
        of the list named "images".
      remedy: What to do about a broken file, to follow a colon.
    """
    count = 0
    try:
        with _open(path) as file:
            for part in ijson.items(_Shallow(file), prefix, use_float=True):
                yield part
                count += 1
        return
    except _TooDeepError as error:
        raise UserError(f"{path} is not a file of labels ({error}): {remedy}") from error
    except (ijson.JSONError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0].strip()
    # Perhaps because of a NaN, which the caller reports: read on from that part.
    try:
        with _open(path) as file:
            parts = ijson.items(_NotFiniteAsText(file), prefix, use_float=True)
            yield from itertools.islice(parts, count, None)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({reason}): {remedy}") from error


def _open(path: Path) -> BinaryIO:
    """Opens a file behind the byte order mark that editors of Windows put first."""
    file = path.open("rb")
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    return file


class _TooDeepError(Exception):
    """More brackets are open than labels have."""


class _Shallow:
    """A binary file of JSON whose reading fails before it is nested too deep.

    The reader's memory grows with the square of the depth: a file of some kilobytes could fill it.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._depth = 0

    def read(self, size: int = -1) -> bytes:
        """Returns some more bytes, none at the end."""
        chunk = self._file.read(size)
        # Those in texts are counted as well: nobody's have so many.
        codes = np.frombuffer(chunk, np.uint8)
        opened, closed = ((codes == a) | (codes == b) for a, b in _BRACKETS)
        steps = np.cumsum(opened.view(np.int8) - closed.view(np.int8), dtype=np.int32)
        if len(steps):
            if self._depth + steps.max() > _DEEPEST:
                raise _TooDeepError(f"it is nested more than {_DEEPEST} times")
            self._depth += int(steps[-1])
        return chunk


class _NotFiniteAsText:
    """A binary file of JSON with quotes put around NaN and infinity."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Returns some more bytes, none at the end; `size` is ignored, except zero."""
        if size == 0:
            return b""
        while chunk := self._file.read(_CHUNK_BYTES):
            # No word reaches over a comma.
            whole, comma, rest = (self._rest + chunk).rpartition(b",")
            self._rest = rest
            if comma:
                return _NOT_FINITE.sub(rb'"\g<0>"', whole + comma)
        rest, self._rest = self._rest, b""
        return _NOT_FINITE.sub(rb'"\g<0>"', rest)


def read_label_file(
    path: Path, shape: tuple[int, ...], remedy: str
) -> Float[np.ndarray, "samples ..."]:
    """Reads a JSON list with one array of numbers per sample, needing little more than the result.

    Args:
      path: The JSON file.
      shape: The shape of one sample's entry.
      remedy: What to do about a broken file, to follow a colon.
    """
    numbers = array.array("d")
    for index, entry in enumerate(stream(path, "item", remedy) if _is_list(path) else ()):
        values, found = _as_array(entry)
        if found != shape:
            raise UserError(f"{path}: entry {index} has shape {found}, expected {shape}: {remedy}")
        numbers.frombytes(values.tobytes())
    if not numbers:
        raise UserError(f"{path} must be a JSON list with one entry per sample: {remedy}")
    entries = np.frombuffer(numbers, np.float64).reshape(-1, *shape)
    bad = np.argwhere(~np.isfinite(entries))
    if bad.size:
        index = bad[0].tolist()
        joint = f", joint {index[1]}" if entries.ndim > 1 and shape[0] == 21 else ""
        raise UserError(
            f"{path}: entry {index[0]}{joint} is {entries[tuple(index)]}, not a finite number: "
            f"{remedy}"
        )
    return entries


def _is_list(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_CHUNK_BYTES).lstrip().startswith(b"[")


def _as_array(entry: object) -> tuple[Float[np.ndarray, "..."], tuple[int, ...] | str]:
    """Returns an entry and its shape, in words if it has none."""
    try:
        values = np.asarray(entry, np.float64)
    except (ValueError, TypeError, OverflowError):
        return np.empty(0), "ragged or not numeric"
    return values, values.shape


def check_equal_lengths(labels: dict[Path, np.ndarray], remedy: str) -> int:
    """Returns the common number of entries of label files, given with the entries of each."""
    lengths = {path: len(array) for path, array in labels.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path.name} has {length}" for path, length in lengths.items())
        folder = next(iter(lengths)).parent
        raise UserError(f"label files in {folder} differ in length ({listed}): {remedy}")
    return next(iter(lengths.values()))


def check_jpeg(path: Path) -> str | None:
    """Decodes a JPEG to its last byte; returns what is wrong with it, to follow its name."""
    found = _decode(path)
    return found if isinstance(found, str) else None


def _decode(path: Path) -> tuple[int, int] | str:
    """Returns width and height of a JPEG that is whole, or what is wrong with it."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.format != "JPEG":
                return f"is a {image.format} image, not a JPEG"
            size = image.size
            # One eighth of the size: every entropy-coded byte is still read, which is what tells
            # a truncated file, at half the time.
            image.draft("L", (max(image.width // 8, 1), max(image.height // 8, 1)))
            image.load()
    # Decoders raise errors of every kind over broken files.
    except Exception as error:
        if is_machine_fault(error):
            raise
        reason = "not a JPEG" if "cannot identify" in str(error) else str(error)
        return f"is corrupt or truncated ({reason})"
    return size


def check_jpegs(
    paths: Sequence[Path], description: str, remedy: str
) -> Float[np.ndarray, "files 2"]:
    """Decodes every file, showing progress; returns width and height of each in pixels.

    Args:
      paths: The files.
      description: Shown beside the progress.
      remedy: What to do about a broken file, to follow a colon.
    """
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = tqdm.tqdm(
            pool.map(_decode, paths, chunksize=64),
            total=len(paths),
            desc=description,
            unit=" images",
            leave=False,
        )
        results = list(found)
    broken = [(p, found) for p, found in zip(paths, results, strict=True) if isinstance(found, str)]
    if broken:
        path, problem = broken[0]
        others = f", and {len(broken) - 1} other files are broken" if len(broken) > 1 else ""
        raise UserError(f"{path} {problem}{others}: {remedy}")
    return np.array(results, np.float64).reshape(-1, 2)
