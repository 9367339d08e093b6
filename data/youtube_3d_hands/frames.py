"""Finds and measures the frames, which people extract from videos themselves, some broken."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from data import found, images
from peclr_jax.errors import MachineError, MissingFileError, UserError

EXTRACT = "extract them again"
# Frames are PNGs by name, but those that people have extracted from videos are often JPEGs.
_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG")

Result = TypeVar("Result")


def find(roots: Sequence[Path], name: str) -> Path | None:
    """Returns the file of a frame, whatever its kind, `None` if there is none.

    Args:
      roots: The folders that the folder `youtube` may lie in.
      name: The frame's path below one of these.
    """
    candidates = (
        path
        for root in roots
        for path in (root / name, *((root / name).with_suffix(suffix) for suffix in _SUFFIXES))
    )
    return next((path for path in candidates if path.is_file()), None)


def read_sizes(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Returns width and height of each frame, `None` of those that are broken."""
    return list(images.ahead(lambda file: unless_broken(images.size, file, EXTRACT), files))


def unless_broken(read: Callable[..., Result], *given: Any) -> Result | None:
    """Returns what is read of a frame, `None` if it is broken; other errors are raised.

    Args:
      read: A function of `data.images`.
      given: What it takes.
    """
    try:
        return read(*given)
    except UserError as error:
        if isinstance(error, MachineError | MissingFileError):
            raise
        return None


def describe_broken(paths: Sequence[Path]) -> str:
    """Describes the hands whose frames are broken.

    Args:
      paths: The frame of each.
    """
    hands, count = found.number_of(len(paths), "hand"), found.number_of(len({*paths}), "frame")
    return f"{hands}, whose frames are broken ({count}, the first being {paths[0]}): {EXTRACT}"
