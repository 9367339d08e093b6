"""Folders that commands of ours have written: marked, so that no command takes them for data."""

from pathlib import Path

MARK = ".peclr_jax"
"""The file by which a folder of ours is known."""

_TEXT = (
    "peclr_jax wrote this folder: pictures in it are no photos to train on or to predict. Delete "
    "this file to have them taken for photos.\n"
)
# Files, all of them in the folder, by which folders are known that hold no mark: trainings and
# predictions of earlier versions, exports, records of TFDS.
_KNOWN_BY = (
    {"provenance.jsonl"},
    {".lock.holder"},
    {"predictions.json", "index.html"},
    {"metrics.json", "pck.png"},
    {"results.json", "results.md"},
    {"dataset_info.json", "features.json"},
)
# What we write into a folder that may be one of photos at the same time.
_WITHIN = ("overlays", "thumbnails", "checkpoints", "tensorboard")


def mark(folder: Path) -> None:
    """Marks a folder as written by a command of ours; makes it if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MARK
    if not path.exists():
        path.write_text(_TEXT, encoding="utf-8")


def is_own_output(folder: Path) -> bool:
    """Returns whether a folder was written by a command of ours, so that nothing in it is data.

    A folder that the user names is data all the same: only those found below it are to be asked
    about, and not entered. The mark is that of the outermost folder: those below have none.

    Args:
      folder: An absent folder, or a file, is none of ours.
    """
    return _is_marked(folder) or (folder.name in _WITHIN and _is_marked(folder.parent))


def _is_marked(folder: Path) -> bool:
    if (folder / MARK).is_file():
        return True
    return any(all((folder / name).is_file() for name in names) for names in _KNOWN_BY)
