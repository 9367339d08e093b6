"""Which files a user means."""

import glob
import os
from pathlib import Path

from peclr_jax.errors import MissingFileError, UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def find_images(pattern: str) -> list[Path]:
    """Lists the images that a path names, sorted.

    Args:
      pattern: A file (of any name), a folder (the images directly in it) or a glob (`**` crosses
        folders, but not those that are links, which may lead in circles). Folders and globs give
        files by the suffixes `SUFFIXES`, in either case; names that begin with a dot are left out.

    Raises:
      UserError: No pattern at all.
      MissingFileError: Nothing is there.
    """
    if not pattern:
        raise UserError(
            "name the photos: --config.images=photo.jpg, =FOLDER, or ='FOLDER/*.jpg' in quotes"
        )
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    found = list(path.iterdir()) if path.is_dir() else [Path(name) for name in _expand(path)]
    images = sorted(
        file
        for file in found
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not images:
        kinds = ", ".join(SUFFIXES)
        what = f"holds no image ({kinds})" if path.is_dir() else f"matches no image ({kinds})"
        raise MissingFileError(f"--config.images={pattern} {what}; check the path")
    return images


def _expand(pattern: Path) -> set[str]:
    """Returns what a glob matches."""
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
