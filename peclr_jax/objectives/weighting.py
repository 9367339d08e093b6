"""NT-Xent whose pairs weigh by how alike the two hands' poses are (SiMHand).

Lin et al., "SiMHand: mining similar hands for large-scale 3D hand pose pre-training", ICLR 2025,
multiply each similarity by a weight that falls linearly with the distance of the two hands' joints.
That a pair's own weight stands in its numerator and its denominator alike, so that the loss stays a
cross-entropy, and that pairs with no joints in common weigh 1, is our reading.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from peclr_jax.objectives import blockwise
from peclr_jax.objectives.contrastive import (
    Projections,
    Temperature,
    check_temperature,
    check_views,
    unit,
)

Square = Float[Array, "views views"]


class Keypoints(NamedTuple):
    """Joints in the pixels of the views that show them, and which of them are known."""

    points: Float[Array, "views joints 2"]
    valid: Bool[Array, "views joints"]


def distances(keypoints: Keypoints) -> tuple[Square, Bool[Array, "views views"]]:
    """Returns the mean distance of the joints of any two views, and whether they share any.

    Args:
      keypoints: Of the views.
    """
    between = keypoints.points[:, None] - keypoints.points[None]
    common = keypoints.valid[:, None] & keypoints.valid[None]
    lengths = jnp.where(common, jnp.linalg.norm(between, axis=-1), 0.0)
    count = jnp.sum(common, axis=-1)
    return jnp.sum(lengths, axis=-1) / jnp.maximum(count, 1), count > 0


def adaptive_weights(keypoints: Keypoints) -> Square:
    """Returns the weight of each pair of views: 1 for the most alike of its kind, 0 for the least.

    w = (max d - d) / (max d - min d), of the mean distances d of their joints; over the positive
    pairs and over the negative ones apart, which differ in distance by far.

    Args:
      keypoints: Of the views; rows i and i + N are a positive pair.
    """
    distance, known = distances(keypoints)
    views = jnp.arange(len(distance))
    positive = views == blockwise.partners(len(views))[:, None]
    negative = ~positive & (views != views[:, None])

    def scaled(kind: Bool[Array, "views views"]) -> Square:
        most = jnp.max(distance, where=kind, initial=-jnp.inf)
        least = jnp.min(distance, where=kind, initial=jnp.inf)
        spread = most - least
        # All alike, as where there is but one pair: none weighs less than another.
        return jnp.where(spread > 0, (most - distance) / jnp.where(spread > 0, spread, 1.0), 1.0)

    weights = jnp.where(positive, scaled(positive & known), scaled(negative & known))
    return jax.lax.stop_gradient(jnp.where(known, weights, 1.0))


def weighted_nt_xent(z: Projections, weights: Square, temperature: Temperature) -> Float[Array, ""]:
    """Returns NT-Xent of similarities that are multiplied by weights.

    Args:
      z: As for `contrastive.nt_xent`, which this is where all weights are 1.
      weights: Of each pair of views; those of a view with itself mean nothing.
      temperature: As for `contrastive.nt_xent`.
    """
    check_views(len(z))
    check_temperature(temperature)
    u = unit(z.astype(jnp.float32))
    logits = weights * jnp.matmul(u, u.T, precision=jax.lax.Precision.HIGHEST) / temperature
    rows, others = jnp.arange(len(u)), blockwise.partners(len(u))
    positive = logits[rows, others]
    negatives = logits.at[rows, others].set(blockwise.MASKED).at[rows, rows].set(blockwise.MASKED)
    return jnp.mean(jax.nn.softplus(jax.nn.logsumexp(negatives, axis=-1) - positive))
