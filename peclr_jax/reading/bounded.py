"""Regular files of a bounded size: whatever else lies at a path is refused before it is read."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from peclr_jax.errors import MachineError, MissingFileError, UserError

CONFIG, TEXT, PHOTO, LABELS = 2**20, 2**24, 2**28, 2**32
"""Most bytes of a recipe's file, a small text, a photo, and a label file that is read in parts."""

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}
# A pipe that nobody writes to would be waited for.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def opened(path: Path, most: int, remedy: str = "check the path") -> BinaryIO:
    """Opens a file to be read.

    Args:
      path: The file.
      most: Bytes that it may have.
      remedy: What to do about another one, to follow a colon.

    Raises:
      MissingFileError: It is not there.
      MachineError: It cannot be opened.
      UserError: It is no regular file, or has more bytes.
    """
    try:
        file = os.fdopen(os.open(path, _FLAGS), "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"{path} is not there: {remedy}") from None
    except OSError as error:
        if os.path.isdir(path):
            raise UserError(f"{path} is a folder, no file: {remedy}") from None
        raise MachineError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    try:
        _check(path, os.fstat(file.fileno()), most, remedy)
    except BaseException:
        file.close()
        raise
    return file


def content(path: Path, most: int, remedy: str = "check the path") -> bytes:
    """Returns what a file holds; the errors are those of `opened`.

    Args:
      path: The file.
      most: Bytes that it may have.
      remedy: What to do about another one, to follow a colon.
    """
    with opened(path, most, remedy) as file:
        size = os.fstat(file.fileno()).st_size
        # One more than there are: some files of the system have more than they say.
        found = file.read(size + 1)
    if len(found) > size:
        raise UserError(f"{path} grows while it is read: {remedy}")
    return found


def text(path: Path, remedy: str = "check the file", *, errors: str = "strict") -> str:
    """Returns a small text in UTF-8, without the mark that editors of Windows put first.

    Args:
      path: The file.
      remedy: What to do about a broken one, to follow a colon.
      errors: What becomes of bytes that are no UTF-8, as `bytes.decode` has it.
    """
    try:
        return content(path, TEXT, remedy).decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise UserError(f"{path} cannot be read as text: {remedy}") from None


def _check(path: Path, status: os.stat_result, most: int, remedy: str) -> None:
    for is_kind, name in _KINDS.items():
        if is_kind(status.st_mode):
            raise UserError(f"{path} is {name}, no file: {remedy}")
    if status.st_size > most:
        raise UserError(
            f"{path} has {_megabytes(status.st_size)} MB, and one like it at most "
            f"{_megabytes(most)}: {remedy}"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}" if count >= 1e7 else f"{count / 1e6:.2g}"
