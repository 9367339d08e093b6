"""Measures of pre-training on held-out images, without labels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives.contrastive import Temperature, latent_range, undo_transform, unit


def retrieval_top1(
    queries: Float[Array, "images dim"], keys: Float[Array, "images dim"]
) -> Float[Array, ""]:
    """Returns the fraction of the queries whose nearest key, by cosine similarity, is their own.

    Queries and keys are the projections of two views of the same images, in the same order, as the
    objective compares them. Chance is one over the number of images.
    """
    precision = jax.lax.Precision.HIGHEST
    similarity = jnp.matmul(unit(queries), unit(keys).T, precision=precision)
    return jnp.mean(jnp.argmax(similarity, axis=1) == jnp.arange(len(queries)))


def equivariance_error(
    untransformed: Float[Array, "images points 2"],
    transformed: Float[Array, "images points 2"],
    transform: Similarity,
) -> Float[Array, ""]:
    """Returns the equivariance error of the supplement's Sec. 11 (Eq. 11), on the latent points.

    The transformation is undone on the points of the transformed image (Eq. 3). The result is their
    mean distance to the points of the image itself, as a fraction of the range that those span
    along x and y. Both are scaled to unit length, as in the objective: the image's scale is not
    undone. Along an axis where the points of an image span nothing, the error is a whole range.

    Args:
      untransformed: Points of the images.
      transformed: Points of the same images transformed.
      transform: Transformations of the images, source to view.
    """
    reference = _unit(untransformed)
    undone = _unit(undo_transform(_unit(transformed), transform))
    spanned = latent_range(reference)
    is_spanned = spanned > 0
    error = (undone - reference) / jnp.where(is_spanned, spanned, 1.0)
    return jnp.mean(jnp.linalg.norm(jnp.where(is_spanned, error, 1.0), axis=-1))


def alignment_and_uniformity(
    z: Float[Array, "views dim"], loss: Float[Array, ""], temperature: Temperature
) -> dict[str, Float[Array, ""]]:
    """Splits NT-Xent into the pull between views of one image and the push between all others.

    loss = log(2N - 1) + uniformity - alignment, the two terms of Wang and Isola (ICML 2020):
    alignment is the mean cosine similarity of the two views of an image over the temperature,
    uniformity the mean over all views of the log of the mean of exp(cosine similarity over
    temperature) to all other views. A view of zeros has the cosine 0 to all, as in `nt_xent`.
    Gradients stop here.

    Args:
      z: Projections, as for `contrastive.nt_xent`.
      loss: The value of `contrastive.nt_xent`.
      temperature: As for `contrastive.nt_xent`.
    """
    z, loss = jax.lax.stop_gradient((z.astype(jnp.float32), loss))
    first, second = jnp.split(unit(z), 2)
    alignment = jnp.mean(jnp.sum(first * second, axis=-1)) / temperature
    others = jnp.log(jnp.float32(len(z) - 1))
    return {"alignment": alignment, "uniformity": loss + alignment - others}


def _unit(points: Float[Array, "images points 2"]) -> Float[Array, "images points 2"]:
    return unit(points.reshape(len(points), -1)).reshape(points.shape)
