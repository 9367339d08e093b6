import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peclr_jax.errors import UserError
from peclr_jax.training.workdir import locked

ROOT = Path(__file__).parents[2]


def test_a_second_run_in_the_same_workdir_is_refused(tmp_path):
    code = (
        "import sys; from pathlib import Path; from peclr_jax.training.workdir import locked\n"
        "with locked(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as holder:
        assert holder.stdout.readline() == "mine\n"
        message = f"used by another run .process {holder.pid} on"
        with pytest.raises(ValueError, match=message), locked(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path):  # a lock does not outlive its process
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_refuses_nobody(code, tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path), locked(tmp_path):
        pass


def test_a_workdir_that_cannot_be_written_to_is_named():
    message = "/proc/nowhere/run cannot be written to .*: choose another"
    with pytest.raises(OSError, match=message), locked(Path("/proc/nowhere/run")):
        pass


@pytest.mark.parametrize("name", ["try [1]", "a*", "what?", "back\\slash", "caf\udce9"])
def test_a_workdir_that_would_be_taken_for_a_pattern_is_refused(tmp_path, name):
    workdir = tmp_path / name
    with pytest.raises(UserError, match=r"because .* path .*: choose another --workdir"):
        locked(workdir).__enter__()
    assert not workdir.exists()
    with locked(tmp_path / "{a}, b@1 é (2)"):
        pass
