"""Reads and checks the official FreiHAND v2 file layout.

`{training,evaluation}/rgb/%08d.jpg` beside `{training,evaluation}_{K,xyz,scale}.json`. An image
shows the hand `index % samples` in version `index // samples`, `samples` being the number of
entries of the label files (32,560 for the official training set, but small copies exist). The
evaluation images come without joints in one archive, and with them in another one, published later.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging
from jaxtyping import Float

from data import places, validation
from data.freihand import labels as checks
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.geometry import camera

REMEDY = "fetch the file again from the FreiHAND archive (see data/freihand/README.md)"
# Label file's suffix -> shape of one entry. `uv` is ours: 2D joints of samples without 3D labels.
_LABEL_SHAPES = {"K": (3, 3), "xyz": (21, 3), "scale": (), "uv": (21, 2)}
NAMES = ("FreiHAND_pub_v2", "FreiHAND_pub_v2_eval")
ARCHIVES = tuple(f"{name}.zip" for name in NAMES)
PARTS = ("training", "evaluation")
WANTED = r"(^|/)(training|evaluation)(/(rgb|mask)/\d+\.jpg|_(K|xyz|scale|uv)\.json)$"


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
      left_out: What is left out and why.
    """

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    num_samples: int
    intrinsics: Float[np.ndarray, "samples 3 3"] | None
    keypoints_3d: Float[np.ndarray, "samples 21 3"] | None
    keypoints_2d: Float[np.ndarray, "samples 21 2"] | None
    bone_length: Float[np.ndarray, " samples"] | None
    left_out: tuple[str, ...]


def find_roots(manual_dir: Path) -> list[Path]:
    """Returns the folders that hold `training` or `evaluation` or labels of these, nearest first.

    The two archives are often unpacked side by side, one as `FreiHAND_pub_v2_eval`.
    """

    def holds(folder: Path) -> bool:
        return any(_has_images(folder, part) or _label_files(folder, part) for part in PARTS)

    return places.find(manual_dir, holds, NAMES, PARTS)


def lacks(roots: Sequence[Path]) -> list[str]:
    """Returns which of `ARCHIVES` have something that is in none of the folders."""
    # Other data sets have an evaluation_xyz.json, too, but not the files beside it.
    known = [
        root for root in roots if _is_official(root) or len(_label_files(root, "evaluation")) > 1
    ]
    training = any(_has_images(root, "training") for root in roots)
    evaluation = any(_has_images(root, "evaluation") for root in roots)
    labels = any("xyz" in _label_files(root, "evaluation") for root in known)
    return [
        name
        for name, present in zip(ARCHIVES, (training, evaluation and labels), strict=True)
        if not present
    ]


def read_folder(roots: Sequence[Path], name: str) -> Folder | None:
    """Reads the labels of one part, lists its images and checks both, pixels included.

    Args:
      roots: As found by `find_roots`. Labels that are not beside the images are taken from another
        one of these.
      name: "training" or "evaluation".

    Returns:
      The folder, or `None` where there are no images of that name.
    """
    root = _choose(roots, name)
    if root is None:
        return None
    rgb = root / name / "rgb"
    paths = _label_files(root, name)
    labels = {key: _read_labels(path, key) for key, path in paths.items()}
    left_out = []
    for other in roots:
        more = {k: p for k, p in _label_files(other, name).items() if k not in paths or k == "K"}
        if other == root or not more.keys() - paths.keys():
            continue
        read = {key: _read_labels(path, key) for key, path in more.items()}
        if difference := _difference(labels, read):
            if _is_official(other):
                raise UserError(
                    f"the labels in {other} are not those of {rgb} ({difference}): {REMEDY}"
                )
            left_out.append(f"the labels in {other}, which are not those of {rgb} ({difference})")
            continue
        logging.warning("The labels of %s are completed from %s.", rgb, other)
        paths, labels = more | paths, read | labels
    if not labels:
        raise MissingFileError(
            f"{root} has images in {name}/rgb but no {name}_K.json, {name}_xyz.json, "
            f"{name}_scale.json or {name}_uv.json, whose length tells which images show one hand: "
            f"{REMEDY}"
        )
    by_path = {paths[key]: array for key, array in labels.items()}
    num_samples = validation.check_equal_lengths(by_path, REMEDY)
    checks.check(labels, paths, None, REMEDY)
    images = _list_images(rgb, num_samples, repeated=name == "training")
    masks = _list_masks(root / name / "mask", num_samples)
    sizes = validation.check_jpegs(images, f"Checking {name}/rgb", REMEDY)
    checks.check_sizes(images, sizes, images[:num_samples], sizes[:num_samples], REMEDY)
    of_masks = validation.check_jpegs(masks, f"Checking {name}/mask", REMEDY)
    checks.check_sizes(masks, of_masks, images[:num_samples], sizes[:num_samples], REMEDY)
    checks.check(labels, paths, sizes[:num_samples], REMEDY)
    keypoints_2d = labels.get("uv")
    if "K" in labels and "xyz" in labels:
        keypoints_2d = camera.project(labels["xyz"], labels["K"])
    bone_length = labels.get("scale")
    if bone_length is None and "xyz" in labels:
        bone_length = camera.bone_length(labels["xyz"])
    return Folder(
        images=images,
        masks=masks,
        num_samples=num_samples,
        intrinsics=labels.get("K"),
        keypoints_3d=labels.get("xyz"),
        keypoints_2d=keypoints_2d,
        bone_length=bone_length,
        left_out=tuple(left_out),
    )


def _has_images(folder: Path, name: str) -> bool:
    return (folder / name / "rgb").is_dir()


def _label_files(folder: Path, name: str) -> dict[str, Path]:
    paths = {key: folder / f"{name}_{key}.json" for key in _LABEL_SHAPES}
    return {key: path for key, path in paths.items() if path.is_file()}


def _read_labels(path: Path, key: str) -> np.ndarray:
    return validation.read_label_file(path, _LABEL_SHAPES[key], REMEDY)


def _choose(roots: Sequence[Path], name: str) -> Path | None:
    """Returns the folder to take images from: one with joints, else that of the other part."""
    trained = [root for root in roots if _has_images(root, "training")]
    # Of several the official one, else the nearest.
    trained = [root for root in trained if _is_official(root)] or trained
    if len(trained) > 1 and len(trained[0].parts) == len(trained[1].parts):
        raise UserError(
            f"{trained[0]} and {trained[1]} both hold training/rgb: pass one of them as manual_dir"
        )
    whole = [root for root in roots if _is_official(root) and "xyz" in _label_files(root, name)]
    found = [root for root in (*whole, *trained[:1], *roots) if _has_images(root, name)]
    return found[0] if found else None


def _is_official(root: Path) -> bool:
    return root.name.lower().startswith(NAMES[0].lower())


def _difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> str | None:
    """Returns in what the labels of two folders contradict each other, if they do."""
    lengths = {len(array) for array in ours.values()}
    for key, array in theirs.items():
        if lengths and len(array) not in lengths:
            return f"{len(array)} entries of {key}, not {max(lengths)}"
        if key in ours and not np.allclose(array, ours[key], rtol=1e-3, atol=1e-6):
            return f"other values of {key}"
    return None


def _list_images(rgb: Path, num_samples: int, *, repeated: bool) -> tuple[Path, ...]:
    names = os.listdir(rgb)  # which tells of a folder that may not be read
    # macOS leaves files of notes called "._00000000.jpg".
    found = {name for name in names if name.endswith(".jpg") and not name.startswith(".")}
    versions = max(1, round(len(found) / num_samples)) if repeated else 1
    images = tuple(rgb / f"{index:08d}.jpg" for index in range(versions * num_samples))
    missing = next((path.name for path in images if path.name not in found), None)
    if len(found) != len(images):
        expected = f"a multiple of {num_samples}" if repeated else str(num_samples)
        beyond = min(found - {path.name for path in images}, default="")
        raise UserError(
            f"{rgb} holds {len(found)} images, expected {expected}, the number of entries in the "
            f"label files; {f'{missing} is missing' if missing else f'{beyond} is too many'}"
            f"{validation.describe_endings(set(names) - found)}: {REMEDY}"
        )
    if missing:
        raise MissingFileError(
            f"{rgb / missing} is missing; images must be numbered 0 to {len(images) - 1} without a "
            f"gap, and index {int(missing.split('.')[0])} is absent: {REMEDY}"
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
