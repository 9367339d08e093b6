"""Folders that commands of ours have written: marked, so that no command takes them for data."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from peclr_jax import files
from peclr_jax.errors import MachineError

MARK = ".peclr_jax"
"""The file by which a folder of ours is known."""

_TEXT = (
    "peclr_jax wrote this folder: pictures in it are no photos to train on or to predict. Delete "
    "this file to have them taken for photos.\n"
)
# Files, all of them in the folder, by which folders are known that hold no mark: trainings and
# predictions of earlier versions, exports, records of TFDS.
_KNOWN_BY = (
    {"provenance.jsonl"},
    {".lock.holder"},
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
def owned(folder: Path, flag: str = "--workdir") -> Iterator[None]:
    """Marks a folder, as `mark`, before work begins; takes it away if nothing was written there."""
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    was_marked = os.path.exists(folder / MARK)
    mark(folder, flag)
    try:
        yield
    finally:
        with suppress(OSError):
            if not was_marked and os.listdir(folder) == [MARK]:
                (folder / MARK).unlink()
            for path in made:
                path.rmdir()  # fails where there is something in it


def _problem(folder: Path, error: OSError) -> str:
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not os.path.isdir(there):
        what = "no folder" if os.path.exists(there) else "a link to nothing"
        found = f"is {what}" if there == folder else f"cannot be made, as {there} is {what}"
        return f"{found}: choose another"
    return f"cannot be written to ({error.strerror}): choose another, or see to its rights"


def is_own_output(folder: Path) -> bool:
    """Returns whether a folder was written by a command of ours, so that nothing in it is data.

    A folder that the user names is data all the same: only those found below it are to be asked
    about, and not entered. The mark is that of the outermost folder: those below have none.

    Args:
      folder: An absent folder, or a file, is none of ours.
    """
    return _is_marked(folder) or (folder.name in _WITHIN and _is_marked(folder.parent))


def _is_marked(folder: Path) -> bool:
    # A folder that may not be entered has none of them.
    if os.path.isfile(folder / MARK):
        return True
    return any(all(os.path.isfile(folder / name) for name in names) for names in _KNOWN_BY)
