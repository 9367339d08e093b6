"""JAX's `linear_call`, which derivatives written by hand are made of, with a rule for `jax.vmap`.

JAX has none, so that neither `jax.vmap` of a gradient nor `jax.jacrev` would go through them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax._src import custom_derivatives
from jax.custom_derivatives import linear_call as linear_call
from jax.extend.core import jaxpr_as_fun
from jax.interpreters import batching


def _batch(
    arguments: Sequence[Any],
    axes: Sequence[int | None],
    *,
    callee: Any,
    transpose_thunk: Callable[[], tuple[Any, Sequence[Any]]],
    num_callee_consts: int,
    num_res: int,
) -> tuple[list[Any], list[int]]:
    """Returns a call of the function and its transpose over a leading axis, and that axis."""
    saved = num_callee_consts + num_res
    size = next(x.shape[a] for x, a in zip(arguments, axes, strict=True) if a is not None)
    arguments = [
        x if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(arguments, axes, strict=True)
    ]
    # Without the axis a gradient would have to be summed over it.
    linear = [
        jnp.broadcast_to(x, (size, *x.shape)) if axis is None else x
        for x, axis in zip(arguments[saved:], axes[saved:], strict=True)
    ]
    transposed, constants = transpose_thunk()
    residuals, over = arguments[num_callee_consts:saved], [None if a is None else 0 for a in axes]

    def forth(saved: Sequence[Any], linear: Sequence[Any]) -> list[Any]:
        at = *over[: len(saved[0]) + num_res], *[0] * len(linear)
        return jax.vmap(jaxpr_as_fun(callee), at)(*saved[0], *saved[1], *linear)

    def back(saved: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
        at = *[None] * len(constants), *over[num_callee_consts:][:num_res], *[0] * len(gradients)
        return jax.vmap(jaxpr_as_fun(transposed), at)(*saved[2], *saved[1], *gradients)

    kept = arguments[:num_callee_consts], residuals, list(constants)
    result = linear_call(forth, back, kept, linear)
    return result, [0] * len(result)


_primitive = getattr(custom_derivatives, "linear_call_p", None)
if _primitive and _primitive not in batching.fancy_primitive_batchers:
    batching.primitive_batchers[_primitive] = _batch
