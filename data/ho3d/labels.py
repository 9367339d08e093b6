"""Checks what the labels of HO-3D mean."""

import collections
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import auto as tqdm

from data import images
from data.raw import meaning
from peclr_jax.errors import UserError, printable
from peclr_jax.geometry import camera

REMEDY = "fetch the file again from the HO-3D archive (see data/ho3d/README.md)"
# The two files that give the same root were rounded differently.
_ROOT_TOLERANCE_M = 1e-3
_AXES = "x right, y up, z backward"


def check(
    paths: Sequence[Path],
    meta: Callable[[Path], Path],
    points: Float[np.ndarray, "frames joints 3"],
    intrinsics: Float[np.ndarray, "frames 3 3"],
    hand_box: Float[np.ndarray, "frames 4"] | None,
    joints_from: str,
) -> Float[np.ndarray, "frames joints 2"]:
    """Refuses labels that no hand or camera can have; returns the joints' pixels.

    Args:
      paths: The frames.
      meta: Returns the label file of a frame.
      points: The joints in metres, FreiHAND's order, OpenCV's axes; or the wrists alone.
      intrinsics: Camera matrices in pixels.
      hand_box: Boxes in pixels, if there are any.
      joints_from: What holds the joints, for messages.
    """

    def named(label: str) -> meaning.Where:
        return lambda frame: f"{meta(paths[frame])}: {label}"

    sizes = _sizes(paths)
    meaning.check_intrinsics(intrinsics, sizes, named("camMat"), REMEDY)
    meaning.check_joints(points, None, named(joints_from), REMEDY, _AXES)
    pixels = camera.project(points, intrinsics)
    meaning.check_pixels(pixels, None, sizes, named(joints_from), REMEDY)
    if hand_box is not None:
        corners = hand_box.reshape(-1, 2, 2)
        meaning.check_pixels(corners, None, sizes, named("handBoundingBox"), REMEDY)
    return pixels


def misfit(
    joints: Float[np.ndarray, "entries 21 3"], roots: Float[np.ndarray, "frames 1 3"]
) -> str | None:
    """Returns in what joints contradict the wrists of the frames, to follow the file's name.

    Args:
      joints: Metres, as in `evaluation_xyz.json`.
      roots: The wrists in the same axes, as the frames' own files have them.
    """
    if len(joints) != len(roots):
        return f" has {len(joints)} entries, but evaluation.txt lists {len(roots)} frames"
    apart = np.linalg.norm(joints[:, :1] - roots, axis=-1)[:, 0]
    worst = int(apart.argmax())
    if apart[worst] > _ROOT_TOLERANCE_M:
        return (
            f": the wrist of entry {worst} lies {1000 * apart[worst]:.1f} mm from the root that "
            "the frame's own file gives"
        )
    return None


def _sizes(paths: Sequence[Path]) -> Float[np.ndarray, "frames 2"]:
    """Returns width and height of the frames, which must be the same for all."""
    found = tqdm.tqdm(
        images.ahead(lambda path: images.size(path, REMEDY), paths),
        total=len(paths),
        desc=f"Measuring {printable(paths[0].parents[2].name)}/*/rgb",
        unit=" frames",
        leave=False,
    )
    sizes = list(found)
    ((width, height), _) = collections.Counter(sizes).most_common(1)[0]
    for path, size in zip(paths, sizes, strict=True):
        if size != (width, height):
            raise UserError(
                f"{path} has {size[0]}x{size[1]} px, other frames {width}x{height}, but all are of "
                f"the same kind of camera: {REMEDY}"
            )
    return np.array(sizes, np.float64)
