"""Reads and checks the official file layout of Dexter+Object.

`data/SEQ/color/Color_%04d.bmp` (numbered from 1) beside `data/SEQ/annotations/SEQ3D.txt`, one
line a frame: fields that end in `;`, of which the first five are the tips `x, y, z` of thumb,
index, middle, ring and little finger in millimetres, seen from the depth camera, x left and y up.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from data import places, schema
from data.dexter_object import labels
from data.images import size
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.geometry import camera
from peclr_jax.hands import skeleton
from peclr_jax.reading import bounded

REMEDY = "fetch the file again from the Dexter+Object archive (see data/dexter_object/README.md)"
SEQUENCES = ("Grasp1", "Grasp2", "Occlusion", "Rigid", "Pinch", "Rotate")
INVALID = 32001.0  # what the depth camera says where it sees no depth

# The colour camera: pixels, and where the depth camera's points (mm) lie for it.
INTRINSICS = np.array([[587.45209, 0.0, 325.0], [0.0, 600.67456, 249.0], [0.0, 0.0, 1.0]])
ROTATION = np.array([[0.9999, 0.0034, 0.0161], [-0.0033, 1.0, -0.0079], [-0.0162, 0.0079, 0.9998]])
TRANSLATION_MM = np.array([19.0473, -1.8514, -4.7501])

# Radius of the sphere around the mean of the tips that is taken to hold the hand.
RADIUS_M = 0.1
NAMES = ("dexter+object", "data", *SEQUENCES)
PARTS = ("color", "depth", "annotations")
# Copies have other endings than the official ".bmp", and other letters.
_IMAGE = re.compile(r"color_?(\d+)\.(bmp|png|jpe?g)", re.ASCII | re.IGNORECASE)
_TIPS = list(skeleton.FINGERTIPS)


@dataclasses.dataclass(frozen=True)
class Frames:
    """The frames of all sequences that are there, in the order of `SEQUENCES`.

    Attributes:
      images: One path per frame.
      keypoints_3d: Joints in metres in the colour camera's space; zero where not valid.
      keypoints_2d: Their projections in pixels of the colour image; zero where not valid.
      valid: Joints that are labelled: fingertips at most.
      hand_box: Boxes (x0, y0, x1, y1) in pixels; NaN where no tip is labelled.
      absent: The sequences that are not there.
    """

    images: tuple[Path, ...]
    keypoints_3d: Float[np.ndarray, "frames 21 3"]
    keypoints_2d: Float[np.ndarray, "frames 21 2"]
    valid: Bool[np.ndarray, "frames 21"]
    hand_box: Float[np.ndarray, "frames 4"]
    absent: tuple[str, ...]


def find_roots(manual_dir: Path) -> list[Path]:
    """Returns the folders that hold sequences, the nearest first; at least one."""
    roots = places.find(
        manual_dir,
        lambda folder: any(_color(folder, name).is_dir() for name in SEQUENCES),
        NAMES,
        PARTS,
    )
    if roots:
        return roots
    raise MissingFileError(
        f"{manual_dir} holds none of the sequences ({', '.join(SEQUENCES)}), nor does data in it: "
        "unpack the archives of Dexter+Object there, or pass the directory they were unpacked to "
        "as manual_dir"
    )


def read_frames(roots: Sequence[Path]) -> Frames:
    """Reads and checks the labels of all sequences; images are only looked for.

    Args:
      roots: As `find_roots` returns them: archives may have been unpacked into a folder each.
    """
    images: list[Path] = []
    tips: list[np.ndarray] = []
    absent = []
    for sequence in SEQUENCES:
        color = next((c for root in roots if (c := _color(root, sequence)).is_dir()), None)
        if color is None:
            absent.append(sequence)
            continue
        path = _find_labels(color, sequence)
        tips.append(_read_tips(path))
        images += _list_images(color, len(tips[-1]), path)
        wrong = labels.find_wrong(
            tips[-1],
            tips[-1][..., 2] != INVALID,
            camera.project(to_color_camera(tips[-1])[0], INTRINSICS),
            size(images[-1], REMEDY),
            path,
        )
        tips[-1][wrong, :, 2] = INVALID
    points, valid = to_color_camera(np.concatenate(tips))
    keypoints_2d = camera.project(points, INTRINSICS)
    shape = (len(images), schema.NUM_JOINTS)
    frames = Frames(
        images=tuple(images),
        keypoints_3d=np.zeros((*shape, 3)),
        keypoints_2d=np.zeros((*shape, 2)),
        valid=np.zeros(shape, bool),
        hand_box=around(points, valid),
        absent=tuple(absent),
    )
    frames.keypoints_3d[:, _TIPS] = np.where(valid[..., None], points, 0)
    frames.keypoints_2d[:, _TIPS] = np.where(valid[..., None], keypoints_2d, 0)
    frames.valid[:, _TIPS] = valid
    return frames


def to_color_camera(
    tips: Float[np.ndarray, "frames 5 3"],
) -> tuple[Float[np.ndarray, "frames 5 3"], Bool[np.ndarray, "frames 5"]]:
    """Returns the tips in metres in the colour camera's space, and which are labelled.

    Args:
      tips: Millimetres in the label files' axes.

    Returns:
      The points, NaN where there is no label, and where there is one.
    """
    # A depth of zero or less is not marked as invalid, but no camera sees such a point.
    valid = (tips[..., 2] != INVALID) & (tips[..., 2] > 0)
    points = (tips * [-1, -1, 1]) @ ROTATION.T + TRANSLATION_MM
    valid &= points[..., 2] > 0
    return np.where(valid[..., None], points / 1000, np.nan), valid


def around(
    points: Float[np.ndarray, "frames 5 3"], valid: Bool[np.ndarray, "frames 5"]
) -> Float[np.ndarray, "frames 4"]:
    """Returns the box of a sphere around the mean of the labelled tips, which holds the hand.

    The palm is not labelled. The box of the tips alone would cut it off, and would be nearly empty
    for one or two tips. The sphere is our choice.

    Args:
      points: The tips in the colour camera's space, metres.
      valid: Which of them are labelled.
    """
    count = valid.sum(-1)[:, None]
    total = np.where(valid[..., None], points, 0).sum(1)
    center = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    half = RADIUS_M * INTRINSICS[[0, 1], [0, 1]] / center[:, 2:]
    middle = camera.project(center[:, None], INTRINSICS)[:, 0]
    return np.concatenate([middle - half, middle + half], axis=-1)


def _color(root: Path, sequence: str) -> Path:
    return places.child(places.child(root, sequence), "color")


def _find_labels(color: Path, sequence: str) -> Path:
    """Returns the label file of a sequence, preferring the corrected one of other authors.

    In some copies it lies in a folder of annotations beside the sequences.
    """
    name = f"{sequence}3D.txt"
    folders = [places.child(around, "annotations") for around in color.parents[:3]]
    for wanted in (f"my_{name}", name):
        for folder in folders:
            if (path := places.child(folder, wanted)).is_file():
                return path
    raise MissingFileError(f"{folders[0] / name} with the labels of {color} is missing: {REMEDY}")


def _read_tips(path: Path) -> Float[np.ndarray, "frames 5 3"]:
    lines = bounded.text(path, REMEDY, errors="replace").strip().splitlines()
    tips = np.empty((len(lines), len(_TIPS), 3))
    for number, line in enumerate(lines, 1):
        fields = line.split(";")[: len(_TIPS)]
        try:
            points = np.array([[float(value) for value in field.split(",")] for field in fields])
            tips[number - 1] = points.reshape(len(_TIPS), 3)  # which does not broadcast
        except ValueError:
            raise UserError(
                f"{path}: line {number} does not begin with five points 'x, y, z' that end in ';': "
                f"{REMEDY}"
            ) from None
    bad = np.argwhere(~np.isfinite(tips))
    if bad.size:
        frame, tip, axis = bad[0]
        raise UserError(
            f"{path}: line {frame + 1}, point {tip} holds {tips[frame, tip, axis]}, not a finite "
            f"number: {REMEDY}"
        )
    return tips


def _list_images(color: Path, count: int, labels: Path) -> list[Path]:
    """Returns the images by their numbers, which begin with 1, or with 0 in some copies."""
    numbered: dict[int, Path] = {}
    # Where there are several of a number, they are copies in other formats: BMP is the original.
    for path in sorted(color.iterdir(), key=lambda path: (path.suffix.lower() != ".bmp", path)):
        if match := _IMAGE.fullmatch(path.name):
            numbered.setdefault(int(match[1]), path)
    if len(numbered) != count or not count:
        raise UserError(
            f"{color} holds {len(numbered)} images, but {labels.name} has {count} lines, expected "
            f"one an image: {REMEDY}"
        )
    first = 0 if 0 in numbered else 1
    for number in range(first, first + count):
        if number not in numbered:
            name = f"Color_{number:04d}{next(iter(numbered.values())).suffix}"
            raise MissingFileError(
                f"{color / name} is missing; images must be numbered {first} to "
                f"{first + count - 1} without a gap: {REMEDY}"
            )
    return [numbered[number] for number in sorted(numbered)]
