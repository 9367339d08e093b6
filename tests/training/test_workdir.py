import errno
import fcntl
import os
from pathlib import Path

import pytest

from peclr_jax.errors import UserError
from peclr_jax.training.workdir import locked


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
