"""The hands that a label file says of photos: ours (photos/boxes.py), COCO's, or YOLO's folder."""

import collections
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from peclr_jax.errors import MissingFileError, UserError, shown
from peclr_jax.labels import coco, names, values, yolo
from peclr_jax.labels.values import counted
from peclr_jax.photos import boxes, film, kinds, read
from peclr_jax.photos.boxes import Hand, Request


class Requests(NamedTuple):
    """What is asked of photos, in their order, and what a person must know of it."""

    of_photos: list[Request]
    notes: list[str]


def requests(paths: Sequence[Path], labels: str | Path, handedness: str) -> Requests:
    """Returns the request for each photo, one hand somewhere for those that are not named.

    Args:
      paths: The image files.
      labels: A boxes file, a JSON file of COCO, or a folder of YOLO's text files; "" for none.
      handedness: Of hands whose handedness the labels do not give.

    Raises:
      UserError: Labels that cannot be read, that name none of the photos, or that have no hand
        which could be used.
    """
    somewhere = Request((Hand(handedness),))
    found, notes = named(paths, labels, handedness) if str(labels) else ({}, [])
    return Requests([found.get(path, somewhere) for path in paths], notes)


def named(
    paths: Sequence[Path], labels: str | Path, handedness: str
) -> tuple[dict[Path, Request], list[str]]:
    """Returns the requests for the photos that labels name, and what a person must know of it.

    Args:
      paths: The image files.
      labels: As `requests` takes them, but for "".
      handedness: Of hands whose handedness the labels do not give.
    """
    source = Path(os.path.expanduser(labels))
    if os.path.isdir(source):
        found, notes = _of_yolo(paths, source, handedness)
    else:
        found, notes = _of_json(paths, source, handedness)
    if missing := sum(path not in found for path in paths):
        notes.append(
            f"{source} does not name {missing} of {len(paths)} photos, which may show a hand "
            "anywhere"
        )
    return found, notes


def _of_json(
    paths: Sequence[Path], file: Path, handedness: str
) -> tuple[dict[Path, Request], list[str]]:
    if not os.path.exists(file):
        raise MissingFileError(f"--config.boxes={file} is not there: check the path")
    left_out: collections.Counter[str] = collections.Counter()
    notes: tuple[str, ...] = ()
    sizes: dict[str, tuple[int, int]] = {}
    if coco.is_coco(file):
        labels, sizes = coco.from_file(file)
        left_out, notes = labels.left_out, labels.notes
        known = {name: _as_request(hands, handedness) for name, hands in labels.hands.items()}
    else:
        known = boxes.read_boxes(file, handedness)
    match = names.match(known, paths, file)
    if known and not match.names:
        raise UserError(
            f"{file} names none of the photos, its first is {shown(next(iter(known)))}: name "
            f"them by their file names, such as {paths[0].name!r}"
        )
    said = {photo: sizes[name] for photo, name in match.names.items() if name in sizes}
    values.check_sizes(file, said, {photo: _seen_size(photo) for photo in said})
    found = {photo: known[name] for photo, name in match.names.items()}
    _check_any(file, found, left_out)
    return found, [*notes, *match.describe(file), *_describe(file, left_out)]


def _of_yolo(
    paths: Sequence[Path], folder: Path, handedness: str
) -> tuple[dict[Path, Request], list[str]]:
    sizes = {path: size for path in paths if (size := _seen_size(path))}
    if not sizes:
        raise UserError(f"{folder} has fractions of photos, but none of the photos can be read")
    hands, left_out, notes = yolo.from_folder(folder, sizes)
    found = {path: _as_request(of_photo, handedness) for path, of_photo in hands.items()}
    _check_any(folder, found, left_out)
    empty = sum(not request.hands for request in found.values())
    if empty:
        notes.append(
            f"{folder} has no hand for {empty} of {len(paths)} photos, which are not searched"
        )
    return found, notes + _describe(folder, left_out)


def _seen_size(path: Path) -> tuple[int, int] | None:
    """Returns the size of a photo, or of a film's first frame, as it is seen; None if broken."""
    if not path.name.lower().endswith(kinds.FILMS):
        return read.seen_size(path)
    frame = next(film.read_frames(film.describe_film(path)), None)
    return frame.image.shape[1::-1] if isinstance(frame, film.Frame) else None


def _as_request(hands: Sequence[Hand], handedness: str) -> Request:
    return Request(
        tuple(
            hand._replace(handedness_from="boxes")
            if hand.handedness in boxes.HANDEDNESS
            else hand._replace(handedness=handedness)
            for hand in hands
        )
    )


def _check_any(
    source: Path, found: Mapping[Path, Request], left_out: collections.Counter[str]
) -> None:
    reasons = counted(left_out)
    if reasons and not any(request.hands for request in found.values()):
        raise UserError(f"{source} has no hand that could be used ({', '.join(reasons)}): check it")


def _describe(source: Path, left_out: collections.Counter[str]) -> list[str]:
    reasons = counted(left_out)
    return [f"{source}: left out were {', '.join(reasons)}"] if reasons else []
