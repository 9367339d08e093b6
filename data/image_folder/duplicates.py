"""Finds photos that are there more than once, byte for byte."""

import collections
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data import images


class Copy(NamedTuple):
    """Which photo one is a copy of, itself if of none, and how many of the same come before it."""

    first: int
    number: int


def find(paths: Sequence[Path]) -> list[Copy]:
    """Returns for each photo the first that has the same content, by its place in the list.

    Only files of the same size are read.
    """
    sizes = [path.stat().st_size for path in paths]
    counts = collections.Counter(sizes)
    alike = [place for place, size in enumerate(sizes) if counts[size] > 1]
    digests = dict(zip(alike, images.ahead(_digest, [paths[i] for i in alike]), strict=True))
    found: dict[object, list[int]] = {}
    copies = []
    for place in range(len(paths)):
        # A photo whose size no other has is known by its place.
        same = found.setdefault(digests.get(place, place), [])
        same.append(place)
        copies.append(Copy(same[0], len(same) - 1))
    return copies


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
