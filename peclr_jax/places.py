"""Paths that a user names: the one place where `~` becomes the home folder.

A field of a spec that names a file or a folder is a `Place`; an argument of a command has the type
`argument`. Whatever reads or writes there sees whole paths.
"""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Annotated

from peclr_jax.errors import UserError


def expanded(text: str) -> str:
    """Returns a path in which `~` is the home folder.

    Raises:
      UserError: There is no such home, the path is one that no file can have, or it is a URL.
    """
    if "\0" in text:
        raise UserError(f"is {text!r}, which holds a character that no path can have")
    if "://" in text:
        raise UserError(f"is {text!r}, a URL: copy it to a disk, or mount it, and give the path")
    path = os.path.expanduser(text)
    if path.startswith("~"):
        user = text.partition("/")[0][1:]
        whose = f"the user {user!r} is not known here" if user else "this user has no home folder"
        raise UserError(f"is {text!r}, but {whose}: write the whole path")
    return path


def named(name: str, text: str) -> str:
    """Returns what `expanded` does, with the path's name in its errors: "--workdir"."""
    try:
        return expanded(text)
    except UserError as error:
        raise UserError(f"{name} {error}") from None


def argument(text: str) -> Path:
    """Returns the path that an argument of a command names; for `argparse`, as `type`."""
    if not text.strip():  # as of a variable of the shell that is not set, and no "." is meant
        raise argparse.ArgumentTypeError("is empty: name a file or a folder")
    try:
        return Path(expanded(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclasses.dataclass(frozen=True)
class Home:
    """The rule of a field that names a path: `~` becomes the home folder.

    Attributes:
      separator: Between several paths; "" for a field of one.
      dispensable: Whether a path below a home that is not there means none, as of a cache.
    """

    separator: str = ""
    dispensable: bool = False

    def problem(self, value: str) -> str | None:
        """Returns what is wrong with a value, None if nothing is."""
        try:
            self.convert(value)
        except UserError as error:
            return str(error)
        return None

    def convert(self, value: str) -> str:
        """Returns the value in which homes are written out."""
        parts = value.split(self.separator) if self.separator else [value]
        try:
            return self.separator.join(expanded(part.strip() or part) for part in parts)
        except UserError:
            if self.dispensable and "\0" not in value and "://" not in value:
                return ""
            raise


Place = Annotated[str, Home()]
"""A file or folder; "" where the field says what that means."""
Places = Annotated[str, Home(separator=",")]
"""Several, separated by commas."""
CachePlace = Annotated[str, Home(dispensable=True)]
"""A folder that may be done without: "" for none, and where the user has no home."""
