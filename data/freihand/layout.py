"""Reads and checks the official FreiHAND v2 file layout.

`{training,evaluation}/rgb/%08d.jpg` beside `{training,evaluation}_{K,xyz,scale}.json`. An image
shows the hand `index % samples` in version `index // samples`, `samples` being the number of
entries of the label files (32,560 for the official training set, but small copies exist).
"""

import dataclasses
from pathlib import Path

import numpy as np
from absl import logging
from jaxtyping import Float

from data import validation
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.geometry import camera

REMEDY = "fetch the file again from the FreiHAND archive (see data/freihand/README.md)"
# Label file's suffix -> shape of one entry. `uv` is ours: 2D joints of samples without 3D labels.
_LABEL_SHAPES = {"K": (3, 3), "xyz": (21, 3), "scale": (), "uv": (21, 2)}
ARCHIVES = ("FreiHAND_pub_v2.zip", "FreiHAND_pub_v2_eval.zip")
# Folders the archive may have been unpacked into below the directory that the user names.
_NESTED = ("FreiHAND_pub_v2", "freihand")


@dataclasses.dataclass(frozen=True)
class Folder:
    """The images of `training` or `evaluation` and the labels that exist for them.

    Attributes:
      images: One path per image, by image index.
      masks: One path per sample, or empty.
      num_samples: Number of different hands.
      intrinsics: Camera matrices in pixels, or `None`.
      keypoints_3d: Joints in metres, or `None`.
      keypoints_2d: Joints in pixels, projected from 3D or read from `*_uv.json`, or `None`.
      bone_length: Length of the reference bone in metres, or `None`.
    """

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    num_samples: int
    intrinsics: Float[np.ndarray, "samples 3 3"] | None
    keypoints_3d: Float[np.ndarray, "samples 21 3"] | None
    keypoints_2d: Float[np.ndarray, "samples 21 2"] | None
    bone_length: Float[np.ndarray, " samples"] | None


def find_root(manual_dir: Path) -> Path | None:
    """Returns `manual_dir` or the directory in it that holds `training` or `evaluation`, if any."""
    for root in (manual_dir, *(manual_dir / name for name in _NESTED)):
        if any((root / name / "rgb").is_dir() for name in ("training", "evaluation")):
            return root
    return None


def read_folder(root: Path, name: str) -> Folder | None:
    """Reads the labels of one folder, lists its images and checks both, pixels included.

    Args:
      root: As found by `find_root`.
      name: "training" or "evaluation".

    Returns:
      The folder, or `None` where there are no images of that name.
    """
    rgb = root / name / "rgb"
    if not rgb.is_dir():
        logging.warning("%s does not exist: the %s images are left out.", rgb, name)
        return None
    paths = {key: root / f"{name}_{key}.json" for key in _LABEL_SHAPES}
    labels = {
        key: validation.read_label_file(path, _LABEL_SHAPES[key], REMEDY)
        for key, path in paths.items()
        if path.is_file()
    }
    if not labels:
        raise MissingFileError(
            f"{root} has images in {name}/rgb but no {name}_K.json, {name}_xyz.json, "
            f"{name}_scale.json or {name}_uv.json, whose length tells which images show one hand: "
            f"{REMEDY}"
        )
    by_path = {paths[key]: array for key, array in labels.items()}
    num_samples = validation.check_equal_lengths(by_path, REMEDY)
    images = _list_images(rgb, num_samples, repeated=name == "training")
    masks = _list_masks(root / name / "mask", num_samples)
    validation.check_jpegs(images, f"Checking {name}/rgb", REMEDY)
    validation.check_jpegs(masks, f"Checking {name}/mask", REMEDY)
    keypoints_2d = labels.get("uv")
    if "K" in labels and "xyz" in labels:
        keypoints_2d = _project(labels["xyz"], labels["K"], paths["xyz"])
    bone_length = labels.get("scale")
    if bone_length is None and "xyz" in labels:
        bone_length = np.linalg.norm(labels["xyz"][:, 9] - labels["xyz"][:, 10], axis=-1)
    return Folder(
        images=images,
        masks=masks,
        num_samples=num_samples,
        intrinsics=labels.get("K"),
        keypoints_3d=labels.get("xyz"),
        keypoints_2d=keypoints_2d,
        bone_length=bone_length,
    )


def _list_images(rgb: Path, num_samples: int, *, repeated: bool) -> tuple[Path, ...]:
    count = sum(1 for path in rgb.iterdir() if path.suffix == ".jpg")
    expected = f"a multiple of {num_samples}" if repeated else str(num_samples)
    if count == 0 or (count % num_samples if repeated else count != num_samples):
        raise UserError(
            f"{rgb} holds {count} images, expected {expected}, the number of entries in the "
            f"label files: {REMEDY}"
        )
    images = tuple(rgb / f"{index:08d}.jpg" for index in range(count))
    for index, path in enumerate(images):
        if not path.is_file():
            raise MissingFileError(
                f"{path} is missing; images must be numbered 0 to {count - 1} without a gap, and "
                f"index {index} is absent: {REMEDY}"
            )
    return images


def _list_masks(folder: Path, num_samples: int) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    masks = tuple(folder / f"{index:08d}.jpg" for index in range(num_samples))
    for path in masks:
        if not path.is_file():
            raise MissingFileError(
                f"{path} is missing; {folder} must hold one mask per sample ({num_samples}): "
                f"{REMEDY}, or remove the whole folder, as masks are optional"
            )
    return masks


def _project(
    points: Float[np.ndarray, "samples 21 3"],
    intrinsics: Float[np.ndarray, "samples 3 3"],
    path: Path,
) -> Float[np.ndarray, "samples 21 2"]:
    behind = np.argwhere(points[..., 2] <= 0)
    if behind.size:
        raise UserError(
            f"{path}: entry {behind[0][0]}, joint {behind[0][1]} lies behind the camera "
            f"(z = {points[tuple(behind[0])][2]} m): {REMEDY}"
        )
    return camera.project(points, intrinsics)
