"""Hands in a similar pose: nearest neighbours of their 2D keypoints (SiMHand).

Lin et al., "SiMHand: mining similar hands for large-scale 3D hand pose pre-training", ICLR 2025,
mines positive pairs as the nearest neighbours of 2D keypoints, reduced to 14 dimensions. How the
keypoints are normalised, and that any image of the same hand is left out, is our reading.
"""

import numpy as np
from jaxtyping import Float, Int, Num

from peclr_jax.hands.skeleton import WRIST

DIMENSIONS = 14
"""Of the poses that are compared."""
# Entries of a block of the distances between all hands: 64 MB.
_BLOCK = 2**24


def pose_features(keypoints: Num[np.ndarray, "hands 21 2"]) -> Float[np.ndarray, "hands dims"]:
    """Returns poses in the image plane, whose distances say how alike two hands look.

    They depend on neither place nor size of a hand: its joints are taken relative to the wrist and
    scaled to a length of 1, all 42 numbers together. They do depend on its rotation in the plane,
    as a pair's views do once PeCLR has undone their transformations (Eq. 3). Of the principal
    components the first `DIMENSIONS` are kept, or as many as there are.

    Args:
      keypoints: Joints (x, y), in any unit.
    """
    points = keypoints.astype(np.float64)
    points = (points - points[:, WRIST, None]).reshape(len(points), -1)
    length = np.linalg.norm(points, axis=1, keepdims=True)
    # A hand without extent is as far from all others.
    points = points / np.maximum(length, np.finfo(np.float32).tiny)
    points -= points.mean(0)
    _, axes = np.linalg.eigh(points.T @ points)
    # The largest come last.
    return (points @ axes[:, : -DIMENSIONS - 1 : -1]).astype(np.float32)


def nearest(
    features: Float[np.ndarray, "hands dims"], groups: Int[np.ndarray, " hands"], count: int
) -> Int[np.ndarray, "hands count"]:
    """Returns the nearest hands of other groups, at most one of each group, the nearest first.

    All pairs are compared, in blocks of rows, which need memory for `hands` distances each.

    Args:
      features: Poses.
      groups: Hands of the same number are never neighbours of each other: images of one hand.
      count: How many to find; where there are too few groups, the rest is -1.
    """
    hands = len(features)
    # Of the squared distances, what a row has in common is left out.
    squares = 0.5 * np.sum(features**2, axis=1)
    found = np.full((hands, count), -1)
    rows_at_once = max(1, _BLOCK // max(1, hands))
    for start in range(0, hands, rows_at_once):
        rows = slice(start, start + rows_at_once)
        distances = squares - features[rows] @ features.T
        distances[groups[rows, None] == groups] = np.inf
        for column in range(count):
            best = distances.argmin(1)
            left = np.isfinite(distances[np.arange(len(best)), best])
            found[rows, column] = np.where(left, best, -1)
            distances[groups[best][:, None] == groups] = np.inf
    return found
