"""Measures of pre-training on held-out images, without labels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives.contrastive import latent_range, undo_transform


def retrieval_top1(
    queries: Float[Array, "images points 2"], keys: Float[Array, "images points 2"]
) -> Float[Array, ""]:
    """Returns the fraction of the queries whose nearest key, by cosine similarity, is their own.

    Args:
      queries: (N, m, 2) points of one view of N images, transformations undone.
      keys: (N, m, 2) points of the other view, in the same order.

    Returns:
      Top-1 accuracy in [0, 1]; 1 / N by chance.
    """
    queries = _unit(queries).reshape(len(queries), -1)
    similarity = queries @ _unit(keys).reshape(len(keys), -1).T
    return jnp.mean(jnp.argmax(similarity, axis=1) == jnp.arange(len(queries)))


def equivariance_error(
    untransformed: Float[Array, "images points 2"],
    transformed: Float[Array, "images points 2"],
    transform: Similarity,
) -> Float[Array, ""]:
    """Returns the equivariance error of the supplement's Sec. 11 (Eq. 11), on the latent points.

    The transformation is undone on the points of the transformed image (Eq. 4), and the result is
    compared to the points of the image itself. Both are scaled to unit length, as in the objective:
    the image's scale is not undone.

    Args:
      untransformed: (N, m, 2) points of N images.
      transformed: (N, m, 2) points of the same images transformed.
      transform: Transformation of each of the N images, source to view.

    Returns:
      The mean distance of corresponding points as a fraction of the range that the points of the
      untransformed image span, along x and y.
    """
    reference = _unit(untransformed)
    undone = _unit(undo_transform(_unit(transformed), transform))
    distance = jnp.linalg.norm((undone - reference) / latent_range(reference), axis=-1)
    return jnp.mean(distance)


def alignment_and_uniformity(
    z: Float[Array, "views dim"], loss: Float[Array, ""], temperature: float | Float[Array, ""]
) -> dict[str, Float[Array, ""]]:
    """Splits NT-Xent into the pull between views of one image and the push between all others.

    loss = log(2N - 1) + uniformity - alignment: the two terms of Wang and Isola (ICML 2020,
    "Understanding contrastive representation learning through alignment and uniformity on the
    hypersphere"), as they occur in the loss. Costs one product of each pair; gradients stop here.

    Args:
      z: (2N, D) projections, as for `contrastive.nt_xent`.
      loss: The value of `contrastive.nt_xent`.
      temperature: As for `contrastive.nt_xent`.

    Returns:
      "alignment": the mean cosine similarity of the two views of an image over the temperature;
      "uniformity": the mean, over all views, of the log of the mean of exp(cosine similarity over
      temperature) to all other views.
    """
    z, loss = jax.lax.stop_gradient((z.astype(jnp.float32), loss))
    first, second = jnp.split(z, 2)
    lengths = jnp.linalg.norm(first, axis=-1) * jnp.linalg.norm(second, axis=-1)
    similarity = jnp.sum(first * second, axis=-1) / jnp.maximum(lengths, 1e-12)
    alignment = jnp.mean(similarity) / temperature
    others = jnp.log(jnp.float32(len(z) - 1))
    return {"alignment": alignment, "uniformity": loss + alignment - others}


def _unit(points: Float[Array, "images points 2"]) -> Float[Array, "images points 2"]:
    return points / jnp.linalg.norm(points, axis=(1, 2), keepdims=True)
