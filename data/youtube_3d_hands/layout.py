"""Reads and checks the official YouTube3DHands file layout.

`youtube_{train,val,test}.json` with two lists: of `images`, video frames at
`youtube/VIDEO_ID/video/frames/FRAME_ID.png`, and of `annotations`, meshes of 778 vertices in
pixels of one of those images. A file has up to two gigabytes and is never in memory as a whole.
"""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Bool, Float, Int
from tqdm import auto as tqdm

from data import found, places
from data.raw import meaning
from data.youtube_3d_hands import frames as frame_files
from data.youtube_3d_hands import mano
from peclr_jax.errors import UserError, printable, shown
from peclr_jax.hands import skeleton
from peclr_jax.reading import json_parts

REMEDY = "fetch the file again (see data/youtube_3d_hands/README.md)"
SPLITS = {"train": "train", "validation": "val", "test": "test"}
FILES = {split: f"youtube_{name}.json" for split, name in SPLITS.items()}
PART = "youtube"
NAMES = ("youtube_3d_hands",)
_NAMED_AT_MOST = 5
_LONGEST_NAME = 200


class Frame(NamedTuple):
    """An image as the JSON has it: path below the JSON's directory, width and height in pixels."""

    name: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Split:
    """The hands of which the frame exists, and what is not there.

    Attributes:
      images: The frame of each hand.
      sample_ids: Each hand's index in the JSON.
      keypoints_2d: Joints in pixels of the frame, whatever its size.
      valid: Which of the joints are known, for all hands alike.
      keypoints_3d: Joints as of `mano.joints_in_space`; NaN where they are unknown.
      hand_boxes: Tight boxes of all vertices: x0, y0, x1, y1 in pixels.
      is_left: Which are left hands.
      videos: The names of the videos.
      missing_frames: How many frames that show a hand are not there.
      left_out: What is left out and why, a text for each reason.
    """

    images: tuple[Path, ...]
    sample_ids: Int[np.ndarray, " hands"]
    keypoints_2d: Float[np.ndarray, "hands 21 2"]
    valid: Bool[np.ndarray, "21"]
    keypoints_3d: Float[np.ndarray, "hands 21 3"]
    hand_boxes: Float[np.ndarray, "hands 4"]
    is_left: Bool[np.ndarray, " hands"]
    videos: frozenset[str]
    missing_frames: int
    left_out: tuple[str, ...]


def find_roots(manual_dir: Path) -> list[Path]:
    """Returns the folders that hold JSON files or the folder `youtube`, the nearest first."""

    def holds(folder: Path) -> bool:
        return (folder / PART).is_dir() or any((folder / name).is_file() for name in FILES.values())

    return places.find(manual_dir, holds, NAMES, [PART])


def read_split(roots: Sequence[Path], name: str, regressor: mano.Regressor | None) -> Split | None:
    """Reads one JSON file, looks for its frames and checks both; `None` if there is no such file.

    Frames of another size than the JSON says are as good, if their shape is the same: labels are
    scaled to them. Others are left out.

    Args:
      roots: The folders of the JSON files and of the folder `youtube`.
      name: One of `SPLITS`.
      regressor: As `mano.read_regressor` returns it.
    """
    path = next((path for root in roots if (path := root / FILES[name]).is_file()), None)
    if path is None:
        return None
    frames = _read_frames(path)
    hands = _read_hands(path, frames, regressor)
    shown = collections.Counter(hand.image_id for hand in hands)
    files = {
        i: file for i in shown if (file := frame_files.find(roots, frames[i].name)) is not None
    }
    sizes = frame_files.read_sizes(list(files.values()))
    broken = {i for i, size in zip(files, sizes, strict=True) if size is None}
    whole = {i: size for i, size in zip(files, sizes, strict=True) if size is not None}
    scales = {i: _scale(frames[i], size) for i, size in whole.items()}
    missing = [i for i in shown if i not in files]
    misshapen = {i: size for i, size in whole.items() if scales[i] is None}
    left_out = []
    if broken:
        of_hands = [files[hand.image_id] for hand in hands if hand.image_id in broken]
        left_out.append(f"{name}: {frame_files.describe_broken(of_hands)}")
    if missing:
        left_out.append(f"{name}: {_missing(missing, frames, shown)}")
    if misshapen:
        left_out.append(f"{name}: {_misshapen(misshapen, frames, shown)}")
    kept = [index for index, hand in enumerate(hands) if scales.get(hand.image_id) is not None]
    factors = np.array([scales[hands[index].image_id] for index in kept]).reshape(-1, 1, 2)
    if scaled := len(
        {hands[i].image_id for i, f in zip(kept, factors, strict=True) if (f != 1).any()}
    ):
        logging.warning("%s: labels are scaled to the size of %d frames.", path, scaled)
    # A pixel's centre is at a whole number, its edges are half a pixel away.
    points = np.stack([hand.keypoints_2d for hand in hands])[kept]
    corners = np.stack([hand.box for hand in hands])[kept].reshape(-1, 2, 2)
    return Split(
        images=tuple(files[hands[index].image_id] for index in kept),
        sample_ids=np.array(kept, np.int64),
        keypoints_2d=(points + 0.5) * factors - 0.5,
        valid=mano.valid_joints(regressor),
        keypoints_3d=np.stack([hand.keypoints_3d for hand in hands])[kept],
        hand_boxes=((corners + 0.5) * factors - 0.5).reshape(-1, 4),
        is_left=np.array([hand.is_left for hand in hands])[kept],
        videos=frozenset(_video(frames[hands[index].image_id]) for index in kept),
        missing_frames=len(missing),
        left_out=tuple(left_out),
    )


def _read_frames(path: Path) -> dict[Any, Frame]:
    frames: dict[Any, Frame] = {}
    for index, entry in enumerate(json_parts.stream(path, "images.item", REMEDY)):
        where = f"{path}: image {index}"
        image_id = _field(entry, "id", (int, str), where)
        name = _field(entry, "name", (str,), where)
        if image_id in frames:
            raise UserError(f"{where} has the id {shown(image_id)} of an earlier one: {REMEDY}")
        if PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
            raise UserError(f"{where} is {shown(name)}, which leads out of {path.parent}: {REMEDY}")
        if not Path(name).name or "\0" in name or len(name) > _LONGEST_NAME:
            raise UserError(f"{where} is {name[:40]!r}, which is no file's name: {REMEDY}")
        width, height = (_field(entry, side, (int,), where) for side in ("width", "height"))
        if min(width, height) < 1:
            raise UserError(f"{where} has a size of {width}x{height} px: {REMEDY}")
        frames[image_id] = Frame(name, width, height)
    if not frames:
        raise UserError(f'{path} has no list of "images": {REMEDY}')
    return frames


class _Hand(NamedTuple):
    """What is kept of an annotation: of its vertices only the joints and the box, in pixels."""

    image_id: Any
    keypoints_2d: Float[np.ndarray, "21 2"]
    keypoints_3d: Float[np.ndarray, "21 3"]
    box: Float[np.ndarray, "4"]
    is_left: bool


def _read_hands(
    path: Path, frames: dict[Any, Frame], regressor: mano.Regressor | None
) -> list[_Hand]:
    hands = []
    ids: dict[Any, int] = {}
    unknown = np.full((skeleton.NUM_JOINTS, 3), np.nan, np.float32)
    entries = json_parts.stream(path, "annotations.item", REMEDY)
    progress = tqdm.tqdm(
        entries, desc=f"Reading {printable(path.name)}", unit=" hands", leave=False
    )
    for index, entry in enumerate(progress):
        where = f"{path}: annotation {index}"
        image_id = _field(entry, "image_id", (int, str), where)
        if image_id not in frames:
            raise UserError(
                f"{where} is of image_id {shown(image_id)}, which no image has: {REMEDY}"
            )
        own = entry.get("id")
        if isinstance(own, int | str) and (first := ids.setdefault(own, index)) != index:
            raise UserError(f"{where} has the id {shown(own)} of annotation {first}: {REMEDY}")
        vertices = _vertices(entry, where)
        pixels, in_space = vertices[:, :2], mano.joints_in_space(vertices, regressor)
        frame = frames[image_id]
        size = np.array([[frame.width, frame.height]], np.float64)
        meaning.check_pixels(pixels[None], None, size, lambda _, w=where: w, REMEDY)
        side = _field(entry, "is_left", (int,), where)
        if side not in (0, 1):
            raise UserError(f'{where}: "is_left" is {side!r}, expected 0 or 1: {REMEDY}')
        hands.append(
            _Hand(
                image_id,
                mano.joints(pixels, regressor).astype(np.float32),
                unknown if in_space is None else in_space.astype(np.float32),
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


def _scale(frame: Frame, size: tuple[int, int]) -> tuple[float, float] | None:
    """Returns the factors from the JSON's pixels to the frame's, `None` if their shapes differ."""
    width, height = size
    # Videos are scaled to whole pixels, often to even numbers: 854x480 for 1920x1080.
    if abs(width * frame.height - height * frame.width) > max(frame.width, frame.height):
        return None
    return width / frame.width, height / frame.height


def _video(frame: Frame) -> str:
    return next((part for part in Path(frame.name).parts if part != PART), PART)


def _missing(ids: list[Any], frames: dict[Any, Frame], shown: collections.Counter) -> str:
    """Describes the frames that are not there, and of which videos there is none."""
    videos = {_video(frames[i]) for i in shown}
    lacking = {_video(frames[i]) for i in ids}
    whole = sorted(lacking - {_video(frames[i]) for i in shown.keys() - set(ids)})
    hands = found.number_of(sum(shown[i] for i in ids), "hand")
    text = f"{hands}, whose frames are missing ({len(ids):,} of {len(shown):,} frames"
    if whole:
        text += f"; all of {len(whole)} of {len(videos)} videos: {_some(whole)}"
    if others := sorted(lacking - set(whole)):
        text += f"; some frames of {_some(others)}"
    return f"{text})"


def _misshapen(
    sizes: dict[Any, tuple[int, int]], frames: dict[Any, Frame], shown: collections.Counter
) -> str:
    """Describes the frames whose shape is not the JSON's, video by video."""
    examples = {_video(frames[i]): (i, size) for i, size in sizes.items()}
    texts = [
        f"{video}, {width}x{height} px, not {frames[i].width}x{frames[i].height}"
        for video, (i, (width, height)) in sorted(examples.items())
    ]
    hands = found.number_of(sum(shown[i] for i in sizes), "hand")
    return (
        f"{hands}, whose frames are cut or stretched ({len(sizes):,} of {len(shown):,} "
        f"frames; {_some(texts)}): extract the frames of these videos as they are"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED_AT_MOST]) + (", ..." if len(names) > _NAMED_AT_MOST else "")
