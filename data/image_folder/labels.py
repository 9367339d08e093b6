"""Checks what `boxes.json` says about a photo against the photo."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from data import found
from data.raw import meaning
from peclr_jax.errors import UserError
from peclr_jax.photos import boxes

_REMEDY, _MARK = "leave them out", "give null for unknown joints"


def inside(
    hands: Mapping[Path, tuple[boxes.Hand, ...]], sizes: Mapping[Path, tuple[int, int]]
) -> tuple[dict[Path, tuple[boxes.Hand, ...]], str | None]:
    """Leaves out the hands whose box lies outside of its photo.

    Args:
      hands: Of the photos that are mentioned.
      sizes: Width and height in pixels of the readable photos, as they are seen.

    Returns:
      The others of the readable photos, none where all are outside, and what is left out.
    """
    kept = {
        path: tuple(hand for hand in hands[path] if boxes.is_inside(hand.box, size))
        for path, size in sizes.items()
        if path in hands
    }
    count = sum(len(hands[path]) - len(those) for path, those in kept.items())
    if not count:
        return kept, None
    emptied = [path for path, those in kept.items() if hands[path] and not those]
    first = next(path for path, those in kept.items() if len(those) < len(hands[path]))
    box = next(h.box for h in hands[first] if not boxes.is_inside(h.box, sizes[first]))
    width, height = sizes[first]
    photos = f", and with them {found.number_of(len(emptied), 'photo')}" if emptied else ""
    return kept, (
        f"hands whose box lies outside of its photo: {count:,}{photos}, such as {list(box or ())} "
        f"of {first} ({width}x{height} px as it is seen)"
    )


def check(path: Path, size: tuple[int, int], hands: Sequence[boxes.Hand], file: Path) -> None:
    """Refuses joints that are in another unit, or no hand's, and what reaches far too far.

    Args:
      path: The photo.
      size: Its width and height in pixels, as it is seen.
      hands: What the file says of it.
      file: Where the labels are from.
    """
    for number, hand in enumerate(hands, 1):
        if problem := boxes.extent_problem(hand, size):
            raise UserError(f"{file}, {path.name!r}, hand {number}: {problem}: correct it")
        where = functools.partial(_name, f"{file}, {path.name!r}, hand {number}")
        if hand.keypoints is not None:
            points, valid = as_array(hand.keypoints, 2)
            sizes = np.array([size], np.float64)
            meaning.check_pixels(points[None], valid[None], sizes, where, _REMEDY, _MARK)
        if hand.keypoints_3d is not None:
            points, valid = as_array(hand.keypoints_3d, 3)
            meaning.check_hands(points[None], valid[None], where, _REMEDY, _MARK)


def _name(where: str, _: int) -> str:
    return where


def as_array(
    points: Sequence[Sequence[float] | None], axes: int
) -> tuple[Float[np.ndarray, "21 axes"], Bool[np.ndarray, "21"]]:
    """Returns joints, zero where unknown, and which are known."""
    known = np.array([point is not None for point in points])
    return np.array([point or (0,) * axes for point in points], np.float64), known
