"""Waits for the steps that a device is busy with, reports them, and lets no bad state be saved."""

from collections import deque
from typing import Any

import jax

from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.failures import LossGuard, NonFiniteLossError, fitting
from peclr_jax.training.progress import Progress

Metrics = dict[str, jax.Array]

# Steps that may be queued on the device. Two keep it busy; more would only hold more batches.
MAX_STEPS_IN_FLIGHT = 2


class Watch:
    """The steps that are in flight, in order.

    Args:
      progress: What to report to.
      checkpoints: Where to save.
      most_skipped: Steps that may be skipped for not being finite.
    """

    def __init__(self, progress: Progress, checkpoints: Checkpoints, most_skipped: int):
        self._progress, self._checkpoints = progress, checkpoints
        self._most_skipped, self._skipped = most_skipped, 0
        self._guard = LossGuard()
        self._in_flight: deque[tuple[int, bool, Metrics]] = deque()

    def started(self, step: int, metrics: Metrics, *, is_reported: bool) -> None:
        """Takes note of a step that the device is to do; waits if these are many."""
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
        """Saves the state after a step whose metrics are as they should be.

        Args:
          step: Steps taken.
          state: After them.
          metrics: Of the last of them.
          wait: Whether to return only once it is complete on disk.
        """
        self._guard.check(step, metrics, self._checkpoints.latest_step())
        with self._progress.paused():
            if wait:
                self._checkpoints.save_and_wait(step, state)
            else:
                self._checkpoints.save(step, state)

    def _settle(self) -> None:
        step, is_reported, metrics = self._in_flight.popleft()
        with fitting(step):
            jax.block_until_ready(metrics)
        if "skipped" in metrics:
            self._count_skipped(step, metrics)
        if is_reported:
            self._guard.check(step, metrics, self._checkpoints.latest_step())
            self._progress.report(step, metrics)

    def _count_skipped(self, step: int, metrics: Metrics) -> None:
        if not float(metrics["skipped"]):
            return
        self._skipped += 1
        self._progress.note(
            f"Step {step} is skipped, its loss or gradient not being finite: "
            f"{self._skipped} so far, of at most {self._most_skipped}."
        )
        if self._skipped > self._most_skipped:
            raise NonFiniteLossError(
                f"{self._skipped} steps have been skipped, the last of them step {step}, because "
                "their loss or gradient was not finite: look for broken images, or lower "
                "--config.optimizer.learning_rate; the newest checkpoint is that of step "
                f"{self._checkpoints.latest_step()}."
            )
