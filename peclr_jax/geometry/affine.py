"""Similarity transforms of the image plane: sampled, as matrices, applied.

The augmentation draws a `Similarity` and the equivariant loss undoes it (PeCLR, Eq. 3): its parts
do not depend on an image size. A 2x3 matrix moves pixels: it is a `Similarity` at one image size, a
crop, a resize, or all of them composed, so that an image is resampled only once.

Pixel coordinates are (x, y), x right, y down, with the origin at the CENTRE of the top-left pixel:
the centre of a side-S image is (S - 1) / 2. A matrix always maps source points to view points.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from peclr_jax.geometry.arrays import Values, assemble, namespace


class Similarity(NamedTuple):
    """A rotation, a scaling and a translation of a square view, in units of that view.

    A point p of the canonical view (the view under the identity) moves to
    `scale * R(rotation) (p - c) + c + translation * side`, with c the view's centre and
    R(a) = [[cos a, -sin a], [sin a, cos a]]: rotation and scaling act about the centre, the
    translation comes last.

    Attributes:
      rotation: Radians; positive turns +x toward +y, clockwise on the screen.
      scale: Magnification of the content; above 1 enlarges it.
      translation: Displacement of the content, (x, y), as a fraction of the view's side.
    """

    rotation: Float[Array, "*batch"]
    scale: Float[Array, "*batch"]
    translation: Float[Array, "*batch 2"]


def sample(
    key: Key[Array, ""],
    batch: int,
    *,
    rotation: float,
    scale: tuple[float, float],
    translation: tuple[float, float],
) -> Similarity:
    """Draws independent uniform transforms (PeCLR, Sec. 8).

    Args:
      key: PRNG key.
      batch: Number of transforms.
      rotation: Largest angle in radians, in either direction.
      scale: Smallest and largest magnification.
      translation: Smallest and largest displacement along either axis, as fractions of the side.
    """
    keys = jax.random.split(key, 3)
    uniform = partial(jax.random.uniform, dtype=jnp.float32)
    return Similarity(
        uniform(keys[0], (batch,), minval=-rotation, maxval=rotation),
        uniform(keys[1], (batch,), minval=scale[0], maxval=scale[1]),
        uniform(keys[2], (batch, 2), minval=translation[0], maxval=translation[1]),
    )


def to_matrix(transform: Similarity, side: int) -> Float[Array, "*batch 2 3"]:
    """Returns the matrices of transforms in pixels of a square view of side `side`."""
    center = (side - 1) / 2
    cosine = transform.scale * jnp.cos(transform.rotation)
    sine = transform.scale * jnp.sin(transform.rotation)
    shift = transform.translation * side + center
    return assemble(
        (cosine, -sine, shift[..., 0] - center * (cosine - sine)),
        (sine, cosine, shift[..., 1] - center * (sine + cosine)),
    )


def compose_matrices(
    first: Float[Any, "*#batch 2 3"], second: Float[Any, "*#batch 2 3"]
) -> Float[Any, "*#batch 2 3"]:
    """Returns the matrix that applies `first`, then `second` (NumPy, JAX or TensorFlow)."""
    across, down, shift = second[..., :1], second[..., 1:2], second[..., 2:]
    # Products and sums: accelerators multiply matrices with fewer bits.
    linear = across * first[..., :1, :] + down * first[..., 1:, :]
    return linear + shift * np.array([0, 0, 1], np.float32)


def invert_matrix(matrix: Float[Values, "*batch 2 3"]) -> Float[Values, "*batch 2 3"]:
    """Returns the matrix that undoes `matrix` (NumPy or JAX); a singular one gives infinities."""
    a, b, shift_x = (matrix[..., 0, column] for column in range(3))
    c, d, shift_y = (matrix[..., 1, column] for column in range(3))
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return assemble((a, b, -(a * shift_x + b * shift_y)), (c, d, -(c * shift_x + d * shift_y)))


def zoom(matrix: Float[Any, "*batch 2 3"]) -> Float[Any, "*batch"]:
    """Returns by how much matrices magnify lengths, the mean over directions where they differ."""
    area = matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]
    return namespace(matrix).abs(area) ** 0.5


def apply_to_points(
    matrix: Float[Any, "*#batch 2 3"], points: Float[Any, "*#batch points 2"]
) -> Float[Any, "*#batch points 2"]:
    """Maps source points to view points, in pixels (NumPy, JAX or TensorFlow)."""
    across, down, shift = (matrix[..., None, :, column] for column in range(3))
    return across * points[..., :1] + down * points[..., 1:] + shift


def apply_to_images(
    images: Num[Array, "batch height width channels"],
    matrix: Float[Array, "batch 2 3"],
    size: int,
) -> Float[Array, "batch {size} {size} channels"]:
    """Resamples every image into a square view, bilinearly, black outside the source.

    There is no low-pass filter: a view much smaller than its source would alias. Keep the source's
    resolution within a factor of two of the view's, as the input pipeline does for scales of 0.6
    and more, and crops of `source_margin` times the view's side.

    Args:
      images: Source images; of uint8 a quarter of the bytes of float32 are gathered.
      matrix: Source pixels to view pixels.
      size: Side of the view in pixels.
    """
    batch, height, width, channels = images.shape
    to_source = invert_matrix(matrix)[..., None, None]
    view_x = jnp.arange(size, dtype=jnp.float32)
    view_y = view_x[:, None]
    x = to_source[:, 0, 0] * view_x + to_source[:, 0, 1] * view_y + to_source[:, 0, 2]
    y = to_source[:, 1, 0] * view_x + to_source[:, 1, 1] * view_y + to_source[:, 1, 2]
    left, top = jnp.floor(x), jnp.floor(y)
    right_weight, bottom_weight = x - left, y - top

    # One flat index per IMAGE: it fits 32 bits at any batch size, where one into the whole batch
    # would overflow (silently: JAX has no 64-bit integers by default).
    pixels = images.reshape(batch, height * width, channels)

    def tap(column: Array, row: Array, weight: Array) -> Array:
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column = jnp.clip(column, 0, width - 1).astype(jnp.int32)
        row = jnp.clip(row, 0, height - 1).astype(jnp.int32)
        # The indices are clipped already; without the promise XLA would do so again.
        values = jax.vmap(lambda image, index: image.at[index].get(mode="promise_in_bounds"))(
            pixels, row * width + column
        )
        return values.astype(jnp.float32) * jnp.where(inside, weight, 0.0)[..., None]

    return (
        tap(left, top, (1 - right_weight) * (1 - bottom_weight))
        + tap(left + 1, top, right_weight * (1 - bottom_weight))
        + tap(left, top + 1, (1 - right_weight) * bottom_weight)
        + tap(left + 1, top + 1, right_weight * bottom_weight)
    )
