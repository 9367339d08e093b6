"""Which files of a folder, or of a glob, are photos, and what is left out."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from peclr_jax.errors import MachineError, MissingFileError, UserError
from peclr_jax.outputs import is_own_film, is_own_output
from peclr_jax.photos import kinds
from peclr_jax.photos.kinds import Kind, LeftOut

_OWN = Kind("folders that peclr_jax wrote", "name one itself to take its pictures for photos")
_HIDDEN = Kind("hidden pictures", "give them names that do not begin with a dot")
_HIDDEN_FOLDERS = Kind("hidden folders", "name one itself to have its photos")
_CLOUD = Kind("files that iCloud keeps elsewhere", "fetch each by `brctl download FILE`")
_NOTES = Kind("notes that macOS keeps beside its files", "")
_LINKS = Kind("links to folders", "name one itself to have its photos")
_THUMBNAILS = Kind("folders of another program's thumbnails", "")
_CLOSED = Kind("folders that may not be read", "see to their rights")
_NO_FILES = Kind("broken links and devices", "")
_FOLDERS = Kind("folders", "name the folder above, or end the pattern with '**', to cross them")
# Of Synology's disk stations, and of what macOS packs into archives.
_THUMBNAIL_FOLDERS = ("@eaDir", "__MACOSX")


class Pictures(NamedTuple):
    """The photos that were found, sorted, and what lies among them and was passed over."""

    paths: list[Path]
    left_out: list[LeftOut]


def find_images(pattern: str) -> list[Path]:
    """Returns the photos that a pattern names, sorted, as `find_pictures` does."""
    return find_pictures(pattern).paths


def find_pictures(pattern: str) -> Pictures:
    """Returns the photos that a pattern names, and what was passed over among them.

    The pattern is a file (of any name), a folder (with all folders in it) or a glob (`**` crosses
    folders). Folders and globs give files whose endings are in `kinds.PICTURES`, in either case.
    Neither enters links to folders, which may lead in circles, hidden folders, nor, below what the
    pattern names without a wildcard, folders that this package wrote.
    """
    if not pattern:
        raise UserError(
            "name the photos: --config.images=photo.jpg, =FOLDER, or ='FOLDER/*.jpg' in quotes"
        )
    path = Path(os.path.expanduser(pattern))
    if os.path.isfile(path):
        return Pictures([path], [])
    is_folder = os.path.isdir(path)
    try:
        pictures = pictures_below(path) if is_folder else _matching_pictures(path)
    except OSError as error:
        raise MachineError(f"--config.images={pattern} cannot be read: {error.strerror}") from None
    if not pictures.paths:
        what = f"{'holds' if is_folder else 'matches'} no image ({kinds.NAMES})"
        besides = "; ".join(map(str, pictures.left_out))
        remedy = f" but {besides}" if besides else "; check the path"
        raise MissingFileError(f"--config.images={pattern} {what}{remedy}")
    return pictures


def pictures_below(root: Path) -> Pictures:
    """Returns the photos in a folder and in all folders in it, and what was passed over."""
    passed: dict[Kind, set[Path]] = {}
    found = [folder / name for folder, names in _folders(root, passed) for name in names]
    return _sorted_out(found, passed)


def _matching_pictures(pattern: Path) -> Pictures:
    passed: dict[Kind, set[Path]] = {}
    return _sorted_out(_matching(pattern, passed), passed)


def find_film(pattern: str) -> Path | None:
    """Returns the film that `--config.images` names, None if it names images.

    Raises:
      UserError: Several films, one that is not there, or of a kind that is not read.
    """
    path = Path(os.path.expanduser(pattern))
    if os.path.isfile(path) and kinds.kind_of(path) == kinds.OTHER_FILM:
        raise UserError(
            f"{path} is a film of a kind that is not read: convert it by `ffmpeg -i FILM FILM.mp4`"
        )
    if not pattern.lower().endswith(kinds.FILMS):
        return None
    if os.path.isfile(path):
        return path
    if os.path.isdir(path):
        return None
    matching = (name for name in _matching(path, {}) if not name.name.startswith("."))
    found = sorted(name for name in matching if not is_own_film(name))
    if len(found) > 1:
        raise UserError(f"--config.images={pattern} matches {len(found)} films: give one at a time")
    if not found:
        raise MissingFileError(f"--config.images={pattern} is not there; check the path")
    return found[0]


def _sorted_out(found: Iterable[Path], passed: dict[Kind, set[Path]]) -> Pictures:
    """Tells photos from all other files, by their names."""
    pictures = []
    for path in found:
        kind = kinds.kind_of(path) if os.path.isfile(path) else _NO_FILES
        if path.name.startswith("."):
            # Hidden files of other kinds are kept by programs, and are of no interest to anyone.
            if kind is not None and path.suffix != ".icloud":
                continue
            kind = _NOTES if path.name.startswith("._") else _CLOUD if kind else _HIDDEN
        if kind is None:
            pictures.append(path)
        else:
            passed.setdefault(kind, set()).add(path)
    left_out = [LeftOut(kind, sorted(paths)) for kind, paths in passed.items()]
    return Pictures(sorted(pictures), sorted(left_out, key=lambda one: one.kind))


def _folders(root: Path, passed: dict[Kind, set[Path]]) -> Iterator[tuple[Path, list[str]]]:
    """Yields a folder and those below it that are entered, each with its files' names."""

    def note(error: OSError) -> None:
        if error.filename == str(root):
            raise error
        passed.setdefault(_CLOSED, set()).add(Path(error.filename or root))

    for top, subfolders, names in os.walk(root, onerror=note):
        folder, entered = Path(top), []
        for name in sorted(subfolders):
            if kind := _not_entered(folder / name):
                passed.setdefault(kind, set()).add(folder / name)
            else:
                entered.append(name)
        subfolders[:] = entered
        yield folder, names


def _not_entered(folder: Path) -> Kind | None:
    """Returns what a folder is that is found below one of photos, and is none of them."""
    if folder.name in _THUMBNAIL_FOLDERS:
        return _THUMBNAILS
    if folder.name.startswith("."):
        return _HIDDEN_FOLDERS
    if is_own_output(folder):
        return _OWN
    return _LINKS if folder.is_symlink() else None


def _matching(pattern: Path, passed: dict[Kind, set[Path]]) -> list[Path]:
    """Returns what a glob matches, but for folders; notes those passed over."""
    parts = pattern.parts
    # Folders that are there are meant, whatever is in their names.
    named = 0
    while named < len(parts) and os.path.isdir(Path(*parts[: named + 1])):
        named += 1
    escaped = Path(glob.escape(str(Path(*parts[:named]))), *parts[named:])
    known: dict[Path, Kind | None] = {}

    def is_passed(path: Path) -> bool:
        # Folders that the pattern names without a wildcard are the user's choice.
        for end in range(named + 1, len(path.parts)):
            folder = Path(*path.parts[:end])
            if folder not in known:
                known[folder] = _not_entered(folder)
            if kind := known[folder] if known[folder] != _LINKS else None:
                passed.setdefault(kind, set()).add(folder)
                return True
        return False

    found = []
    for path in map(Path, _expand(escaped, passed)):
        if is_passed(path):
            continue
        if not os.path.isdir(path):
            found.append(path)
        elif "**" not in parts:
            passed.setdefault(_not_entered(path) or _FOLDERS, set()).add(path)
    return found


def _expand(pattern: Path, passed: dict[Kind, set[Path]]) -> set[str]:
    if "**" not in pattern.parts:
        # Hidden files, too: they are told as such, as they are in folders.
        return set(glob.glob(str(pattern), include_hidden=True))
    at = pattern.parts.index("**")
    rest = pattern.parts[at + 1 :] or ("*",)
    found: set[str] = set()
    for start in glob.glob(str(Path(*pattern.parts[:at]))):
        for folder, _ in _folders(Path(start), passed):
            found |= _expand(Path(glob.escape(str(folder)), *rest), passed)
    return found
