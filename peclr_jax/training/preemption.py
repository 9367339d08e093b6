"""Stopping a run from outside: a request is noted, the run stops between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jax
from jax.experimental import multihost_utils


class Preempted(Exception):
    """The run was asked to stop, and has saved its state; starting it again resumes it.

    Attributes:
      step: Steps taken, and the step of the checkpoint.
      exit_code: What the process should exit with: 0 after SIGTERM, by which schedulers ask for a
        run to end in good order, and 130 after Ctrl-C, by convention. Whether a run is finished is
        told by its summary.json.
    """

    def __init__(self, step: int, signum: int) -> None:
        """Names the step and the signal."""
        super().__init__(
            f"Stopped by {signal.Signals(signum).name}; the state after step {step} is saved. "
            "Run the same command again to go on."
        )
        self.step = step
        self.exit_code = 0 if signum == signal.SIGTERM else 128 + signum


class StopSignals:
    """The stop signals received so far."""

    def __init__(self) -> None:
        self._received: int | None = None

    def requested(self, step: int) -> int | None:
        """Returns the signal by which all processes are to stop after this step, `None` if none.

        To be called once after every step. On one process, it is the signal that has come. On
        several, JAX's preemption service spreads the notice that one of them received and picks a
        step that all can reach.

        Args:
          step: Steps taken.
        """
        if jax.process_count() == 1:
            return self._received
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None

    def note(self, signum: int, frame: FrameType | None) -> None:
        """Notes a signal; a second one stops at once, for whoever cannot wait."""
        del frame
        self._received = signum
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Notes SIGTERM and SIGINT instead of dying of them, while the context is open.

    On several processes the handlers stay as they are, as SIGTERM belongs to JAX's preemption
    service there. Outside the main thread no handler can be set, and none is.
    """
    stop = StopSignals()
    ours = jax.process_count() == 1 and threading.current_thread() is threading.main_thread()
    handled = (signal.SIGTERM, signal.SIGINT) if ours else ()
    previous = {signum: signal.signal(signum, stop.note) for signum in handled}
    try:
        yield stop
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
