"""Hands from the values of label files, which may hold anything."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from peclr_jax.errors import MachineError, MissingFileError, UserError
from peclr_jax.geometry.crop import bounding_box
from peclr_jax.hands import skeleton
from peclr_jax.photos import boxes

UNKNOWN = "unknown"
ORDERS = {
    "freihand": np.arange(skeleton.NUM_JOINTS),
    "mano": skeleton.FROM_MANO,
    "ait": skeleton.FROM_AIT,
}
# A box that is smaller tells of no hand.
_SMALLEST_BOX = 1.0  # px
# A hand that is partly outside of its photo may have joints at 1.2.
_LARGEST_FRACTION = 2.0


def make_hand(
    handedness: str = UNKNOWN,
    *,
    box: Sequence[float] | None = None,
    keypoints: Sequence[Sequence[float] | None] | None = None,
    keypoints_3d: Sequence[Sequence[float]] | None = None,
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
    if box is None or min(box[2] - box[0], box[3] - box[1]) < _SMALLEST_BOX:
        return None
    x0, y0, x1, y1 = map(float, box)
    return boxes.Hand(
        handedness,
        (x0, y0, x1, y1),
        tuple(point and (point[0], point[1]) for point in keypoints) if known else None,
        keypoints_3d and tuple((x, y, z) for x, y, z in keypoints_3d),
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


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds."""
    if not os.path.isfile(path):
        raise MissingFileError(f"{path} is not there: check the path")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None


def as_numbers(values: Any, shape: tuple[int, ...], where: str) -> Float[np.ndarray, "*shape"]:
    """Returns nested lists of finite numbers as an array.

    Args:
      values: From a file.
      shape: That they must have.
      where: Names them in the error.
    """
    try:
        array = np.array(values)
    except ValueError:  # lists of several lengths
        array = np.array(None)
    if array.dtype.kind not in "iuf" or array.shape != shape or not np.isfinite(array).all():
        size = " x ".join(map(str, shape)) or "one"
        raise UserError(f"{where} must be {size} finite numbers, got {str(values)[:60]}")
    return array.astype(np.float64)


def as_score(value: Any, where: str) -> float:
    """Returns a score in (0, 1], `where` naming it in the error."""
    score = float(as_numbers(value, (), where))
    if not 0 < score <= 1:
        raise UserError(f"{where} must be in (0, 1], got {score:g}")
    return score
