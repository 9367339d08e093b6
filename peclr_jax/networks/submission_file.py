"""The file of joints and vertices that peclr_jax/tasks/submission.py writes."""

import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

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
                _check_content(file, num_images, f"{FILE} in {path}")
    except (zipfile.BadZipFile, zlib.error, ijson.JSONError) as error:
        reason = str(error).splitlines()[0]  # others quote the file
        raise UserError(f"{path} cannot be read ({reason}): write it again") from error


def _check_content(file: IO[bytes], num_images: int, where: str) -> None:
    """Checks the nested lists: of two, of `num_images`, of so many points, of three numbers."""
    lengths: list[int] = []  # images of each list so far
    structure = f"{where} must be a list of two, joints and vertices: write it again"

    def outline(events: Iterable[tuple[str, str, Any]]) -> Iterator[tuple[str, str, Any]]:
        for prefix, event, value in events:
            if prefix == "item" and event == "start_array":
                lengths.append(0)
            if prefix in ("", "item") and (not event.endswith("_array") or len(lengths) > 2):
                raise UserError(structure)
            if (prefix, event) == ("item", "end_array") and lengths[-1] != num_images:
                raise UserError(
                    f"{where} has {_LISTS[len(lengths) - 1][0]} of {lengths[-1]} images, expected "
                    f"{num_images}: write it again"
                )
            yield prefix, event, value

    for image in ijson.items(outline(ijson.parse(file, use_float=True)), "item.item"):
        name, points = _LISTS[len(lengths) - 1]
        if not (_is_list(image, points) and all(map(_is_point, image))):
            raise UserError(
                f"{where} has {name} of image {lengths[-1]} that are not {points} points of three "
                "finite numbers: write it again"
            )
        lengths[-1] += 1
    if len(lengths) != 2:
        raise UserError(structure)


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length


def _is_point(value: Any) -> bool:
    return _is_list(value, 3) and all(type(x) in (int, float) and math.isfinite(x) for x in value)
