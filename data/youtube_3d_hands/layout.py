"""Reads and checks the official YouTube3DHands file layout.

`youtube_{train,val,test}.json` with two lists: of `images`, video frames at
`youtube/VIDEO_ID/video/frames/FRAME_ID.png`, and of `annotations`, meshes of 778 vertices in
pixels of one of those images. A file has up to two gigabytes and is never in memory as a whole.
"""

import dataclasses
import os
from collections.abc import Iterable
from concurrent import futures
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Bool, Float, Int
from PIL import Image
from tqdm import auto as tqdm

from data import images, validation
from data.raw import meaning
from data.youtube_3d_hands import mano
from peclr_jax.errors import UserError, is_machine_fault

REMEDY = "fetch the file again (see data/youtube_3d_hands/README.md)"
SPLITS = {"train": "train", "validation": "val", "test": "test"}
_LONGEST_NAME = 200
# Frames are PNGs by name, but those that people have extracted from videos are often JPEGs.
_SUFFIXES = (".jpg", ".png", ".jpeg")


class Frame(NamedTuple):
    """An image as the JSON has it: path below the JSON's directory, width and height in pixels."""

    name: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Split:
    """The hands of which the frame exists, and how many frames do not.

    Attributes:
      images: The frame of each hand.
      sample_ids: Each hand's index in the JSON.
      keypoints_2d: Joints in pixels.
      valid: Which of the joints are known, for all hands alike.
      hand_boxes: Tight boxes of all vertices: x0, y0, x1, y1 in pixels.
      is_left: Which are left hands.
      missing_frames: How many frames that show a hand are not there.
    """

    images: tuple[Path, ...]
    sample_ids: Int[np.ndarray, " hands"]
    keypoints_2d: Float[np.ndarray, "hands 21 2"]
    valid: Bool[np.ndarray, "21"]
    hand_boxes: Float[np.ndarray, "hands 4"]
    is_left: Bool[np.ndarray, " hands"]
    missing_frames: int


def read_split(root: Path, name: str, regressor: mano.Regressor | None) -> Split | None:
    """Reads one JSON file, looks for its frames and checks both; `None` if there is no such file.

    Args:
      root: The directory of the JSON files and of the folder `youtube`.
      name: One of `SPLITS`.
      regressor: As `mano.read_regressor` returns it.
    """
    path = root / f"youtube_{SPLITS[name]}.json"
    if not path.is_file():
        logging.warning("%s does not exist: the split %s is left out.", path, name)
        return None
    frames = _read_frames(path)
    hands = _read_hands(path, frames, regressor)
    shown = dict.fromkeys(hand.image_id for hand in hands)
    found = {i: file for i in shown if (file := _find(root / frames[i].name)) is not None}
    _check_sizes({found[i]: frames[i] for i in found}, path)
    if missing := [root / frames[i].name for i in shown if i not in found]:
        logging.warning(
            "%d of %d frames of %s are missing, the first is %s: their hands are left out.",
            len(missing),
            len(shown),
            path,
            missing[0],
        )
    kept = [index for index, hand in enumerate(hands) if hand.image_id in found]
    return Split(
        images=tuple(found[hands[index].image_id] for index in kept),
        sample_ids=np.array(kept, np.int64),
        keypoints_2d=np.stack([hand.keypoints_2d for hand in hands])[kept],
        valid=mano.valid_joints(regressor),
        hand_boxes=np.stack([hand.box for hand in hands])[kept],
        is_left=np.array([hand.is_left for hand in hands])[kept],
        missing_frames=len(missing),
    )


def _read_frames(path: Path) -> dict[Any, Frame]:
    frames: dict[Any, Frame] = {}
    for index, entry in enumerate(validation.stream(path, "images.item", REMEDY)):
        where = f"{path}: image {index}"
        image_id = _field(entry, "id", (int, str), where)
        name = _field(entry, "name", (str,), where)
        if image_id in frames:
            raise UserError(f"{where} has the id {image_id!r} of an earlier one: {REMEDY}")
        if PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
            raise UserError(f"{where} is {name!r}, which leads out of {path.parent}: {REMEDY}")
        if not Path(name).name or "\0" in name or len(name) > _LONGEST_NAME:
            raise UserError(f"{where} is {name[:40]!r}, which is no file's name: {REMEDY}")
        width, height = (_field(entry, side, (int,), where) for side in ("width", "height"))
        frames[image_id] = Frame(name, width, height)
    if not frames:
        raise UserError(f'{path} has no list of "images": {REMEDY}')
    return frames


class _Hand(NamedTuple):
    """What is kept of an annotation: of its vertices only the joints and the box, in pixels."""

    image_id: Any
    keypoints_2d: Float[np.ndarray, "21 2"]
    box: Float[np.ndarray, "4"]
    is_left: bool


def _read_hands(
    path: Path, frames: dict[Any, Frame], regressor: mano.Regressor | None
) -> list[_Hand]:
    hands = []
    entries = validation.stream(path, "annotations.item", REMEDY)
    progress = tqdm.tqdm(entries, desc=f"Reading {path.name}", unit=" hands", leave=False)
    for index, entry in enumerate(progress):
        where = f"{path}: annotation {index}"
        image_id = _field(entry, "image_id", (int, str), where)
        if image_id not in frames:
            raise UserError(f"{where} is of image_id {image_id!r}, which no image has: {REMEDY}")
        pixels = _vertices(entry, where)[:, :2]
        frame = frames[image_id]
        size = np.array([[frame.width, frame.height]], np.float64)
        meaning.check_pixels(pixels[None], None, size, lambda _, w=where: w, REMEDY)
        side = _field(entry, "is_left", (int,), where)
        meaning.check_sides([side], (0, 1), lambda _, w=where: f'{w}: "is_left"', REMEDY)
        hands.append(
            _Hand(
                image_id,
                mano.joints(pixels, regressor).astype(np.float32),
                np.concatenate([pixels.min(0), pixels.max(0)]).astype(np.float32),
                bool(side),
            )
        )
    if not hands:
        raise UserError(f'{path} has no list of "annotations": {REMEDY}')
    return hands


def _field(entry: Any, name: str, kinds: tuple[type, ...], where: str) -> Any:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f'{where} must have a field "{name}" of type {wanted}: {REMEDY}')
    return value


def _vertices(entry: dict[str, Any], where: str) -> Float[np.ndarray, "778 3"]:
    try:
        vertices = np.asarray(entry.get("vertices"), np.float64)
        found: object = vertices.shape
    except (ValueError, TypeError, OverflowError):
        vertices, found = np.empty(0), "ragged or not numeric"
    if found != (mano.NUM_VERTICES, 3):
        raise UserError(
            f"{where} has vertices of shape {found}, expected {(mano.NUM_VERTICES, 3)}: {REMEDY}"
        )
    bad = np.argwhere(~np.isfinite(vertices))
    if bad.size:
        value = vertices[tuple(bad[0])]
        raise UserError(f"{where}, vertex {bad[0][0]} is {value}, not a finite number: {REMEDY}")
    return vertices


def _find(image: Path) -> Path | None:
    candidates = (image, *(image.with_suffix(suffix) for suffix in _SUFFIXES))
    return next((path for path in candidates if path.is_file()), None)


def _check_sizes(expected: dict[Path, Frame], path: Path) -> None:
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes: Iterable[tuple[int, int]] = pool.map(_read_size, expected)
        for (file, frame), size in zip(expected.items(), sizes, strict=True):
            if size != (frame.width, frame.height):
                raise UserError(
                    f"{file} has {size[0]}x{size[1]} px, but {path} says "
                    f"{frame.width}x{frame.height}: extract the frames from the video in that size"
                )


def _read_size(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file, formats=images.FORMATS) as image:
            return image.size
    # Decoders raise errors of every kind over broken files.
    except Exception as error:
        if is_machine_fault(error):
            raise
        raise UserError(f"{file} is not an image ({error}): extract the frame again") from error
