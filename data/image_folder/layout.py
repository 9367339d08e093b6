"""Finds the photos in a folder and below it, and what `boxes.json` says about them."""

import collections
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Float
from PIL import Image
from tqdm import auto as tqdm

from data import images
from data.image_folder import duplicates, labels
from peclr_jax.errors import MachineError, MissingFileError, UserError, is_machine_fault
from peclr_jax.labels.requests import named
from peclr_jax.photos import boxes, find, kinds, read
from peclr_jax.reading import bounded

BOXES_FILE = "boxes.json"
_NAMED_AT_MOST = 5
_HELD_OUT_SHARE = 0.1


class Photo(NamedTuple):
    """A readable photo; width and height are pixels of the photo as it is seen.

    Photos of the same content have the same `sample`, and count up in `copy`.
    """

    path: Path
    width: int
    height: int
    hands: tuple[boxes.Hand, ...]
    sample: int = 0
    copy: int = 0


class Folder(NamedTuple):
    """The photos that show a hand, or may do so.

    Attributes:
      photos: In the order of their paths.
      unreadable: How many files are broken.
      left_out: What is left out and why.
      notes: What else a person must know of the labels.
    """

    photos: tuple[Photo, ...]
    unreadable: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def copies(self) -> int:
        """How many photos are exact copies of others."""
        return sum(photo.copy > 0 for photo in self.photos)


def read_folder(root: Path) -> Folder:
    """Lists the photos in a folder and below it, decodes each once, and reads `boxes.json`.

    What is no photo is left out, and so is what cannot be decoded; the log names both.
    """
    paths = list_images(root, say=True)
    hands, notes = _read_hands(root, paths)
    sizes = readable(paths)
    hands, outside = labels.inside(hands, sizes)
    photos = _with_copies([(path, hands.get(path), sizes[path]) for path in sizes])
    if not photos:
        raise UserError(
            f"{root / BOXES_FILE} says of every readable photo that it shows no hand: name the "
            "hands, or leave out photos whose hands are unknown"
        )
    for photo in photos:
        labels.check(photo.path, (photo.width, photo.height), photo.hands, root / BOXES_FILE)
    left_out = (f"{root / BOXES_FILE}: {outside}",) if outside else ()
    return Folder(tuple(photos), len(paths) - len(sizes), left_out, tuple(notes))


def held_out(paths: Sequence[Path], samples: Sequence[int] | None = None) -> set[int]:
    """Returns which photos are held out: in every folder the last tenth by name.

    Neighbouring frames of a film look alike, so that they stay on one side but at one border.
    Photos of the same content stay with the first of them. At least one of two or more different
    photos is held out.

    Args:
      paths: The photos, sorted.
      samples: Which of them are the same: a number of each content. All differ by default.
    """
    samples = range(len(paths)) if samples is None else samples
    firsts: dict[int, int] = {}
    for number, sample in enumerate(samples):
        firsts.setdefault(sample, number)
    folders = collections.defaultdict(list)
    for number, path in enumerate(paths):
        folders[path.parent].append(number)
    last = {
        number
        for numbers in folders.values()
        for number in numbers[len(numbers) - round(_HELD_OUT_SHARE * len(numbers)) :]
    }
    chosen = {sample for sample, first in firsts.items() if first in last}
    if not chosen and len(firsts) > 1:
        chosen = {max(firsts, key=firsts.__getitem__)}
    return {number for number, sample in enumerate(samples) if sample in chosen}


def raw_files(root: Path) -> Iterator[Path]:
    """Yields the files that records would be made of."""
    yield from list_images(root)
    if (root / BOXES_FILE).is_file():
        yield root / BOXES_FILE


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
                return bounded.content(photo.path, bounded.PHOTO)
        pixels = read.read(photo.path, smallest=float(min(size))).pixels
    except (OSError, ValueError) as error:
        if is_machine_fault(error):
            raise
        raise UserError(f"{photo.path} cannot be read any more ({error}): start again") from error
    seen = pixels.image
    if seen.size != size:
        # Decoded at a fraction of its size, its pixels may reach over the border.
        left, top = (-0.5 - pixels.left) * pixels.scale[0], (-0.5 - pixels.top) * pixels.scale[1]
        right = min(left + photo.width * pixels.scale[0], seen.width)
        bottom = min(top + photo.height * pixels.scale[1], seen.height)
        inside = (left, top, right, bottom)
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


def _read_hands(
    root: Path, paths: Sequence[Path]
) -> tuple[dict[Path, tuple[boxes.Hand, ...]], list[str]]:
    """Returns the hands of the photos that are mentioned, and what a person must know of it."""
    file = root / BOXES_FILE
    if not file.is_file():
        return {}, []
    found, notes = named(paths, file, "unknown")
    return {path: request.hands for path, request in found.items()}, notes


def _with_copies(
    found: Sequence[tuple[Path, tuple[boxes.Hand, ...] | None, tuple[int, int]]],
) -> list[Photo]:
    """Returns the photos that may show a hand: a single one somewhere in those not mentioned.

    Of copies, one that is not mentioned shows the hands of the first that is.
    """
    firsts = duplicates.first_of_same([path for path, _, _ in found])
    mentioned: dict[int, tuple[boxes.Hand, ...]] = {}
    for first, (_, shown, _) in zip(firsts, found, strict=True):
        if shown is not None:
            mentioned.setdefault(first, shown)
    somewhere = (boxes.Hand("unknown"),)
    photos: list[Photo] = []
    samples: dict[int, int] = {}
    counts: collections.Counter[int] = collections.Counter()
    for first, (path, shown, size) in zip(firsts, found, strict=True):
        hands = mentioned.get(first, somewhere) if shown is None else shown
        if hands:
            sample = samples.setdefault(first, len(photos))
            photos.append(Photo(path, *size, hands, sample, counts[sample]))
            counts[sample] += 1
    return photos


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
