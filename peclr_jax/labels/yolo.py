"""Hands from YOLO's labels: a text file for each photo, of its name, a line for each hand.

A line has the class, centre and size of the box, perhaps 21 joints as x y or x y visibility, and
perhaps a score. All are fractions of the photo's width and height as it is seen (after its EXIF
orientation), from the edge of its first pixel. Joints of visibility 0 are unknown; without
visibilities those that are negative, or 0 0. A photo without a text file shows no hand, as YOLO has
it.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.labels import names, values
from peclr_jax.photos import boxes
from peclr_jax.reading import bounded

_BEFORE = 5  # class, x, y, width, height
# Numbers on a line, without a score, to numbers of a joint.
_LENGTHS = {_BEFORE: 0} | {_BEFORE + axes * NUM_JOINTS: axes for axes in (2, 3)}
# Text files that tools write beside labels, unless photos have these names.
_NO_LABELS = ("classes", "obj_names", "train", "val", "test")
# Of a box's fractions: what rounding may add to 1.
_TOLERANCE = 0.01


def from_folder(
    folder: Path,
    sizes: Mapping[Path, tuple[int, int]],
    *,
    sides: Sequence[str] = (values.UNKNOWN,),
    order: str = values.FREIHAND,
    source: str = "",
) -> tuple[dict[Path, list[boxes.Hand]], collections.Counter[str], list[str]]:
    """Returns the hands that a folder of text files says of photos.

    Args:
      folder: Of the text files.
      sizes: Width and height in pixels, as they are seen, of the photos.
      sides: Side of each class's hands; a single one is that of all.
      order: That of the joints, one of `values.ORDERS`.
      source: Whose labels they are.

    Returns:
      (the hands of every photo, how many entries were left out by what they are, what a person must
      know of the text files' names).
    """
    files = _text_files(folder, sizes)
    stems = {photo.with_suffix(""): photo for photo in sizes}
    if len(stems) < len(sizes):
        (first, second), *_ = [
            (photo, stems[stem]) for photo in sizes if stems[stem := photo.with_suffix("")] != photo
        ]
        raise UserError(f"{str(first)!r} and {str(second)!r} would have one text file: rename one")
    found = names.match(files, [*stems], folder)
    if not found.names:
        raise UserError(
            f"no text file in {folder} has the name of a photo, the first being "
            f"{min(files) + '.txt'!r} and {min(sizes).name!r}: check both folders"
        )
    hands: dict[Path, list[boxes.Hand]] = {photo: [] for photo in sizes}
    left_out: collections.Counter[str] = collections.Counter()
    classes: set[int] = set()
    for stem, name in found.names.items():
        for number, line in enumerate(_lines(files[name])):
            where = f"{files[name]}, line {number + 1}"
            kind, hand = _hand(line, sizes[stems[stem]], sides, order, source, where)
            classes.add(kind)
            if hand is None:
                left_out["hands without extent"] += 1
            else:
                hands[stems[stem]].append(hand)
                boxes.check_count(hands[stems[stem]], where)
    left_out["text files without a readable photo"] += len(found.unknown)
    notes = found._replace(unknown=[]).describe(folder)
    if len(sides) == 1 and len(classes) > 1:
        notes.append(f"{folder} has {len(classes)} classes, all of which were taken for hands")
    return hands, left_out, notes


def _text_files(folder: Path, photos: Iterable[Path]) -> dict[str, Path]:
    """Returns the text files that may be labels, by their paths in the folder without endings."""
    not_labels = {*_NO_LABELS} - {photo.stem for photo in photos}
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() != ".txt" or path.stem in not_labels:
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise UserError(f"{files[name]} and {path} would be of one photo: delete one")
        files[name] = path
    if not files:
        raise MissingFileError(f"{folder} holds no .txt file, nor do the folders in it: check it")
    return files


def _lines(path: Path) -> list[str]:
    return [line for line in bounded.text(path).splitlines() if line.strip()]


def _hand(
    line: str, size: tuple[int, int], sides: Sequence[str], order: str, source: str, where: str
) -> tuple[int, boxes.Hand | None]:
    """Returns a line's class and hand."""
    numbers, axes, score = _parse(line, where)
    kind = numbers[0] if len(sides) > 1 else 0
    if kind not in range(len(sides)):
        raise UserError(f"{where} is of class {kind:g}, but --handedness names {len(sides)}")
    center, extent = numbers[1:3], numbers[3:_BEFORE]
    corners = np.stack([center - extent / 2, center + extent / 2])
    keypoints = None
    if axes:
        joints = numbers[_BEFORE:].reshape(NUM_JOINTS, axes)[values.ORDERS[order]]
        known = joints[:, 2] > 0 if axes == 3 else (joints >= 0).all(1) & joints.any(1)
        values.check_unit(joints[known, :2], False, f"the joints of {where}")
        pixels = (joints[:, :2] * size - 0.5).tolist()
        keypoints = [point if seen else None for point, seen in zip(pixels, known, strict=True)]
    hand = values.make_hand(
        sides[int(kind)],
        box=(corners * size - 0.5).reshape(4).tolist(),
        keypoints=keypoints,
        score=score,
        source=source,
    )
    return int(numbers[0]), hand


def _parse(line: str, where: str) -> tuple[Float[np.ndarray, " numbers"], int, float]:
    """Returns a line's numbers, how many of them a joint has, and the score."""
    try:
        numbers = np.array([float(word) for word in line.split()])
    except ValueError:
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise UserError(f"{where} must hold finite numbers, got {line[:60]!r}")
    score = 1.0
    if len(numbers) - 1 in _LENGTHS:
        score = values.as_score(numbers[-1], f"the score of {where}")
        numbers = numbers[:-1]
    if len(numbers) not in _LENGTHS:
        raise UserError(
            f"{where} has {len(numbers)} numbers, not class, box and perhaps {NUM_JOINTS} joints "
            f"({' or '.join(map(str, _LENGTHS))}, and perhaps a score): check the labels"
        )
    box = numbers[1:_BEFORE]
    if box.min() < -_TOLERANCE or box.max() > 1 + _TOLERANCE:
        raise UserError(f"{where} has the box {box.tolist()}: give fractions of width and height")
    return numbers, _LENGTHS[len(numbers)], score
