"""Where to look for hands in a photo of which no box is known, and which answers to keep.

The network puts a hand wherever it is told to look. Windows of two sizes are looked at, and the
answers with the smallest expected error, relative to the hand's size, are kept.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from peclr_jax.geometry import crop
from peclr_jax.geometry.crop import Square
from peclr_jax.photos.boxes import Hand

Search = Literal["auto", "center", "windows"]

# Photos beyond this aspect are searched in windows: 4:3 is.
_WIDE = 1.3
# Sides of the windows over the photo's shorter side, and the largest step between them over their
# own side. A hand of half a window's side lies wholly in one of them.
_SIDES, _STEP = (1.0, 0.5), 2 / 3
# Most windows in a row.
_MOST = 32
MOST_ASPECT = _SIDES[-1] * (1 + (_MOST - 1) * _STEP)
"""Aspect beyond which the windows would be too many, and are laid farther apart: 10.8."""
# Two hands of which more than this of the smaller one's box is shared are taken for one.
_MOST_SHARED = 0.5


def windows(central: Square, width: int, height: int, search: Search) -> tuple[Square, ...]:
    """Returns where to look first: the central square, then windows over the whole photo.

    Args:
      central: In the middle of the photo.
      width: Of the photo, pixels.
      height: Of the photo, pixels.
      search: "center": the central square alone; "windows": the others, too; "auto": these in
        photos that are clearly wider than high, or higher than wide.

    Returns:
      The squares, 129 at most: in photos beyond an aspect of `MOST_ASPECT` they lie farther apart.
    """
    shorter, longer = sorted((width, height))
    if search == "center" or (search == "auto" and longer <= _WIDE * shorter):
        return (central,)
    found = [central]
    for side in (share * shorter for share in _SIDES):
        across, down = (_centres(length, side) for length in (width, height))
        found += [Square(x, y, side) for y in down for x in across]
    return tuple(found)


def _centres(length: int, side: float) -> list[float]:
    """Returns the centres of windows that cover a length, in pixels from the first one's centre."""
    room = length - side
    count = min(_MOST, 1 + math.ceil(room / (_STEP * side) - 1e-6))
    return [(side - 1) / 2 + room * i / max(1, count - 1) for i in range(count)]


def relative_errors(
    keypoints: Float[np.ndarray, "hands 21 2"], error: Float[np.ndarray, "hands 21"]
) -> Float[np.ndarray, " hands"]:
    """Returns the mean expected error over the larger side of each hand's box.

    Args:
      keypoints: Pixels.
      error: Of each, pixels; where it or a keypoint is not finite, the hand's error is infinite.
    """
    finite = np.isfinite(keypoints).all((1, 2)) & np.isfinite(error).all(1)
    points = np.where(finite[:, None, None], keypoints, 0.0)
    side = np.maximum(np.ptp(points, axis=1).max(-1), 1.0)
    mean = np.where(finite[:, None], error, 0.0).mean(1) / side
    return np.where(finite, mean, np.inf)


def best(
    keypoints: Float[np.ndarray, "hands 21 2"],
    errors: Float[np.ndarray, " hands"],
    *,
    most: int,
    worst: float = np.inf,
) -> list[int]:
    """Returns which hands to keep, the best first: none twice, and always one if there is any.

    Args:
      keypoints: Pixels.
      errors: Of each hand, by which they are ordered.
      most: Largest number to keep.
      worst: Largest error of those after the first.
    """
    kept = assign(keypoints, errors, ["auto"] * len(errors), ["auto"] * most, worst=worst)
    return [hand for hand, _ in kept]


def assign(
    keypoints: Float[np.ndarray, "hands 21 2"],
    errors: Float[np.ndarray, " hands"],
    sides: Sequence[str],
    wanted: Sequence[str],
    *,
    given: Sequence[Float[np.ndarray, "4"]] = (),
    worst: float = np.inf,
) -> list[tuple[int, int]]:
    """Returns which hands to keep, as `best`, and as which of the wanted ones; indices of both.

    Args:
      keypoints: Pixels.
      errors: Of each hand, by which they are ordered.
      sides: Of each hand.
      wanted: Side of each that is wanted; "auto" for either.
      given: Boxes of hands that are kept in any case, before the first.
      worst: Largest error of those after the first.
    """
    boxes = crop.bounding_box(keypoints)
    taken, free = [*given], list(range(len(wanted)))
    kept: list[tuple[int, int]] = []
    for hand in np.argsort(errors, kind="stable").tolist():
        good = errors[hand] <= worst and np.isfinite(errors[hand])
        if not free or (taken and not good):
            break
        places = [place for place in free if wanted[place] in (sides[hand], "auto")]
        if places and all(differ(boxes[hand], other) for other in taken):
            # A place for either side may still be needed by a hand of the other one.
            place = min(places, key=lambda place: wanted[place] == "auto")
            free.remove(place)
            taken.append(boxes[hand])
            kept.append((hand, place))
    return kept


def wanted_hands(listed: Sequence[Hand], most: int) -> list[Hand]:
    """Returns the hands to search: all that are listed, and others up to `most`.

    The others are of the side that the user says all hands are of, else of either.

    Args:
      listed: Without boxes. If there are none, nothing is searched.
      most: Largest number, where no more are listed.
    """
    if not listed:
        return []
    other = listed[0]
    if other.handedness_from == "boxes" or len({hand.handedness for hand in listed}) > 1:
        other = other._replace(handedness="auto", handedness_from="config")
    return [*listed, *[other] * (most - len(listed))]


def differ(one: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> bool:
    """Whether boxes are those of two hands: the smaller one lies mostly outside of the other."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    areas = [np.prod(np.maximum(box[2:] - box[:2], 1.0)) for box in (one, other)]
    return bool(np.prod(np.maximum(sides, 0.0)) <= _MOST_SHARED * min(areas))
