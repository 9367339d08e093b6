"""Errors that are told to the user in one sentence: raised on purpose, caught by type.

Each message says what is wrong, where, and the remedy. Every other error is a fault of the program
and keeps its traceback. `main.py` and `data.build` end with exit code 2 on these.
"""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in flags, config, data or files that the user can mend."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not there."""


class MachineError(UserError, OSError):
    """A disk, a right or a network that the run needs and does not have."""


class OutOfMemoryError(UserError, MemoryError):
    """Data or a program that do not fit into memory."""


class FieldError(UserError):
    """A field of a spec with an impossible value.

    Attributes:
      field: Dotted name of the field within the spec.
      problem: What is wrong and the remedy, to follow the name.
    """

    def __init__(self, field: str, problem: str) -> None:
        """Names the field."""
        super().__init__(f"{field} {problem}")
        self.field, self.problem = field, problem


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns "; did you mean ...?" for the most similar known name, "" if none is similar."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""
