"""Finds the photos in a folder and below it, and what `boxes.json` says about them."""

import collections
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Float
from PIL import Image
from tqdm import auto as tqdm

from data import images
from peclr_jax.errors import MachineError, MissingFileError, UserError, is_machine_fault
from peclr_jax.labels.requests import requests
from peclr_jax.photos import boxes, find, kinds, read

BOXES_FILE = "boxes.json"
_NAMED_AT_MOST = 5
_HELD_OUT_SHARE = 0.1


class Photo(NamedTuple):
    """A readable photo; width and height are pixels of the photo as it is seen."""

    path: Path
    width: int
    height: int
    hands: tuple[boxes.Hand, ...]


class Folder(NamedTuple):
    """The photos that show a hand, or may do so, and how many files are broken."""

    photos: tuple[Photo, ...]
    unreadable: int


def read_folder(root: Path) -> Folder:
    """Lists the photos in a folder and below it, decodes each once, and reads `boxes.json`.

    What is no photo is left out, and so is what cannot be decoded; the log names both.
    """
    paths = list_images(root, say=True)
    hands = _read_hands(root, paths)
    sizes = readable(paths)
    hands = _inside(hands, sizes, root / BOXES_FILE)
    photos = [Photo(path, *sizes[path], hands[path]) for path in sizes if hands[path]]
    if not photos:
        raise UserError(
            f"{root / BOXES_FILE} says of every readable photo that it shows no hand: name the "
            "hands, or leave out photos whose hands are unknown"
        )
    return Folder(tuple(photos), len(paths) - len(sizes))


def held_out(paths: Sequence[Path]) -> set[int]:
    """Returns which photos are held out: in every folder the last tenth by name.

    Neighbouring frames of a film look alike, so that they stay on one side but at one border.
    At least one of two or more photos is held out.

    Args:
      paths: The photos, sorted.
    """
    folders = collections.defaultdict(list)
    for number, path in enumerate(paths):
        folders[path.parent].append(number)
    last = {
        number
        for numbers in folders.values()
        for number in numbers[len(numbers) - round(_HELD_OUT_SHARE * len(numbers)) :]
    }
    return last if last or len(paths) < 2 else {len(paths) - 1}


def checksum(root: Path) -> str:
    """Returns a number that changes when photos or `boxes.json` are added, removed or edited."""
    files = [*list_images(root), root / BOXES_FILE]
    facts = [(str(f), s.st_size, s.st_mtime_ns) for f in files if f.is_file() and (s := f.stat())]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def as_jpeg(photo: Photo, longest: int | None) -> bytes:
    """Returns a photo, as it is seen, as a JPEG; byte for byte if it is such a one already.

    Args:
      photo: As listed by `read_folder`.
      longest: The longer side in pixels, at most; `None` for no limit.
    """
    size = scaled_size(photo, longest)
    try:
        with read.opened(photo.path) as image:
            upright = read.orientation_of(image) == 1
            if (image.format, image.mode, image.size) == ("JPEG", "RGB", size) and upright:
                return photo.path.read_bytes()
        pixels = read.read(photo.path, smallest=float(min(size))).pixels
    except (OSError, ValueError) as error:
        if is_machine_fault(error):
            raise
        raise UserError(f"{photo.path} cannot be read any more ({error}): start again") from error
    seen = pixels.image
    if seen.size != size:
        # Decoded at a fraction of its size, its last pixels may reach over the border.
        right = min(photo.width * pixels.scale[0], seen.width)
        bottom = min(photo.height * pixels.scale[1], seen.height)
        inside = (0, 0, right, bottom)
        seen = seen.resize(size, Image.Resampling.LANCZOS, inside, reducing_gap=3.0)
    return images.encode(seen)


def scaled_size(photo: Photo, longest: int | None) -> tuple[int, int]:
    """Returns the size that a photo is stored at: at most `longest` px, and `read.MOST_PIXELS`."""
    side = max(photo.width, photo.height)
    most = read.largest_fraction(photo.width, photo.height)
    shrink = min(most, (longest or side) / side)
    return max(1, round(shrink * photo.width)), max(1, round(shrink * photo.height))


def scale_points(
    points: Float[np.ndarray, "points 2"], photo: Photo, longest: int | None
) -> Float[np.ndarray, "points 2"]:
    """Scales pixels along with a photo's longer side.

    Args:
      points: Pixels (x, y) of the original photo.
      photo: As listed by `read_folder`.
      longest: The longer side in pixels, at most; `None` for no limit.
    """
    factors = np.array(scaled_size(photo, longest)) / (photo.width, photo.height)
    # A pixel's centre is at a whole number, its edges are half a pixel away.
    return (points + 0.5) * factors - 0.5


def list_images(root: Path, *, say: bool = False) -> list[Path]:
    """Returns the photos in a folder and below it, sorted, as `find.pictures_below` tells them.

    Args:
      root: The folder.
      say: Whether to name in the log what is left out.
    """
    paths, left_out = _find(root)
    for one in left_out if say else []:
        logging.warning("%s: left out %s", root, one)
    return paths


def _find(root: Path) -> find.Pictures:
    try:
        pictures = find.pictures_below(root)
    except FileNotFoundError:
        raise MissingFileError(f"{root} is not there: check the path") from None
    except OSError as error:
        raise MachineError(f"{root} cannot be read ({error.strerror}): see to its rights") from None
    besides = [
        one._replace(paths=paths)
        for one in pictures.left_out
        if (paths := [path for path in one.paths if path != root / BOXES_FILE])
    ]
    if not pictures.paths:
        remedy = f", but {'; '.join(map(str, besides))}" if besides else ": check the folder"
        raise MissingFileError(
            f"{root} holds no image ({kinds.NAMES}), nor do the folders in it{remedy}"
        )
    return pictures._replace(left_out=besides)


def readable(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Decodes all photos; returns the width and height, as it is seen, of each that can be.

    The others are named in the log.
    """
    results = tqdm.tqdm(
        images.ahead(_decode, paths),
        total=len(paths),
        desc="Checking the photos",
        unit=" photos",
        leave=False,
    )
    checked = list(zip(paths, results, strict=True))
    sizes = {path: result for path, result in checked if not isinstance(result, str)}
    problems = [f"{path}: {result}" for path, result in checked if isinstance(result, str)]
    if len(problems) == len(paths):
        raise MissingFileError(
            f"{len(paths)} photos were found, but none can be read, the first being {problems[0]}: "
            "check the folder"
        )
    if problems:
        logging.warning("%d photos cannot be read and are left out: %s", *_some(problems))
    remarks = [f"{path}: {'; '.join(s.remarks)}" for path, s in sizes.items() if s.remarks]
    if remarks:
        logging.warning("%d photos have impossible notes: %s", *_some(remarks))
    return {path: (size.width, size.height) for path, size in sizes.items()}


def _read_hands(root: Path, paths: Sequence[Path]) -> dict[Path, tuple[boxes.Hand, ...]]:
    """Returns the hands of every photo: a single one somewhere in those not mentioned."""
    file = root / BOXES_FILE
    found, notes = requests(paths, file if file.is_file() else "", "unknown")
    for note in notes:
        logging.warning("%s", note)
    return {path: request.hands for path, request in zip(paths, found, strict=True)}


class _Size(NamedTuple):
    width: int
    height: int
    remarks: tuple[str, ...]


def _decode(path: Path) -> _Size | str:
    """Returns a photo's width and height, or why it cannot be decoded."""
    try:
        # At an eighth of its size every byte of a JPEG is still looked at.
        photo = read.read(path, smallest=1.0)
    except read.UnreadableImageError as error:
        return str(error)
    return _Size(photo.width, photo.height, photo.remarks)


def _some(names: Sequence[str]) -> tuple[int, str]:
    more = ", ..." if len(names) > _NAMED_AT_MOST else ""
    return len(names), ", ".join(itertools.islice(names, _NAMED_AT_MOST)) + more


def _inside(
    hands: Mapping[Path, tuple[boxes.Hand, ...]], sizes: Mapping[Path, tuple[int, int]], file: Path
) -> dict[Path, tuple[boxes.Hand, ...]]:
    """Returns the hands of the readable photos without those whose box lies outside of its photo.

    A photo whose hands all do so has none.
    """
    outside = [
        f"{list(hand.box)} of {path} ({size[0]}x{size[1]} px as it is seen)"
        for path, size in sizes.items()
        for hand in hands[path]
        if hand.box and not boxes.is_inside(hand.box, size)
    ]
    if outside:
        logging.warning(
            "%s: %d boxes lie outside of their photos and are left out: %s", file, *_some(outside)
        )
    return {
        path: tuple(hand for hand in hands[path] if boxes.is_inside(hand.box, size))
        for path, size in sizes.items()
    }
