"""Labels of photos in every layout, and what later runs start with: see `targets`."""

import json
import random
from collections.abc import Callable
from pathlib import Path

from mutations import damage, distorted_text, swollen

from data import from_mediapipe, validation
from peclr_jax.devices.programs import Programs
from peclr_jax.labels import coco, yolo
from peclr_jax.labels.requests import requests
from peclr_jax.photos import boxes

Case = Callable[[random.Random, Path], None]
Maker = Callable[[Path], Case]

_BOXES = Path(__file__).parents[2] / "data/image_folder/dummy_data/boxes.json"
_POINTS = [[10.0 + 3 * joint, 20.0 + joint % 5] for joint in range(21)]


def _json(content: object, read: Callable[[Path], object]) -> Maker:
    text = json.dumps(content).encode()

    def make(_: Path) -> Case:
        def case(random: random.Random, folder: Path) -> None:
            mutated = swollen if random.random() < 0.3 else distorted_text
            (folder / "labels.json").write_bytes(mutated(text, random))
            read(folder / "labels.json")

        return case

    return make


def _read_boxes(path: Path) -> None:
    names = [path.parent / name for name in json.loads(_BOXES.read_bytes())]
    boxes.read_boxes(path, "right")
    requests(names, path, "right")


def _coco() -> dict[str, object]:
    seen = [value for point in _POINTS for value in (*point, 2)]
    hands = [
        {"id": 1, "image_id": 1, "category_id": 1, "keypoints": seen, "bbox": [9, 9, 70, 30]},
        {"id": 2, "image_id": 2, "bbox": [9, 9, 70, 30], "lefthand_kpts": seen, "score": 0.5},
    ]
    images = [
        {"id": number, "file_name": f"{number}.jpg", "width": 100, "height": 80}
        for number in (1, 2)
    ]
    return {
        "images": images,
        "annotations": hands,
        "categories": [{"id": 1, "name": "right hand"}],
    }


def yolo_folders(folder: Path) -> Case:
    """A text file of YOLO's."""
    lines = ("0 0.5 0.5 0.2 0.3", "0 0.5 0.5 0.2 0.3 " + "0.5 0.4 " * 20 + "0.45 0.5 0.9")
    text = "\n".join(lines).encode()

    def case(random: random.Random, folder: Path) -> None:
        mutated = swollen if random.random() < 0.3 else damage
        (folder / "a.txt").write_bytes(mutated(text, random))
        yolo.from_folder(folder, {folder / "a.jpg": (100, 80)})

    return case


def compiled_programs(folder: Path) -> Case:
    """What is kept of compiled programs for later runs."""
    programs = Programs(folder)
    programs.put("a", b"program" * 100)
    (kept,) = folder.iterdir()

    def case(random: random.Random, folder: Path) -> None:
        damaged = damage(kept.read_bytes(), random)
        (folder / kept.name).write_bytes(damaged)
        assert Programs(folder).get("a") in (None, b"program" * 100)

    return case


_MEDIAPIPE = {"right": True, "score": 0.9, "uv": _POINTS}
TARGETS: dict[str, Maker] = {
    "boxes files": _json(json.loads(_BOXES.read_bytes()), _read_boxes),
    "coco files": _json(_coco(), coco.from_file),
    "mediapipe files": _json({"a.jpg": [_MEDIAPIPE]}, from_mediapipe.from_file),
    "label lists": _json(
        [_POINTS] * 20, lambda path: validation.read_label_file(path, (21, 2), "fetch it again")
    ),
    "yolo folders": yolo_folders,
    "compiled programs": compiled_programs,
}
