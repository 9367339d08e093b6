"""Stop signals: noted when they come, obeyed between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jax
from jax.experimental import multihost_utils


class Preempted(Exception):
    """A run that was asked to stop and has saved its state; started again, it resumes.

    Its exit code is 0 after SIGTERM, by which schedulers stop a run; 130 after Ctrl-C.
    """

    def __init__(self, step: int, signum: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(signum).name}; the state after step {step} is saved: run "
            "the same command again to go on"
        )
        self.step = step
        self.exit_code = 0 if signum == signal.SIGTERM else 128 + signum


class StopSignals:
    """The stop signals received so far."""

    def __init__(self) -> None:
        self._received: int | None = None

    def requested(self, step: int) -> int | None:
        """Returns the signal by which all processes stop after this step, `None` if none.

        To be called once after every step. Of several processes, JAX's preemption service tells all
        of the SIGTERM that one has received, and picks a step that all can reach.
        """
        if jax.process_count() == 1:
            return self._received
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None

    def note(self, signum: int, frame: FrameType | None) -> None:
        """Notes a signal; a second one ends the program at once."""
        del frame
        self._received = signum
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Notes SIGTERM and SIGINT, instead of dying of them, while the context is open.

    On several processes JAX's preemption service handles SIGTERM, and no handler is set here.
    Neither is one outside the main thread, where Python allows none.
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
