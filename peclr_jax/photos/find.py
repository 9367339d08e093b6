"""Image files by path, folder or glob."""

import glob
import os
from pathlib import Path

from peclr_jax.errors import MachineError, MissingFileError, UserError
from peclr_jax.photos import film

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def find_images(pattern: str) -> list[Path]:
    """Returns the images that a pattern names, sorted.

    The pattern is a file (of any name), a folder (the images directly in it) or a glob (`**`
    crosses folders, but no links, which may lead in circles). Folders and globs give files with the
    suffixes `SUFFIXES`, in either case; names that begin with a dot are left out.
    """
    if not pattern:
        raise UserError(
            "name the photos: --config.images=photo.jpg, =FOLDER, or ='FOLDER/*.jpg' in quotes"
        )
    path = Path(os.path.expanduser(pattern))
    if os.path.isfile(path):
        return [path]
    is_folder = os.path.isdir(path)
    try:
        found = list(path.iterdir()) if is_folder else [Path(name) for name in _expand(path)]
    except OSError as error:
        raise MachineError(f"--config.images={pattern} cannot be read: {error.strerror}") from None
    images = sorted(
        file
        for file in found
        if file.suffix.lower() in SUFFIXES
        and not file.name.startswith(".")
        and os.path.isfile(file)
    )
    if not images:
        what = f"{'holds' if is_folder else 'matches'} no image ({', '.join(SUFFIXES)})"
        raise MissingFileError(f"--config.images={pattern} {what}; check the path")
    return images


def find_film(pattern: str) -> Path | None:
    """Returns the film that `--config.images` names, None if it names images.

    Raises:
      UserError: Several films, or one that is not there.
    """
    if not pattern.lower().endswith(film.SUFFIXES):
        return None
    path = Path(os.path.expanduser(pattern))
    if os.path.isfile(path):
        return path
    if len(found := sorted(_expand(path))) > 1:
        raise UserError(f"--config.images={pattern} matches {len(found)} films: give one at a time")
    if not found:
        raise MissingFileError(f"--config.images={pattern} is not there; check the path")
    return Path(found[0])


def _expand(pattern: Path) -> set[str]:
    pattern = _by_name(pattern)
    if "**" not in pattern.parts:
        return set(glob.glob(str(pattern)))
    at = pattern.parts.index("**")
    rest = pattern.parts[at + 1 :] or ("*",)
    found: set[str] = set()
    for start in glob.glob(str(Path(*pattern.parts[:at]))):
        for folder, subfolders, _ in os.walk(start):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            found |= _expand(Path(glob.escape(folder), *rest))
    return found


def _by_name(pattern: Path) -> Path:
    """Returns a pattern whose first folders are taken by their names, as far as they exist."""
    parts = pattern.parts
    at = 0
    while at < len(parts) and os.path.isdir(Path(*parts[: at + 1])):
        at += 1
    return Path(glob.escape(str(Path(*parts[:at]))), *parts[at:])
