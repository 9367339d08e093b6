"""Gradients of a batch that does not fit into memory at once, micro-batch by micro-batch.

`accumulate_gradients` takes the loss within each micro-batch: negatives are its other rows only, as
in the official code (16 of 128 pairs); Sec. 8 says no more than that gradients are accumulated
"across smaller batches". `cached_gradients` takes it over the whole batch. Both
normalise BatchNorm over the micro-batch and update its running averages once per micro-batch, in
order, which `optax.microbatching.microbatch` does not.

Micro-batch `i` of `A` consists of the rows `r` with `r % A == i`. Of a batch that is sharded over
devices, every device then holds an equal part of every micro-batch: splitting moves no data, and
the rows of a micro-batch do not depend on the number of devices.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from peclr_jax.errors import UserError

PyTree = Any
Scalar = Float[Array, ""]


class Gradients(NamedTuple):
    """Loss and gradients of a batch.

    Attributes:
      loss, gradients: The loss, averaged over micro-batches if taken in each, and its gradient.
      model_state, metrics: Running averages of BatchNorm after the batch, and other scalars.
    """

    loss: Scalar
    gradients: PyTree
    model_state: PyTree
    metrics: dict[str, Scalar]


# (params, model_state, batch, key) -> Gradients
GradientFn = Callable[[PyTree, PyTree, PyTree, Key[Array, ""]], Gradients]
# (params, model_state, micro_batch, key) -> loss, (model_state, metrics)
LossFn = Callable[
    [PyTree, PyTree, PyTree, Key[Array, ""]], tuple[Scalar, tuple[PyTree, dict[str, Scalar]]]
]
# (params, model_state, micro_batch, key) -> representations, context, model_state
EncodeFn = Callable[[PyTree, PyTree, PyTree, Key[Array, ""]], tuple[PyTree, PyTree, PyTree]]
# (representations, context) -> loss, metrics
BatchLossFn = Callable[[PyTree, PyTree], tuple[Scalar, dict[str, Scalar]]]


def split_micro_batches(batch: PyTree, num_micro_batches: int) -> PyTree:
    """Splits arrays `(B, ...)` into `(A, B / A, ...)`, where `[i, j]` is row `i + A * j`.

    Raises:
      UserError: If an array has a number of rows that does not divide.
    """
    for rows in {len(array) for array in jax.tree.leaves(batch)}:
        if num_micro_batches < 1 or rows % num_micro_batches:
            raise UserError(
                f"a batch of {rows} rows cannot be split into {num_micro_batches} micro-batches: "
                "choose a divisor"
            )
    return jax.tree.map(
        lambda array: array.reshape(num_micro_batches, -1, *array.shape[1:], order="F"), batch
    )


def merge_micro_batches(micro_batches: PyTree) -> PyTree:
    """Inverts `split_micro_batches`: arrays `(A, n, ...)` become `(A * n, ...)`.

    Blocks of rows stay blocks: if each micro-batch lists its first views and then its second views,
    the merged array lists all first views and then all second views.
    """
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:], order="F"), micro_batches)


def accumulate_gradients(loss_fn: LossFn, num_micro_batches: int = 1) -> GradientFn:
    """Averages the gradients of a loss that is taken within each micro-batch (supplement, Sec. 8).

    The key of a micro-batch is the batch's, folded by its index.
    """
    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)

    def compute(params: PyTree, model_state: PyTree, batch: PyTree, key: Array) -> Gradients:
        def visit(carry: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
            model_state, total = carry
            index, micro_batch = inputs
            (loss, (model_state, metrics)), gradients = value_and_grad(
                params, model_state, micro_batch, jax.random.fold_in(key, index)
            )
            return (model_state, jax.tree.map(jnp.add, total, gradients)), (loss, metrics)

        (model_state, total), (losses, metrics) = _scan(
            visit,
            (model_state, jax.tree.map(jnp.zeros_like, params)),
            split_micro_batches(batch, num_micro_batches),
        )
        mean = jax.tree.map(lambda total: total / num_micro_batches, total)
        loss, metrics = jax.tree.map(lambda values: values.mean(0), (losses, metrics))
        return Gradients(loss, mean, model_state, metrics)

    return compute


def cached_gradients(
    encode: EncodeFn, loss_fn: BatchLossFn, num_micro_batches: int = 1
) -> GradientFn:
    """Computes the exact gradient of a loss over the whole batch at the memory of a micro-batch.

    The first pass encodes every micro-batch and keeps only the representations, from which follow
    the loss and its gradient with respect to them. The second pass encodes every micro-batch again
    and pulls its part of that gradient back to the parameters. Both passes use the same key (the
    batch's, folded by the index) and model state for a micro-batch, hence the same augmentation and
    dropout. The running averages of BatchNorm advance once.

    Args:
      encode: Returns representations; what else the loss needs, independent of the parameters, such
        as the augmentation's transformations; and the model's state. Leading axes are joined.
      loss_fn: Called with representations and context of all micro-batches, in the batch's order.
      num_micro_batches: Parts to split the batch into; one computes it whole, in a single pass.

    References:
      Gao et al., `Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup
      <https://arxiv.org/abs/2101.06983>`_, 2021
    """

    def whole(*arguments: PyTree) -> tuple[Scalar, tuple[PyTree, dict[str, Scalar]]]:
        representations, context, model_state = encode(*arguments)
        loss, metrics = loss_fn(representations, context)
        return loss, (model_state, metrics)

    if num_micro_batches == 1:
        return accumulate_gradients(whole)

    def compute(params: PyTree, model_state: PyTree, batch: PyTree, key: Array) -> Gradients:
        micro_batches = split_micro_batches(batch, num_micro_batches)

        def represent(model_state: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
            index, micro_batch = inputs
            representations, context, model_state = encode(
                params, model_state, micro_batch, jax.random.fold_in(key, index)
            )
            return model_state, (representations, context)

        _, cached = _scan(represent, model_state, micro_batches)
        loss_and_gradient = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, metrics), cotangents = loss_and_gradient(*merge_micro_batches(cached))

        def pull_back(carry: PyTree, inputs: PyTree) -> tuple[PyTree, None]:
            model_state, total = carry
            index, (micro_batch, cotangent) = inputs

            def represent_again(params: PyTree) -> tuple[PyTree, PyTree]:
                representations, _, new_state = encode(
                    params, model_state, micro_batch, jax.random.fold_in(key, index)
                )
                return representations, new_state

            _, vjp, model_state = jax.vjp(represent_again, params, has_aux=True)
            (gradients,) = vjp(cotangent)
            return (model_state, jax.tree.map(jnp.add, total, gradients)), None

        (model_state, gradients), _ = _scan(
            pull_back,
            (model_state, jax.tree.map(jnp.zeros_like, params)),
            (micro_batches, split_micro_batches(cotangents, num_micro_batches)),
        )
        return Gradients(loss, gradients, model_state, metrics)

    return compute


def _scan(body: Callable[..., Any], carry: PyTree, micro_batches: PyTree) -> tuple[PyTree, PyTree]:
    """Scans over (index, micro-batch); without a loop on CPUs, and for a single micro-batch.

    XLA's convolutions on CPUs are many times slower inside of its loops. `scan` with `unroll` would
    leave a loop around them.
    """
    indices = jnp.arange(len(jax.tree.leaves(micro_batches)[0]))
    if len(indices) > 1 and not _on_cpu():
        return jax.lax.scan(body, carry, (indices, micro_batches))
    outputs = []
    for number in range(len(indices)):
        index, micro_batch = jax.tree.map(itemgetter(number), (indices, micro_batches))
        carry, output = body(carry, (index + _zero_after(carry), micro_batch))
        outputs.append(output)
    return carry, jax.tree.map(lambda *arrays: jnp.stack(arrays), *outputs)


def _zero_after(carry: PyTree) -> Array:
    """Returns zero, which takes all of the carry to compute.

    The random numbers of the next micro-batch wait for it, so that the memory of this one is free
    by then. XLA drops optimization barriers on CPUs; that an absolute value, even NaN, has the sign
    bit 0 it does not know.
    """
    total = sum(jnp.abs(leaf.ravel()[0]) for leaf in jax.tree.leaves(carry))
    bits = jax.lax.bitcast_convert_type(jnp.float32(total), jnp.uint32)
    return (bits >> 31).astype(jnp.int32)


def _on_cpu() -> bool:
    """Whether the mesh that is traced for (`jax.sharding.use_abstract_mesh`) is of CPUs."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return device is not None and device.device_kind == "cpu"
