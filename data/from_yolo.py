"""Writes `boxes.json` from YOLO's labels: `python -m data.from_yolo LABELS_DIR FOLDER`.

LABELS_DIR has a text file for each photo, of its name, in folders of the same names. A line is a
hand: class, centre and size of the box, perhaps 21 joints as x y or x y visibility, and perhaps a
score. All are fractions of the photo's width and height as it is seen (after its EXIF orientation),
from the edge of its first pixel. Joints of visibility 0 are unknown; without visibilities those
that are negative, or 0 0. A photo without a text file shows no hand, as YOLO has it.
"""

from peclr_jax import stopping  # which imports little; the rest is imported with signals obeyed

PROGRAM = stopping.start(__name__)

import argparse
import sys
from collections.abc import Sequence

from data.labels import command
from data.labels.folder import Photos, open_photos
from peclr_jax.errors import MissingFileError
from peclr_jax.labels import values, yolo
from peclr_jax.labels.values import Labels
from peclr_jax.photos import boxes
from peclr_jax.places import argument


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
        sizes = {photos.root / name: size for name, size in photos.sizes.items()}
        hands, left_out, notes = yolo.from_folder(
            folder, sizes, sides=flags.handedness, order=flags.order, source=flags.source
        )
        by_name = {path.relative_to(photos.root).as_posix(): h for path, h in hands.items()}
        return Labels(by_name, left_out, tuple(notes)), photos

    return command.run(parser.parse_args(arguments), convert)


if __name__ == "__main__":
    sys.exit(PROGRAM.run(main))
