"""Folders that commands of ours write: by one of them at a time, and marked as no data."""

import datetime
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from peclr_jax import console, files
from peclr_jax.errors import MachineError, UserError

MARK = ".peclr_jax"
"""The file by which a folder of ours is known."""

FILM = "overlay.mp4"
"""The file of a film with its hands, which `configs/predict.py` writes."""

_TEXT = (
    "peclr_jax wrote this folder: pictures in it are no photos to train on or to predict. Delete "
    "this file to have them taken for photos.\n"
)
_LOCK, _HOLDER = ".lock", ".lock.holder"
_LONGEST_HOLDER = 200
# Errors of file systems that have no locks; there nobody is refused.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# Files, all of them in the folder, by which folders are known that hold no mark: trainings and
# predictions of earlier versions, exports, records of TFDS.
_KNOWN_BY = (
    {"provenance.jsonl"},
    {_HOLDER},
    {"predictions.json", "index.html"},
    {"metrics.json", "pck.png"},
    {"results.json", "results.md"},
    {"dataset_info.json", "features.json"},
)
# What we write into a folder that may be one of photos at the same time.
_WITHIN = ("overlays", "thumbnails", "checkpoints", "tensorboard")


def mark(folder: Path, flag: str = "--workdir") -> None:
    """Marks a folder as written by a command of ours; makes it if it is missing.

    Args:
      folder: The folder.
      flag: What names it, for messages.

    Raises:
      MachineError: It is none, or cannot be made or written to; or what we write into is a link.
    """
    for within in _WITHIN:
        if os.path.islink(folder / within):
            raise MachineError(
                f"{folder / within} is a link, and nothing is written through it: remove it, or "
                f"choose another {flag}"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.path.exists(folder / MARK):
            files.write_bytes(folder / MARK, _TEXT.encode(), synced=False)
    except OSError as error:
        raise MachineError(f"{flag}={folder} {_problem(folder, error)}") from error


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Marks a folder, as `mark`, and holds it, as `held`, before work begins.

    A folder in which the block has written nothing is left as it was.
    """
    was_marked = os.path.exists(folder / MARK)
    with held(folder):
        # Of a user's own folder that was named by mistake, too.
        before = {MARK, _LOCK, _HOLDER, *os.listdir(folder)}
        mark(folder)
        try:
            yield
        finally:
            with suppress(OSError):
                if not was_marked and before.issuperset(os.listdir(folder)):
                    (folder / MARK).unlink()


@contextmanager
def held(folder: Path, flag: str = "--workdir", wanted: str = "") -> Iterator[None]:
    """Holds a folder for this process alone; makes it if it is missing, and until it has content.

    What a killed process has left half written there is removed. The lock is the operating
    system's: it ends with the process, however that ends. A process may hold a folder twice; file
    systems without locks refuse nobody.

    Args:
      folder: The folder.
      flag: What names it, for messages.
      wanted: What another process may be writing there that is worth waiting for, which is said;
        "" refuses at once.

    Raises:
      UserError: Another process holds it.
      MachineError: It is no folder, or cannot be made or written to.
    """
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"{flag}={folder} {_problem(folder, error)}") from error
    # One object for all of a process, as the system would refuse it a second lock.
    lock = FileLock(
        folder.resolve() / _LOCK,
        timeout=0,
        thread_local=False,
        fallback_to_soft=False,
        is_singleton=True,
    )
    is_first, is_ours = not lock.is_locked, False
    try:
        _acquire(lock, folder, flag, wanted)
        is_ours = True
        yield
    finally:
        if is_first and (is_ours or lock.is_locked):
            with suppress(OSError):
                for name in (_HOLDER, _LOCK):  # who waits for it notices that it is gone
                    (folder / name).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):
            for path in made:
                path.rmdir()  # fails where there is something in it


def _acquire(lock: FileLock, folder: Path, flag: str, wanted: str) -> None:
    if lock.is_locked:
        lock.acquire()
        return
    try:
        try:
            lock.acquire()
        except Timeout:
            if not wanted:
                raise
            told = f"waiting for {wanted}, which another run ({_named(folder)}) is writing"
            console.tell(f"{told} in {folder}")
            lock.acquire(timeout=-1)
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        holder = f"process {os.getpid()} on {socket.gethostname()} since {now}"
        files.write_bytes(folder / _HOLDER, holder.encode(errors="replace"), synced=False)
        if lock.is_locked:
            within = (folder / name for name in _WITHIN)
            # What lies behind a link is another's.
            own = (path for path in within if not path.is_symlink())
            files.remove_unfinished(folder, *own)
    except Timeout:
        raise UserError(
            f"{folder} is being used by another run ({_named(folder)}): wait until it ends, or "
            f"choose another {flag}"
        ) from None
    except OSError as error:
        raise MachineError(f"{flag}={folder} {_problem(folder, error)}") from error


def _named(folder: Path) -> str:
    return holder_of(folder) or "of which nothing is known"


def holder_of(folder: Path) -> str:
    """Returns which process, of which host, was the last to claim a folder; "" if none is known."""
    with suppress(OSError):
        if (path := folder / _HOLDER).is_file():
            return path.read_text("utf-8", errors="replace")[:_LONGEST_HOLDER]
    return ""


def _problem(folder: Path, error: OSError) -> str:
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not os.path.isdir(there):
        what = "no folder" if os.path.exists(there) else "a link to nothing"
        found = f"is {what}" if there == folder else f"cannot be made, as {there} is {what}"
        return f"{found}: choose another"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "cannot be written to, as its disk is full: free some space, or choose another"
    return f"cannot be written to ({error.strerror}): choose another, or see to its rights"


def is_own_output(folder: Path) -> bool:
    """Returns whether a folder was written by a command of ours, so that nothing in it is data.

    A folder that the user names is data all the same: only those found below it are to be asked
    about, and not entered. The mark is that of the outermost folder: those below have none.

    Args:
      folder: An absent folder, or a file, is none of ours.
    """
    return _is_marked(folder) or (folder.name in _WITHIN and _is_marked(folder.parent))


def is_own_film(path: Path) -> bool:
    """Returns whether a file is a film with its hands, which a prediction of ours has written."""
    return path.name == FILM and _is_marked(path.parent)


def _is_marked(folder: Path) -> bool:
    # A folder that may not be entered has none of them.
    if os.path.isfile(folder / MARK):
        return True
    return any(all(os.path.isfile(folder / name) for name in names) for names in _KNOWN_BY)
