"""How a prediction takes the place of an earlier one in its workdir, and of nothing else."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from peclr_jax import files, outputs
from peclr_jax.errors import UserError, printable
from peclr_jax.pages.gallery import (
    FILM,
    JSON,
    OVERLAYS,
    PAGE,
    PER_PAGE,
    THUMBNAILS,
    page_name,
)
from peclr_jax.prediction.formats import FORMATS

_PICTURES = (OVERLAYS, THUMBNAILS)
_FORMAT_FILES = tuple(file for file, _ in FORMATS.values())
_MOST_NAMED = 5


def check_workdir(folder: Path, inputs: Sequence[Path]) -> None:
    """Checks, before anything is predicted, that no file of the user's would be lost.

    Args:
      folder: Workdir of the prediction.
      inputs: The photos, or the film.

    Raises:
      UserError: Files that are no prediction's lie where this one is to be written, or inputs do.
    """
    places = [Path(os.path.realpath(folder / name)) for name in (*_PICTURES, FILM)]
    for path in inputs:
        found = Path(os.path.realpath(path))
        if any(found.is_relative_to(place) for place in places):
            raise UserError(
                f"{printable(path)} would be overwritten by its own prediction: choose another "
                "--workdir"
            )
    earlier = _earlier(folder)
    known = _files_of(earlier) if earlier else ()
    pages = _pages_of(len(inputs))
    # All formats: a table that stays beside new numbers would be taken for one of them.
    names = [name for name in (*_FORMAT_FILES, *pages, FILM) if name not in known]
    names += () if earlier else _PICTURES
    if taken := [name for name in names if _is_taken(folder / name)]:
        more = ", ..." if len(taken) > _MOST_NAMED else ""
        # The mark of our own folders is no proof: the command has just put it there.
        why = (
            f"which are not among the files that its {JSON} tells of"
            if earlier
            else f"but no readable {JSON}, by which an earlier prediction is known"
        )
        raise UserError(
            f"{folder} holds {', '.join(taken[:_MOST_NAMED])}{more}, {why}: choose another "
            "--workdir, or move this away"
        )


def taken_names(folder: Path) -> set[str]:
    """Returns the names of pictures, without endings, beside those of an earlier prediction."""
    replaced = set(_pictures_of(_earlier(folder) or {}))
    found: set[str] = set()
    for pictures in _PICTURES:
        with suppress(FileNotFoundError):
            found |= set(os.listdir(folder / pictures))
    return {Path(name).stem for name in found - replaced}


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Offers an empty folder whose files replace an earlier prediction once the block has ended.

    If it ends with an error, all is as it was before.
    """
    with files.scratch(folder) as new:
        yield new
        files.sync_folder(new)
        outputs.mark(folder)
        _remove(folder)
        # By it the next prediction knows what it may remove, so it comes first.
        files.move(new / JSON, folder / JSON)
        for path in sorted(new.iterdir(), key=lambda path: path.name == PAGE):
            if path.name in _PICTURES:
                (folder / path.name).mkdir(exist_ok=True)
                for picture in path.iterdir():
                    os.replace(picture, folder / path.name / picture.name)
            else:
                files.move(path, folder / path.name)


def _remove(folder: Path) -> None:
    """Removes an earlier prediction, and no file that it does not name."""
    if (earlier := _earlier(folder)) is None:
        return
    for name in _pictures_of(earlier):
        for pictures in _PICTURES:
            (folder / pictures / name).unlink(missing_ok=True)
    for file in _files_of(earlier):
        (folder / file).unlink(missing_ok=True)


def _files_of(prediction: Mapping[str, Any]) -> list[str]:
    """Returns the files that a prediction wrote, pictures aside: the JSON file, its note, last."""
    meta = prediction["meta"]
    # Earlier versions did not note the formats: of theirs only the JSON file is known.
    formats = [FORMATS[name][0] for name in meta.get("formats", ()) if name in FORMATS]
    film = [FILM] if meta.get("overlay") == FILM else []
    others = [file for file in formats if file != JSON]
    return [*_pages_of(len(_pictures_of(prediction))), *film, *others, JSON]


def _pages_of(photos: int) -> list[str]:
    return [page_name(number) for number in range(1, max(1, math.ceil(photos / PER_PAGE)) + 1)]


def _is_taken(path: Path) -> bool:
    return os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir()))


def _pictures_of(prediction: Mapping[str, Any]) -> list[str]:
    entries = prediction.get("images", ())
    return [Path(entry["overlay"]).name for entry in entries if "overlay" in entry]


def _earlier(folder: Path) -> dict[str, Any] | None:
    """Returns what an earlier prediction's JSON file holds, None where there is none."""
    try:
        found = files.read_json(folder / JSON)
        texts = [*found["meta"].get("formats", ())]
        texts += [entry.get("overlay", "") for entry in found["images"]]
        is_ours = all(isinstance(text, str) for text in texts)
    except (OSError, UserError, AttributeError, KeyError, TypeError):
        return None
    return found if is_ours else None
