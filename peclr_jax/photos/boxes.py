"""Where the hands of photos are: the user's JSON file of boxes.

    {
      "left.jpg": [{"box": [120, 80, 360, 330], "handedness": "left"}],
      "two.jpg": {
        "focal_px": 1480.0,
        "hands": [{"box": [10, 20, 90, 110]}, {"box": [200, 40, 300, 150], "handedness": "left"}]
      },
      "none.jpg": [],
      "labelled.jpg": [{"keypoints": [[31, 240], [58.5, 221], null, ...], "score": 0.9,
                        "keypoints_3d": [[-0.031, 0.04, 0.012], ...], "source": "mediapipe"}]
    }

A key is an image's file name or, where two share a name, its path or the end of it
(labels/names.py). A box is [x0, y0, x1, y1], tight around the hand, in pixels of the
image as it is seen (after its EXIF orientation). Without "box" the hand is searched
(photos/search.py); without "handedness" it is `--config.handedness`. An image that the file does
not name is treated as if there were no file; an empty list says that it shows no hand. Corners that
are fractions of the image (0 to 1) are refused, and a box that lies outside of it is left out.

The other fields are labels, for data sets of one's own. "keypoints" are the 21 joints [x, y] in
FreiHAND's order, null where unknown; without "box" the box is theirs. "keypoints_3d" are the joints
in metres, x right, y down, z forward, null where unknown: from any origin, for without the camera
only what lies between them is known. "score", in (0, 1], is how far the labels are to be trusted:
they weigh so much in training. "source" says whose they are, such as "human" or "mediapipe".
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peclr_jax.errors import UserError, shown
from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.reading import json_parts

Box = tuple[float, float, float, float]
Keypoints = tuple[tuple[float, float] | None, ...]
Keypoints3D = tuple[tuple[float, float, float] | None, ...]
HANDEDNESS = ("right", "left")
MOST_HANDS = 1000
"""In one photo."""
LONGEST_NAME = 4096
"""Letters of a photo's path."""
_FARTHEST = 1e9  # px
# The longest hands have some 25 cm; what is larger is in another unit.
_LONGEST_HAND = 0.5  # m
SMALLEST_BOX = 2.0
"""px, of the larger side: a smaller hand cannot be told from one in fractions of the image."""
_LARGEST_BOX = 3.0  # of the photo's larger side
_TO_PIXELS = "give pixels (x * width - 0.5, y * height - 0.5)"
_FIELDS = ("box", "handedness", "keypoints", "keypoints_3d", "score", "source")
_LONGEST_SOURCE = 100


class Hand(NamedTuple):
    """A hand, and what is known of it.

    Attributes:
      handedness: "right" or "left"; "auto" if the network is to tell.
      box: The corners x0, y0, x1, y1 in pixels.
      keypoints: Joints (x, y) in pixels.
      keypoints_3d: Joints (x, y, z) in metres, from any origin.
      score: How far the labels are to be trusted, in (0, 1].
      source: Whose labels they are; "" if unknown.
      handedness_from: What tells the handedness: "boxes", "config", "network", or "guess".
    """

    handedness: str
    box: Box | None = None
    keypoints: Keypoints | None = None
    keypoints_3d: Keypoints3D | None = None
    score: float = 1.0
    source: str = ""
    handedness_from: str = "config"


class Request(NamedTuple):
    """The hands of one photo, and its camera's focal length in pixels if known."""

    hands: tuple[Hand, ...]
    focal_px: float | None = None


def read_boxes(path: Path, handedness: str) -> dict[str, Request]:
    """Returns the requests in a boxes file, by its keys.

    Args:
      path: The file.
      handedness: Of hands of which it says nothing.
    """
    if not json_parts.begins_with(path, "{"):
        raise UserError(
            f'{path} must be an object {{"FILE NAME": [{{"box": [x0, y0, x1, y1]}}]}}, or COCO\'s '
            'with "images" and "annotations"'
        )
    found = {}
    for name, entry in json_parts.fields(path):
        where = f"{path}, {shown(name)}"
        if len(name) > LONGEST_NAME:
            raise UserError(f"{where} is longer than any path: check the file")
        found[name] = as_request(entry, where, handedness)
    return found


def check_count(hands: Sequence[Any], where: str) -> None:
    """Refuses more hands of one photo than anyone labels."""
    if len(hands) > MOST_HANDS:
        raise UserError(f"{where} has more than {MOST_HANDS} hands in one photo: check the file")


def is_inside(box: Box | None, size: tuple[int, int]) -> bool:
    """Returns whether any of a box lies in a photo of this width and height; a missing one may."""
    return box is None or not (min(box[2:]) < 0 or box[0] > size[0] - 1 or box[1] > size[1] - 1)


def extent_problem(hand: Hand, size: tuple[int, int]) -> str | None:
    """Returns why no hand in a photo can reach so far, to follow what names it; None if one can.

    Args:
      hand: With a box, joints or both, in pixels.
      size: Width and height of the photo in pixels.
    """
    longer, of_photo = max(size), f"a photo of {size[0]}x{size[1]} px"
    if hand.box is not None:
        width, height = hand.box[2] - hand.box[0], hand.box[3] - hand.box[1]
        if max(width, height) > _LARGEST_BOX * longer:
            return f'"box" is {width:.6g} x {height:.6g} px, too large for {of_photo}'
    for joint, point in enumerate(hand.keypoints or ()):
        if point and max(-min(point), point[0] - size[0], point[1] - size[1]) > longer:
            return f'joint {joint} of "keypoints", {list(point)}, lies far outside of {of_photo}'
    return None


def as_request(entry: Any, where: str, handedness: str) -> Request:
    """Checks what a boxes file says of one image.

    Args:
      entry: A list of hands, or an object that has one.
      where: What holds it, for messages.
      handedness: Of hands of which it says nothing.
    """
    focal_px = None
    if isinstance(entry, dict):
        _check_fields(entry, ("focal_px", "hands"), where)
        focal_px = entry.get("focal_px")
        if focal_px is not None and not (_is_number(focal_px) and focal_px > 0):
            raise UserError(f'{where}: "focal_px" must be a positive number, got {shown(focal_px)}')
        entry = entry.get("hands")
    if not isinstance(entry, list):
        raise UserError(f'{where} must be a list of hands, or have one in "hands"')
    check_count(entry, where)
    hands = (_hand(hand, f"{where}, hand {i + 1}", handedness) for i, hand in enumerate(entry))
    return Request(tuple(hands), None if focal_px is None else float(focal_px))


def _hand(entry: Any, where: str, handedness: str) -> Hand:
    if not isinstance(entry, dict):
        raise UserError(f'{where} must be an object {{"box": [x0, y0, x1, y1]}}')
    _check_fields(entry, _FIELDS, where)
    side = entry.get("handedness", handedness)
    if "handedness" in entry and side not in HANDEDNESS:
        raise UserError(f'{where}: "handedness" must be "right" or "left", got {shown(side)}')
    keypoints = _keypoints(entry, "keypoints", 2, where)
    in_space = _keypoints(entry, "keypoints_3d", 3, where)
    if in_space is not None:
        _check_metres(in_space, where)
    score, source = entry.get("score", 1.0), entry.get("source", "")
    if not (_is_number(score) and 0 < score <= 1):
        raise UserError(f'{where}: "score" must be a number in (0, 1], got {shown(score)}')
    if not (isinstance(source, str) and len(source) <= _LONGEST_SOURCE):
        raise UserError(f'{where}: "source" must be a short text, such as "human"')
    box = _box(entry.get("box"), where)
    if keypoints is not None:
        if box is None:
            box = _around(keypoints, where)
        _check_together(box, keypoints, where)
    told_by = "boxes" if "handedness" in entry else "config"
    return Hand(side, box, keypoints, in_space, float(score), source, told_by)


def _box(box: Any, where: str) -> Box | None:
    if box is None:
        return None
    if not _are_numbers(box, 4):
        raise UserError(f'{where}: "box" must be four numbers [x0, y0, x1, y1], got {shown(box)}')
    x0, y0, x1, y1 = map(float, box)
    if not (x0 < x1 and y0 < y1):
        raise UserError(
            f'{where}: "box" must have x0 < x1 and y0 < y1, got {shown(box)}; is it '
            "x, y, width, height?"
        )
    if max(x1 - x0, y1 - y0) < SMALLEST_BOX:
        raise UserError(
            f'{where}: "box" is {x1 - x0:.3g} x {y1 - y0:.3g} px, too small for a hand: if '
            f"{shown(box)} are fractions of the image, {_TO_PIXELS}"
        )
    return x0, y0, x1, y1


def _check_together(box: Box, keypoints: Keypoints, where: str) -> None:
    """Checks that keypoints are in pixels as well, and that the box is one of corners."""
    known = [point for point in keypoints if point]
    if not known:
        return
    spans = [max(p[axis] for p in known) - min(p[axis] for p in known) for axis in (0, 1)]
    if len(known) > 2 and max(spans) < SMALLEST_BOX:
        raise UserError(
            f'{where}: "keypoints" are up to {max(spans):.3g} px apart, too close for a hand: if '
            f"they are fractions of the image, {_TO_PIXELS}"
        )
    x, y, width, height = box
    outside = sum(not _holds(box, point) for point in known)
    if outside > len(known) / 2 and all(_holds((x, y, x + width, y + height), p) for p in known):
        raise UserError(
            f'{where}: {outside} of {len(known)} keypoints lie outside of "box", {list(box)}, if '
            "it is [x0, y0, x1, y1], and none if it is [x, y, width, height]: give the corners"
        )
    # A box of the palm is smaller than the hand.
    across, down = max(width - x, spans[0]), max(height - y, spans[1])
    around = x - across, y - down, width + across, height + down
    if 2 * sum(_holds(around, point) for point in known) < len(known):
        raise UserError(
            f'{where}: most of the {len(known)} keypoints lie far from "box", {list(box)}, such as '
            f"{list(next(p for p in known if not _holds(around, p)))}: give the same hand's"
        )


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return all(box[axis] - 1 <= point[axis] <= box[axis + 2] + 1 for axis in (0, 1))


def _keypoints(entry: Mapping[str, Any], field: str, axes: int, where: str) -> Any:
    points = entry.get(field)
    if points is None:
        return None
    if not isinstance(points, list) or len(points) != NUM_JOINTS:
        found = len(points) if isinstance(points, list) else shown(points)
        raise UserError(f'{where}: "{field}" must be a list of {NUM_JOINTS}, got {found}')
    for joint, point in enumerate(points):
        if not (point is None or _are_numbers(point, axes)):
            raise UserError(
                f'{where}: joint {joint} of "{field}" must be {axes} numbers '
                f"[{', '.join('xyz'[:axes])}] or null, got {shown(point)}"
            )
    return tuple(point and tuple(map(float, point)) for point in points)


def _check_metres(keypoints: Keypoints3D, where: str) -> None:
    known = [point for point in keypoints if point]
    size = max((math.dist(a, b) for a, b in itertools.combinations(known, 2)), default=0.0)
    if size > _LONGEST_HAND:
        raise UserError(
            f'{where}: "keypoints_3d" are up to {size:.3g} apart, more than any hand\'s '
            f"{_LONGEST_HAND} m: give metres"
        )


def _around(keypoints: Keypoints, where: str) -> Box:
    across, down = ([p[axis] for p in keypoints if p] or [0.0] for axis in (0, 1))
    box = min(across), min(down), max(across), max(down)
    if not (box[0] < box[2] and box[1] < box[3]):
        raise UserError(f'{where} needs a "box": its keypoints are too few to tell one')
    return box


def _check_fields(entry: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for field in entry:
        if field not in known:
            raise UserError(f"{where} has the field {shown(field)}; known are {', '.join(known)}")


def _are_numbers(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    # No photo has pixels beyond, and an integer in JSON may be too large for a float.
    return type(value) in (int, float) and abs(value) <= _FARTHEST
