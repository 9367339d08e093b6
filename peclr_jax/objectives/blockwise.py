"""NT-Xent of many views, without the square matrix of their similarities.

The similarities are computed in blocks of columns and never kept. The backward pass is written out,
because the matrix is symmetric: view i is drawn by view j with the weight of j among i's negatives
plus that of i among j's, so that one product with the views takes the place of the two, along rows
and along columns, that differentiation by rule would give. Rows stay on the devices that made
them, forward and backward.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Stands for minus infinity in the logits: finite, so that a block whose every entry is masked
# is subtracted from itself as zero and not as NaN.
MASKED = -1e30


def partners(views: int) -> Int[Array, " views"]:
    """Returns the row of the other view of each row's image: i and i + N are a pair.

    Args:
      views: Number of views, 2N.
    """
    return (jnp.arange(views) + views // 2) % views


def negative_logits(
    u: Float[Array, "views dim"],
    others: Float[Array, "block dim"],
    columns: Int[Array, " block"],
) -> Float[Array, "views block"]:
    """Returns the similarities of all views with some, `MASKED` where they are no negatives.

    Args:
      u: All views; a product of two is a logit.
      others: Those of the columns.
      columns: Their rows in `u`; beyond its end is padding.
    """
    logits = jnp.matmul(u, others.T, precision=jax.lax.Precision.HIGHEST)
    rows = jnp.arange(len(u))[:, None]
    kept = (columns != rows) & (columns != partners(len(u))[:, None]) & (columns < len(u))
    return jnp.where(kept, logits, MASKED)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def cross_entropy(u: Float[Array, "views dim"], chunk: int) -> Float[Array, ""]:
    """The mean cross-entropy of finding each view's other view among all views but itself.

    Its gradient cannot be differentiated again.

    Args:
      u: (2N, D); rows i and i + N are a pair, and a product of two rows is a logit.
      chunk: Columns of the matrix of logits that are computed at a time.
    """
    return _forward(u, chunk)[0]


def _forward(u: Array, chunk: int) -> tuple[Array, tuple[Array, Array, Array]]:
    positive = jnp.sum(u * u[partners(len(u))], axis=-1)

    def add(log_sum: Array, others: Array, columns: Array) -> Array:
        return jnp.logaddexp(
            log_sum, jax.nn.logsumexp(negative_logits(u, others, columns), axis=-1)
        )

    log_negatives = _over_columns(add, jnp.full(len(u), MASKED), u, chunk)
    # log(1 + exp(x)) rather than a difference of logarithms, which cancels where a pair is found.
    loss = jnp.mean(jax.nn.softplus(log_negatives - positive))
    return loss, (u, positive, log_negatives)


def _backward(chunk: int, residuals: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array]:
    u, positive, log_negatives = residuals
    log_sum = jnp.logaddexp(positive, log_negatives)
    other = partners(len(u))
    # What a view is short of certainty, its own and its partner's.
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

    value, _ = jax.lax.scan(
        step,
        start,
        (
            padded.reshape(blocks, chunk, -1),
            jnp.arange(blocks * chunk).reshape(blocks, chunk),
        ),
    )
    return value
