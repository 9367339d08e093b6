"""Checks what the labels of FreiHAND mean, and that images are those that they are of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data.raw import meaning
from peclr_jax.errors import UserError
from peclr_jax.geometry import camera

# Images are cut around the hand: of so many hands not so large a share lies in one quarter.
_SEVERAL, _SHARE = 4, 0.9
# Of one camera's images: in pixels, and in sides of the image.
_SAME_CENTER, _FARTHEST_CENTER = 1.0, 0.05
_MARK = "leave out hands with unknown joints, which such a file cannot mark"


def check(
    labels: Mapping[str, np.ndarray],
    paths: Mapping[str, Path],
    sizes: Float[np.ndarray, "samples 2"] | None,
    remedy: str,
) -> None:
    """Refuses labels that no hand or camera can have; those in pixels if sizes are given.

    Args:
      labels: By what the files are called: "K", "xyz", "scale", "uv".
      paths: The files.
      sizes: Width and height of the images in pixels.
      remedy: What to do about a broken file.

    Raises:
      UserError: There are such labels.
    """

    def entry(key: str) -> meaning.Where:
        return lambda number: f"{paths[key]}: entry {number}"

    matrices, joints = labels.get("K"), labels.get("xyz")
    if matrices is not None:
        meaning.check_intrinsics(matrices, sizes, entry("K"), remedy)
    if joints is not None:
        meaning.check_joints(joints, None, entry("xyz"), remedy)
    if "scale" in labels:
        meaning.check_bone_lengths(labels["scale"], joints, entry("scale"), remedy)
    if sizes is None:
        return
    in_pixels = {"uv": labels["uv"]} if "uv" in labels else {}
    if matrices is not None and joints is not None:
        in_pixels["xyz"] = camera.project(joints, matrices)
    for key, pixels in in_pixels.items():
        meaning.check_pixels(pixels, None, sizes, entry(key), remedy, _MARK)
        _check_enlarged(pixels, sizes, paths[key], remedy)
    if matrices is not None:
        _check_center(matrices[:, :2, 2], sizes, paths["K"], remedy)


def _check_enlarged(
    pixels: Float[np.ndarray, "samples 21 2"],
    sizes: Float[np.ndarray, "samples 2"],
    path: Path,
    remedy: str,
) -> None:
    """Refuses images that are at least twice as large as those that the labels are of."""
    in_quarter = (pixels < sizes[:, None] / 2).all(-1)
    if len(pixels) >= _SEVERAL and in_quarter.mean() > _SHARE:
        raise UserError(
            f"{path}: nearly all joints of the {len(pixels)} hands lie in the upper left "
            f"quarter of their images, which are larger than those that the labels are of: {remedy}"
        )


def _check_center(
    centers: Float[np.ndarray, "samples 2"],
    sizes: Float[np.ndarray, "samples 2"],
    path: Path,
    remedy: str,
) -> None:
    """Refuses one camera's images if it does not look at their middle, as that of crops may not."""
    if len(centers) < _SEVERAL or np.ptp(sizes, 0).any() or np.ptp(centers, 0).max() > _SAME_CENTER:
        return
    center, middle = centers.mean(0), (sizes[0] - 1) / 2
    if (np.abs(center - middle) > _FARTHEST_CENTER * sizes[0]).any():
        (x, y), (across, down) = center, middle
        raise UserError(
            f"{path}: the camera's centre is ({x:.1f}, {y:.1f}), that of the images "
            f"({across:.1f}, {down:.1f}): they were resized, or cut: scale the camera and the "
            f"labels in pixels alike, or {remedy}"
        )


def check_sizes(
    paths: Sequence[Path],
    sizes: Float[np.ndarray, "files 2"],
    images: Sequence[Path],
    expected: Float[np.ndarray, "samples 2"],
    remedy: str,
) -> None:
    """Refuses further versions, or masks, that are not of the size of a sample's first image.

    Args:
      paths: The files, one or several times as many as there are samples.
      sizes: Width and height of each in pixels.
      images: The first image of each sample.
      expected: Width and height of each in pixels.
      remedy: What to do about a broken file.

    Raises:
      UserError: There is a file of another size.
    """
    for index, (path, size) in enumerate(zip(paths, sizes.astype(int).tolist(), strict=True)):
        sample = index % len(images)
        width, height = expected[sample].astype(int).tolist()
        if size != [width, height]:
            raise UserError(
                f"{path} has {size[0]}x{size[1]} px, but {images[sample]} of the same hand has "
                f"{width}x{height}: {remedy}"
            )
