"""Similarity transforms of the image plane: sample, compose, invert, apply to points and images.

Two representations, for two purposes. `Similarity` is what the augmentation draws and what the
equivariant loss undoes (PeCLR, Eq. 4): its parts have a meaning apart from any image size. A 2x3
matrix is what moves pixels: it holds a `Similarity` at one image size, a crop, a resize, or all of
them composed, so that an image is resampled once however many steps led to it.

Pixel coordinates are (x, y), x right, y down, with the origin at the CENTRE of the top-left pixel:
the centre of a side-S image is (S - 1) / 2. A matrix always maps source points to view points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num


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


def identity(batch: int) -> Similarity:
    """Returns `batch` transforms that move nothing."""
    return Similarity(jnp.zeros(batch), jnp.ones(batch), jnp.zeros((batch, 2)))


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
        key: PRNG key; the draw is a function of it and of `batch` alone.
        batch: How many to draw.
        rotation: Largest angle in radians, either way.
        scale: Smallest and largest magnification.
        translation: Smallest and largest displacement along either axis, as fractions of the side.
    """
    rotation_key, scale_key, translation_key = jax.random.split(key, 3)
    return Similarity(
        jax.random.uniform(rotation_key, (batch,), minval=-rotation, maxval=rotation),
        jax.random.uniform(scale_key, (batch,), minval=scale[0], maxval=scale[1]),
        jax.random.uniform(
            translation_key, (batch, 2), minval=translation[0], maxval=translation[1]
        ),
    )


def compose(first: Similarity, second: Similarity) -> Similarity:
    """Returns the transform that applies `first`, then `second`."""
    return Similarity(
        first.rotation + second.rotation,
        first.scale * second.scale,
        _rotate_and_scale(second, first.translation) + second.translation,
    )


def invert(transform: Similarity) -> Similarity:
    """Returns the transform that undoes `transform`."""
    linear = Similarity(
        -transform.rotation, 1.0 / transform.scale, jnp.zeros_like(transform.translation)
    )
    return linear._replace(translation=-_rotate_and_scale(linear, transform.translation))


def _rotate_and_scale(
    transform: Similarity, vectors: Float[Array, "*batch 2"]
) -> Float[Array, "*batch 2"]:
    x, y = vectors[..., 0], vectors[..., 1]
    cosine = transform.scale * jnp.cos(transform.rotation)
    sine = transform.scale * jnp.sin(transform.rotation)
    return jnp.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def to_matrix(transform: Similarity, side: int) -> Float[Array, "*batch 2 3"]:
    """Writes transforms as matrices from canonical-view pixels to view pixels.

    Args:
        transform: The transforms.
        side: The view's side in pixels.
    """
    center = (side - 1) / 2
    cosine = transform.scale * jnp.cos(transform.rotation)
    sine = transform.scale * jnp.sin(transform.rotation)
    shift = transform.translation * side + center
    return _assemble(
        (cosine, -sine, shift[..., 0] - center * (cosine - sine)),
        (sine, cosine, shift[..., 1] - center * (sine + cosine)),
    )


def source_to_canonical(
    source_side: int, view_side: int, source_margin: float
) -> Float[Array, "2 3"]:
    """Returns the matrix from a square source image's pixels to the canonical view's.

    The source shares its centre with the canonical view and covers more of the scene, so that a
    rotated or shifted view still finds content at its corners.

    Args:
        source_side: Side of the source in pixels.
        view_side: Side of the view in pixels.
        source_margin: Side of the source over the side of the canonical view, both measured in
            the scene.
    """
    factor = jnp.float32(view_side * source_margin / source_side)
    shift = (view_side - 1) / 2 - factor * (source_side - 1) / 2
    zero = jnp.zeros_like(factor)
    return _assemble((factor, zero, shift), (zero, factor, shift))


def rotation_about(
    angle: Float[Array, "*batch"], center: Float[Array, "*batch 2"]
) -> Float[Array, "*batch 2 3"]:
    """Returns the rotation by `angle` radians about the pixel `center` (x, y)."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    x, y = center[..., 0], center[..., 1]
    return _assemble(
        (cosine, -sine, x - cosine * x + sine * y), (sine, cosine, y - sine * x - cosine * y)
    )


def crop_and_resize(
    box: Num[Array, "*batch 4"], size: int, *, half_pixel: bool = True
) -> Float[Array, "*batch 2 3"]:
    """Returns the map from an image to a box of it, resized to a square.

    Args:
        box: (x, y, width, height) in pixels: the box's first pixel, and how many it spans.
        size: Side of the result in pixels.
        half_pixel: Whether edges map to edges, which is how images are resized. The official
            code maps first pixel to first pixel in its label matrices instead, up to half an
            output pixel away from what its images show.
    """
    origin, extent = box[..., :2].astype(jnp.float32), box[..., 2:].astype(jnp.float32)
    factor = size / extent
    shift = -origin * factor
    if half_pixel:
        shift = shift + (factor - 1) / 2
    zero = jnp.zeros_like(factor[..., 0])
    return _assemble((factor[..., 0], zero, shift[..., 0]), (zero, factor[..., 1], shift[..., 1]))


def compose_matrices(
    first: Float[Array, "*#batch 2 3"], second: Float[Array, "*#batch 2 3"]
) -> Float[Array, "*#batch 2 3"]:
    """Returns the matrix that applies `first`, then `second`; leading axes broadcast."""
    linear = _multiply(second[..., :2], first[..., :2])
    shift = apply_to_points(second, first[..., None, :, 2])[..., 0, :]
    return jnp.concatenate([linear, shift[..., None]], axis=-1)


def invert_matrix(matrix: Float[Array, "*batch 2 3"]) -> Float[Array, "*batch 2 3"]:
    """Returns the matrix that undoes `matrix`; a singular one gives infinities."""
    a, b, shift_x = (matrix[..., 0, column] for column in range(3))
    c, d, shift_y = (matrix[..., 1, column] for column in range(3))
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return _assemble((a, b, -(a * shift_x + b * shift_y)), (c, d, -(c * shift_x + d * shift_y)))


def apply_to_points(
    matrix: Float[Array, "*#batch 2 3"], points: Float[Array, "*#batch points 2"]
) -> Float[Array, "*#batch points 2"]:
    """Maps source points to view points.

    Args:
        matrix: Source pixels to view pixels; leading axes broadcast against those of `points`.
        points: (x, y) in source pixels.

    Returns:
        (x, y) in view pixels.
    """
    linear, shift = matrix[..., :2], matrix[..., 2]
    return _multiply(points, jnp.swapaxes(linear, -1, -2)) + shift[..., None, :]


def apply_to_images(
    images: Num[Array, "batch height width channels"],
    matrix: Float[Array, "batch 2 3"],
    size: int,
) -> Float[Array, "batch {size} {size} channels"]:
    """Resamples every image into a square view, bilinearly, black outside the source.

    There is no low-pass filter: a view much smaller than its source would alias. Keep the
    source's resolution within a factor of two of the view's, as the input pipeline does.

    Args:
        images: Source images of any numeric type; uint8 is read as such, so that a quarter of
            the bytes of float32 are gathered.
        matrix: Source pixels to view pixels, one per image.
        size: Side of the view in pixels.

    Returns:
        Float32 views in the range of the source.
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


def _assemble(*rows: tuple[Array, ...]) -> Array:
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _multiply(a: Array, b: Array) -> Array:
    """Multiplies small matrices in full float32, which accelerators do not do unless told."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
