"""Data sets as people have them on disk, made of real photographs with labels (see `shared`)."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from data.dexter_object import layout as dexter_object
from data.youtube_3d_hands import mano
from peclr_jax.geometry import camera
from peclr_jax.hands import skeleton

PARTS = ("training", "evaluation")
FRAME = (640, 480)
AT = (300, 150)  # where a photograph lies in a frame
# Our joints in MANO's order.
TO_MANO = np.argsort(skeleton.FROM_MANO)
OPENGL = np.array([1, -1, -1])


class Photographs:
    """Right hands in 224x224 px, in the layout of FreiHAND.

    Attributes:
      images: Their paths, those for training first.
      intrinsics: (N, 3, 3), pixels.
      points: (N, 21, 3), metres.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.images = [p for part in PARTS for p in sorted((folder / part / "rgb").glob("*.jpg"))]
        self.intrinsics, self.points = (
            np.concatenate(
                [json.loads((folder / f"{part}_{key}.json").read_text()) for part in PARTS]
            )
            for key in ("K", "xyz")
        )

    def frame(self, row: int, size: tuple[int, int] = FRAME) -> Image.Image:
        """Returns a frame of a film with a photograph in it, of any size."""
        frame = Image.new("RGB", FRAME, (90, 110, 90))
        with Image.open(self.images[row]) as photograph:
            frame.paste(photograph, AT)
        return frame if size == FRAME else frame.resize(size)

    def camera(self, row: int) -> np.ndarray:
        """Returns the camera matrix of a frame."""
        shift = np.zeros((3, 3))
        shift[:2, 2] = AT
        return self.intrinsics[row] + shift

    def pixels(self, row: int) -> np.ndarray:
        """Returns the joints in a frame, (21, 2) pixels."""
        return camera.project(self.points[row][None], self.camera(row)[None])[0]


def packed(folder: Path, archive: Path, around: str = "") -> None:
    """Moves a folder's content into an archive, perhaps in a folder there."""
    with zipfile.ZipFile(archive, "w") as content:
        for path in folder.rglob("*"):
            if path.is_file():
                content.write(path, Path(around) / path.relative_to(folder))
    shutil.rmtree(folder)


def freihand(photographs: Photographs, folder: Path) -> tuple[Path, Path]:
    """Unpacks both archives side by side: the evaluation's joints are in the second one."""
    first, second = folder / "FreiHAND_pub_v2", folder / "FreiHAND_pub_v2_eval"
    shutil.copytree(photographs.folder, first)
    (second / "evaluation/segmap").mkdir(parents=True)
    shutil.copytree(first / "evaluation/rgb", second / "evaluation/rgb")
    for path in first.glob("evaluation_*.json"):
        shutil.copy(path, second)
    (second / "evaluation_verts.json").write_text("[]")
    (first / "evaluation_xyz.json").unlink()
    return first, second


def ho3d(photographs: Photographs, folder: Path, version: str) -> list[list[list[float]]]:
    """Writes a version; returns what its `evaluation_xyz.json` holds, which is not written."""
    root, suffix = folder / f"HO3D_{version}", {"v2": ".png", "v3": ".jpg"}[version]
    start = {"v2": 0, "v3": 20}[version]
    trained = ["ABF10", "ABF12", "MC1", "SiBF10", "SiBF14", "SM2", "SMu40", "SMu41"]
    evaluated = ["SM1", "AP10", "AP11"] if version == "v2" else ["SM1", "MPM13"]
    truth = []
    for part, sequences in {"train": trained, "evaluation": evaluated}.items():
        for number, sequence in enumerate(sequences):
            row = start + number + (12 if part == "evaluation" else 0)
            image = root / part / sequence / "rgb" / f"0003{suffix}"
            meta = image.parents[1] / "meta/0003.pkl"
            depth = image.parents[1] / "depth/0003.png"
            for path in (image, meta, depth):
                path.parent.mkdir(parents=True, exist_ok=True)
            photographs.frame(row).save(image)
            depth.write_bytes(bytes(1000))
            joints = (photographs.points[row] * OPENGL)[TO_MANO]
            pixels = photographs.pixels(row)
            label = {"camMat": photographs.camera(row), "handJoints3D": joints}
            if part == "evaluation":
                truth.append(joints.tolist())
                box = np.concatenate([pixels.min(0), pixels.max(0)]).tolist()
                label |= {"handJoints3D": joints[0], "handBoundingBox": box}
            meta.write_bytes(pickle.dumps(label, 2))
        listed = "".join(f"{sequence}/0003\n" for sequence in sequences)
        (root / f"{part}.txt").write_text(listed)
    return truth


def youtube_3d_hands(photographs: Photographs, folder: Path) -> None:
    """Writes videos `whole`, `smaller` (of the same shape), `wide` (stretched) and `gone`."""
    sizes = {"whole": FRAME, "smaller": (576, 432), "wide": (640, 360), "gone": None}
    for split, start in {"train": 0, "val": 20, "test": 40}.items():
        images, annotations = [], []
        for number, video in enumerate(4 * list(sizes) if split == "train" else sizes):
            row, name = start + number, f"youtube/{split}_{video}/video/frames/{number}.png"
            width, height = FRAME
            images.append({"id": number, "name": name, "width": width, "height": height})
            vertices = np.zeros((mano.NUM_VERTICES, 3))
            joints = photographs.pixels(row)[TO_MANO]
            vertices[:, :2] = joints[np.arange(mano.NUM_VERTICES) % 21]
            vertices[: mano.NUM_REGRESSED, :2] = joints[: mano.NUM_REGRESSED]
            vertices[list(mano.TIP_VERTICES), :2] = joints[mano.NUM_REGRESSED :]
            labels = {"vertices": vertices.tolist(), "is_left": 0, "image_id": number}
            annotations.append(labels | {"id": number})
            if size := sizes[video]:
                path = (folder / name).with_suffix(".jpg")
                path.parent.mkdir(parents=True, exist_ok=True)
                photographs.frame(row, size).save(path, quality=95)
        content = json.dumps({"images": images, "annotations": annotations})
        (folder / f"youtube_{split}.json").write_text(content)
    np.save(folder / "J_regressor.npy", np.eye(mano.NUM_REGRESSED, mano.NUM_VERTICES))


def dexter(photographs: Photographs, folder: Path, names: dict[str, str]) -> None:
    """Writes sequences of five frames, the images called as `names` says: "color/{:04d}.png"."""
    inverse = np.linalg.inv(dexter_object.ROTATION)
    for start, (sequence, name) in enumerate(names.items()):
        lines = []
        for number in range(5):
            row = 7 * start + number
            tips = list(skeleton.FINGERTIPS)
            pixels = np.concatenate([photographs.pixels(row)[tips], np.ones((5, 1))], axis=1)
            points = pixels @ np.linalg.inv(dexter_object.INTRINSICS).T
            points *= 1000 * photographs.points[row][tips, 2:]
            points = (points - dexter_object.TRANSLATION_MM) @ inverse.T * [-1, -1, 1]
            lines.append("".join(f"{x:.4f}, {y:.4f}, {z:.4f};" for x, y, z in points))
            path = folder / sequence / name.format(number + 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            photographs.frame(row).save(path)
        annotations = folder / sequence / "annotations"
        annotations.mkdir()
        (annotations / f"{sequence}3D.txt").write_text("\n".join(lines))
