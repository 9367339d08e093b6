"""Stop signals in training: noted when they come, obeyed between two steps."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from peclr_jax import stopping
from peclr_jax.stopping import Stopped
from peclr_jax.training import restoring


class Preempted(Stopped):
    """A run that was asked to stop and has saved its state; started again, it resumes.

    Its exit code is 0 after SIGTERM and SIGUSR1, by which schedulers stop a run; 128 plus the
    signal's number after others: 130 after Ctrl-C, 129 after SIGHUP.
    """

    def __init__(self, step: int | None, signum: int) -> None:
        saved = "nothing was saved yet" if step is None else f"the state after step {step} is saved"
        super().__init__(signum, resumes=True, kept=saved)
        self.step = step


class StopSignals:
    """The stop signals received so far, in the context of `stop_signals`."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._received_at = 0.0
        self._previous: dict[int, Any] = {}

    def requested(self, step: int) -> int | None:
        """Returns the signal by which all processes stop after this step, `None` if none.

        To be called once after every step. Signals are noted from the first call on: before, no
        step was taken that could be saved. Of several processes, JAX's preemption service tells all
        of the SIGTERM that one has received, and picks a step that all can reach.
        """
        if not self._previous:
            self._take_over()
        if jax.process_count() == 1:
            return self._received
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None

    def note(self, signum: int, frame: FrameType | None) -> None:
        """Notes a signal; a second Ctrl-C ends the program at once."""
        del frame
        now = time.monotonic()
        if self._received is None:
            self._received, self._received_at = signum, now
        elif signum == signal.SIGINT and now - self._received_at > stopping.AGAIN_SECONDS:
            self._raise(signum)

    def close(self, *, obeyed: bool) -> None:
        """Handles signals as before; one that was noted but not obeyed is raised again."""
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        if self._received is not None and not obeyed:
            signal.raise_signal(self._received)

    def _take_over(self) -> None:
        # Python allows handlers in the main thread alone.
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in filter(stopping.heeded, stopping.SIGNALS):
            if jax.process_count() == 1:
                self._previous[signum] = signal.signal(signum, self.note)
            elif signum != signal.SIGTERM:  # which JAX's service handles
                self._previous[signum] = signal.signal(signum, _pass_on)

    def _raise(self, signum: int) -> None:
        signal.signal(signum, self._previous[signum])
        signal.raise_signal(signum)


def _pass_on(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Notes the signals of `stopping.SIGNALS`, instead of stopping at once, from the first step on.

    On several processes they are told to JAX's preemption service. None is noted outside of the
    main thread.
    """
    stop = StopSignals()
    obeyed = True
    try:
        yield stop
        obeyed = False
    finally:
        stop.close(obeyed=obeyed)


@contextmanager
def telling_what_is_saved(workdir: restoring.Path) -> Iterator[None]:
    """Raises a `Stopped` of the block as `Preempted`, for what the run has saved before."""
    try:
        yield
    except Stopped as stop:
        raise Preempted(restoring.latest_step(workdir), stop.signum) from None
