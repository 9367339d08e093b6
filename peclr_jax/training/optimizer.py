"""The optimizer of PeCLR: Adam behind layer-wise adaptive rates, and its schedule.

The paper trains by "LARS with ADAM" (Sec. 4.1), "ADAM wrapped with LARS" (Sec. 8). Two orders exist
of composing the two: `lars_adam`, the official code's, scales the gradients that Adam is given by
the trust ratio; `optax.lamb` scales the step that Adam proposes.

References:
  You et al., `Large Batch Training of Convolutional Networks
  <https://arxiv.org/abs/1708.03888>`_, 2017

  Loshchilov and Hutter, `SGDR: Stochastic Gradient Descent with Warm Restarts
  <https://arxiv.org/abs/1608.03983>`_, 2016
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from peclr_jax.errors import UserError

Mask = Any | Callable[[optax.Params], Any] | None


def scale_by_lars(
    learning_rate: optax.ScalarOrSchedule,
    weight_decay: float = 0.0,
    mask: Mask = None,
    *,
    trust_coefficient: float = 0.02,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    r"""Adds weight decay to gradients and scales them by a clipped trust ratio.

    For every tensor :math:`p` with gradient :math:`g`, where both norms are non-zero,

    .. math::
      q = \frac{\eta \|p\|}{\|g\| + \lambda \|p\| + \epsilon}, \quad
      g \leftarrow (g + \lambda p) \cdot \min(q / \alpha, 1)

    with trust coefficient :math:`\eta`, weight decay :math:`\lambda` and learning rate
    :math:`\alpha`. Where a norm is zero the gradient is left alone, decay included. It differs from
    `optax.add_decayed_weights` followed by `optax.scale_by_trust_ratio` in taking the gradient's
    norm before the decay, and in the clip, which keeps the later step from exceeding the one
    without LARS. At learning rate zero the clipped ratio is one.

    Args:
      learning_rate: The rate that the clip compares with; it does not scale the updates.
      weight_decay: Strength of the L2 regularization, added before scaling.
      mask: Which tensors to decay, all by default: a tree of booleans, or a prefix of one, or a
        function from parameters to one. All others are scaled with :math:`\lambda = 0`.
      trust_coefficient: Multiplier of the trust ratio.
      eps: Added to the denominator of the trust ratio.
    """

    def init(_: optax.Params) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def update(
        updates: optax.Updates,
        state: optax.ScaleByScheduleState,
        params: optax.Params | None = None,
    ) -> tuple[optax.Updates, optax.ScaleByScheduleState]:
        if params is None:
            raise UserError("scale_by_lars needs the parameters: call update(updates, state, p)")
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        decayed = mask(params) if callable(mask) else mask
        decayed = jax.tree.broadcast(True if decayed is None else decayed, params)

        def scale(update: Array, param: Array, decay: bool) -> Array:
            decay_rate = weight_decay if decay else 0.0
            # In float32, as the squares of float16 overflow.
            param_norm, update_norm = (
                jnp.linalg.norm(leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)).ravel())
                for leaf in (param, update)
            )
            ratio = trust_coefficient * param_norm / (update_norm + decay_rate * param_norm + eps)
            # At rate zero the quotient is infinite, and clipped to one like any other.
            adapted = (update + decay_rate * param) * jnp.minimum(ratio / rate, 1.0)
            adapted = adapted.astype(update.dtype)
            return jnp.where((param_norm > 0) & (update_norm > 0), adapted, update)

        updates = jax.tree.map(scale, updates, params, decayed)
        return updates, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def lars_adam(
    schedule: optax.ScalarOrSchedule,
    weight_decay: float = 0.0,
    mask: Mask = None,
    *,
    trust_coefficient: float = 0.02,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Returns Adam on gradients that LARS has scaled layer by layer: the official optimizer.

    Adam is almost invariant to the scale of the gradients it is given, so only *changes* of a
    tensor's trust ratio over time have an effect: see `optax.lamb` for the order in which the ratio
    itself sets the size of the step.

    Args:
      schedule: The learning rate, fixed or a schedule of the update count.
      weight_decay: Strength of the L2 regularization, added to the gradient before LARS.
      mask: Which tensors to decay, see `scale_by_lars`, `decay_mask` and `official_decay_mask`.
      trust_coefficient: Multiplier of the trust ratio.
      b1: Decay rate of Adam's first moment.
      b2: Decay rate of Adam's second moment.
      eps: Added to the denominator of Adam's step.

    Example:
      >>> schedule = warmup_cosine(4.5e-3, warmup_steps=520, total_steps=5200)
      >>> optimizer = lars_adam(schedule, weight_decay=1e-6, mask=decay_mask)
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update(gradients, state, params)
    """
    return optax.chain(
        scale_by_lars(schedule, weight_decay, mask, trust_coefficient=trust_coefficient),
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        optax.scale_by_learning_rate(schedule),
    )


def warmup_cosine(base: float, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """Returns a linear warm-up from zero, then a half cosine to zero, as in the official code.

    `base * t / (W - 1)` for `t < W`, then `base * (1 + cos(pi * (t - W) / (T - W))) / 2`. The first
    step has rate zero, and steps `W - 1` and `W` both have the base rate. With `W = 1` the one
    warm-up step has rate zero; with `W = 0` there is none.

    Args:
      base: The highest learning rate.
      warmup_steps: Steps of the warm-up, `W`.
      total_steps: Steps of the run, warm-up included, `T`. The rate stays zero from there on.
    """
    if not 0 <= warmup_steps < total_steps:
        raise UserError(
            f"a warm-up of {warmup_steps} steps does not fit into {total_steps} steps: "
            "choose 0 <= warmup_steps < total_steps"
        )

    def schedule(count: Int[Array, ""] | int) -> Float[Array, ""]:
        step = jnp.asarray(count, jnp.float32)
        ramp = step / max(warmup_steps - 1, 1)
        # (1 + cos(pi x)) / 2 = sin^2(pi (1 - x) / 2), which does not cancel near the end.
        remaining = jnp.clip((total_steps - step) / (total_steps - warmup_steps), 0.0, 1.0)
        decay = jnp.sin(jnp.pi / 2 * remaining) ** 2
        return base * jnp.where(step < warmup_steps, ramp, decay)

    return schedule


def decay_mask(params: optax.Params) -> Any:
    """Selects all parameters but those named `bias` or `scale` (of norm layers)."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: _names(path)[-1] not in ("bias", "scale"), params
    )


def official_decay_mask(params: optax.Params) -> Any:
    """Selects the parameters that the official PeCLR decays by a substring match on names.

    Every bias is excluded. A BatchNorm scale is excluded only in a residual branch, where the
    PyTorch module is named `bn1` to `bn3`; those of the stem, of the shortcuts and of the
    projection head have names without `bn`, and are decayed.
    """

    def decayed(path: tuple[Any, ...], _: Any) -> bool:
        *modules, leaf = _names(path)
        in_block = len(modules) > 1 and modules[-2].startswith("layer")
        in_branch = in_block and modules[-1] in ("bn1", "bn2", "bn3")
        return leaf != "bias" and not (leaf == "scale" and in_branch)

    return jax.tree_util.tree_map_with_path(decayed, params)


def _names(path: tuple[Any, ...]) -> list[str]:
    return jax.tree_util.keystr(path, simple=True, separator="/").split("/")
