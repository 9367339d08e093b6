"""Hands from COCO's files: joints, or boxes alone.

An annotation is a hand if it has 21 "keypoints" x, y, visibility, those of visibility 0 being
unknown, in the order that the category's "keypoints" name, if these names are understood; or no
keypoints but a "bbox", and a category of hands by its name: "hand", "left",
"right_hand". Its side is that of its category, if that one's name has "left" or "right" in it. One
of COCO-WholeBody is two hands, its "lefthand_kpts" and "righthand_kpts".

COCO's pixels have their origin at the corner of the first pixel, ours at its centre: 0.5 is
subtracted.
"""

import collections
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from peclr_jax.errors import UserError, shown
from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.labels import values
from peclr_jax.labels.joint_names import find_order
from peclr_jax.labels.values import Labels
from peclr_jax.photos import boxes
from peclr_jax.reading import json_parts

Order = Int[np.ndarray, "21"]

_VALUES = 3 * NUM_JOINTS
_NO_HAND = f"annotations without {NUM_JOINTS} joints of a hand"
_OTHERS = "boxes of categories that are no hands by their names"
_HANDS = {"hand", "hands", "lefthand", "righthand", "lefthands", "righthands"}
_SIDES = {"left", "right"}
# The lists that tell a file of COCO, with what their entries have.
_KEYS = {"images": "file_name", "annotations": "image_id"}
# Of images and categories.
_USED = ("file_name", "width", "height", "name", "keypoints")


def is_coco(path: Path) -> bool:
    """Returns whether a JSON file is laid out as COCO's files are."""
    if not all(json_parts.mentions(path, name) for name in _KEYS):
        return False
    firsts = {
        key: next(json_parts.stream(path, f"{name}.item"), {key: None})
        for name, key in _KEYS.items()
    }
    # Photos may have these names, too.
    return all(isinstance(entry, dict) and key in entry for key, entry in firsts.items())


def from_file(
    path: Path, *, handedness: str = values.UNKNOWN, order: str = values.FREIHAND, source: str = ""
) -> tuple[Labels, dict[str, tuple[int, int]]]:
    """Returns the hands of a COCO file, and the width and height that it says of its images.

    Args:
      path: The JSON file.
      handedness: Side of the hands whose category does not say it.
      order: That of joints without names, one of `values.ORDERS`.
      source: Whose labels they are.
    """
    images, categories = _by_id("images", path), _by_id("categories", path)
    orders, notes = _orders(categories, order, path)
    for field in _KEYS:
        if not json_parts.mentions(path, field):
            raise UserError(f'{path} must have a list of objects "{field}", as COCO\'s files')
    labels = Labels({}, collections.Counter())
    named, sizes = {}, {}
    for key, image in images.items():
        name = image.get("file_name")
        if not isinstance(name, str) or len(name) > boxes.LONGEST_NAME or name in labels.hands:
            raise UserError(f'{path}: "file_name" of image {key} must be a name of its own')
        named[key], labels.hands[name] = name, []
        if "width" in image and "height" in image:
            size = [image["width"], image["height"]]
            width, height = values.as_numbers(size, (2,), f"{path}: the size of {shown(name)}")
            if min(width, height) > 0:  # some programs write zeros where they do not know
                sizes[name] = int(width), int(height)
    for entry in _list("annotations", path):
        where = f"{path}, annotation {shown(entry.get('id'))}"
        image_id, category_id = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image_id, int) or image_id not in named:
            raise UserError(f'{where}: no image has its "image_id", {shown(image_id)}')
        category = categories.get(category_id, {}) if isinstance(category_id, int) else {}
        if categories and category_id is not None and not category:
            raise UserError(f'{where}: no category has its "category_id", {shown(category_id)}')
        name = str(category.get("name", ""))
        is_hand = not categories or _is_of_hands(name)
        joints = values.ORDERS[order]
        if category:
            joints = orders.get(category_id, joints)
        for hand in _hands(entry, _side_of(name, handedness), is_hand, joints, source, where):
            if isinstance(hand, str):
                labels.left_out[hand] += 1
            else:
                labels.hands[named[image_id]].append(hand)
        boxes.check_count(labels.hands[named[image_id]], where)
    return labels._replace(notes=notes), sizes


def _orders(
    categories: Mapping[int, Mapping[str, Any]], order: str, path: Path
) -> tuple[dict[Any, Order], tuple[str, ...]]:
    """Returns the order of the joints of each category that names them, and what to say of it."""
    orders: dict[Any, Order] = {}
    notes = []
    for key, category in categories.items():
        names = category.get("keypoints")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            continue
        if (found := find_order(names)) is None:
            continue
        where = f"{path}, category {shown(category.get('name'))}"
        if not np.array_equal(found, values.ORDERS[order]):
            if order != values.FREIHAND:
                raise UserError(
                    f"{where}: its joints are named in another order than {order}: leave "
                    "--order out"
                )
            notes.append(f"{where}: joints are taken in the order of their names")
        orders[key] = found
    return orders, tuple(notes)


def _hands(
    entry: Mapping[str, Any], side: str, is_hand: bool, order: Order, source: str, where: str
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
    elif not entry.get("keypoints") and entry.get("bbox") is not None:
        yield _hand(entry, ("", "bbox"), side, order, source, where) if is_hand else _OTHERS
    elif not isinstance(entry.get("keypoints"), list) or len(entry["keypoints"]) != _VALUES:
        yield _NO_HAND
    else:
        yield _hand(entry, ("keypoints", "bbox"), side, order, source, where)


def _hand(
    entry: Mapping[str, Any],
    fields: tuple[str, str],
    side: str,
    order: Order,
    source: str,
    where: str,
) -> boxes.Hand | str:
    joints, box = (entry.get(field) for field in fields)
    keypoints = None
    if fields[0]:
        points = values.as_numbers(joints, (_VALUES,), f'{where}: "{fields[0]}"')
        points = points.reshape(NUM_JOINTS, 3)[order]
        values.check_unit(points[points[:, 2] > 0, :2], True, f'{where}: "{fields[0]}"')
        keypoints = [(x - 0.5, y - 0.5) if seen > 0 else None for x, y, seen in points.tolist()]
    if box is not None:
        x, y, width, height = values.as_numbers(box, (4,), f'{where}: "{fields[1]}"').tolist()
        box = (x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5)
    hand = values.make_hand(
        side,
        box=box,
        keypoints=keypoints,
        score=values.as_score(entry.get("score", 1.0), f'{where}: "score"'),
        source=source,
    )
    return hand or "hands without extent"


def _is_of_hands(category: str) -> bool:
    """Returns whether a category is of hands, as "Left hand" and "right" are, "handbag" is not."""
    words = set(re.findall("[a-z]+", category.lower()))
    return bool(words & _HANDS) or bool(words and words <= _SIDES)


def _side_of(category: str, otherwise: str) -> str:
    sides = [side for side in boxes.HANDEDNESS if side in category.lower()]
    return sides[0] if len(sides) == 1 else otherwise


def _list(field: str, path: Path) -> Iterator[dict[str, Any]]:
    for entry in json_parts.stream(path, f"{field}.item"):
        if not isinstance(entry, dict):
            raise UserError(f'{path} must have a list of objects "{field}", as COCO\'s files')
        yield entry


def _by_id(field: str, path: Path) -> dict[int, dict[str, Any]]:
    """Returns what is used of the entries of a list, by their ids."""
    found: dict[int, dict[str, Any]] = {}
    for entry in _list(field, path):
        key = entry.get("id")
        if not isinstance(key, int) or key in found:
            raise UserError(
                f'{path}: each of "{field}" must have an "id", a whole number of its own'
            )
        found[key] = {name: value for name, value in entry.items() if name in _USED}
    return found
