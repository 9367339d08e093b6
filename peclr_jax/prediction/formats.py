"""What `predictions.json` holds, in the formats of other programs: CSV, NPZ, COCO keypoints."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from peclr_jax.errors import FieldError, nearest
from peclr_jax.files import writing, writing_bytes
from peclr_jax.hands.skeleton import BONES, JOINT_NAMES, NUM_JOINTS
from peclr_jax.pages.gallery import JSON

_COLUMNS = (
    *("file", "frame", "time_s", "hand", "handedness", "joint"),
    *("x_px", "y_px", "x_m", "y_m", "z_m", "expected_error_px"),
)


def read_formats(text: str) -> tuple[str, ...]:
    """Returns the names in a list such as "json,csv".

    Raises:
      FieldError: A format that is unknown.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in FORMATS:
            raise FieldError(
                "formats",
                f"has the unknown format {name!r}; known are {', '.join(FORMATS)}"
                + nearest(name, FORMATS),
            )
    return names


def convert(folder: Path, formats: tuple[str, ...]) -> list[Path]:
    """Writes the files beside a folder's `predictions.json`; returns their paths.

    Args:
      folder: Of the prediction.
      formats: Names in `FORMATS`.
    """
    found = json.loads((folder / JSON).read_text(encoding="utf-8"))
    written = []
    for name in formats:
        file, write = FORMATS[name]
        if write is not None:
            write(folder / file, found)
        written.append(folder / file)
    return written


def write_csv(path: Path, found: Mapping[str, Any]) -> None:
    """Writes a row a hand and joint, with a header; what is not known is empty.

    Args:
      path: The file to write.
      found: What `predictions.json` holds.
    """
    with writing(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for entry, number, hand in _hands(found):
            image = entry["file"], entry.get("frame"), entry.get("time_s"), number
            errors = hand["expected_error_px"] or [None] * NUM_JOINTS
            joints = zip(
                JOINT_NAMES, hand["keypoints_2d"], hand["keypoints_3d"], errors, strict=True
            )
            for name, pixel, point, error in joints:
                rows.writerow((*image, hand["handedness"], name, *pixel, *point, error))


def write_npz(path: Path, found: Mapping[str, Any]) -> None:
    """Writes arrays with a row a hand, and the joints' names; NaN or -1 is what is not known.

    Args:
      path: The file to write.
      found: What `predictions.json` holds.
    """
    hands = list(_hands(found))
    unknown = [np.nan] * NUM_JOINTS
    arrays = {
        "image": [entry["file"] for entry, _, _ in hands],
        "frame": [entry.get("frame", -1) for entry, _, _ in hands],
        "time_s": [entry.get("time_s", np.nan) for entry, _, _ in hands],
        "hand": [number for _, number, _ in hands],
        "handedness": [hand["handedness"] for _, _, hand in hands],
        "intrinsics": [entry["intrinsics"] for entry, _, _ in hands],
        "keypoints_2d": [hand["keypoints_2d"] for _, _, hand in hands],
        "keypoints_3d": [hand["keypoints_3d"] for _, _, hand in hands],
        "expected_error_px": [hand["expected_error_px"] or unknown for _, _, hand in hands],
    }
    shapes = {
        "intrinsics": (3, 3),
        "keypoints_2d": (NUM_JOINTS, 2),
        "keypoints_3d": (NUM_JOINTS, 3),
        "expected_error_px": (NUM_JOINTS,),
    }
    kinds: dict[str, Any] = {"image": str, "handedness": str, "frame": np.int64, "hand": np.int64}
    rows: dict[str, Any] = {
        name: np.array(values, kinds.get(name, np.float64)).reshape(-1, *shapes.get(name, ()))
        for name, values in arrays.items()
    }
    with writing_bytes(path) as file:
        np.savez_compressed(file, joints=np.array(JOINT_NAMES), **rows)


def write_coco(path: Path, found: Mapping[str, Any]) -> None:
    """Writes COCO keypoints.

    COCO's pixels have their origin at the top-left pixel's corner, ours at its centre: half a pixel
    is added to both coordinates. A box [x, y, width, height] is that of the keypoints. All of them
    have the visibility 2. The score is 1 / (1 + e) with e the mean expected error over the larger
    side of the box, and 1 where that is not known. Left hands have a category of their own.

    Args:
      path: The file to write.
      found: What `predictions.json` holds.
    """
    images = [
        {"id": number, "file_name": entry["file"]}
        | {"width": entry["width"], "height": entry["height"]}
        | {field: entry[field] for field in ("frame", "time_s") if field in entry}
        for number, entry in enumerate(found["images"], 1)
    ]
    ids = {id(entry): number for number, entry in enumerate(found["images"], 1)}
    annotations = [
        {"id": number, "image_id": ids[id(entry)]} | _annotation(hand)
        for number, (entry, _, hand) in enumerate(_hands(found), 1)
    ]
    skeleton = [[parent + 1, child + 1] for parent, child in BONES]
    categories = [
        {"id": number, "name": name, "supercategory": "hand"}
        | {"keypoints": JOINT_NAMES, "skeleton": skeleton}
        for number, name in enumerate(("right_hand", "left_hand"), 1)
    ]
    with writing(path) as file:
        json.dump({"images": images, "annotations": annotations, "categories": categories}, file)


def _annotation(hand: Mapping[str, Any]) -> dict[str, Any]:
    points = np.array(hand["keypoints_2d"]) + 0.5
    low, size = points.min(0), np.ptp(points, axis=0)
    error = hand["mean_expected_error_px"]
    score = 1.0 if error is None else 1 / (1 + error / max(float(size.max()), 1.0))
    seen = np.concatenate([points, np.full((NUM_JOINTS, 1), 2)], axis=1)
    return {
        "category_id": 2 if hand["handedness"] == "left" else 1,
        "keypoints": seen.round(2).ravel().tolist(),
        "num_keypoints": NUM_JOINTS,
        "bbox": np.concatenate([low, size]).round(2).tolist(),
        "area": round(float(np.prod(size)), 2),
        "iscrowd": 0,
        "score": round(score, 4),
    }


def _hands(found: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int, dict[str, Any]]]:
    """Yields (image, number in the image, hand)."""
    for entry in found["images"]:
        for number, hand in enumerate(entry["hands"]):
            yield entry, hand.get("track", number), hand


Writer = Callable[[Path, Mapping[str, Any]], None]
FORMATS: dict[str, tuple[str, Writer | None]] = {
    "json": (JSON, None),
    "csv": ("predictions.csv", write_csv),
    "npz": ("predictions.npz", write_npz),
    "coco": ("predictions_coco.json", write_coco),
}
"""File and writer of each format; `predictions.json` is always there."""
