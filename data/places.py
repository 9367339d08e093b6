"""Finds the folders and archives of a data set, in whatever way people have unpacked it."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data.raw import origin
from peclr_jax.outputs import is_own_output

_DEEPEST = 3  # folders below the one that the user names
_OF_UNZIPPERS = "__MACOSX"


def find(
    manual_dir: Path,
    holds: Callable[[Path], bool],
    names: Sequence[str],
    parts: Sequence[str] = (),
) -> list[Path]:
    """Returns the folders that hold a data set or some of it, the nearest first.

    They lie at `manual_dir` or up to three folders below it. Where that one is one of the official
    folders, or a part of one, those around and beside it are searched as well.

    Args:
      manual_dir: What the user names.
      holds: Tells whether a folder holds some of the data set.
      names: What the official folders are called; upper and lower case are the same.
      parts: Folders inside of these, full of images, which are not searched.
    """
    manual_dir = Path(os.path.abspath(manual_dir))  # "." has no name
    official = {name.lower() for name in names}
    inside = {name.lower() for name in parts}
    found = list(_below(manual_dir, inside, _DEEPEST))
    top = manual_dir
    while top.name.lower() in official | inside and top != top.parent:
        top = top.parent
        found.append(top)
    if top != manual_dir:
        beside = (folder for folder in _folders(top) if folder.name.lower() in official)
        found += [place for folder in beside for place in _below(folder, inside, _DEEPEST)]
    places: dict[Path, Path] = {}
    for folder in filter(holds, found):
        places.setdefault(folder.resolve(), folder)
    return list(places.values())


def find_files(
    manual_dir: Path, files: Sequence[str], names: Sequence[str], parts: Sequence[str] = ()
) -> list[Path]:
    """Returns the files of the given names, in that order, each at the nearest place that has it.

    Args:
      manual_dir: What the user names.
      files: Names of the files.
      names: What the official folders are called, as in `find`.
      parts: Folders inside of these, as in `find`.
    """

    def holds(folder: Path) -> bool:
        return any((folder / name).is_file() for name in files)

    places = find(manual_dir, holds, names, parts)
    found = (
        next((path for place in places if (path := place / name).is_file()), None) for name in files
    )
    return [path for path in found if path is not None]


def files(
    manual_dir: Path, names: Sequence[str], parts: Sequence[str], pattern: str
) -> Iterator[Path]:
    """Yields the files of a data set wherever `find` would find it.

    Args:
      manual_dir: What the user names.
      names: What the official folders are called, as in `find`.
      parts: Folders of images inside of these, of which all is searched.
      pattern: A regular expression, looked for in a file's path from such a part, else its name.
    """
    inside = {name.lower() for name in parts}
    for place in find(manual_dir, lambda _: True, names, parts):
        try:
            found = sorted(os.listdir(place))
        except PermissionError:  # of what lies around
            continue
        for name in found:
            if name.lower() in inside and (place / name).is_dir():
                yield from origin.walk(place / name, pattern)
            elif re.search(pattern, name) and (place / name).is_file():
                yield place / name


def child(folder: Path, name: str) -> Path:
    """Returns the file or folder of a name, or of one that differs in upper and lower case."""
    exact = folder / name
    if exact.exists() or not folder.is_dir():
        return exact
    alike = (path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower())
    return next(alike, exact)


def _below(folder: Path, parts: set[str], depth: int) -> Iterator[Path]:
    """Yields a folder and those below it, level by level."""
    level = [folder]
    yield folder
    for _ in range(depth):
        below = [inner for one in level for inner in _folders(one)]
        level = [inner for inner in below if inner.name.lower() not in parts]
        yield from level


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    # Anything may lie around a data set.
    except (PermissionError, FileNotFoundError, NotADirectoryError):
        return []
    found = [folder / n for n in sorted(names) if not n.startswith(".") and n != _OF_UNZIPPERS]
    return [below for below in found if not is_own_output(below)]
