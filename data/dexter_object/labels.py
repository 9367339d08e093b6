"""Checks what the labels of Dexter+Object mean, some of which are known to be wrong."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from data.found import number_of
from peclr_jax.errors import UserError

REMEDY = "fetch the file again from the Dexter+Object archive (see data/dexter_object/README.md)"
# Millimetres: what the depth camera and a hand can be.
_NEAREST, _FARTHEST, _LARGEST = 100.0, 5000.0, 500.0
# So many wrong labels are left out with a warning; of more the whole file is wrong.
_WRONG_AT_MOST = 0.25
_UNITS = "give millimetres, x left, y up, z forward"


class Wrong(NamedTuple):
    """Frames whose tips are no hand's, and what is said of them, None without any."""

    frames: Bool[np.ndarray, " frames"]
    told: str | None


def find_wrong(
    tips: Float[np.ndarray, "frames 5 3"],
    labelled: Bool[np.ndarray, "frames 5"],
    pixels: Float[np.ndarray, "frames 5 2"],
    size: tuple[int, int],
    path: Path,
) -> Wrong:
    """Finds the frames whose tips are no hand's before the camera; refuses a file of many such.

    Args:
      tips: Millimetres in the label file's axes.
      labelled: Which of them have a depth, be it negative.
      pixels: Their projections.
      size: Width and height of the images in pixels.
      path: The label file.
    """
    depth = np.where(labelled, tips[..., 2], np.nan)
    behind = depth <= 0
    # A few depths that are zero or negative are as unknown as those that are marked.
    if behind.sum() > 0.5 * labelled.sum():
        frame, tip = np.argwhere(behind)[0]
        raise UserError(
            f"{path}: line {frame + 1}, point {tip} lies behind the camera "
            f"(z = {depth[frame, tip]:g} mm), and so do most: {_UNITS}, or {REMEDY}"
        )
    known = labelled & ~behind
    extent = _largest(np.where(known[..., None], tips, np.nan))
    count = known.sum(1)
    wrong = [
        ((depth < _NEAREST) & known).any(1),
        ((depth > _FARTHEST) & known).any(1),
        extent > _LARGEST,
        (extent == 0) & (count > 2),
        (_far(pixels, size) | ~known).all(1) & (count > 0),
    ]
    named = [
        "lies nearer than 10 cm to the camera",
        "lies farther than 5 m from the camera",
        "is larger than any hand",
        "is a single point",
        "lies far outside of the picture",
    ]
    found = np.any(wrong, axis=0)
    if not found.any():
        return Wrong(found, None)
    frame = int(found.argmax())
    problem = next(text for bad, text in zip(wrong, named, strict=True) if bad[frame])
    told = f"{path}: line {frame + 1}: the hand {problem}, {tips[frame].tolist()}"
    if found.sum() > _WRONG_AT_MOST * max(1, (count > 0).sum()):
        raise UserError(
            f"{told}, and so are {found.sum()} of {len(found)} lines wrong: {_UNITS}, or {REMEDY}"
        )
    return Wrong(found, f"the labels of {number_of(int(found.sum()), 'frame')}, such as {told}")


def _largest(points: Float[np.ndarray, "frames 5 3"]) -> Float[np.ndarray, " frames"]:
    """Returns the diagonal of the box around the points that are not NaN, zero without any."""
    low = np.where(np.isnan(points), np.inf, points).min(1)
    high = np.where(np.isnan(points), -np.inf, points).max(1)
    return np.linalg.norm(np.where(high >= low, high - low, 0), axis=-1)


def _far(
    pixels: Float[np.ndarray, "frames 5 2"], size: tuple[int, int]
) -> Bool[np.ndarray, "frames 5"]:
    """Returns which points lie farther outside of the picture than it is large."""
    return ((pixels < -np.array(size)) | (pixels > 2 * np.array(size))).any(-1)
