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
from contextlib import contextmanager
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHT = (errno.EACCES, errno.EPERM)
# Of what a path names or a call is given: here a file itself may be at fault.
_OF_THE_FILE = (
    errno.ENOENT,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOTEMPTY,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
    errno.ESPIPE,
    errno.ENXIO,
    errno.EBADF,
    errno.EFAULT,
    errno.EILSEQ,
    errno.EDOM,
    errno.ERANGE,
)
# How libraries in other languages tell the system's code: TensorStore, Rust's safetensors (twice),
# ArrayRecord, TensorFlow.
_FORMS = re.compile(
    r"os_error_code='(\d+)'|\(os error (\d+)\)|\bOs \{ code: (\d+)|\w\(\) failed: ([^;]+)"
    r"|; ([A-Z][a-z][\w/ -]+?)\s*(?:$|[\[\n])"
)
_PATH = re.compile(r"(?:^|[\s\"'])(/[^\"';,]+)")
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
        code = getattr(one, "errno", None)
        if isinstance(code, int) and code in errno.errorcode:  # FFmpeg has others as well
            return code
        for form in _FORMS.finditer(str(one)):
            told = next(filter(None, form.groups())).strip()
            code = int(told) if told.isdecimal() else _CODES_BY_WORDS.get(told)
            if code in errno.errorcode:
                return code
    return None


def is_machine_fault(error: BaseException) -> bool:
    """Whether an error came of rights, a disk, a network or memory, not of what the files hold.

    Any code of the system says so but those of names: the same file may be read in a minute.
    """
    return system_code(error) not in (None, *_OF_THE_FILE)


def explain(error: BaseException, folder: str | os.PathLike[str], again: str) -> str | None:
    """Says in one sentence what a program ends of, None if that is a fault of the program.

    Args:
      error: Any.
      folder: Where the program writes.
      again: What to do after the remedy.
    """
    if isinstance(error, UserError):
        return str(error)
    return None if system_code(error) is None else explain_machine_fault(error, folder, again)


@contextmanager
def explaining(folder: str | os.PathLike[str], again: str) -> Iterator[None]:
    """Raises what the block ends of as a `UserError`, a `MachineError` if the system refused it.

    A `UserError` that a library has made another error of is raised as it was.

    Args:
      folder: As of `explain`.
      again: As of `explain`.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        for cause in chain(error):
            if isinstance(cause, UserError):
                raise cause from None
        if sentence := explain(error, folder, again):
            raise MachineError(sentence) from error
        raise


def explain_machine_fault(error: BaseException, folder: str | os.PathLike[str], again: str) -> str:
    """Says in one sentence what the system refused.

    Args:
      error: One that has a `system_code`.
      folder: Where the program writes.
      again: What to do after the remedy.
    """
    code, place = system_code(error) or 0, _place(error, folder)
    name = errno.errorcode.get(code, "")
    if code in _FULL:
        return f"the disk that holds {folder} is full ({place}): free some space and {again}"
    if code == errno.EFBIG:
        return (
            f"{place} may not grow any larger (EFBIG), by a limit of its file system or of "
            f"`ulimit -f`: raise it, or write to another disk, and {again}"
        )
    if code == errno.EROFS:
        return (
            f"{place} may not be written to (EROFS), its file system being read-only: have it "
            f"mounted for writing and {again}"
        )
    if code in _NO_RIGHT:
        return f"{place} may not be opened ({name}): see to its rights and {again}"
    if code in _OF_THE_FILE:
        return f"{place} cannot be read or written ({os.strerror(code)}): see to it and {again}"
    return f"{place} cannot be reached now ({name}): see to the machine and {again}"


def _place(error: BaseException, folder: str | os.PathLike[str]) -> str:
    """Returns the file that an error is about, as far as it is told."""
    for one in chain(error):
        if name := getattr(one, "filename", None):
            return printable(os.fsdecode(name) if isinstance(name, bytes) else name)
        if paths := _PATH.findall(str(one)):
            return printable(paths[-1].strip())
    return f"a file in {folder}"
