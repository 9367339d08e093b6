"""NT-Xent of many views, without the square matrix of their similarities.

The similarities are computed in blocks of columns and never kept. The backward pass is written by
hand, because the matrix is symmetric: view j pulls view i by the weight of j among the negatives of
i plus the weight of i among those of j. One product with the views replaces the two, along rows and
along columns, of automatic differentiation. Rows stay on the devices that computed them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Minus infinity in the logits, but finite: a block of masked entries alone, subtracted from itself,
# must be zero and not NaN.
MASKED = -1e30


def partners(views: int) -> Int[Array, " views"]:
    """Returns for each row the row of its image's other view: i and i + N are a pair."""
    return (jnp.arange(views) + views // 2) % views


def negative_logits(
    u: Float[Array, "views dim"],
    others: Float[Array, "block dim"],
    columns: Int[Array, " block"],
) -> Float[Array, "views block"]:
    """Returns the similarities of all views to a block of them, `MASKED` if they are no negatives.

    Args:
      u: All views; the product of two rows is a logit.
      others: The views of the block.
      columns: Rows of the block's views in `u`; padding beyond its end.
    """
    logits = jnp.matmul(u, others.T, precision=jax.lax.Precision.HIGHEST)
    rows = jnp.arange(len(u))[:, None]
    kept = (columns != rows) & (columns != partners(len(u))[:, None]) & (columns < len(u))
    return jnp.where(kept, logits, MASKED)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def cross_entropy(u: Float[Array, "views dim"], chunk: int) -> Float[Array, ""]:
    """Returns the mean cross-entropy of finding each view's other view among all views but itself.

    The product of two rows of `u` is their logit; `chunk` columns of the matrix of logits are
    computed at a time. The gradient cannot be differentiated again.
    """
    return _forward(u, chunk)[0]


def _forward(u: Array, chunk: int) -> tuple[Array, tuple[Array, Array, Array]]:
    positive = jnp.sum(u * u[partners(len(u))], axis=-1)

    def add(log_sum: Array, others: Array, columns: Array) -> Array:
        return jnp.logaddexp(
            log_sum, jax.nn.logsumexp(negative_logits(u, others, columns), axis=-1)
        )

    log_negatives = _over_columns(add, jnp.full_like(positive, MASKED), u, chunk)
    # log(1 + exp(x)) rather than a difference of logarithms, which cancels where a pair is found.
    loss = jnp.mean(jax.nn.softplus(log_negatives - positive))
    return loss, (u, positive, log_negatives)


def _backward(chunk: int, residuals: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array]:
    u, positive, log_negatives = residuals
    log_sum = jnp.logaddexp(positive, log_negatives)
    other = partners(len(u))
    # How far each view is from certainty.
    missing = jax.nn.sigmoid(log_negatives - positive)
    pull = -(missing + missing[other])[:, None] * u[other]

    def add(total: Array, others: Array, columns: Array) -> Array:
        logits = negative_logits(u, others, columns)
        # Padding repeats the last row's sum; its logits are masked.
        theirs = log_sum.at[columns].get(mode="clip")
        weights = jnp.exp(logits - log_sum[:, None]) + jnp.exp(logits - theirs)
        return total + jnp.matmul(weights, others, precision=jax.lax.Precision.HIGHEST)

    return (cotangent / len(u) * _over_columns(add, pull, u, chunk),)


cross_entropy.defvjp(_forward, _backward)


def _over_columns(
    add: Callable[[Array, Array, Array], Array], start: Array, u: Array, chunk: int
) -> Array:
    """Folds blocks of rows of `u`, and their numbers, into a value."""
    blocks = -(-len(u) // chunk)
    padded = jnp.pad(u, ((0, blocks * chunk - len(u)), (0, 0)))

    def step(value: Array, block: Any) -> tuple[Array, None]:
        return add(value, *block), None

    numbers = jnp.arange(blocks * chunk).reshape(blocks, chunk)
    value, _ = jax.lax.scan(step, start, (padded.reshape(blocks, chunk, -1), numbers))
    return value
