"""Checks what the labels of HO-3D mean."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data import images
from data.raw import meaning
from peclr_jax.geometry import camera

_REMEDY = "fetch the file again from the HO-3D archive (see data/ho3d/README.md)"
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
    meaning.check_intrinsics(intrinsics, sizes, named("camMat"), _REMEDY)
    meaning.check_joints(points, None, named(joints_from), _REMEDY, _AXES)
    pixels = camera.project(points, intrinsics)
    meaning.check_pixels(pixels, None, sizes, named(joints_from), _REMEDY)
    if hand_box is not None:
        corners = hand_box.reshape(-1, 2, 2)
        meaning.check_pixels(corners, None, sizes, named("handBoundingBox"), _REMEDY)
    return pixels


def _sizes(paths: Sequence[Path]) -> Float[np.ndarray, "frames 2"]:
    """Returns width and height of the frames, which are those of the first in each sequence."""
    firsts: dict[Path, Path] = {}
    for path in paths:
        firsts.setdefault(path.parent, path)
    sizes = {folder: images.size(path, _REMEDY) for folder, path in firsts.items()}
    return np.array([sizes[path.parent] for path in paths], np.float64)
