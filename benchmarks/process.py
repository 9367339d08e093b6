"""Runs a candidate or a command in a process of its own; reads the most memory that it held."""

import contextlib
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from peclr_jax import versions

Figures = dict[str, float]
"""Figures of one candidate in one round: {"per_second": 100.0, ...}."""
Measurement = Callable[[], Figures]

_LINES_SHOWN = 20
_MIB = 2**20


class CandidateError(RuntimeError):
    """A candidate's process failed; the message holds its traceback."""


def peak_memory_mib() -> float:
    """Returns the most memory that this process has held, in MiB."""
    # getrusage would include what the parent held when it started this process.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


def run(
    command: Sequence[str],
    *,
    folder: Path = versions.ROOT,
    environment: Mapping[str, str] | None = None,
) -> Figures:
    """Runs a command to its end.

    Args:
      command: The program and its arguments.
      folder: Where it runs.
      environment: All of its variables; `None` for this process's.

    Returns:
      "seconds", and "peak_memory_mib" of its process.

    Raises:
      CandidateError: If it failed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        # Of this child alone, which getrusage does not tell.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            tail = "".join(output.readlines()[-_LINES_SHOWN:])
            raise CandidateError(f"{' '.join(command)} failed:\n{tail}")
    unit = 2**20 if sys.platform == "darwin" else 1024
    return {
        "seconds": time.perf_counter() - start,
        "peak_memory_mib": usage.ru_maxrss / unit,
    }


class Process:
    """A candidate in a process of its own; call it for one round.

    The process is started by `with`, which waits until the candidate is prepared. Every call adds
    "peak_memory_mib" to the figures: the most that the process has held so far. What it prints is
    only shown if it fails.

    Args:
      prepare: See `Candidate`.
      cores: See `Candidate`.
      environment: See `Candidate`.
      **kwargs: Arguments of `prepare`.

    Raises:
      CandidateError: By `with` or a call, if preparing or measuring failed, or the process ended.
    """

    def __init__(
        self,
        prepare: Callable[..., Measurement],
        *,
        cores: int | None = None,
        environment: Mapping[str, str] = {},
        **kwargs: Any,
    ):
        self._name = getattr(prepare, "__qualname__", repr(prepare))
        context = multiprocessing.get_context("spawn")
        self._connection, self._theirs = context.Pipe()
        self._output = tempfile.NamedTemporaryFile("r", errors="replace")  # noqa: SIM115, _stop
        self._process = context.Process(
            target=_serve,
            args=(self._theirs, self._output.name, prepare, kwargs, cores),
            daemon=True,
        )
        self._environment = environment

    def __enter__(self) -> Self:
        with _environment_variables(self._environment):
            self._process.start()
        self._theirs.close()
        try:
            self._receive()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def __call__(self) -> Figures:
        """Measures once more."""
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            self._connection.send(None)
        return self._receive()

    def _receive(self) -> Figures:
        try:
            succeeded, answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            raise CandidateError(
                f"the process of {self._name} ended with exit code {code} (-9 is what the system "
                f"does where memory runs out):\n{self._printed()}"
            ) from None
        if not succeeded:
            raise CandidateError(f"{self._name} failed:\n{self._printed()}\n{answer}")
        return answer

    def _printed(self) -> str:
        return "".join(self._output.readlines()[-_LINES_SHOWN:])

    def _stop(self) -> None:
        self._connection.close()  # ends the loop of `_serve`
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._output.close()


def _serve(
    connection: Connection,
    output: str,
    prepare: Callable[..., Measurement],
    kwargs: Mapping[str, Any],
    cores: int | None,
) -> None:
    with open(output, "a") as file:
        # Below Python, because libraries in C++ print too.
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if cores is not None and hasattr(os, "sched_setaffinity"):
        # Before the first import, as libraries size their pools of threads by it.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    try:
        measurement = prepare(**kwargs)
        connection.send((True, {}))
        while True:
            connection.recv()
            connection.send((True, {**measurement(), "peak_memory_mib": peak_memory_mib()}))
    except EOFError:
        return
    except Exception:
        connection.send((False, traceback.format_exc()))


@contextlib.contextmanager
def _environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
