"""A folder of photos, and the labels of those that are in it."""

import collections
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from data.image_folder import layout
from peclr_jax.errors import UserError
from peclr_jax.photos import boxes


@dataclasses.dataclass(frozen=True)
class Photos:
    """The photos in a folder and below it.

    Attributes:
      root: The folder.
      sizes: Width and height in pixels, as they are seen, of the readable ones, by their paths
        below the folder.
      unreadable: The paths of the others.
    """

    root: Path
    sizes: dict[str, tuple[int, int]]
    unreadable: frozenset[str]

    def find(self, name: str) -> str | None:
        """Returns the path below the folder of a photo that a label file names.

        A name is that path, the path with folders in front that lead to the folder, or a file's
        name that but one photo has.
        """
        parts, parents = Path(name).parts, self.root.resolve().parts
        for start in range(len(parts)):
            path = "/".join(parts[start:])
            is_known = path in self.sizes or path in self.unreadable
            if is_known and (start == 0 or parents[-start:] == parts[:start]):
                return path
        namesakes = self._by_name.get(name, [])
        return namesakes[0] if len(namesakes) == 1 else None

    @functools.cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in (*self.sizes, *self.unreadable):
            found.setdefault(Path(path).name, []).append(path)
        return found


class Labels(NamedTuple):
    """What a label file says.

    Attributes:
      hands: The hands of every photo that it names, none where it shows none.
      left_out: How many entries were left out, by what they are.
    """

    hands: dict[str, list[boxes.Hand]]
    left_out: collections.Counter[str]


def open_photos(root: Path) -> Photos:
    """Lists the photos in a folder and below it, and decodes each once."""
    paths = layout.list_images(root, say=True)
    sizes = layout.readable(paths)
    names = {path: path.relative_to(root).as_posix() for path in paths}
    unreadable = frozenset(names[path] for path in paths if path not in sizes)
    return Photos(root, {names[path]: size for path, size in sizes.items()}, unreadable)


def place(labels: Labels, photos: Photos) -> Labels:
    """Returns labels by the photos' paths, without those of hands that no photo here shows."""
    hands: dict[str, list[boxes.Hand]] = {}
    left_out = labels.left_out.copy()
    named: dict[str, str] = {}
    for name, found in labels.hands.items():
        path = photos.find(name)
        if path is None:
            left_out["photos that are not in the folder"] += 1
        elif path in photos.unreadable:
            left_out["photos that cannot be read"] += 1
        elif path in named:
            raise UserError(
                f"both {named[path]!r} and {name!r} may be {path!r}: name photos by their paths "
                f"below {photos.root}"
            )
        else:
            named[path] = name
            shown = [hand for hand in found if _is_inside(hand.box, photos.sizes[path])]
            left_out["hands outside of their photo"] += len(found) - len(shown)
            hands[path] = shown
    if not any(hands.values()):
        first = next(iter(labels.hands), None)
        reasons = ", ".join(counted(left_out)) or "no hand at all"
        raise UserError(
            f"there is no labelled hand in the photos of {photos.root} ({reasons}; the first photo "
            f"of the labels is {first!r}, of the folder {next(iter(photos.sizes))!r}): check both"
        )
    return Labels(hands, +left_out)


def counted(counter: Mapping[str, int]) -> list[str]:
    """Returns what was left out, each with its number."""
    return [f"{count} {what}" for what, count in counter.items() if count]


def _is_inside(box: boxes.Box | None, size: tuple[int, int]) -> bool:
    return box is None or not (min(box[2:]) < 0 or box[0] > size[0] - 1 or box[1] > size[1] - 1)
