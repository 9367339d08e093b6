"""Square crops of images: box to square to matrix, mirroring, and the warp of the labels.

    square = crop.around(box, margin)
    matrix = crop.mirror_matrix(crop.to_matrix(square, size), mirrored, size)
    labels = crop.mirror_labels(crop.warp_labels(labels, matrix), mirrored, size)

Pure functions of NumPy, JAX or TensorFlow arrays, in the precision of their arguments. Leading axes
are free. Points are (x, y) in pixels with the origin at the centre of the top-left pixel; a box is
x0, y0, x1, y1 of its outermost points.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from peclr_jax.geometry import affine
from peclr_jax.geometry.arrays import Values, assemble, namespace

# Exchanges left and right: a factor, and how often the index of the last column is added.
_MIRROR = {
    "keypoints_2d": ([-1, 1], [1, 0]),
    "keypoints_3d": ([-1, 1, 1], [0, 0, 0]),
    "hand_box": ([-1, 1, -1, 1], [1, 0, 1, 0]),
    "intrinsics": ([[1, -1, -1], [1, 1, 1], [1, 1, 1]], [[0, 0, 1], [0, 0, 0], [0, 0, 0]]),
    "matrix": ([[-1, -1, -1], [1, 1, 1]], [[0, 0, 1], [0, 0, 0]]),
}


class Square(NamedTuple):
    """Square regions of images, by centre and side in pixels; they may reach over the border."""

    x: Float[Any, "*batch"]
    y: Float[Any, "*batch"]
    side: Float[Any, "*batch"]

    @property
    def edges(self) -> tuple[Any, Any, Any, Any]:
        """The edges x0, y0, x1, y1, half a pixel beyond the outermost pixels' centres."""
        half = self.side / 2
        return self.x - half, self.y - half, self.x + half, self.y + half


def bounding_box(points: Float[Values, "*batch points 2"]) -> Float[Values, "*batch 4"]:
    """Returns the smallest box that holds all points (NumPy or JAX)."""
    return namespace(points).concatenate([points.min(-2), points.max(-2)], -1)


def around(
    box: Float[Any, "*batch 4"],
    margin: float,
    *,
    least: Float[Any, "*batch"] | float | None = None,
    most: Float[Any, "*batch"] | float = float("inf"),
) -> Square:
    """Returns the squares about boxes' centres.

    Args:
      box: Boxes of the hands.
      margin: Side of the square over the larger side of the box.
      least: Smallest side of the square, pixels; by default that of a box of one pixel.
      most: Largest side of the square, pixels.
    """
    xp = namespace(box)
    x0, y0, x1, y1 = (box[..., edge] for edge in range(4))
    side = margin * xp.maximum(x1 - x0, y1 - y0)
    side = xp.minimum(xp.maximum(side, margin if least is None else least), most)
    return Square((x0 + x1) / 2, (y0 + y1) / 2, side)


def central(
    width: Shaped[Any, "*batch"] | int, height: Shaped[Any, "*batch"] | int, share: float = 1.0
) -> Square:
    """Returns the squares in the middle of images.

    Args:
      width: Width of the images, pixels.
      height: Height of the images, pixels.
      share: Side of the square over the image's shorter side.
    """
    shorter = namespace(width, height).minimum(width, height)
    return Square((width - 1) / 2, (height - 1) / 2, share * shorter)


def to_matrix(square: Square, size: int) -> Float[Any, "*batch 2 3"]:
    """Returns the matrices from an image's pixels to those of crops of side `size`."""
    scale = size / square.side
    center = (size - 1) / 2
    return scaling(scale, scale, center - scale * square.x, center - scale * square.y)


def scaling(
    scale_x: Float[Any, "*batch"] | float,
    scale_y: Float[Any, "*batch"] | float,
    shift_x: Float[Any, "*batch"] | float,
    shift_y: Float[Any, "*batch"] | float,
) -> Float[Any, "*batch 2 3"]:
    """Returns the matrices that take (x, y) to (scale_x * x + shift_x, scale_y * y + shift_y).

    Args:
      scale_x: Factor along x.
      scale_y: Factor along y.
      shift_x: Pixels added to x.
      shift_y: Pixels added to y.
    """
    zero = namespace(scale_x).zeros_like(scale_x)
    return assemble((scale_x, zero, shift_x), (zero, scale_y, shift_y))


def source_to_canonical(
    source_side: int, view_side: int, source_margin: float
) -> Float[Array, "2 3"]:
    """Returns the matrix from a square source image's pixels to the canonical view's.

    The source shares its centre with the canonical view and covers more of the scene, so that a
    rotated or shifted view still finds content at its corners.

    Args:
      source_side: Side of the source in pixels.
      view_side: Side of the view in pixels.
      source_margin: Side of the source over that of the canonical view, measured in the scene.
    """
    square = central(source_side, source_side, 1 / source_margin)
    return jnp.asarray(to_matrix(square, view_side), jnp.float32)


def mirror_matrix(
    matrix: Float[Any, "*batch 2 3"], mirrored: Bool[Any, "*batch"], size: int
) -> Float[Any, "*batch 2 3"]:
    """Exchanges left and right of the crops that matrices lead to.

    Args:
      matrix: Pixels of any image to crop pixels.
      mirrored: Which crops.
      size: Side of the crops, pixels.
    """
    return _mirror("matrix", matrix, mirrored, size)


def warp_labels(
    labels: Mapping[str, Any], matrix: Float[Any, "batch 2 3"]
) -> dict[str, Shaped[Any, "batch ..."]]:
    """Moves keypoints_2d, hand_box and intrinsics from image pixels to crop pixels.

    The matrix may not rotate, which would turn boxes into diamonds. Other labels are kept; those
    that are not valid mean as little as before.
    """
    moved = dict(labels)
    if "keypoints_2d" in moved:
        moved["keypoints_2d"] = affine.apply_to_points(matrix, moved["keypoints_2d"])
    if "hand_box" in moved:
        xp, box = namespace(matrix), moved["hand_box"]
        corners = affine.apply_to_points(matrix, xp.stack([box[..., :2], box[..., 2:]], -2))
        moved["hand_box"] = xp.stack([corners[..., i, axis] for i in (0, 1) for axis in (0, 1)], -1)
    if "intrinsics" in moved:
        # The third row is 0, 0, 1 before and after.
        xp, camera = namespace(matrix), moved["intrinsics"]
        rows = affine.compose_matrices(camera[..., :2, :], matrix)
        moved["intrinsics"] = xp.stack([rows[..., 0, :], rows[..., 1, :], camera[..., 2, :]], -2)
    return moved


def mirror_labels(
    labels: Mapping[str, Any], mirrored: Bool[Any, " batch"], size: int
) -> dict[str, Shaped[Any, "batch ..."]]:
    """Exchanges left and right in labels, so that left hands become right ones.

    Camera space is mirrored as well (x becomes -x), so that focal lengths stay positive.

    Args:
      labels: In crop pixels; keypoints, hand_box and intrinsics are mirrored, others are kept.
      mirrored: Whose labels.
      size: Side of the crops, pixels.
    """
    return {
        name: _mirror(name, label, mirrored, size) if name in _MIRROR else label
        for name, label in labels.items()
    }


def _mirror(name: str, value: Any, mirrored: Any, size: int) -> Any:
    xp = namespace(value)
    factor, columns = (np.array(entries, np.float32) for entries in _MIRROR[name])
    flipped = value * factor + (size - 1) * columns
    if name == "hand_box":  # the edge that was the right one is now the left one
        flipped = xp.stack([flipped[..., edge] for edge in (2, 1, 0, 3)], -1)
    axes = (None,) * (len(value.shape) - len(mirrored.shape))
    return xp.where(mirrored[(..., *axes)], flipped, value)
