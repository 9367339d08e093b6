"""Writes `boxes.json` from COCO's labels: `python -m data.from_coco ANNOTATIONS.json FOLDER`.

An annotation is a hand if it has 21 "keypoints" x, y, visibility, those of visibility 0 being
unknown; or no keypoints but a "bbox", and a category of hands by its name. Joints are taken in the
order in which the category's "keypoints" name them, if these names are understood, else in that of
--order. A hand's side is that of its category, if that one's name has "left" or "right" in it, else
--handedness. One of COCO-WholeBody is two hands, its "lefthand_kpts" and "righthand_kpts".

COCO's pixels have their origin at the corner of the first pixel, ours at its centre: 0.5 is
subtracted. The photos must have the size that the file says, as they are seen (after their EXIF
orientation).
"""

from peclr_jax import stopping  # which imports little; the rest is imported with signals obeyed

PROGRAM = stopping.start(__name__)

import argparse
import sys
from collections.abc import Sequence

from data.labels import command
from data.labels.folder import Photos, open_photos
from peclr_jax.labels import coco, values
from peclr_jax.labels.values import Labels
from peclr_jax.photos import boxes
from peclr_jax.places import argument


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the labels of a folder and returns the exit code."""
    parser = command.make_parser(__doc__)
    parser.add_argument("annotations", type=argument, metavar="ANNOTATIONS.json", help="its file")
    parser.add_argument("folder", type=argument, metavar="FOLDER", help="where the photos lie")
    parser.add_argument(
        "--handedness", choices=boxes.HANDEDNESS, default=values.UNKNOWN, help="of all hands"
    )
    command.add_order_and_source(parser)

    def convert(flags: argparse.Namespace) -> tuple[Labels, Photos]:
        path = flags.annotations
        labels, sizes = coco.from_file(
            path, handedness=flags.handedness, order=flags.order, source=flags.source
        )
        photos = open_photos(flags.folder)
        photos.check_sizes(path, sizes)
        return labels, photos

    return command.run(parser.parse_args(arguments), convert)


if __name__ == "__main__":
    sys.exit(PROGRAM.run(main))
