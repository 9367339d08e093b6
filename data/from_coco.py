"""Writes `boxes.json` from COCO keypoints: `python -m data.from_coco ANNOTATIONS.json FOLDER`.

An annotation is a hand if it has 21 "keypoints" x, y, visibility, those of visibility 0 being
unknown. Its side is that of its category, if that one's name has "left" or "right" in it, else
--handedness. One of COCO-WholeBody is two hands, its "lefthand_kpts" and "righthand_kpts".

COCO's pixels have their origin at the corner of the first pixel, ours at its centre: 0.5 is
subtracted. The photos must have the size that the file says, as they are seen (after their EXIF
orientation).
"""

import argparse
import collections
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.labels import command, values
from data.labels.folder import Labels, Photos, open_photos
from peclr_jax.errors import UserError
from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.photos import boxes
from peclr_jax.places import argument

_VALUES = 3 * NUM_JOINTS
_NO_HAND = f"annotations without {NUM_JOINTS} joints of a hand"


def from_file(
    path: Path, *, handedness: str = values.UNKNOWN, order: str = "freihand", source: str = ""
) -> tuple[Labels, dict[str, tuple[int, int]]]:
    """Returns the hands of a COCO file, and the width and height that it says of its images.

    Args:
      path: The JSON file.
      handedness: Side of the hands whose category does not say it.
      order: That of the joints, one of `values.ORDERS`.
      source: Whose labels they are.
    """
    content = values.read_json(path)
    images = _by_id(content, "images", path)
    categories = _by_id(content, "categories", path) if "categories" in content else {}
    labels = Labels({}, collections.Counter())
    names, sizes = {}, {}
    for key, image in images.items():
        name = image.get("file_name")
        if not isinstance(name, str) or name in labels.hands:
            raise UserError(f'{path}: "file_name" of image {key} must be a name of its own')
        names[key], labels.hands[name] = name, []
        if "width" in image and "height" in image:
            size = [image["width"], image["height"]]
            width, height = values.as_numbers(size, (2,), f"{path}: the size of {name!r}")
            sizes[name] = int(width), int(height)
    for entry in _list(content, "annotations", path):
        where = f"{path}, annotation {entry.get('id')!r}"
        image_id, category_id = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image_id, int) or image_id not in names:
            raise UserError(f'{where}: no image has its "image_id", {image_id!r}')
        category = categories.get(category_id, {}) if isinstance(category_id, int) else {}
        side = _side_of(str(category.get("name", "")), handedness)
        for hand in _hands(entry, side, order, source, where):
            if isinstance(hand, str):
                labels.left_out[hand] += 1
            else:
                labels.hands[names[image_id]].append(hand)
    return labels, sizes


def _hands(
    entry: Mapping[str, Any], side: str, order: str, source: str, where: str
) -> Iterator[boxes.Hand | str]:
    """Yields the hands of an annotation, or why there is none."""
    of_body = [name for name in boxes.HANDEDNESS if f"{name}hand_kpts" in entry]
    if entry.get("iscrowd"):
        yield "annotations of crowds"
    elif of_body:
        for name in of_body:
            if entry.get(f"{name}hand_valid", True):
                fields = (f"{name}hand_kpts", f"{name}hand_box")
                yield _hand(entry, fields, name, order, source, where)
            else:
                yield "hands that are not valid"
    elif not isinstance(entry.get("keypoints"), list) or len(entry["keypoints"]) != _VALUES:
        yield _NO_HAND
    else:
        yield _hand(entry, ("keypoints", "bbox"), side, order, source, where)


def _hand(
    entry: Mapping[str, Any],
    fields: tuple[str, str],
    side: str,
    order: str,
    source: str,
    where: str,
) -> boxes.Hand | str:
    joints, box = (entry.get(field) for field in fields)
    points = values.as_numbers(joints, (_VALUES,), f'{where}: "{fields[0]}"')
    points = points.reshape(NUM_JOINTS, 3)[values.ORDERS[order]]
    if box is not None:
        x, y, width, height = values.as_numbers(box, (4,), f'{where}: "{fields[1]}"').tolist()
        box = (x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5)
    hand = values.make_hand(
        side,
        box=box,
        keypoints=[(x - 0.5, y - 0.5) if seen > 0 else None for x, y, seen in points.tolist()],
        score=values.as_score(entry.get("score", 1.0), f'{where}: "score"'),
        source=source,
    )
    return hand or "hands without extent"


def _side_of(category: str, otherwise: str) -> str:
    sides = [side for side in boxes.HANDEDNESS if side in category.lower()]
    return sides[0] if len(sides) == 1 else otherwise


def _list(content: Any, field: str, path: Path) -> list[dict[str, Any]]:
    entries = content.get(field) if isinstance(content, dict) else None
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise UserError(f'{path} must have a list of objects "{field}", as COCO\'s files')
    return entries


def _by_id(content: Any, field: str, path: Path) -> dict[int, dict[str, Any]]:
    entries = _list(content, field, path)
    found = {entry["id"]: entry for entry in entries if isinstance(entry.get("id"), int)}
    if len(found) != len(entries):
        raise UserError(f'{path}: each of "{field}" must have an "id", a whole number of its own')
    return found


def _check_sizes(path: Path, sizes: Mapping[str, tuple[int, int]], photos: Photos) -> None:
    for name, said in sizes.items():
        seen = photos.sizes.get(photos.find(name) or "")
        if seen and seen != said:
            raise UserError(
                f"{path} is about a {name!r} of {said[0]}x{said[1]} px, but that photo has "
                f"{seen[0]}x{seen[1]} px as it is seen: use the photos that were labelled"
            )


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
        labels, sizes = from_file(
            path, handedness=flags.handedness, order=flags.order, source=flags.source
        )
        photos = open_photos(flags.folder)
        _check_sizes(path, sizes, photos)
        return labels, photos

    return command.run(parser.parse_args(arguments), convert)


if __name__ == "__main__":
    sys.exit(main())
