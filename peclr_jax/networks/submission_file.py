"""The file of joints and vertices that peclr_jax/tasks/submission.py writes."""

import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import ijson
import numpy as np
from jaxtyping import Float

from peclr_jax import files
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.hands.skeleton import NUM_JOINTS

FILE = "pred.json"
NUM_VERTICES = 778
# Micrometres: digits beyond them would fill the file with noise.
_DIGITS = 6
_LISTS = (("joints", NUM_JOINTS), ("vertices", NUM_VERTICES))


def write(path: Path, hands: Iterator[Float[np.ndarray, "21 3"]]) -> None:
    """Writes the joints of every image, metres, in the evaluation's order: all or nothing."""
    with (
        files.writing(path) as text,
        zipfile.ZipFile(text.buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(FILE, "w", force_zip64=True) as file,
    ):
        for part in _content(hands):
            file.write(part.encode())


def _content(hands: Iterator[Float[np.ndarray, "21 3"]]) -> Iterator[str]:
    """Yields the JSON in parts: all joints, then as many empty meshes."""
    count = 0
    for joints in hands:
        if not np.isfinite(joints).all():
            raise UserError(
                f"the network's joints of image {count} are not finite numbers: choose another "
                "checkpoint of the run"
            )
        rounded = np.round(joints, _DIGITS).tolist()
        yield (", " if count else "[[") + json.dumps(rounded, allow_nan=False)
        count += 1
    no_mesh = json.dumps([[0.0] * 3] * NUM_VERTICES)
    for number in range(count):
        yield (", " if number else "], [") + no_mesh
    yield "]]"


def check(path: Path, num_images: int) -> None:
    """Checks a submission, and raises for what is wrong first; little is in memory at a time."""
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist: write it first")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.namelist() != [FILE]:
                raise UserError(
                    f"{path} holds {archive.namelist()}, expected {FILE} alone: write it again"
                )
            with archive.open(FILE) as file:
                problem = _problem(file, num_images)
    except (zipfile.BadZipFile, zlib.error, ijson.JSONError) as error:
        reason = str(error).splitlines()[0]  # others quote the file
        raise UserError(f"{path} cannot be read ({reason}): write it again") from error
    if problem:
        raise UserError(f"{FILE} in {path} {problem}: write it again")


def _problem(file: IO[bytes], num_images: int) -> str | None:
    """Returns the first thing that is wrong with the content, or `None`.

    It must be nested lists: of two, of `num_images`, of so many points, of three finite numbers.
    """
    # How many entries of the list at each depth have been seen; that of depth 0 is the file.
    seen = [0] * 5
    depth = 0
    for event, value in ijson.basic_parse(file, use_float=True):
        if event == "end_array":
            if problem := _wrong_length(depth, seen, num_images):
                return problem
            depth -= 1
            continue
        opens = event == "start_array" and depth < 4
        if not opens and not (event == "number" and depth == 4 and math.isfinite(value)):
            return _wrong_entry(depth, seen)
        seen[depth] += 1
        if opens:
            depth += 1
            seen[depth] = 0
    return None


def _wrong_length(depth: int, seen: list[int], num_images: int) -> str | None:
    """Returns what is wrong with the length of the list that ends at `depth`, if anything."""
    name, points = _LISTS[min(seen[1], 2) - 1]
    if depth == 2 and seen[1] <= 2 and seen[2] != num_images:
        return f"has {name} of {seen[2]} images, expected {num_images}"
    if seen[depth] != (2, num_images, points, 3)[depth - 1]:
        return _wrong_entry(depth, seen)
    return None


def _wrong_entry(depth: int, seen: list[int]) -> str:
    if depth < 2 or seen[1] > 2:
        return "must be a list of two, joints and vertices"
    name, points = _LISTS[seen[1] - 1]
    # An entry that is no list at all has not been counted.
    number = seen[2] - (depth > 2)
    return f"has {name} of image {number} that are not {points} points of three finite numbers"
