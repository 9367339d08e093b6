"""NT-Xent and its equivariant form (Spurr et al., "PeCLR", ICCV 2021, Sec. 3).

Everything here is float32, whatever the network computed in: bfloat16 is too coarse for the
exponentials of the loss and for the gradients through two normalisations.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from peclr_jax.errors import UserError
from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives import blockwise

Points = Float[Array, "views points 2"]
Projections = Float[Array, "views dim"]
Temperature = float | np.floating | Float[np.ndarray, ""] | Float[Array, ""]
# What takes the place of the image's side, along x and along y.
Range = Callable[[Points], Float[Array, "#views 1 2"]]


def unit(x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
    """Scales every row to length 1; a row of zeros stays zero and has a finite gradient."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-24))


def check_views(views: int) -> None:
    """Raises a `UserError` if a batch of so many views does not hold two of every image."""
    if views % 2 or not views:
        got = f"an odd number of rows, {views}" if views else "no rows"
        raise UserError(f"NT-Xent needs two views of every image, got {got}: give 2N rows, N > 0")


def check_transform(points: Any, transform: Any) -> None:
    """Raises a `UserError` if points are not of two numbers, or have not a transform each."""
    views, *rest = points.shape
    if len(rest) != 2 or rest[1] != 2:
        raise UserError(f"latent points have the shape {points.shape}: give (2N, points, 2)")
    for name, wanted in (("rotation", (views,)), ("translation", (views, 2))):
        # Others would be broadcast, and mix the views.
        if (given := jnp.shape(getattr(transform, name))) != wanted:
            raise UserError(f"{views} views have {name}s of the shape {given}: give {wanted}")


def check_temperature(temperature: Any) -> None:
    """Raises a `UserError` if a temperature is no number or, where that is known, not positive."""
    if jnp.ndim(temperature):
        raise UserError(f"the temperature has the shape {jnp.shape(temperature)}: give one number")
    is_known = isinstance(temperature, int | float | np.generic | np.ndarray)
    if is_known and not temperature > 0:
        raise UserError(f"the temperature must be positive, got {temperature}")


def nt_xent(
    z: Projections, temperature: Temperature, *, chunk: int | None = None
) -> Float[Array, ""]:
    """Normalised temperature-scaled cross-entropy (Eq. 1; Chen et al. 2020, Eq. 1).

    The mean over all 2N views of -log softmax at the other view, the view itself left out.

    Args:
      z: Projections, scaled to unit length here; rows i and i + N are the two views of one image.
      temperature: Divisor of the cosine similarities; the paper gives none, its code uses 0.5.
      chunk: Number of views compared at a time, forward and backward, which needs memory for
        2N x chunk similarities instead of (2N)^2; `None` compares all at once. Values are the same
        up to rounding; the gradient then cannot be differentiated again.
    """
    if z.ndim != 2:
        raise UserError(f"projections have the shape {z.shape}: give (2N, dim)")
    views = z.shape[0]
    check_views(views)
    check_temperature(temperature)
    if chunk is not None and chunk < 1:
        raise UserError(f"chunk must be a positive number of views or None, got {chunk}")
    # A product of two rows is their logit.
    u = unit(z.astype(jnp.float32)) / jnp.sqrt(jnp.float32(temperature))
    if chunk is not None and chunk < views:
        return blockwise.cross_entropy(u, chunk)
    # The logit of each view's pair, and those of all views but itself and its pair.
    positive = jnp.sum(u * u[blockwise.partners(views)], axis=-1)
    negatives = blockwise.negative_logits(u, u, jnp.arange(views))
    return jnp.mean(jax.nn.softplus(jax.nn.logsumexp(negatives, axis=-1) - positive))


def latent_range(points: Points) -> Float[Array, "views 1 2"]:
    """Returns L_z of Eq. 10: the extent of each sample's points along x and along y, detached."""
    extent = jnp.max(points, axis=1, keepdims=True) - jnp.min(points, axis=1, keepdims=True)
    return jax.lax.stop_gradient(extent)


def undo_transform(
    points: Points, transform: Similarity, *, range_of: Range = latent_range
) -> Points:
    """Applies the inverse of an image's geometric transformation to its latent points (Eqs. 3, 4).

    First the translation, a fraction of the image's side, is undone as the same fraction of the
    points' range (Eq. 10); then the rotation, about the points' centre. Range and centre are
    detached, as in the official code. The scale is not undone: the cosine similarity removes it.

    Args:
      points: Latent points (x, y).
      transform: Transformations of the images, source to view.
      range_of: Returns the length, along x and y and in the points' unit, that takes the place of
        the image's side.
    """
    check_transform(points, transform)
    points = points - transform.translation[:, None] * range_of(points)
    center = jax.lax.stop_gradient(jnp.mean(points, axis=1, keepdims=True))
    x, y = jnp.unstack(points - center, axis=-1)
    cos, sin = jnp.cos(transform.rotation)[:, None], jnp.sin(transform.rotation)[:, None]
    return jnp.stack([cos * x + sin * y, cos * y - sin * x], axis=-1) + center


def equivariant_projections(points: Points, transform: Similarity) -> Projections:
    """Returns the projections that PeCLR compares: geometric transformations are undone (Eq. 3).

    The 2m numbers of each sample are scaled to unit length before the inverse. As `nt_xent` scales
    again, and range and centre are detached, this changes the gradient only.

    Args:
      points: Latent points.
      transform: Transformations of the images, source to view.
    """
    views = points.shape[0]
    points = unit(points.astype(jnp.float32).reshape(views, -1)).reshape(points.shape)
    return undo_transform(points, transform).reshape(views, -1)


def direct_projections(points: Points, transform: Similarity, side: int = 128) -> Projections:
    """Returns the projections of Fig. 7's direct arm, which undoes translations in pixels.

    Images are translated in pixels, and the latent points back "by the same quantity" (Sec. 7): by
    15 of their units for 15 px. The points are those that the network gives, not scaled to unit
    length first, so that it may learn to draw them in pixels. Rotations are undone as by PeCLR.

    Args:
      points: Latent points (x, y), one unit for a pixel of the view.
      transform: Transformations of the images, source to view; the translation in sides.
      side: Of the views, pixels.
    """
    points = points.astype(jnp.float32)
    undone = undo_transform(points, transform, range_of=lambda _: jnp.full((1, 1, 2), float(side)))
    return undone.reshape(points.shape[0], -1)


def invariant_projections(points: Points, transform: Similarity) -> Projections:
    """Returns the projections that SimCLR compares (Eq. 1), by the same signature."""
    del transform
    return points.reshape(points.shape[0], -1)


def equivariant_nt_xent(
    points: Points,
    transform: Similarity,
    temperature: Temperature,
    *,
    chunk: int | None = None,
) -> Float[Array, ""]:
    """Returns NT-Xent of projections whose geometric transformations are undone (Eqs. 3, 4, 7).

    Args:
      points: Latent points; rows i and i + N are the two views of one image.
      transform: Transformations of the images, source to view.
      temperature: As for `nt_xent`.
      chunk: As for `nt_xent`.

    Example:
      >>> points = jax.random.normal(jax.random.key(0), (8, 64, 2))
      >>> transform = Similarity(jnp.zeros(8), jnp.ones(8), jnp.zeros((8, 2)))
      >>> equivariant_nt_xent(points, transform, 0.5).shape
      ()
    """
    return nt_xent(equivariant_projections(points, transform), temperature, chunk=chunk)
