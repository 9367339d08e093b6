"""Signals that ask a program to stop: obeyed from its first line, in one sentence, never lost."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn

from peclr_jax import console

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # Windows has only the first two
    if hasattr(signal, name)
)
"""Ctrl-C; a scheduler's end; a closed terminal; SLURM's warning, where a job asks for this one."""

AGAIN_SECONDS = 1.0
"""A Ctrl-C is a second one so long after the first; `timeout`, for one, sends each signal twice."""

# What a program may take to end after a signal: longer, and it is ended from outside.
_GRACE_SECONDS = 10.0
# What the main thread may take to notice one, before it is woken.
_NOTICE_SECONDS = 0.3
_BY_SCHEDULERS = ("SIGTERM", "SIGUSR1")


class Stopped(KeyboardInterrupt):
    """A signal has asked the program to stop.

    Attributes:
      signum: The signal.
      exit_code: Of a program that ends with this.
    """

    def __init__(self, signum: int, *, resumes: bool, kept: str = "") -> None:
        """Says what happened.

        Args:
          signum: The signal.
          resumes: Whether the same command goes on where this one was stopped. Then the exit code
            is 0 for the signals of schedulers, which take a program for failed otherwise.
          kept: What a program that resumes has saved.
        """
        name = signal.Signals(signum).name
        what = f"; {kept}" if kept else " before it was done"
        again = "run the same command again" + (" to go on" if resumes else "")
        super().__init__(f"stopped by {name}{what}: {again}")
        self.signum = signum
        self.exit_code = 0 if resumes and name in _BY_SCHEDULERS else 128 + signum


def heeded(signum: int) -> bool:
    """Whether a signal is obeyed here: not if `nohup` or a parent has it ignored.

    Shells have their background jobs ignore Ctrl-C. It is obeyed there all the same, for who sends
    it to such a job by name wants it to stop.
    """
    return signum == signal.SIGINT or signal.getsignal(signum) is not signal.SIG_IGN


class Program:
    """What a whole program does with signals.

    Attributes:
      resumes: Whether the same command goes on where this one was stopped, so that nothing is lost.
      loses_steps: Whether that ends with the first step, as `step_done` tells.
      received: The signal that has asked it to stop, None so far.
    """

    def __init__(self) -> None:
        self.resumes = self.loses_steps = False
        self.received: int | None = None
        self._running = self._lost = False

    def listen(self) -> None:
        """Obeys signals from here on: at once outside of `running`, by `Stopped` within.

        A `Stopped` that gets lost, in a library that catches everything, or cannot be raised while
        a library computes, is followed ten seconds later by the end of the program; a second Ctrl-C
        ends it at once.
        """
        for signum in filter(heeded, SIGNALS):
            signal.signal(signum, self._obey)
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        # Written to by the system's own handler, also while Python waits for a library.
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader, writer), daemon=True).start()
        sys.unraisablehook, sys.excepthook = self._recover, _print_error

    @contextmanager
    def running(self) -> Iterator[None]:
        """Raises `Stopped` in the block, and out of it, when a signal comes.

        For what has files to clear up. Imports belong outside: some print an error on their own.
        """
        self._running = True
        try:
            yield
        except Stopped:
            raise
        except BaseException:
            if self.received is None:
                raise
            raise Stopped(
                self.received, resumes=self.resumes
            ) from None  # of which a library has made another error
        finally:
            self._running = False

    def run(self, main: Callable[[], int]) -> int:
        """Runs a whole command, and returns its exit code."""
        try:
            with self.running():
                return main()
        except Stopped as stop:
            console.tell(stop)
            return stop.exit_code

    def end(self, command: Callable[[], object]) -> None:
        """Runs a whole command that may leave XLA at work, and ends the program if it fails.

        Python would wait for what is computed, and free what a compilation still uses: programs
        that were interrupted in one crashed.
        """
        try:
            command()
        except SystemExit as end:
            exit_code = end.code
        except BaseException:
            sys.excepthook(*sys.exc_info())
            exit_code = 1
        else:
            exit_code = 0
        if not exit_code and self.received is None:
            return
        if isinstance(exit_code, str):
            console.tell(exit_code)
            exit_code = 1
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(exit_code or 0)

    def _obey(self, signum: int, frame: FrameType | None) -> None:
        del frame
        if self.received is not None and not self._lost:
            return
        self.received, self._lost = signum, False
        if not self._running:
            self._end(signum)
        raise Stopped(signum, resumes=self.resumes)

    def _watch(self, reader: socket.socket, writer: socket.socket) -> None:
        """Ends the program if a signal has not; `writer` is only kept open."""
        began: float | None = None
        first, is_woken, own = 0, False, False
        while True:
            most = _GRACE_SECONDS if is_woken else _NOTICE_SECONDS
            left = None if began is None else most + began - time.monotonic()
            reader.settimeout(left if left is None else max(left, 0.001))
            try:
                signum = reader.recv(1)[0]
            except TimeoutError:
                if is_woken:
                    self._end(first)
                is_woken = True
                if self.received is None:
                    own = True
                    self._wake(first)
                continue
            if own:
                own = False
                continue
            now = time.monotonic()
            # Others handle the rest: training, between two steps, and the server of the page.
            if began is None and signal.getsignal(signum) == self._obey:
                began, first = now, signum
            elif began is not None and signum == signal.SIGINT and now - began > AGAIN_SECONDS:
                self._end(first)

    def _recover(self, unraisable: Any) -> None:
        """Raises a `Stopped` again that came where nothing can be raised, as in a destructor."""
        if not isinstance(unraisable.exc_value, Stopped):
            # Writers of checkpoints that were under way when one of them failed.
            if not sys.is_finalizing() and str(unraisable.exc_value) != "Event loop is closed":
                sys.__unraisablehook__(unraisable)
            return
        self._lost = True
        threading.Timer(0.05, self._wake, [unraisable.exc_value.signum]).start()

    @staticmethod
    def _wake(signum: int) -> None:
        """Sends a signal to the main thread, which a call to the system may keep from the first.

        That one came to another thread, or between Python's last look for signals and the call.
        """
        if (thread := threading.main_thread().ident) is not None:
            signal.pthread_kill(thread, signum)

    def _end(self, signum: int) -> NoReturn:
        stopped = Stopped(signum, resumes=self.resumes)
        # By the system's own means: the program may be stopped in the middle of printing.
        with suppress(OSError):
            os.write(2, f"{stopped}\n".encode())
        os._exit(stopped.exit_code)


def _print_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Prints an error, but no `Stopped`, as libraries in C do with what comes at their import."""
    if not isinstance(error, Stopped):
        sys.__excepthook__(kind, error, trace)


def step_done() -> None:
    """Tells the program that listens, if one does, that it has done what a stop may lose."""
    program = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(program, Program) and program.loses_steps:
        program.resumes = False


def start(module: str) -> Program:
    """Starts a program, if the module that asks is one; to be called before its other imports.

    Signals stop it from here on, and it goes on when nobody takes what it prints.

    Args:
      module: The `__name__` of the module.
    """
    program = Program()
    if module == "__main__":
        console.keep_writing()
        program.listen()
    return program
