"""Errors that are told to the user in one sentence: raised on purpose, caught by type.

Each message says what is wrong, where, and the remedy. Every other error is a fault of the program
and keeps its traceback. `main.py` and `data.build` end with exit code 2 on these.
"""

import difflib
import errno
import os
import re
import reprlib
from collections.abc import Iterable, Iterator
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHT = (errno.EACCES, errno.EPERM)
# Of the machine or the network: the same file may be read in a minute.
_OUT_OF_REACH = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT)
# TensorStore tells the system's code in a field, ArrayRecord in the words of the system call.
_CODE = re.compile(r"os_error_code='(\d+)'")
_CALL = re.compile(r"\w\(\) failed: ([^;]+)")
_CODES_BY_WORDS = {os.strerror(code): code for code in errno.errorcode}


# Half of the longest message, which may quote what a damaged file holds, or a library says of it.
_HALF = 600


class UserError(ValueError):
    """A mistake in flags, config, data or files that the user can mend.

    Of an endless message the middle is left out: the thing stands first, and the remedy last. What
    steers a terminal or forges another line is shown as text.
    """

    def __str__(self) -> str:
        """Returns the message."""
        message = printable(super().__str__())
        if len(message) <= 2 * _HALF:
            return message
        return f"{message[:_HALF]} [...] {message[-_HALF:]}"


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not there."""


class MachineError(UserError, OSError):
    """A disk, a right or a network that the run needs and does not have."""


class OutOfMemoryError(UserError, MemoryError):
    """Data or a program that do not fit into memory."""


class FieldError(UserError):
    """An impossible value: the dotted name of a spec's field, and the problem with its remedy."""

    def __init__(self, field: str, problem: str = "") -> None:
        # Libraries, and pickle, make errors anew of their one argument.
        super().__init__(f"{field} {problem}".rstrip())
        self.field, self.problem = field, problem


def printable(text: object) -> str:
    """Returns a text, such as a path's, as one line without what steers a terminal or a page.

    Blanks of every kind become a space, and "?" what is neither letter nor sign: control
    characters, marks that turn the direction of writing, bytes of a path that are no text.
    """
    line = " ".join(str(text).splitlines())
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in line)


class _Shown(reprlib.Repr):
    """Writes only the beginning of what is long, deep or large."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 4, 60, 60, 40
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 6

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to write longer ones, and takes long for it.
        if value.bit_length() < 4000:
            return super().repr_int(value, level)
        return f"<a number of {value.bit_length()} bits>"


def shown(value: Any) -> str:
    """Returns how Python writes a value from a file, of a large one only the beginning."""
    return _Shown().repr(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns "; did you mean ...?" for the most similar known name, "" if none is similar."""
    # Comparing takes the product of the lengths.
    matches = difflib.get_close_matches(name[:_HALF], list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and, one after the other, those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def system_code(error: BaseException) -> int | None:
    """Returns the `errno` of the fault that an error of any library came of, None without one."""
    for one in chain(error):
        if isinstance(one, OSError) and one.errno is not None:
            return one.errno
        if found := _CODE.search(str(one)):
            return int(found[1])
        if (found := _CALL.search(str(one))) and found[1] in _CODES_BY_WORDS:
            return _CODES_BY_WORDS[found[1]]
    return None


def is_machine_fault(error: BaseException) -> bool:
    """Whether an error came of rights, a disk or memory, not of what the files hold."""
    return system_code(error) in (*_FULL, *_NO_RIGHT, *_OUT_OF_REACH, errno.EROFS)


def explain_machine_fault(error: BaseException, folder: str | os.PathLike[str], again: str) -> str:
    """Says in one sentence what a fault of the machine was about.

    Args:
      error: One of which `is_machine_fault` is true.
      folder: Where the program writes.
      again: What to do after the remedy.
    """
    code, place = system_code(error), _place(error)
    name = errno.errorcode.get(code or 0, "")
    if code in _FULL:
        return f"the disk that holds {folder} is full ({place}): free some space and {again}"
    if code == errno.EROFS:
        return (
            f"{place} may not be written to (EROFS), its file system being read-only: have it "
            f"mounted for writing and {again}"
        )
    if code in _NO_RIGHT:
        return f"{place} may not be opened ({name}): see to its rights and {again}"
    return f"{place} cannot be reached now ({name}): see to the machine and {again}"


def _place(error: BaseException) -> str:
    return printable(getattr(error, "filename", None) or str(error)[:120])
