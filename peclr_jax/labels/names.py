"""Which photo a label file means by a name: it may be of another folder, machine or spelling.

From the surest to the least sure: the photo's path, from the label file or from where the command
runs; the end of its path, such as its file name; the same in another letter case; and the file name
alone, whatever folder the label file names, or as few folders with it as tell apart all photos and
all names. Composed and decomposed letters of Unicode, backslashes, "./" and "../" never matter.
"""

import collections
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from peclr_jax.errors import UserError, shown

_NAMED_AT_MOST = 5

Parts = tuple[str, ...]


class Match(NamedTuple):
    """The photos that a label file names.

    Attributes:
      names: Photo to the name that the file has for it.
      unknown: Names that no photo has.
      elsewhere: Names in another folder than their photos, which only the file names tell.
    """

    names: dict[Path, str]
    unknown: list[str]
    elsewhere: list[str]

    def describe(self, source: Path | str) -> list[str]:
        """Returns what a person must know of it; `source` is the label file."""
        lines = []
        if self.elsewhere:
            lines.append(
                f"{source}: {some(self.elsewhere)} of other folders, taken for the photos here "
                "that have the same file names"
            )
        if self.unknown:
            lines.append(f"{source}: {some(self.unknown)} that no photo here has")
        return lines


def match(names: Iterable[str], photos: Sequence[Path], source: Path) -> Match:
    """Returns which photo each name of a label file means.

    Args:
      names: Of the label file.
      photos: The photos that there are.
      source: The label file, or the folder of label files.

    Raises:
      UserError: A name may be any of several photos, or a photo any of several names.
    """
    folder = source if os.path.isdir(source) else source.parent
    found: dict[Path, str] = {}
    unknown = list(dict.fromkeys(names))
    for same in (str, str.casefold):
        if unknown:
            index = _index(photos, same)
            unknown = _assign(unknown, _paths(folder, same), index, found, source, exact=True)
            unknown = _assign(unknown, _ends(same), index, found, source, exact=False)
    elsewhere = _by_last_parts(unknown, photos, found)
    return Match(found, [name for name in unknown if name not in elsewhere], elsewhere)


def some(names: Sequence[str]) -> str:
    """Returns how many names there are, and the first: "2 names ('a', 'b')"."""
    more = ", ..." if len(names) > _NAMED_AT_MOST else ""
    plural = "s" if len(names) > 1 else ""
    return f"{len(names)} name{plural} ({', '.join(map(shown, names[:_NAMED_AT_MOST]))}{more})"


def _parts(name: str) -> Parts:
    """Returns the folders and the file of a path of any system, without what does not matter."""
    text = unicodedata.normalize("NFC", name).replace("\\", "/")
    parts: list[str] = []
    for part in text.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    is_drive = bool(parts) and len(parts[0]) == 2 and parts[0][1] == ":"
    return tuple(parts[is_drive:])


def _whole(path: Path | str) -> Parts:
    return ("/", *_parts(os.path.abspath(path)))


def _index(photos: Sequence[Path], same: Callable[[str], str]) -> dict[Parts, list[Path]]:
    """Returns the photos by their whole paths, which begin with "/", and by all ends of them.

    What a link leads to is another name of it only where no photo lies under that name itself.
    """

    def by_ends(resolve: Callable[[Path], Path | str]) -> dict[Parts, list[Path]]:
        index: dict[Parts, list[Path]] = collections.defaultdict(list)
        for photo in photos:
            parts = tuple(map(same, _whole(resolve(photo))))
            for start in range(len(parts)):
                index[parts[start:]].append(photo)
        return index

    return by_ends(os.path.realpath) | by_ends(Path)


def _paths(folder: Path, same: Callable[[str], str]) -> Callable[[str], list[Parts]]:
    """Returns what looks names up as paths, from the folder or from where the command runs."""

    def keys(name: str) -> list[Parts]:
        spellings = dict.fromkeys((name, name.replace("\\", "/")))
        paths = [os.path.join(base, text) for base in (folder, "") for text in spellings]
        return [tuple(map(same, _whole(path))) for path in paths]

    return keys


def _ends(same: Callable[[str], str]) -> Callable[[str], list[Parts]]:
    return lambda name: [tuple(map(same, _parts(name)))]


def _assign(
    names: Sequence[str],
    keys_of: Callable[[str], list[Parts]],
    index: Mapping[Parts, list[Path]],
    found: dict[Path, str],
    source: Path,
    *,
    exact: bool,
) -> list[str]:
    """Finds the photos of names, the longest first, and returns the names that have none.

    Names that are `exact` mean a photo even if another name, perhaps a longer one, does so too.
    """
    known = dict(found)
    left: set[str] = set()
    for name in sorted(names, key=lambda name: -len(_parts(name))):
        candidates: list[Path] = []
        for key in keys_of(name):
            if key and not candidates:
                candidates = [photo for photo in index.get(key, ()) if photo not in known]
        free = [photo for photo in candidates if photo not in found]
        if len(free) > 1:
            raise UserError(
                f"{source}: {shown(name)} may be any of {len(free)} photos of that name: give "
                f"the path, such as {free[0].as_posix()!r}"
            )
        if free:
            found[free[0]] = name
        elif candidates and (exact or len(_parts(found[candidates[0]])) == len(_parts(name))):
            raise UserError(
                f"{source}: both {shown(found[candidates[0]])} and {shown(name)} may be "
                f"{candidates[0].as_posix()!r}: name each photo once, by its path"
            )
        else:
            left.add(name)
    return [name for name in names if name in left]


def _by_last_parts(
    names: Sequence[str], photos: Sequence[Path], found: dict[Path, str]
) -> list[str]:
    """Finds photos by as few last parts of their paths as tell apart all photos and all names."""
    alike: list[str] = []
    whole = {photo: _whole(photo) for photo in photos}
    for count in range(1, max((len(_parts(name)) for name in names), default=0) + 1):
        of_photos = {tuple(map(str.casefold, whole[p][-count:])): p for p in photos}
        of_names = {tuple(map(str.casefold, _parts(name)[-count:])): name for name in names}
        if len(of_photos) == len(photos) and len(of_names) == len(names):
            for end, name in of_names.items():
                if end in of_photos and of_photos[end] not in found:
                    found[of_photos[end]] = name
                    alike.append(name)
            break
    return alike
