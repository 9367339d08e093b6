"""A run's directory: locked by one run at a time, shared by all of its processes."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jax
from filelock import FileLock, Timeout
from jax.experimental import multihost_utils

from peclr_jax import outputs
from peclr_jax.errors import MachineError, UserError
from peclr_jax.training import restoring

# Errors of file systems that have no locks; there nobody is refused.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Locks a run's directory while the context is open; makes it if it is missing.

    The lock is the operating system's: it ends with the process, however that ends. Process 0
    holds it for all processes of a run, which must see the same directory.
    """
    restoring.check_writable_name(workdir)
    lock = FileLock(workdir / ".lock", timeout=0, fallback_to_soft=False)
    try:
        if jax.process_index() == 0:
            _acquire(lock, workdir)
        _check_shared(workdir)
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, workdir: Path) -> None:
    holder = workdir / ".lock.holder"
    outputs.mark(workdir)
    try:
        with suppress(NotImplementedError):
            lock.acquire()
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", "utf-8")
    except Timeout:
        named = "of which nothing is known"
        with suppress(OSError):
            named = holder.read_text("utf-8", errors="replace")
        raise UserError(
            f"{workdir} is being used by another run ({named}): wait until it ends, or choose "
            "another --workdir"
        ) from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return
        raise MachineError(
            f"{workdir} cannot be written to ({error.strerror}): choose another --workdir, or see "
            "to its rights"
        ) from error


def _check_shared(workdir: Path) -> None:
    """Checks that all processes see what process 0 writes."""
    if jax.process_count() == 1:
        return
    mark = workdir / ".shared"
    if jax.process_index() == 0:
        mark.touch()
    multihost_utils.sync_global_devices("workdir marked")
    if not mark.exists():
        raise UserError(
            f"process {jax.process_index()} does not find in {workdir} what process 0 writes "
            "there: choose a --workdir that all hosts share"
        )
    multihost_utils.sync_global_devices("workdir seen")
    if jax.process_index() == 0:
        mark.unlink()
