"""Programs run within bounds of time and memory, as tests of faults and attacks do."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GIB = 2**30
# Programs start without compiled ones, on one device, and never wait for a terminal.
_ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "COLUMNS": "200", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, below zero for a signal's, and all that it printed."""

    code: int
    output: str

    @property
    def is_one_sentence(self) -> bool:
        """Whether it ended as on bad input: one `error:` line, exit code 2, no traceback."""
        errors = [line for line in self.output.splitlines() if line.startswith("error:")]
        return self.code == 2 and len(errors) == 1 and "Traceback" not in self.output


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path = ROOT,
    memory: int = 2 * GIB,
    seconds: float = 30,
    file_size: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Runs a program to its end.

    Args:
      command: Arguments of Python, such as ("main.py", "--config=configs/predict.py").
      cwd: Its current folder.
      memory: Most of its address space, bytes; more ends in a MemoryError or an abort.
      seconds: Time of all its threads after which the system kills it: a busy machine does not.
      file_size: Most that one file may grow to, bytes, as a full disk has it (EFBIG).
      environment: Variables that are set beside the usual ones.

    Raises:
      TimeoutError: If it used up its time, or waited for ten times as long.
    """
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: int(seconds),
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_CORE: 0,
    }
    wanted = [(kind, limit) for kind, limit in limits.items() if limit is not None]
    # Python ignores SIGXFSZ, so that a file that is too large is an error like that of a disk.
    start = (
        f"import resource, sys, runpy; [resource.setrlimit(k, (v, v)) for k, v in {wanted}]; "
        "sys.argv = sys.argv[1:]; sys.path[0] = ''; "
        "m = sys.argv[0] == '-m' and sys.argv.pop(0); "
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True) if m else "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start, *map(os.fspath, command)],
        cwd=cwd,
        env={**os.environ, **_ENVIRONMENT, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=10 * seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise TimeoutError(f"{command} waited for {10 * seconds} s") from None
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise TimeoutError(f"{command} took {seconds} s of processors' time")
    return Ended(process.returncode, output.decode(errors="replace"))
