"""Views of a batch of source images, and the transforms that made the views.

    first, second = two_views(key, images, ViewSpec(size=128))

Pure functions of a key, batched, and run on the accelerator inside the training step. A source is a
square uint8 crop with the hand's box at its centre, wider than the view by
`ViewSpec.source_margin`. It is resampled once, straight into the view. The images may also be parts
of photographs as they were decoded, with matrices from their pixels to those of the source: then
the source itself is never made.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from peclr_jax.errors import UserError
from peclr_jax.geometry import affine, crop
from peclr_jax.geometry.affine import Similarity
from peclr_jax.views.operations import apply_operations
from peclr_jax.views.spec import ViewSpec as ViewSpec

# ImageNet's, in [0, 1], RGB. NumPy: importing this module must not start a JAX backend.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class View(NamedTuple):
    """ImageNet-standardised images, and their transforms from canonical view to this view."""

    images: Float[Array, "batch size size 3"]
    transform: Similarity


def augment(
    key: Key[Array, ""],
    images: UInt8[Array, "batch height width 3"],
    spec: ViewSpec,
    to_source: Float[Array, "batch 2 3"] | None = None,
    source_side: int | None = None,
) -> View:
    """Draws one view of every image.

    The view of image i depends on the key, the batch's size and i, not on how the batch is spread
    over devices.

    Args:
      key: PRNG key.
      images: Square RGB sources with the hand's box at their centre; or, with `to_source`, RGB
        images of any shape.
      spec: Ranges and switches; static under `jax.jit`.
      to_source: Image pixels to source pixels; `None` for images that are sources.
      source_side: Side of the sources in pixels, needed with `to_source`; static under `jax.jit`.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(
            f"images are {images.dtype} {images.shape}: give uint8 (batch, height, width, 3), RGB"
        )
    if to_source is None:
        _, source_side, width, _ = images.shape
        if source_side != width:
            raise UserError(
                f"sources of {source_side} x {width} are not square: crop them around the hands, "
                "or give to_source and source_side"
            )
    elif source_side is None:
        raise UserError("to_source needs the side of the sources: give source_side")
    transform_key, photometric_key = jax.random.split(key)
    transform = affine.sample(
        transform_key,
        len(images),
        rotation=float(np.deg2rad(spec.rotation_deg)),
        scale=spec.scale,
        translation=spec.translation,
    )
    matrix = source_to_view(transform, source_side, spec)
    if to_source is not None:
        matrix = affine.compose_matrices(to_source, matrix)
    views = affine.apply_to_images(images, matrix, spec.size)
    views = apply_operations(photometric_key, views, spec)
    return View(normalize(views), transform)


def two_views(
    key: Key[Array, ""],
    images: UInt8[Array, "batch height width 3"],
    spec: ViewSpec,
    to_source: Float[Array, "batch 2 3"] | None = None,
    source_side: int | None = None,
    partners: UInt8[Array, "batch height width 3"] | None = None,
    partners_to_source: Float[Array, "batch 2 3"] | None = None,
) -> tuple[View, View]:
    """Draws two independent views of every image: the positive pairs (PeCLR, Sec. 3.1).

    Args:
      key: PRNG key.
      images: As for `augment`.
      spec: As for `augment`.
      to_source: As for `augment`.
      source_side: As for `augment`.
      partners: Images for the second views instead: of the same hands or of others in a similar
        pose (`DataSpec.pairs`).
      partners_to_source: Partners' pixels to source pixels.
    """
    first_key, second_key = jax.random.split(key)
    if partners is None:
        partners, partners_to_source = images, to_source
    return (
        augment(first_key, images, spec, to_source, source_side),
        augment(second_key, partners, spec, partners_to_source, source_side),
    )


def source_to_view(
    transform: Similarity, source_side: int, spec: ViewSpec
) -> Float[Array, "batch 2 3"]:
    """Returns the matrices from source pixels to view pixels, for labels as well as for images.

    Args:
      transform: Canonical view to view.
      source_side: Side of the source in pixels.
      spec: Size of the views and margin of the sources.
    """
    return affine.compose_matrices(
        crop.source_to_canonical(source_side, spec.size, spec.source_margin),
        affine.to_matrix(transform, spec.size),
    )


def warp_onto(view: View, frame: Similarity) -> Float[Array, "batch size size 3"]:
    """Resamples a view into the frame of another, to compare the two: RGB in [0, 255]."""
    size = view.images.shape[1]
    to_canonical = affine.invert_matrix(affine.to_matrix(view.transform, size))
    matrix = affine.compose_matrices(to_canonical, affine.to_matrix(frame, size))
    return affine.apply_to_images(denormalize(view.images), matrix, size)


def normalize(images: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """Standardises RGB in [0, 255] by ImageNet's mean and deviation."""
    return (images / 255 - _MEAN) / _DEVIATION


def denormalize(images: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """Undoes `normalize`, clipped to [0, 255]."""
    return jnp.clip((images * _DEVIATION + _MEAN) * 255, 0, 255)
