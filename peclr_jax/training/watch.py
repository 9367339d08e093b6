"""Steps in flight on the devices: waited for, checked, reported, saved."""

import math
from collections import deque
from typing import Any

import jax

from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.failures import NonFiniteLossError, explaining_memory
from peclr_jax.training.progress import Progress

Metrics = dict[str, jax.Array]

# Steps that may be queued on the device. Two keep it busy; more would only hold more batches.
MAX_STEPS_IN_FLIGHT = 2
# Times the first loss; no recipe gets there unless it diverges.
_EXPLODED = 1e4


class Watch:
    """The steps in flight, in order; no state is saved after a loss that is not as it should be.

    A `NonFiniteLossError` ends the run if the loss, its gradient or the parameters are not finite,
    if the loss has exploded, or if more than `most_skipped` steps were skipped for that, of which
    `skipped` were before these.
    """

    def __init__(
        self, progress: Progress, checkpoints: Checkpoints, most_skipped: int, *, skipped: int = 0
    ) -> None:
        self._progress, self._checkpoints = progress, checkpoints
        self._most_skipped, self._skipped = most_skipped, skipped
        self._first_loss: float | None = None
        self._in_flight: deque[tuple[int, bool, Metrics]] = deque()

    def started(self, step: int, metrics: Metrics, *, is_reported: bool) -> None:
        """Adds a step; waits for the oldest if too many are in flight.

        Args:
          step: Number of the step, from 1.
          metrics: Its metrics, still being computed.
          is_reported: Whether they are reported.
        """
        if is_reported:
            jax.tree.map(lambda value: value.copy_to_host_async(), metrics)
        self._in_flight.append((step, is_reported, metrics))
        if len(self._in_flight) > MAX_STEPS_IN_FLIGHT:
            self._settle()

    def settle_all(self) -> None:
        """Waits until every step is complete."""
        while self._in_flight:
            self._settle()

    def save(self, step: int, state: Any, metrics: Metrics, *, wait: bool = False) -> None:
        """Saves the state after a step.

        Args:
          step: Steps taken.
          state: State after them.
          metrics: Metrics of the last step.
          wait: Whether to return only once the checkpoint is complete on disk.
        """
        self._check(step, metrics)
        with self._progress.paused():
            self._progress.flush()  # what led to a checkpoint must not be lost before it
            self._checkpoints.save(step, state, wait=wait)

    def _settle(self) -> None:
        step, is_reported, metrics = self._in_flight.popleft()
        with explaining_memory(step):
            jax.block_until_ready(metrics)
        if float(metrics.get("skipped", 0.0)):
            self._count_skipped(step)
        if is_reported:
            self._check(step, metrics)
            self._progress.report(step, metrics)

    def _check(self, step: int, metrics: Metrics) -> None:
        names = ("loss", "gradient_norm", "parameter_norm")
        loss, gradient, parameters = (float(metrics[name]) for name in names)
        if float(metrics.get("skipped", 0.0)) and math.isfinite(parameters):
            return
        if self._first_loss is None:
            self._first_loss = abs(loss)
        exploded = abs(loss) > _EXPLODED * max(self._first_loss, 1.0)
        if math.isfinite(loss + gradient + parameters) and not exploded:
            return
        what = "has exploded to" if exploded and math.isfinite(loss) else "is"
        last = self._checkpoints.latest_step()
        saved = (
            "no checkpoint had been saved before"
            if last is None
            else f"the last good checkpoint is that of step {last}"
        )
        raise NonFiniteLossError(
            f"the loss {what} {loss:.4g}, with gradients of norm {gradient:.4g} and parameters of "
            f"norm {parameters:.4g}, at step {step}; {saved}, and nothing was saved since: in a "
            "new --workdir try a lower --config.optimizer.learning_rate, a longer "
            "--config.optimizer.warmup_epochs or --config.model.dtype=float32, or, if the data are "
            "to blame, skip a few such steps by --config.optimizer.skip_nonfinite=10"
        )

    def _count_skipped(self, step: int) -> None:
        self._skipped += 1
        self._progress.note(
            f"step {step} is skipped, because its loss or gradient is not finite: "
            f"{self._skipped} so far, of at most {self._most_skipped}"
        )
        if self._skipped > self._most_skipped:
            raise NonFiniteLossError(
                f"{self._skipped} steps have been skipped, the last of them step {step}, because "
                "their loss or gradient was not finite; the newest checkpoint is that of step "
                f"{self._checkpoints.latest_step()}: look for broken images, or lower "
                "--config.optimizer.learning_rate"
            )
