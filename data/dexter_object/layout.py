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

from data import places, validation
from data.dexter_object import labels
from data.dexter_object.labels import REMEDY
from data.images import ahead, size
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.geometry import camera
from peclr_jax.hands import skeleton
from peclr_jax.reading import bounded

SEQUENCES = ("Grasp1", "Grasp2", "Occlusion", "Rigid", "Pinch", "Rotate")
INVALID = 32001.0  # what the depth camera says where it sees no depth

SIZE = (640, 480)
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
      left_out: What else is left out, a text for each sequence.
      notes: Which labels are those of other authors.
    """

    images: tuple[Path, ...]
    keypoints_3d: Float[np.ndarray, "frames 21 3"]
    keypoints_2d: Float[np.ndarray, "frames 21 2"]
    valid: Bool[np.ndarray, "frames 21"]
    hand_box: Float[np.ndarray, "frames 4"]
    absent: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


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
    absent, left_out, notes = [], [], []
    for sequence in SEQUENCES:
        color = next((c for root in roots if (c := _color(root, sequence)).is_dir()), None)
        if color is None:
            absent.append(sequence)
            continue
        path = _find_labels(color, sequence)
        if path.name != _labels_name(sequence):
            notes.append(f"{path} has corrected labels, which are taken")
        tips.append(_read_tips(path))
        images += (listed := _list_images(color, len(tips[-1]), path))
        _check_sizes(listed)
        wrong = labels.find_wrong(
            tips[-1],
            tips[-1][..., 2] != INVALID,
            camera.project(to_color_camera(tips[-1])[0], INTRINSICS),
            SIZE,
            path,
        )
        tips[-1][wrong.frames, :, 2] = INVALID
        left_out += [wrong.told] if wrong.told else []
    points, valid = to_color_camera(np.concatenate(tips))
    keypoints_2d = camera.project(points, INTRINSICS)
    shape = (len(images), skeleton.NUM_JOINTS)
    frames = Frames(
        images=tuple(images),
        keypoints_3d=np.zeros((*shape, 3)),
        keypoints_2d=np.zeros((*shape, 2)),
        valid=np.zeros(shape, bool),
        hand_box=around(points, valid),
        absent=tuple(absent),
        left_out=tuple(left_out),
        notes=tuple(notes),
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


def _labels_name(sequence: str) -> str:
    return f"{sequence}3D.txt"


def _find_labels(color: Path, sequence: str) -> Path:
    """Returns the label file of a sequence, preferring the corrected one of other authors.

    In some copies it lies in a folder of annotations beside the sequences.
    """
    name = _labels_name(sequence)
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
    first = 0 if 0 in numbered else 1
    wanted = range(first, first + count)
    missing = next((number for number in wanted if number not in numbered), None)
    ending = next((path.suffix for path in numbered.values()), ".bmp")
    absent = f"Color_{missing or 0:04d}{ending}"
    if len(numbered) != count or not count:
        beyond = min(numbered.keys() - set(wanted), default=first)
        problem = f"image {beyond} has no line" if missing is None else f"{absent} is missing"
        others = [path.name for path in color.iterdir() if not _IMAGE.fullmatch(path.name)]
        raise UserError(
            f"{color} holds {len(numbered)} images, but {labels.name} has {count} lines, expected "
            f"one an image; {problem}{validation.describe_endings(others)}: {REMEDY}"
        )
    if missing is not None:
        raise MissingFileError(
            f"{color / absent} is missing; images must be numbered {first} to {wanted[-1]} without "
            f"a gap: {REMEDY}"
        )
    return [numbered[number] for number in sorted(numbered)]


def _check_sizes(images: Sequence[Path]) -> None:
    """Refuses images that the camera's matrix is not of."""
    for path, found in zip(images, ahead(lambda path: size(path, REMEDY), images), strict=True):
        if found != SIZE:
            raise UserError(
                f"{path} has {found[0]}x{found[1]} px, but the camera's images have "
                f"{SIZE[0]}x{SIZE[1]}: {REMEDY}"
            )
