"""The training loop: explicit state, one compiled step, resumed after an interruption."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Array, Key

from peclr_jax.devices.mesh import data_sharding, replicated
from peclr_jax.errors import UserError
from peclr_jax.training.accumulation import GradientFn
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.failures import (
    BUGS,
    OutOfDeviceMemoryError,
    explaining_memory,
    lost_data,
)
from peclr_jax.training.preemption import Preempted, stop_signals
from peclr_jax.training.profiling import Profiler
from peclr_jax.training.progress import Progress
from peclr_jax.training.watch import Metrics, Watch


@struct.dataclass
class TrainState:
    """Everything that training changes; with the key, everything that the next step depends on."""

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any


Batch = Any
TrainStep = Callable[[TrainState, Batch, Key[Array, ""]], tuple[TrainState, Metrics]]


class Hook(NamedTuple):
    """A function that is called with the state at an interval, and after the last step.

    Its numbers are written among the metrics. The state's buffers are donated to the next step:
    keep no reference. A run that was stopped before it was called makes up for that when it is
    resumed.
    """

    every: int
    run: Callable[[int, TrainState], Mapping[str, SupportsFloat]]


def create_state(
    variables: Mapping[str, Any], optimizer: optax.GradientTransformation
) -> TrainState:
    """Returns the state before the first step."""
    return TrainState(
        step=np.zeros([], np.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=jax.jit(optimizer.init)(variables["params"]),  # else a program each shape
    )


def make_train_step(
    compute_gradients: GradientFn,
    optimizer: optax.GradientTransformation,
    *,
    mesh: Mesh,
    learning_rate: optax.Schedule | None = None,
    skip_nonfinite: bool = False,
) -> TrainStep:
    """Compiles one optimizer step over a mesh.

    Args:
      compute_gradients: From `peclr_jax.training.accumulation`.
      optimizer: The optimizer of the run.
      mesh: Mesh over whose devices the batch is split and the state replicated.
      learning_rate: Schedule that is reported among the metrics, if given.
      skip_nonfinite: Whether a step whose loss or gradient is not finite changes nothing but the
        number of steps taken. Reported among the metrics as `skipped`, 1 or 0.

    Returns:
      `(state, batch, key) -> state, metrics`. The buffers of the given state are reused for the new
      one. The key is the run's, folded here by the step: runs that differ by their seed share one
      compiled program. Metrics are scalars on the device: `loss`, `gradient_norm`,
      `parameter_norm` after the step, and those of `compute_gradients`.
    """

    def train_step(
        state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(key, state.step)
        # Tells layers of what devices there are: see `float32_sums`.
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            result = compute_gradients(state.params, state.batch_stats, batch, key)
        updates, opt_state = optimizer.update(result.gradients, state.opt_state, state.params)
        new_state = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=result.model_state,
            opt_state=opt_state,
        )
        metrics = {
            "loss": result.loss,
            "gradient_norm": optax.tree.norm(result.gradients),
            **result.metrics,
        }
        if skip_nonfinite:
            finite = jnp.isfinite(metrics["loss"] + metrics["gradient_norm"])
            kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new_state, state)
            new_state = kept.replace(step=state.step + 1)
            metrics["skipped"] = 1.0 - finite
        metrics["parameter_norm"] = optax.tree.norm(new_state.params)
        if learning_rate is not None:
            metrics["learning_rate"] = learning_rate(_updates(state))
        return new_state, metrics

    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(replicated(mesh), data_sharding(mesh), replicated(mesh)),
        out_shardings=replicated(mesh),
    )


def _updates(state: TrainState) -> Any:
    """Returns how often the parameters were changed: in all steps but those that were skipped."""
    counts = optax.tree.get_all_with_path(state.opt_state, "count")
    return counts[0][1] if counts else state.step


def fit(
    state: TrainState,
    train_step: TrainStep,
    batches: Callable[[int], Iterator[Batch]],
    *,
    key: Key[Array, ""],
    total_steps: int,
    checkpoints: Checkpoints,
    progress: Progress,
    after_first: Callable[[], None] = lambda: None,
    hooks: Sequence[Hook] = (),
    profile: tuple[int, int] | None = None,
    most_skipped: int = 0,
) -> TrainState:
    """Trains up to `total_steps`, from the newest whole checkpoint if there is one.

    A run that is interrupted at any point and started again ends with the same parameters if
    `batches` is a function of the step. The last state is also the last checkpoint.

    Args:
      state: The state before the first step, on the mesh; also says where to restore to.
      train_step: From `make_train_step`.
      batches: From the number of steps taken to an iterator over the batches that follow.
      key: PRNG key of the run.
      total_steps: Steps of the whole run.
      checkpoints: Where to save and to resume from.
      progress: Where to report.
      after_first: Called once, when the first step from here is complete and reported.
      hooks: Functions to call at intervals.
      profile: First and last step of a trace for XProf, written beside TensorBoard's events.
      most_skipped: Steps that `train_step` may skip in the whole run.

    Raises:
      Preempted: If a signal asked to stop; the state is saved.
      NonFiniteLossError: As `Watch` says, at reports and before saving; the state is not saved.
      LostDataError: If a batch could not be read; the state is saved.
      OutOfDeviceMemoryError: If the step does not fit into the device's memory.
    """
    restored = checkpoints.restore_latest(state, progress.note)
    state = state if restored is None else restored
    checkpoints.check_space(state)
    step = start = int(state.step)
    if start > total_steps:
        raise UserError(
            f"the newest checkpoint is of step {start}, but the run has {total_steps} steps now, "
            "as if images were gone: put them back, or choose another --workdir"
        )
    if restored is not None:
        progress.note(f"resuming after step {start} of {total_steps}")
    if profile and not start < profile[0] <= total_steps:
        progress.note(
            f"no trace is written: step {profile[0]} is none of the steps from {start + 1} to "
            f"{total_steps} that are left"
        )
    watch = Watch(progress, checkpoints, most_skipped, skipped=start - int(_updates(state)))
    source = iter(batches(start))
    metrics: Metrics = {}

    def due_hooks(step: int) -> list[Hook]:
        return [hook for hook in hooks if step % hook.every == 0 or step == total_steps]

    def run_hooks(step: int) -> None:
        for hook in due_hooks(step):
            with progress.paused():
                progress.scalars(step, hook.run(step, state))

    with (
        progress.running(start),
        stop_signals() as stop,
        Profiler(progress.tensorboard, profile) as profiler,
    ):
        if restored is not None and multihost_utils.broadcast_one_to_all(progress.is_unmeasured):
            run_hooks(start)
        while step < total_steps:
            try:
                with progress.waiting(), explaining_memory(step + 1):
                    batch = next(source, None)
            except (*BUGS, OutOfDeviceMemoryError):
                raise
            except Exception as error:
                # Other processes do not know of it, and would not save.
                if step > start and jax.process_count() == 1:
                    watch.settle_all()
                    watch.save(step, state, metrics, wait=True)
                raise lost_data(error, step + 1, checkpoints.latest_step()) from error
            if batch is None:
                break
            step += 1
            with profiler.step(step), explaining_memory(step):
                state, metrics = train_step(state, batch, key)
            watch.started(step, metrics, is_reported=progress.is_due(step) or step == start + 1)

            stop_signal = stop.requested(step)
            if step == start + 1:
                watch.settle_all()
                with progress.paused():
                    after_first()
            is_last = step == total_steps
            is_saved = checkpoints.is_due(step) or stop_signal or is_last
            if is_saved or due_hooks(step) or profiler.ends_after(step):
                watch.settle_all()
            if profiler.ends_after(step):
                profiler.stop()
            if is_saved:
                watch.save(step, state, metrics, wait=bool(stop_signal))
            if stop_signal and not is_last:
                raise Preempted(step, stop_signal)
            run_hooks(step)

    if step != total_steps:
        raise UserError(
            f"the batches ended after step {step} of {total_steps}: the source must repeat"
        )
    checkpoints.save(step, state, wait=True)
    return state
