"""Digests of a checkpoint's files, which tell whether each is as it was written.

Orbax keeps checksums of its indices, not of the arrays. The digests are written into a checkpoint
before Orbax renames it: a complete one has them, but for those of earlier versions.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from peclr_jax import files

FILE = "digests.json"
"""Name of the file beside the items of a checkpoint."""
# Of files that are read whole: a ResNet-152 with its optimizer takes a fifth of it.
_LARGEST_TEXT = 2**23
_TEXTS = ("_METADATA", "_CHECKPOINT_METADATA", "_sharding", "metadata", "_strings.json", FILE)
_MOST_FILES = 100_000


class ChangedError(ValueError):
    """A file that is not as it was written, or that no checkpoint has; the message says which."""


def write(directory: str | os.PathLike[str]) -> None:
    """Writes the digests of all files in the items of a checkpoint, and has the disk keep all."""
    directory = Path(directory)
    found = {
        f"{item.name}/{name}": files.digest(path)
        for item in sorted(directory.iterdir())
        if item.is_dir()
        for name, path in files_of(item)
    }
    files.write_bytes(directory / FILE, json.dumps(found, indent=0).encode())
    files.sync_folder(directory)


def check(directory: str | os.PathLike[str], item: str) -> bool:
    """Checks an item of a checkpoint as far as that is possible without reading what it holds.

    Args:
      directory: The checkpoint.
      item: Name of the folder in it.

    Returns:
      Whether each of its files is as it was written; False if there are no digests.

    Raises:
      ChangedError: If one is not; or is no file, or far too large, which would be waited for or
        read without end.
      OSError: If one cannot be read, which says nothing of what it holds.
    """
    beside = check_beside(directory)
    found = {f"{item}/{name}": path for name, path in files_of(Path(directory, item))}
    if FILE not in beside:
        return False
    try:
        wanted = json.loads(beside[FILE].read_bytes())
        expected = {name: wanted[name] for name in wanted if name.startswith(f"{item}/")}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ChangedError(f"{FILE} is broken") from None
    for name, digest in expected.items():
        if name not in found:
            raise ChangedError(f"{name[:200]} is missing")
        if files.digest(found[name]) != digest:
            raise ChangedError(f"{name} is not as it was written")
    return bool(expected)


def check_beside(directory: str | os.PathLike[str]) -> dict[str, Path]:
    """Checks the files beside the items of a checkpoint, which Orbax looks at to list it.

    Returns:
      What is in the directory, by name.

    Raises:
      ChangedError: If one is no file, or far too large.
    """
    beside = {entry.name: Path(entry.path) for entry in os.scandir(directory)}
    for name in (FILE, "_CHECKPOINT_METADATA"):
        if name in beside:
            _check_kind(name, beside[name])
    return beside


def files_of(folder: str | os.PathLike[str]) -> Iterator[tuple[str, Path]]:
    """Yields names below a folder and paths of its files, in order, all of which can be read."""

    def out_of_reach(error: OSError) -> None:
        raise error

    folder, count = Path(folder), 0
    for place, folders, names in os.walk(folder, onerror=out_of_reach, followlinks=True):
        count += 1 + len(names)
        if count > _MOST_FILES:  # or links lead in circles
            raise ChangedError(f"it has more than {_MOST_FILES} files")
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            _check_kind(f"{folder.name}/{relative}", path)
            yield relative, path


def _check_kind(name: str, path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ChangedError(f"{name[:200]} is a link that leads in a circle") from None
    if not stat.S_ISREG(found.st_mode):
        raise ChangedError(f"{name} is no file but a pipe, a socket or a device")
    if path.name in _TEXTS and found.st_size > _LARGEST_TEXT:
        raise ChangedError(f"{name} has {found.st_size} bytes")
