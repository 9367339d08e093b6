"""Writes `boxes.json` from YOLO-pose labels: `python -m data.from_yolo LABELS_DIR FOLDER`.

LABELS_DIR has a text file for each photo, of its name, in folders of the same names. A line is a
hand: class, centre and size of the box, 21 joints as x y or x y visibility, and perhaps a score.
All are fractions of the photo's width and height as it is seen (after its EXIF orientation), from
the edge of its first pixel. Joints of visibility 0 are unknown; without visibilities those that are
negative, or 0 0. A photo without a text file shows no hand, as YOLO has it.
"""

import argparse
import collections
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data.labels import command, values
from data.labels.folder import Labels, Photos, open_photos
from peclr_jax.errors import MissingFileError, UserError, is_machine_fault
from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.photos import boxes
from peclr_jax.places import argument

_BEFORE = 5  # class, x, y, width, height
# Numbers on a line, without a score, to numbers of a joint.
_LENGTHS = {_BEFORE + axes * NUM_JOINTS: axes for axes in (2, 3)}
# Of a box's fractions: what rounding may add to 1.
_TOLERANCE = 0.01


def from_folder(
    folder: Path,
    photos: Photos,
    *,
    sides: Sequence[str] = (values.UNKNOWN,),
    order: str = "freihand",
    source: str = "",
) -> Labels:
    """Returns the hands that a folder of text files says of photos.

    Args:
      folder: Of the text files.
      photos: The photos.
      sides: Side of each class's hands; a single one is that of all.
      order: That of the joints, one of `values.ORDERS`.
      source: Whose labels they are.
    """
    files = {path.relative_to(folder).with_suffix("") for path in folder.rglob("*.txt")}
    if not files:
        raise MissingFileError(f"{folder} holds no .txt file, nor do the folders in it: check it")
    labels = Labels({}, collections.Counter())
    named: dict[Path, str] = {}
    for name, size in photos.sizes.items():
        stem = Path(name).with_suffix("")
        if stem in named:
            raise UserError(f"{name!r} and {named[stem]!r} would have one text file: rename one")
        named[stem] = name
        hands = []
        if stem in files:
            path = folder / f"{stem}.txt"
            for number, line in enumerate(_lines(path)):
                where = f"{path}, line {number + 1}"
                hands.append(_hand(line, size, sides, order, source, where))
        labels.hands[name] = [hand for hand in hands if hand is not None]
        labels.left_out["hands without extent"] += len(hands) - len(labels.hands[name])
    if not files & named.keys():
        raise UserError(
            f"no text file in {folder} has the name of a photo, the first being "
            f"{f'{min(files)}.txt'!r} and {min(photos.sizes)!r}: check both folders"
        )
    labels.left_out["text files without a readable photo"] += len(files - named.keys())
    return labels


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if is_machine_fault(error):
            raise
        raise UserError(f"{path} cannot be read as text: check it") from None
    return [line for line in text.splitlines() if line.strip()]


def _hand(
    line: str, size: tuple[int, int], sides: Sequence[str], order: str, source: str, where: str
) -> boxes.Hand | None:
    numbers, axes, score = _parse(line, where)
    kind = numbers[0] if len(sides) > 1 else 0
    if kind not in range(len(sides)):
        raise UserError(f"{where} is of class {kind:g}, but --handedness names {len(sides)}")
    center, extent = numbers[1:3], numbers[3:_BEFORE]
    corners = np.stack([center - extent / 2, center + extent / 2])
    joints = numbers[_BEFORE:].reshape(NUM_JOINTS, axes)[values.ORDERS[order]]
    known = joints[:, 2] > 0 if axes == 3 else (joints >= 0).all(1) & joints.any(1)
    pixels = (joints[:, :2] * size - 0.5).tolist()
    return values.make_hand(
        sides[int(kind)],
        box=(corners * size - 0.5).reshape(4).tolist(),
        keypoints=[point if seen else None for point, seen in zip(pixels, known, strict=True)],
        score=score,
        source=source,
    )


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
            f"{where} has {len(numbers)} numbers, not class, box and {NUM_JOINTS} joints "
            f"({' or '.join(map(str, _LENGTHS))}, and perhaps a score): check the labels"
        )
    box = numbers[1:_BEFORE]
    if box.min() < -_TOLERANCE or box.max() > 1 + _TOLERANCE:
        raise UserError(f"{where} has the box {box.tolist()}: give fractions of width and height")
    return numbers, _LENGTHS[len(numbers)], score


def _as_sides(text: str) -> tuple[str, ...]:
    sides = tuple(text.split(","))
    if not set(sides) <= {*boxes.HANDEDNESS}:
        raise argparse.ArgumentTypeError("must be right or left, or one of them for each class")
    return sides


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the labels of a folder and returns the exit code."""
    parser = command.make_parser(__doc__)
    parser.add_argument("labels", type=argument, metavar="LABELS_DIR", help="where the texts lie")
    parser.add_argument("folder", type=argument, metavar="FOLDER", help="where the photos lie")
    parser.add_argument(
        "--handedness",
        type=_as_sides,
        default=(values.UNKNOWN,),
        help="right or left, of all hands or, comma-separated, of each class",
    )
    command.add_order_and_source(parser)

    def convert(flags: argparse.Namespace) -> tuple[Labels, Photos]:
        folder = flags.labels
        if not folder.is_dir():
            raise MissingFileError(f"{folder} is no folder: name that of the text files")
        photos = open_photos(flags.folder)
        labels = from_folder(
            folder, photos, sides=flags.handedness, order=flags.order, source=flags.source
        )
        return labels, photos

    return command.run(parser.parse_args(arguments), convert)


if __name__ == "__main__":
    sys.exit(main())
