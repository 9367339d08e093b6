"""A run's directory belongs to one process at a time."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from peclr_jax.errors import UserError

LOCK = ".lock"


@contextmanager
def claimed(workdir: Path) -> Iterator[None]:
    """Holds a run's directory, which is made if it is missing, for as long as the context is open.

    The claim is the operating system's: it ends with the process, however that ends. Of several
    processes of one run the first claims for all.

    Args:
      workdir: The run's directory.

    Raises:
      UserError: Another run holds it; the message says which.
      MachineError: It cannot be written to.
    """
    if jax.process_index() > 0:
        yield
        return
    path = workdir / LOCK
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise type(error)(
            f"{workdir} cannot be written to ({error.strerror}): choose another --workdir, or see "
            "to its rights"
        ) from error
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        if not _lock(file.fileno()):
            raise UserError(
                f"{workdir} is being used by another run ({_holder(path)}): wait until it ends, or "
                "choose another --workdir"
            )
        file.truncate()
        json.dump({"process": os.getpid(), "host": socket.gethostname()}, file)
        file.flush()
        yield


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows has no such claims; there nobody is refused
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without claims
        return True
    return True


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['process']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said which"
