"""What lies in the parts of a folder of photographs: how many, of which sets, of whom.

    FOLDER/persons.json                {"SET": "two or three", ...}: whom each set shows, optional
    FOLDER/PART/boxes.json             where the hands are, of parts that a detector has labelled
    FOLDER/PART/SET/...                photographs

docs/results/real_photos.md says what the parts are for.
"""

import collections
from pathlib import Path
from typing import Any

from data.image_folder import layout
from peclr_jax.errors import UserError
from peclr_jax.files import read_json
from peclr_jax.photos import boxes

PERSONS_FILE = "persons.json"
UNKNOWN = "unknown"
# Of FreiHAND's layout: silhouettes, which are no photographs.
_MASKS = "mask"


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns of each part the number of its photographs, of its hands, and its sets.

    "hands" is None where no `boxes.json` tells; "sets" has by name the photographs and persons of
    each. A part without folders, or in FreiHAND's layout, is one set of its own name.

    Args:
      folder: Of the parts.

    Raises:
      UserError: `persons.json` is not as above, or names a set that there is not.
    """
    persons = _persons(folder / PERSONS_FILE)
    parts = {}
    known: set[str] = set()
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        paths = [path for path in layout.list_images(part) if path.parent.name != _MASKS]
        labels = part / layout.BOXES_FILE
        counts = collections.Counter(_set_of(path, part, labels.is_file()) for path in paths)
        known |= counts.keys()
        parts[part.name] = {
            "photographs": len(paths),
            "hands": _hands(labels) if labels.is_file() else None,
            "sets": {
                name: {"photographs": count, "persons": persons.get(name, UNKNOWN)}
                for name, count in sorted(counts.items())
            },
        }
    if missing := persons.keys() - known:
        raise UserError(
            f"{folder / PERSONS_FILE} names {', '.join(sorted(missing))}, but the sets are "
            f"{', '.join(sorted(known))}: use their folders' names"
        )
    return parts


def _set_of(path: Path, part: Path, has_sets: bool) -> str:
    below = path.relative_to(part).parts
    return below[0] if has_sets and len(below) > 1 else part.name


def _hands(labels: Path) -> int:
    return sum(len(request.hands) for request in boxes.read_boxes(labels, UNKNOWN).values())


def _persons(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    found = read_json(file)
    if not (isinstance(found, dict) and all(isinstance(text, str) for text in found.values())):
        raise UserError(f'{file} must be an object {{"SET": "two or three"}}')
    return found
