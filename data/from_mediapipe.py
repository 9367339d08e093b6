"""Writes `boxes.json` with the labels of MediaPipe Hands: `python -m data.from_mediapipe FOLDER`.

MediaPipe looks for up to two hands in each photo. It needs an environment of its own, because
TensorFlow wants another protobuf:

    python3 -m venv mediapipe
    mediapipe/bin/pip install mediapipe==0.10.14 jaxtyping tqdm ijson filelock
    mediapipe/bin/python -m data.from_mediapipe FOLDER

With --labels its labels are taken from a JSON file, in which an empty list says that it found none:

    {"a.jpg": [{"right": true, "score": 0.99, "uv": [[x, y], ...], "world": [[x, y, z], ...]}]}

"right" tells right hands, as a person has them, from left ones. "uv" are pixels with the origin at
the centre of the top-left pixel, "world" metres, x right, y down, z forward; 21 joints each, in
MediaPipe's order, which is FreiHAND's. The score is how sure MediaPipe is of the side.
"""

from peclr_jax import stopping  # which imports little; the rest is imported with signals obeyed

PROGRAM = stopping.start(__name__)

import argparse
import collections
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import auto as tqdm

from data.labels import command
from data.labels.folder import Photos, open_photos
from data.raw import meaning
from peclr_jax.errors import UserError, shown
from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.labels import values
from peclr_jax.labels.values import Labels
from peclr_jax.photos import boxes, read
from peclr_jax.places import argument
from peclr_jax.reading import json_parts

_SOURCE = "mediapipe"
_MOST_HANDS = 2
_THRESHOLD = 0.5
PACKAGES = "mediapipe==0.10.14 jaxtyping tqdm ijson filelock"
"""What an environment must have for this command, as arguments of pip."""
_NOT_INSTALLED = (
    f"MediaPipe 0.10.14 is not installed here: in another environment run pip install {PACKAGES} "
    "and this command, or pass --labels with labels of it"
)
# It expects mirrored images, in which a right hand looks like a left one.
_SIDES = {"Left": "right", "Right": "left"}
_FIELDS = {"right", "score", "uv"}


def from_file(path: Path) -> Labels:
    """Returns the labels of MediaPipe that a JSON file holds."""
    if not json_parts.begins_with(path, "{"):
        raise UserError(f'{path} must be an object {{"FILE": [{{"right": true, "uv": [...]}}]}}')
    labels = Labels({}, collections.Counter())
    for name, entries in json_parts.fields(path):
        where = f"{path}, {shown(name)}"
        if not isinstance(entries, list):
            raise UserError(f"{where} must be a list of hands, got {shown(entries)}")
        boxes.check_count(entries, where)
        hands = [_hand(e, f"{where}, hand {i + 1}") for i, e in enumerate(entries)]
        _add(labels, name, hands)
    return labels


def look(folder: Path) -> tuple[Labels, Photos]:
    """Returns what MediaPipe finds in a folder's photos; shows progress."""
    labels = Labels({}, collections.Counter())
    broken: dict[str, str] = {}
    with _open_detector() as detector:
        photos = open_photos(folder)
        names = tqdm.tqdm(photos.sizes, desc="Looking for hands", unit=" photos", leave=False)
        for name in names:
            try:
                pixels = np.asarray(read.read(photos.root / name).pixels.image)
            except read.UnreadableImageError as error:  # which a smaller copy of it did not show
                broken[name] = f"{photos.root / name} cannot be read: {error}"
                continue
            _add(labels, name, _found(detector.process(pixels), *photos.sizes[name]))
    return labels._replace(notes=tuple(broken.values())), photos.without(broken)


def _hand(entry: Any, where: str) -> boxes.Hand | None:
    if not (isinstance(entry, dict) and entry.keys() >= _FIELDS):
        raise UserError(f"{where} must be an object with {', '.join(sorted(_FIELDS))}")
    if not isinstance(entry["right"], bool):
        raise UserError(f'{where}: "right" must be true or false, got {shown(entry["right"])}')
    in_space = entry.get("world")
    if in_space is not None:
        world = values.as_numbers(in_space, (NUM_JOINTS, 3), f'{where}: "world"')
        meaning.check_hands(
            world[None], None, lambda _: f'{where}: "world"', "let MediaPipe look again"
        )
        in_space = world.tolist()
    pixels = values.as_numbers(entry["uv"], (NUM_JOINTS, 2), f'{where}: "uv"')
    values.check_unit(pixels, True, f'{where}: "uv"')
    return values.make_hand(
        "right" if entry["right"] else "left",
        keypoints=pixels.tolist(),
        keypoints_3d=in_space,
        score=values.as_score(entry["score"], f'{where}: "score"'),
        source=_SOURCE,
    )


def _add(labels: Labels, name: str, hands: Sequence[boxes.Hand | None]) -> None:
    labels.hands[name] = [hand for hand in hands if hand is not None]
    labels.left_out["hands without extent"] += len(hands) - len(labels.hands[name])


def _found(answer: Any, width: int, height: int) -> list[boxes.Hand | None]:
    """Returns the hands of an answer of MediaPipe for a photo."""
    hands = zip(
        answer.multi_hand_landmarks or (),
        answer.multi_hand_world_landmarks or (),
        answer.multi_handedness or (),
        strict=True,
    )
    return [
        values.make_hand(
            _SIDES[side.classification[0].label],
            # In widths and heights of the photo, from the edge of its first pixel.
            keypoints=[(p.x * width - 0.5, p.y * height - 0.5) for p in in_image.landmark],
            keypoints_3d=[(p.x, p.y, p.z) for p in in_space.landmark],
            score=min(side.classification[0].score, 1.0),
            source=_SOURCE,
        )
        for in_image, in_space, side in hands
    ]


@contextmanager
def _open_detector() -> Iterator[Any]:
    try:
        # Here, because it is installed in an environment of its own.
        import mediapipe

        detector = mediapipe.solutions.hands.Hands(
            static_image_mode=True,
            max_num_hands=_MOST_HANDS,
            min_detection_confidence=_THRESHOLD,
        )
    except (ImportError, AttributeError):  # later ones have no `solutions`
        raise UserError(_NOT_INSTALLED) from None
    with detector:
        yield detector


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the labels of a folder and returns the exit code."""
    parser = command.make_parser(__doc__)
    parser.add_argument("folder", type=argument, metavar="FOLDER", help="where the photos lie")
    parser.add_argument("--labels", type=argument, help="a JSON file with labels of MediaPipe")

    def convert(flags: argparse.Namespace) -> tuple[Labels, Photos]:
        if not flags.labels:
            return look(flags.folder)
        return from_file(flags.labels), open_photos(flags.folder)

    return command.run(parser.parse_args(arguments), convert)


if __name__ == "__main__":
    sys.exit(PROGRAM.run(main))
