"""Hands from the values of label files, which may hold anything."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from peclr_jax.errors import UserError, shown
from peclr_jax.geometry.crop import bounding_box
from peclr_jax.hands import skeleton
from peclr_jax.photos import boxes

UNKNOWN = "unknown"
FREIHAND = "freihand"
ORDERS = {
    FREIHAND: np.arange(skeleton.NUM_JOINTS),
    "mano": skeleton.FROM_MANO,
    "ait": skeleton.FROM_AIT,
}
# A box of a smaller side tells of no hand.
_SMALLEST_SIDE = 1.0  # px
# Networks' scores in half or single precision may be a little larger than 1.
_ROUNDING = 1e-4
# A hand that is partly outside of its photo may have joints at 1.2.
_LARGEST_FRACTION = 2.0


class Labels(NamedTuple):
    """What a label file says.

    Attributes:
      hands: The hands of every photo that it names, none where it shows none.
      left_out: How many entries were left out, by what they are.
      notes: What a person must know of it.
    """

    hands: dict[str, list[boxes.Hand]]
    left_out: collections.Counter[str]
    notes: tuple[str, ...] = ()


def counted(counter: Mapping[str, int]) -> list[str]:
    """Returns what was left out, each with its number."""
    return [f"{count} {what}" for what, count in counter.items() if count]


def make_hand(
    handedness: str = UNKNOWN,
    *,
    box: Sequence[float | int] | None = None,
    keypoints: Sequence[Any] | None = None,
    keypoints_3d: Sequence[Any] | None = None,
    score: float = 1.0,
    source: str = "",
) -> boxes.Hand | None:
    """Returns a hand, None if its labels do not tell where it is.

    The box is that of the joints where all of them are known, as in the other data sets.

    Args:
      handedness: "right", "left" or `UNKNOWN`.
      box: The corners x0, y0, x1, y1 in pixels.
      keypoints: Joints (x, y) in pixels, None where unknown.
      keypoints_3d: Joints (x, y, z) in metres, from any origin.
      score: How far the labels are to be trusted, in (0, 1].
      source: Whose labels they are.
    """
    known = [point for point in keypoints or () if point is not None]
    if len(known) == skeleton.NUM_JOINTS or (box is None and known):
        box = bounding_box(np.array(known, np.float64)).tolist()
    if box is None:
        return None
    x0, y0, x1, y1 = map(float, box)
    is_thin = min(x1 - x0, y1 - y0) < _SMALLEST_SIDE or max(x1 - x0, y1 - y0) < boxes.SMALLEST_BOX
    spans = np.ptp(np.array(known or [(0, 0)], np.float64), axis=0)
    if is_thin or (len(known) > 2 and spans.max() < boxes.SMALLEST_BOX):
        return None
    return boxes.Hand(
        handedness,
        (x0, y0, x1, y1),
        tuple(p and (p[0], p[1]) for p in keypoints) if keypoints and known else None,
        tuple((x, y, z) for x, y, z in keypoints_3d) if keypoints_3d else None,
        score,
        source,
    )


def check_unit(points: Float[np.ndarray, "joints axes"], pixels: bool, where: str) -> None:
    """Refuses joints in pixels that are fractions of the photo, or the other way around.

    Args:
      points: The known joints (x, y).
      pixels: Whether they are to be in pixels.
      where: Names them in the error.
    """
    if len(points) < 2 or not np.ptp(points, axis=0).any():
        return
    if pixels and np.abs(points).max() <= 1:
        raise UserError(
            f"{where} lie between {points.min():.3g} and {points.max():.3g}: give pixels instead "
            "of fractions of the photo"
        )
    if not pixels and np.median(np.abs(points)) > _LARGEST_FRACTION:
        raise UserError(
            f"{where} lie between {points.min():.5g} and {points.max():.5g}: give fractions of the "
            "photo instead of pixels"
        )


def as_numbers(values: Any, shape: tuple[int, ...], where: str) -> Float[np.ndarray, "*shape"]:
    """Returns nested lists of finite numbers as an array.

    Args:
      values: From a file.
      shape: That they must have.
      where: Names them in the error.
    """
    # Of texts NumPy would make an array in which each is as long as the longest.
    array = np.array(values, object)
    are_numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in array.flat)
    try:
        if array.shape == shape and are_numbers:
            numbers = array.astype(np.float64)
            if np.isfinite(numbers).all():
                return numbers
    except OverflowError:  # an integer that no float holds
        pass
    size = f"{' x '.join(map(str, shape))} finite numbers" if shape else "a finite number"
    is_other = len(array.shape) == len(shape) and array.shape != shape
    found = f"{' x '.join(map(str, array.shape))}: " if is_other else ""
    raise UserError(f"{where} must be {size}, got {found}{shown(values)}")


def as_score(value: Any, where: str) -> float:
    """Returns a score in (0, 1], `where` naming it in the error."""
    score = float(as_numbers(value, (), where))
    if not 0 < score <= 1 + _ROUNDING:
        raise UserError(f"{where} must be in (0, 1], got {score!r}")
    return min(score, 1.0)


def check_sizes(
    path: Path, said: Mapping[Path, tuple[int, int]], seen: Mapping[Path, tuple[int, int] | None]
) -> None:
    """Checks that photos have the width and height that a label file says.

    Args:
      path: The label file.
      said: Of the photos that it says it of.
      seen: As they are seen; None of those that cannot be read.
    """
    for photo, size in said.items():
        found = seen.get(photo)
        if found and found != size:
            raise UserError(
                f"{path} is about a {photo.name!r} of {size[0]}x{size[1]} px, but that photo has "
                f"{found[0]}x{found[1]} px as it is seen: use the photos that were labelled"
            )
