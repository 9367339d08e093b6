"""A folder of photos, and the labels of those that are in it."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

from data.image_folder import layout
from peclr_jax.errors import UserError, shown
from peclr_jax.labels import names, values
from peclr_jax.labels.values import Labels, counted
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

    def without(self, broken: Collection[str]) -> "Photos":
        """Returns the same with these photos, by their paths, among the unreadable ones."""
        sizes = {name: size for name, size in self.sizes.items() if name not in broken}
        return dataclasses.replace(self, sizes=sizes, unreadable=self.unreadable | {*broken})

    def check_sizes(self, path: Path, said: Mapping[str, tuple[int, int]]) -> None:
        """Checks that the photos are those that a label file has the sizes of."""
        found = names.match(said, [self.root / name for name in self.sizes], self.root)
        of_photos = {
            photo: self.sizes[photo.relative_to(self.root).as_posix()] for photo in found.names
        }
        values.check_sizes(
            path, {photo: said[name] for photo, name in found.names.items()}, of_photos
        )


def open_photos(root: Path) -> Photos:
    """Lists the photos in a folder and below it, and decodes each once."""
    paths = layout.list_images(root, say=True)
    sizes = layout.readable(paths)
    names = {path: path.relative_to(root).as_posix() for path in paths}
    unreadable = frozenset(names[path] for path in paths if path not in sizes)
    return Photos(root, {names[path]: size for path, size in sizes.items()}, unreadable)


def place(labels: Labels, photos: Photos) -> Labels:
    """Returns labels by the photos' paths, without those of hands that no photo here shows."""
    places = {photos.root / name: name for name in (*photos.sizes, *photos.unreadable)}
    match = names.match(labels.hands, [*places], photos.root)
    hands: dict[str, list[boxes.Hand]] = {}
    left_out = labels.left_out.copy()
    left_out["photos that are not in the folder"] += len(match.unknown)
    for path, place in places.items():
        if path not in match.names:
            continue
        if place in photos.unreadable:
            left_out["photos that cannot be read"] += 1
            continue
        found = labels.hands[match.names[path]]
        size = photos.sizes[place]
        inside = [hand for hand in found if boxes.is_inside(hand.box, size)]
        left_out["hands outside of their photo"] += len(found) - len(inside)
        hands[place] = [hand for hand in inside if not boxes.extent_problem(hand, size)]
        left_out["hands far larger than their photo"] += len(inside) - len(hands[place])
    if not any(hands.values()):
        first = next(iter(labels.hands), None)
        reasons = ", ".join(counted(left_out)) or "no hand at all"
        raise UserError(
            f"there is no labelled hand in the photos of {photos.root} ({reasons}; the first photo "
            f"of the labels is {shown(first)}, of the folder {next(iter(photos.sizes))!r}): "
            "check both"
        )
    notes = match._replace(unknown=[]).describe("the label file")
    return Labels(hands, +left_out, (*labels.notes, *notes))
