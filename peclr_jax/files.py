"""Files that are whole or absent, however a run ends, and never written through a link.

They get their name once they are on the disk itself, so that a power cut takes none of them.
"""

import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from peclr_jax.errors import MachineError, UserError

# Names of all that is unfinished: no two writers share one, nobody can put a link in its place
# beforehand, and the longest name that a file may have makes it no longer.
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.(partial|replaced)")
# Of file systems that cannot be asked to keep anything: they do as they do.
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def misread(path: str | os.PathLike[str], letters: str) -> str:
    """Returns why libraries would take a path for another than it is, "" if they would not.

    Args:
      path: Made absolute here, for the current folder is a part of it.
      letters: What has a meaning to the library.
    """
    text = os.path.abspath(path)
    found = [letter for letter in letters if letter in text.replace(os.sep, "/")]
    if found:
        return f"{' and '.join(found)} in its path would be taken for a pattern"
    # Libraries in C++ are told of a path in UTF-8.
    same = os.fsencode(text) == text.encode(errors="replace")
    return "" if same else "its path is no UTF-8"


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Opens a UTF-8 text file that replaces `path` once the block has ended without an error."""
    # Names of files may hold bytes that are no text.
    with _replacing(path, "x", encoding="utf-8", errors="backslashreplace") as file:
        yield file


@contextmanager
def writing_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens a binary file that replaces `path` once the block has ended without an error."""
    with _replacing(path, "xb") as file:
        yield file


def write_bytes(path: Path, content: bytes, *, synced: bool = True) -> None:
    """Writes a small file, all of it or nothing.

    Args:
      path: The file.
      content: Of the file.
      synced: Whether it is on the disk when this returns; of many, `sync_folder` sees to it faster.
    """
    with _replacing(path, "xb", synced=synced) as file:
        file.write(content)


@contextmanager
def _replacing(path: Path, mode: str, *, synced: bool = True, **settings: str) -> Iterator[Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unused(path.parent, "partial")
    try:
        with unfinished.open(mode, **settings) as file:  # type: ignore[call-overload]
            yield file
            if synced:
                sync(file)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if synced:
        _sync_names(path.parent)


def move(source: Path, path: Path) -> None:
    """Gives what is whole and on the disk its final name, which the disk keeps from then on."""
    os.replace(source, path)
    _sync_names(path.parent)


def appending(path: Path) -> TextIO:
    """Opens a UTF-8 text file to add lines to it, each of which is written as it comes.

    Raises:
      MachineError: In its place is a link, a pipe or something else that is no file.
    """

    def open_file(name: str, flags: int) -> int:
        # A pipe that nobody reads would wait for a reader.
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(descriptor)
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), name)
        return descriptor

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Names of files may hold bytes that are no text.
        return open(path, "a", 1, "utf-8", "backslashreplace", opener=open_file)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise MachineError(
            f"{path} is a link, or no file at all, and nothing is written through it: remove it"
        ) from error


def sync(file: TextIO | BinaryIO) -> None:
    """Has the disk keep what was written to an open file so far."""
    file.flush()
    _sync(file.fileno())


def read_json_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Reads a file that has one JSON object a line.

    Args:
      path: The file; one that is not there has no lines.

    Returns:
      The objects, and the number of lines that are none, as a power cut or a full disk leave them.
    """
    records, broken = [], 0
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            record = json.loads(line.decode())
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        elif line.strip():
            broken += 1
    return records, broken


def read_json(path: Path) -> Any:
    """Reads what an earlier command has written.

    Raises:
      UserError: It is damaged, as a power cut may have left it.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error}): remove it, and run the same command again"
        ) from None


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Offers an empty folder that replaces `path` once the block has ended without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch(path.parent) as unfinished:
        content = unfinished / path.name
        content.mkdir()
        yield content
        sync_folder(content)
        replaced = _unused(path.parent, "replaced")
        replaced.mkdir()
        with suppress(FileNotFoundError):
            os.rename(path, replaced / path.name)
        try:
            move(content, path)
        finally:
            with suppress(OSError):
                _clear(replaced)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Offers an empty folder inside of another, which goes when the block ends."""
    unfinished = _unused(folder, "partial")
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def remove_unfinished(*folders: Path) -> None:
    """Removes what killed runs have left half written right inside of these folders.

    A folder that one of them was about to replace comes back. To be called by the only writer of
    the folders alone, such as the holder of their lock: another's files would go as well.

    Args:
      folders: Those that are not there hold nothing.
    """
    for folder in filter(os.path.isdir, folders):
        for path in [p for p in folder.iterdir() if _UNFINISHED.fullmatch(p.name)]:
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                _clear(path)


def _clear(folder: Path) -> None:
    """Removes an unfinished folder; what was never replaced comes back out of it."""
    for kept in folder.iterdir() if folder.suffix == ".replaced" else ():
        if not os.path.lexists(folder.parent / kept.name):
            kept.rename(folder.parent / kept.name)
    shutil.rmtree(folder)


def sync_folder(folder: Path) -> None:
    """Has the disk keep all that is in a folder and below: by one call, of however many files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):  # which only Linux has
            os.sync()
        elif libc.syncfs(descriptor) and (code := ctypes.get_errno()) not in _NO_SYNC:
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)


def _unused(folder: Path, kind: str) -> Path:
    return folder / f".{secrets.token_hex(8)}.{kind}"


def _sync_names(folder: Path) -> None:
    """Has the disk keep the names in a folder."""
    with suppress(PermissionError):  # a folder may be written to by somebody who may not read it
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
