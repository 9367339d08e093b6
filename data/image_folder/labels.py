"""Checks what `boxes.json` says about a photo against the photo."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from data.raw import meaning
from peclr_jax.photos import boxes

_REMEDY = "leave them out"


def check(path: Path, size: tuple[int, int], hands: Sequence[boxes.Hand], file: Path) -> None:
    """Refuses joints that are in another unit, or no hand's.

    Args:
      path: The photo.
      size: Its width and height in pixels, as it is seen.
      hands: What the file says of it.
      file: Where the labels are from.
    """
    for number, hand in enumerate(hands, 1):
        where = functools.partial(_name, f"{file}, {path.name!r}, hand {number}")
        if hand.keypoints is not None:
            points, valid = as_array(hand.keypoints, 2)
            sizes = np.array([size], np.float64)
            meaning.check_pixels(points[None], valid[None], sizes, where, _REMEDY)
        if hand.keypoints_3d is not None:
            points, valid = as_array(hand.keypoints_3d, 3)
            meaning.check_hands(points[None], valid[None], where, _REMEDY)


def _name(where: str, _: int) -> str:
    return where


def as_array(
    points: Sequence[Sequence[float] | None], axes: int
) -> tuple[Float[np.ndarray, "21 axes"], Bool[np.ndarray, "21"]]:
    """Returns joints, zero where unknown, and which are known."""
    known = np.array([point is not None for point in points])
    return np.array([point or (0,) * axes for point in points], np.float64), known
