"""Checks of raw files, before anything is written: each failure names the file and the remedy."""

import array
import collections
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image
from tqdm import auto as tqdm

from data import images
from peclr_jax.errors import UserError, is_machine_fault
from peclr_jax.reading import bounded, json_parts

# Formats that are named where a JPEG is expected; Pillow's others are not tried.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")


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
    is_list = json_parts.begins_with(path, "[", remedy)
    for index, entry in enumerate(json_parts.stream(path, "item", remedy) if is_list else ()):
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


def _as_array(entry: object) -> tuple[Float[np.ndarray, "..."], tuple[int, ...] | str]:
    """Returns an entry and its shape, in words if it has none."""
    try:
        values = np.asarray(entry, np.float64)
    except (ValueError, TypeError, OverflowError):
        return np.empty(0), "ragged or not numeric"
    return values, values.shape


def describe_endings(names: Iterable[str]) -> str:
    """Returns how many files with numbers have which endings, to follow a sentence.

    Args:
      names: Of the files that are not read.
    """
    others = collections.Counter(
        ending
        for stem, ending in map(os.path.splitext, names)
        if stem[-1:].isdecimal() and not stem.startswith(".")
    )
    return "".join(f"; {n} files end in {ending or 'nothing'!r}" for ending, n in others.items())


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
    return found.problem if isinstance(found, _Broken) else None


class _Broken(NamedTuple):
    """What is wrong with a file, to follow its name, and what to do besides the usual."""

    problem: str
    hint: str = ""


def _decode(path: Path) -> tuple[int, int] | _Broken:
    """Returns width and height of a JPEG that is whole and upright, or what is wrong with it."""
    try:
        with (
            bounded.opened(path, bounded.PHOTO) as file,
            Image.open(file, formats=_FORMATS) as image,
        ):
            if image.format != "JPEG":
                return _Broken(f"is a {image.format} image, not a JPEG")
            if problem := images.turned(image):
                return _Broken(problem, f"{images.UPRIGHT}, or ")
            size = image.size
            # One eighth of the size: every entropy-coded byte is still read, which is what tells
            # a truncated file, at half the time.
            image.draft("L", (max(image.width // 8, 1), max(image.height // 8, 1)))
            image.load()
    # Decoders raise errors of every kind over broken files.
    except Exception as error:
        if is_machine_fault(error):
            raise
        if isinstance(error, UserError):
            return _Broken(str(error).removeprefix(f"{path} ").partition(": ")[0])
        reason = "not a JPEG" if "cannot identify" in str(error) else str(error)
        return _Broken(f"is corrupt or truncated ({reason})")
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
    decoded = images.ahead(_decode, paths)
    results = list(
        tqdm.tqdm(decoded, total=len(paths), desc=description, unit=" images", leave=False)
    )
    broken = [(p, r) for p, r in zip(paths, results, strict=True) if isinstance(r, _Broken)]
    if broken:
        path, (problem, hint) = broken[0]
        others = f", and {len(broken) - 1} other files cannot be used" if len(broken) > 1 else ""
        raise UserError(f"{path} {problem}{others}: {hint}{remedy}")
    return np.array(results, np.float64).reshape(-1, 2)
