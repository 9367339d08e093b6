"""The training loop: explicit state, one compiled step, resumed where it was interrupted."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, SupportsFloat

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Key

from peclr_jax.training.accumulation import GradientFn
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.mesh import data_sharding, replicated
from peclr_jax.training.preemption import Preempted, stop_signals
from peclr_jax.training.progress import Progress

# Steps that may be queued on the device. Two keep it busy; more would only hold more batches.
MAX_STEPS_IN_FLIGHT = 2


@struct.dataclass
class TrainState:
    """Everything that training changes; with the key, everything that it depends on.

    Attributes:
      step: Optimizer steps taken, int32.
      params: The model's parameters.
      batch_stats: BatchNorm's running averages.
      opt_state: The optimizer's state.
    """

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any


Batch = Any
Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch, Key[Array, ""]], tuple[TrainState, Metrics]]


class NonFiniteLossError(FloatingPointError):
    """The loss or its gradient is no longer finite."""


class Hook(NamedTuple):
    """Something to do with the state at an interval, and after the last step.

    Attributes:
      every: Steps between calls.
      run: `(step, state) -> numbers`, written among the metrics. The state's buffers are donated to
        the next step: keep no reference.
    """

    every: int
    run: Callable[[int, TrainState], Mapping[str, SupportsFloat]]


def create_state(
    variables: Mapping[str, Any], optimizer: optax.GradientTransformation
) -> TrainState:
    """Makes the state before the first step.

    Args:
      variables: What `model.init` returns: `params`, and `batch_stats` if there are any.
      optimizer: The optimizer of the run.
    """
    return TrainState(
        step=jnp.zeros([], jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(variables["params"]),
    )


def make_train_step(
    compute_gradients: GradientFn,
    optimizer: optax.GradientTransformation,
    *,
    mesh: Mesh,
    learning_rate: optax.Schedule | None = None,
) -> TrainStep:
    """Compiles one optimizer step over a mesh.

    Args:
      compute_gradients: `(params, batch_stats, batch, key) -> Gradients`, from
        `peclr_jax.training.accumulation`.
      optimizer: The optimizer of the run.
      mesh: The batch is split over its devices, the state replicated.
      learning_rate: Reported among the metrics, if given.

    Returns:
      `(state, batch, key) -> state, metrics`. The given state's buffers are reused for the new
      one. The key is the run's, folded here by the step: it needs no place in the state, and as an
      argument it lets runs that differ by their seed share one compiled program.
      Metrics are scalars on the device: `loss`, `gradient_norm` and those of `compute_gradients`.
    """

    def train_step(
        state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(key, state.step)
        result = compute_gradients(state.params, state.batch_stats, batch, key)
        updates, opt_state = optimizer.update(result.gradients, state.opt_state, state.params)
        metrics = {
            "loss": result.loss,
            "gradient_norm": optax.tree.norm(result.gradients),
            **result.metrics,
        }
        if learning_rate is not None:
            metrics["learning_rate"] = learning_rate(state.step)
        new_state = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=result.model_state,
            opt_state=opt_state,
        )
        return new_state, metrics

    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(replicated(mesh), data_sharding(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
    )


def fit(
    state: TrainState,
    train_step: TrainStep,
    batches: Callable[[int], Iterator[Batch]],
    *,
    key: Key[Array, ""],
    total_steps: int,
    checkpoints: Checkpoints,
    progress: Progress,
    hooks: Sequence[Hook] = (),
) -> TrainState:
    """Trains up to `total_steps`, from the newest checkpoint if there is one.

    Interrupted at any point and started again, it ends with the same parameters, provided that
    `batches` is a function of the step.

    Args:
      state: The state before the first step, on the mesh; also says where to restore to.
      train_step: From `make_train_step`.
      batches: From the number of steps taken to an iterator over the batches that follow.
      key: PRNG key of the run.
      total_steps: Steps of the whole run.
      checkpoints: Where to save and to resume from.
      progress: What to report to.
      hooks: What else to do along the way.

    Returns:
      The state after the last step, which is also the last checkpoint.

    Raises:
      Preempted: SIGTERM or SIGINT came; the state has been saved.
      NonFiniteLossError: The loss or its gradient is NaN or infinite, as seen at reports and
        before saving; the state has not been saved.
      ValueError: The batches ended before the last step, or the checkpoint is not of this model.
    """
    restored = checkpoints.restore_latest(state, progress.note)
    state = state if restored is None else restored
    step = start = int(state.step)
    if restored is not None:
        progress.note(f"Resuming after step {start} of {total_steps}.")
    in_flight: deque[tuple[int, Metrics]] = deque()

    with progress.running(start), stop_signals() as stop:
        for step, batch in zip(range(start + 1, total_steps + 1), batches(start), strict=False):
            state, metrics = train_step(state, batch, key)
            is_reported = progress.is_due(step) or step == start + 1
            if is_reported:
                jax.tree.map(lambda value: value.copy_to_host_async(), metrics)
            in_flight.append((step if is_reported else 0, metrics))
            if len(in_flight) > MAX_STEPS_IN_FLIGHT:
                _settle(in_flight.popleft(), progress)

            stop_signal = stop.requested(step)
            is_last = step == total_steps
            is_saved = checkpoints.is_due(step) or stop_signal or is_last
            due_hooks = [hook for hook in hooks if step % hook.every == 0 or is_last]
            while in_flight and (is_saved or due_hooks):
                _settle(in_flight.popleft(), progress)
            if is_saved:
                _check_finite(step, metrics)
                with progress.paused():
                    checkpoints.save(step, state)
            if stop_signal and not is_last:
                checkpoints.wait()
                raise Preempted(step, stop_signal)
            for hook in due_hooks:
                with progress.paused():
                    progress.scalars(step, hook.run(step, state))

    checkpoints.wait()
    if step < total_steps:
        raise ValueError(
            f"The batches ended after step {step} of {total_steps}: the source must repeat."
        )
    return state


def _settle(entry: tuple[int, Metrics], progress: Progress) -> None:
    """Waits for a step to complete, and reports it if it is marked by its number."""
    step, metrics = entry
    jax.block_until_ready(metrics)
    if step:
        _check_finite(step, metrics)
        progress.report(step, metrics)


def _check_finite(step: int, metrics: Metrics) -> None:
    loss, gradient_norm = float(metrics["loss"]), float(metrics["gradient_norm"])
    if not math.isfinite(loss + gradient_norm):
        raise NonFiniteLossError(
            f"The loss is {loss}, with gradients of norm {gradient_norm}, at step {step}: lower "
            "the learning rate or lengthen the warm-up, and start again; nothing was saved since "
            "it ceased to be finite."
        )
