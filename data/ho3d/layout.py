"""Reads and checks the official file layout of HO-3D v2 and v3.

`{train,evaluation}/SEQ/rgb/%04d.{png,jpg}` beside `{train,evaluation}/SEQ/meta/%04d.pkl`, of
which the frames count that `train.txt` and `evaluation.txt` list as `SEQ/%04d`. The files have
OpenGL's axes (x right, y up, z backward) and MANO's order of the joints; what is returned has ours.
"""

import dataclasses
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Bool, Float
from tqdm import auto as tqdm

from data import found, pickles, places, split, validation
from data.ho3d import labels
from data.ho3d.labels import REMEDY
from data.images import ahead
from peclr_jax.errors import MissingFileError, UserError, printable, shown
from peclr_jax.hands import skeleton
from peclr_jax.reading import bounded

SUFFIXES = {"v2": ".png", "v3": ".jpg"}
GROUND_TRUTH = "evaluation_xyz.json"
PARTS = ("train", "evaluation")
WANTED = r"(^|/)((train|evaluation)(\.txt|/[^/]+/(rgb|meta)/[^/]+)|evaluation_xyz\.json)$"
FROM_OPENGL = np.array([1.0, -1.0, -1.0])

_FRAME = re.compile(r"([\w-]+)/(\d+)", re.ASCII)
NAMES = tuple(f"HO3D_{version}" for version in SUFFIXES)
# "Si" and "BF1" of "SiBF10": a person with an object, seen by the first of several cameras.
_PERSON = re.compile(r"[A-Z][a-z]*")
_CAMERA = re.compile(r"(?<=\d)\d$")
_MOST_NUMBERS = 1000  # in a label


@dataclasses.dataclass(frozen=True)
class Frames:
    """The listed frames of `train` or `evaluation`, in the order of the list.

    Attributes:
      images: One path per frame.
      intrinsics: Camera matrices in pixels.
      keypoints_3d: Joints in metres, FreiHAND order, OpenCV's axes; zero where not valid.
      keypoints_2d: Their projections in pixels; zero where not valid.
      valid: Joints that are labelled: all, or the wrist alone.
      hand_box: Boxes (x0, y0, x1, y1) in pixels, or `None` where the data set has none.
    """

    images: tuple[Path, ...]
    intrinsics: Float[np.ndarray, "frames 3 3"]
    keypoints_3d: Float[np.ndarray, "frames 21 3"]
    keypoints_2d: Float[np.ndarray, "frames 21 2"]
    valid: Bool[np.ndarray, "21"]
    hand_box: Float[np.ndarray, "frames 4"] | None


def find_root(manual_dir: Path, version: str) -> Path | None:
    """Returns the folder that holds `train` or `evaluation` of a version, if there is one.

    Versions may lie side by side in folders of any name: their images are of different kinds.
    """
    roots = find_roots(manual_dir)
    of_version = [root for root in roots if _version(root) == version]
    named = [root for root in roots if root.name.lower() == f"ho3d_{version}"]
    both = [root for root in named if root in of_version]
    # Other data sets have folders of these names, but not these lists beside them.
    lists = [f"{part}.txt" for part in PARTS]
    unsure = [
        root
        for root in roots
        if _version(root) is None and any((root / name).is_file() for name in lists)
    ]
    return next(iter([*both, *of_version, *named, *unsure]), None)


def find_roots(manual_dir: Path) -> list[Path]:
    """Returns the folders that hold `train` or `evaluation` of any version, nearest first."""
    return places.find(
        manual_dir, lambda folder: any((folder / part).is_dir() for part in PARTS), NAMES, PARTS
    )


def _version(root: Path) -> str | None:
    """Returns the version that a folder's images are of, if it has any."""
    for rgb in itertools.islice(root.glob("[te][rv]a*/*/rgb"), 1):
        for path in itertools.islice(rgb.glob("[0-9]*"), 1):
            return next((v for v, suffix in SUFFIXES.items() if path.suffix == suffix), None)
    return None


def read_train(root: Path, version: str) -> Frames | None:
    """Reads and checks the labels of the training frames, if any; images are only looked for."""
    images = _list_images(root, "train", version)
    if not images:
        return None
    found = _read_meta(images, {"handJoints3D": (21, 3), "camMat": (3, 3)})
    return _convert(images, found["handJoints3D"], found["camMat"], None)


def held_out(images: Sequence[Path]) -> Bool[np.ndarray, " frames"]:
    """Returns which training frames are held out: all of one person, about a tenth.

    Neighbouring frames look alike, and several cameras see the same hand at once. Sequences are
    named after person, object, take and camera: "SiBF10". Of the frames of a single person a take
    is held out, and of a single take nothing.

    Args:
      images: Paths as in `Frames`.
    """
    sequences = [image.parents[1].name for image in images]
    people = [m[0] if (m := _PERSON.match(sequence)) else sequence for sequence in sequences]
    takes = [_CAMERA.sub("", sequence) for sequence in sequences]
    return split.whole_group(people if len(set(people)) > 1 else takes)


def read_evaluation(root: Path, version: str, manual_dir: Path) -> Frames | None:
    """Reads and checks the labels of the evaluation frames: roots and boxes, or all there is.

    Args:
      root: As found by `find_root`.
      version: "v2" or "v3".
      manual_dir: Where besides `root` an `evaluation_xyz.json`, published years later, may lie.

    Returns:
      The frames, or `None` where there is no folder of them.
    """
    images = _list_images(root, "evaluation", version)
    if not images:
        return None
    found = _read_meta(images, {"handJoints3D": (3,), "camMat": (3, 3), "handBoundingBox": (4,)})
    roots, boxes = found["handJoints3D"][:, None], found["handBoundingBox"]
    empty = np.flatnonzero((boxes[:, 2:] <= boxes[:, :2]).any(-1))
    if empty.size:
        raise UserError(
            f"{_meta(images[empty[0]])}: handBoundingBox is {boxes[empty[0]].tolist()}, expected "
            f"x0, y0, x1, y1 with x0 < x1 and y0 < y1: {REMEDY}"
        )
    truth = _find_ground_truth(root, version, manual_dir, roots)
    if truth is None:
        return _convert(images, roots, found["camMat"], boxes)
    return _convert(images, truth, found["camMat"], boxes, f"its joints in {GROUND_TRUTH}")


def _list_images(root: Path, name: str, version: str) -> tuple[Path, ...]:
    """Returns the images of the listed frames; none if the folder is absent."""
    folder, listed = root / name, root / f"{name}.txt"
    if not folder.is_dir():
        if listed.is_file():
            count = found.number_of(len(_entries(listed)), "frame")
            raise MissingFileError(
                f"{listed} lists {count}, but {folder} is not there: unpack the archive again, or "
                "remove the list"
            )
        return ()
    if not listed.is_file():
        raise MissingFileError(
            f"{listed} is missing, which says which frames of {folder} count: {REMEDY}"
        )
    lines = _entries(listed)
    if not lines:
        raise UserError(f"{listed} lists no frame: {REMEDY}")
    suffix = SUFFIXES[version]
    images: dict[Path, int] = {}
    for number, line in enumerate(lines):
        if not (frame := _FRAME.fullmatch(line)):
            raise UserError(
                f"{listed}: entry {number} is {shown(line)}, expected SEQUENCE/FRAME as in "
                f"'ABF10/0000': {REMEDY}"
            )
        image = folder / frame[1] / "rgb" / f"{frame[2]}{suffix}"
        if not image.is_file():
            remedy = REMEDY
            for other, kind in SUFFIXES.items():
                if kind != suffix and image.with_suffix(kind).exists():
                    remedy = f"there is one of HO-3D {other}, so choose ho3d/{other}"
            raise MissingFileError(f"{image} is missing, entry {number} of {listed}: {remedy}")
        if (first := images.setdefault(image, number)) != number:
            raise UserError(f"{listed}: entries {first} and {number} are both {line}: {REMEDY}")
    return tuple(images)


def _entries(listed: Path) -> list[str]:
    return bounded.text(listed, REMEDY, errors="replace").split()


def _meta(image: Path) -> Path:
    return image.parents[1] / "meta" / f"{image.stem}.pkl"


def _read_meta(
    images: tuple[Path, ...], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Float[np.ndarray, "frames ..."]]:
    """Reads the labels of the given names and shapes from every image's pickle."""
    paths = [_meta(image) for image in images]
    with tqdm.tqdm(
        ahead(lambda path: pickles.load(path, remedy=REMEDY), paths),
        total=len(paths),
        desc=f"Reading {printable(images[0].parents[2].name)}/*/meta",
        unit=" frames",
        leave=False,
    ) as contents:
        rows = [
            [_label(path, content, name, shape) for name, shape in shapes.items()]
            for path, content in zip(paths, contents, strict=True)
        ]
    columns = map(np.stack, zip(*rows, strict=True))
    return dict(zip(shapes, columns, strict=True))


def _label(path: Path, content: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    value = content.get(name) if isinstance(content, dict) else None
    if value is None:
        raise UserError(f"{path} has no {name}, which every listed frame has: {REMEDY}")
    try:
        array = pickles.as_numbers(value, _MOST_NUMBERS)
    except UserError as error:
        raise UserError(f"{path}: {name} does not hold numbers ({error}): {REMEDY}") from None
    if array.size != np.prod(shape) or array.shape[-1:] != shape[-1:]:
        raise UserError(f"{path}: {name} has shape {array.shape}, expected {shape}: {REMEDY}")
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {name} holds NaN or infinity: {REMEDY}")
    return array.reshape(shape)


def _find_ground_truth(
    root: Path, version: str, manual_dir: Path, roots: Float[np.ndarray, "frames 1 3"]
) -> Float[np.ndarray, "frames 21 3"] | None:
    """Returns the joints of the evaluation frames from the file whose wrists are theirs, if any.

    The file has no names of frames, and that of another version may lie beside.
    """
    found = places.find(manual_dir, lambda place: (place / GROUND_TRUTH).is_file(), NAMES, PARTS)
    others = [other for other in find_roots(manual_dir) if other.resolve() != root.resolve()]
    folders = dict.fromkeys([root, *found])
    for path in [path for folder in folders if (path := folder / GROUND_TRUTH).is_file()]:
        joints = validation.read_label_file(path, (21, 3), REMEDY)
        if not (misfit := labels.misfit(joints, roots)):
            logging.warning("%s has the joints of the evaluation frames in %s.", path, root)
            return joints
        is_meant = path.parent in (root, *root.parents, Path(os.path.abspath(manual_dir)))
        is_meant &= path.parent not in others
        if is_meant and not any(_fits(joints, other) for other in others):
            raise UserError(f"{path}{misfit}; they are of different versions of HO-3D: {REMEDY}")
        logging.warning("%s is not of HO-3D %s, but of other data, and left out.", path, version)
    return None


def _fits(joints: Float[np.ndarray, "entries 21 3"], other: Path) -> bool:
    """Returns whether joints are those of the evaluation frames of another version."""
    try:
        images = _list_images(other, "evaluation", _version(other) or "v2")
        wrists = _read_meta(images, {"handJoints3D": (3,)})["handJoints3D"] if images else []
    except UserError:
        return False
    return len(images) == len(joints) and labels.misfit(joints, wrists[:, None]) is None


def _convert(
    images: tuple[Path, ...],
    joints: Float[np.ndarray, "frames _ 3"],
    intrinsics: Float[np.ndarray, "frames 3 3"],
    hand_box: Float[np.ndarray, "frames 4"] | None,
    joints_from: str = "handJoints3D",
) -> Frames:
    """Turns all joints, or the roots alone, into our axes and order, and projects them."""
    points = joints * FROM_OPENGL
    count = points.shape[1]
    if count == skeleton.NUM_JOINTS:  # else the wrist, which is the first in both orders
        points = skeleton.reorder(points, skeleton.FROM_MANO)
    keypoints_2d = labels.check(images, _meta, points, intrinsics, hand_box, joints_from)
    padding = [(0, 0), (0, skeleton.NUM_JOINTS - count), (0, 0)]
    return Frames(
        images=images,
        intrinsics=intrinsics,
        keypoints_3d=np.pad(points, padding),
        keypoints_2d=np.pad(keypoints_2d, padding),
        valid=np.arange(skeleton.NUM_JOINTS) < count,
        hand_box=hand_box,
    )
