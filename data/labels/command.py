"""The command that every converter is: labels in, `boxes.json` out, whole or not at all.

`boxes.json` is described in peclr_jax/photos/boxes.py.
"""

import argparse
import collections
import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.image_folder import layout
from data.labels.folder import Photos, place
from peclr_jax import console, files
from peclr_jax.errors import (
    MachineError,
    MissingFileError,
    UserError,
    explaining,
)
from peclr_jax.labels.values import FREIHAND, ORDERS, UNKNOWN, Labels, counted
from peclr_jax.photos import boxes
from peclr_jax.places import argument

Convert = Callable[[argparse.Namespace], tuple[Labels, Photos]]

_DECIMALS_PX, _DECIMALS_M, _DECIMALS_SCORE = 2, 5, 4
_SMALLEST_SCORE = 10**-_DECIMALS_SCORE


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser of what every converter takes after its own positional arguments."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = f"FOLDER/{layout.BOXES_FILE}"
    parser.add_argument("--out", type=argument, help=f"the file to write; {default} by default")
    parser.add_argument("--overwrite", action="store_true", help="replace that file")
    return parser


def add_order_and_source(parser: argparse.ArgumentParser) -> None:
    """Adds what the converters of formats, which anyone's labels may have, take."""
    parser.add_argument(
        "--order", choices=ORDERS, default=FREIHAND, help="of the joints: freihand by default"
    )
    parser.add_argument("--source", default="", help='whose labels they are, such as "human"')


def run(flags: argparse.Namespace, convert: Convert) -> int:
    """Converts the labels of `flags.folder`, says what became of them, returns the exit code.

    Args:
      flags: Of `make_parser`, with a `folder`.
      convert: Returns the labels, by the names that they have for the photos, and the photos.
    """
    out = flags.out or flags.folder / layout.BOXES_FILE
    try:
        with explaining(out.parent, "run the same command again"):
            _check_places(flags.folder, out, flags.overwrite)
            named, photos = convert(flags)
            labels = place(named, photos)
            write(out, labels.hands)
    except UserError as error:
        console.tell(f"error: {error}")
        return 2
    console.say(*_summary(labels, photos), f"Labels are in {out}")
    return 0


def write(out: Path, hands: Mapping[str, Sequence[boxes.Hand]]) -> None:
    """Writes `boxes.json`, if it can be read back.

    Args:
      out: The file.
      hands: Of every photo, by its path below the folder of the photos.
    """
    entries = {name: [_to_json(hand) for hand in shown] for name, shown in hands.items()}
    lines = (f"{json.dumps(name)}: {json.dumps(shown)}" for name, shown in entries.items())
    try:
        with files.writing(out) as file:
            file.write("{\n" + ",\n".join(lines) + "\n}\n")
            file.flush()
            try:
                boxes.read_boxes(Path(file.name), UNKNOWN)
            except UserError as error:
                told = str(error).replace(file.name, "the labels")
                raise UserError(told) from None
    except OSError as error:
        raise _unwritable(out, error) from error


def _check_places(root: Path, out: Path, overwrite: bool) -> None:
    if not os.path.isdir(root):
        problem = "no folder" if os.path.exists(root) else "not there"
        raise MissingFileError(f"{root} is {problem}: name the folder of the photos")
    if os.path.isdir(out):
        raise UserError(f"--out={out} is a folder: name a file")
    if os.path.exists(out) and not overwrite:
        raise UserError(f"{out} exists: pass --overwrite to replace it, or another --out")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(out)  # which knows of names that are too long
        # Looking at all photos takes long, and in vain if their labels cannot be kept.
        with files.scratch(next(p for p in out.absolute().parents if os.path.lexists(p))):
            pass
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> MachineError:
    return MachineError(f"{out} cannot be written ({error.strerror}): choose another --out")


def _to_json(hand: boxes.Hand) -> dict[str, Any]:
    entry: dict[str, Any] = {"box": _rounded(hand.box, _DECIMALS_PX)}
    if hand.handedness in boxes.HANDEDNESS:
        entry["handedness"] = hand.handedness
    if hand.keypoints is not None:
        entry["keypoints"] = [_rounded(point, _DECIMALS_PX) for point in hand.keypoints]
    if hand.keypoints_3d is not None:
        entry["keypoints_3d"] = [_rounded(point, _DECIMALS_M) for point in hand.keypoints_3d]
    if hand.score != 1:
        entry["score"] = max(round(hand.score, _DECIMALS_SCORE), _SMALLEST_SCORE)
    if hand.source:
        entry["source"] = hand.source
    return entry


def _rounded(values: Sequence[float] | None, decimals: int) -> list[float] | None:
    return None if values is None else [round(float(value), decimals) for value in values]


def _summary(labels: Labels, photos: Photos) -> list[str]:
    hands = [hand for shown in labels.hands.values() for hand in shown]
    sides = collections.Counter(hand.handedness for hand in hands)
    empty = sum(not shown for shown in labels.hands.values())
    unnamed = len(photos.sizes) - len(labels.hands)
    by_side = ", ".join(f"{count} {side}" for side, count in sides.most_common())
    lines = [
        f"{len(labels.hands)} photos with {len(hands)} hands ({by_side})",
        f"{sum(hand.keypoints_3d is not None for hand in hands)} hands with joints in space",
        f"{empty} photos without a labelled hand",
    ]
    if sides[UNKNOWN]:
        lines.append(
            f"{sides[UNKNOWN]} hands of unknown side, which training takes for right ones: "
            "--handedness tells it"
        )
    lines += labels.notes
    if labels.left_out:
        lines.append(f"left out: {', '.join(counted(labels.left_out))}")
    if photos.unreadable:
        lines.append(f"{len(photos.unreadable)} photos cannot be read")
    if unnamed:
        lines.append(f"{unnamed} photos that the labels do not name: taken for one hand somewhere")
    return lines
