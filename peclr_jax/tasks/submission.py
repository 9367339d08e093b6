"""Predictions for the FreiHAND challenge, in the file that it wants.

`pred.zip` holds `pred.json`: a list of the joints (images, 21, 3) and a list of the vertices
(images, 778, 3), camera space, metres, in the order of the evaluation images. No mesh is predicted:
the vertices are zeros, and the scores that the challenge makes of them mean nothing.
"""

import json
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict
from rich.console import Console

from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.tasks import estimator as estimators
from peclr_jax.tasks import inference, recipe
from peclr_jax.tasks.estimator import Estimator

FILE = "pred.json"
NUM_VERTICES = 778
# Micrometres: digits beyond them would fill the file with noise.
_DIGITS = 6


def run(config: ConfigDict, workdir: Path) -> None:
    """Predicts the evaluation images and writes `pred.zip` to `workdir`.

    Raises:
      ValueError: an impossible config, a checkpoint of another task, or images without intrinsics
        or scale.
      FileNotFoundError: data or a checkpoint that are not there.
    """
    count = submit(config, workdir)
    Console().print(
        f"{workdir / 'pred.zip'} holds the joints of {count} images and passed the format check; "
        "its vertices are zeros, for no mesh is predicted.",
        highlight=False,
        soft_wrap=True,
    )


def submit(config: ConfigDict, workdir: Path) -> int:
    """Writes and checks what `run` promises.

    Args:
      config: as in configs/submission.py.
      workdir: where to write.

    Returns:
      The number of images.
    """
    recipe.check_choice("crop", config.crop, inference.CROPS)
    recipe.check_positive(config, "batch_size")
    estimator = estimators.load(config.checkpoint)
    _, name, split = inference.open_data(
        config.data, config.split, estimator, config.crop, config.batch_size
    )
    count = split.num_examples
    batches = report(
        split.batches(), f"Predicting {count} images ({name})", -(-count // config.batch_size)
    )
    path = workdir / "pred.zip"
    write(path, _hands(estimator, batches, config.crop, config.batch_size))
    check(path, count)
    return count


def _hands(
    estimator: Estimator, batches: Iterator[dict[str, np.ndarray]], crop: str, rows: int
) -> Iterator[Float[np.ndarray, "21 3"]]:
    """Yields the joints of every image, metres."""
    done = 0
    for batch in batches:
        known = batch["intrinsics_valid"] & batch["bone_length_valid"]
        if crop == "box":
            known &= batch["hand_box_valid"]
        if not known.all():
            lacking = "intrinsics, scale or box" if crop == "box" else "intrinsics or scale"
            raise ValueError(
                f"image {done + int(np.argmin(known))} has no {lacking}, which the challenge gives "
                "for every image: look at evaluation_K.json and evaluation_scale.json"
                + (", or choose --config.crop=two_pass" if crop == "box" else "")
            )
        inferred = inference.infer(estimator, batch, crop, rows)
        bone = jnp.asarray(batch["bone_length"])
        yield from np.asarray(inferred.estimate.lift(inferred.intrinsics, bone), np.float64)
        done += len(known)


def write(path: Path, hands: Iterator[Float[np.ndarray, "21 3"]]) -> None:
    """Writes a submission, hand by hand, all of it or nothing.

    Args:
      path: of the ZIP file.
      hands: the joints of every image, metres, in the order of the evaluation.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with (
            zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(FILE, "w", force_zip64=True) as file,
        ):
            for text in _content(hands):
                file.write(text.encode())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, path)


def _content(hands: Iterator[Float[np.ndarray, "21 3"]]) -> Iterator[str]:
    """Yields the JSON in parts: all joints, then as many empty meshes."""
    count = 0
    for joints in hands:
        rounded = np.round(joints, _DIGITS).tolist()
        yield (", " if count else "[[") + json.dumps(rounded, allow_nan=False)
        count += 1
    no_mesh = json.dumps([[0.0] * 3] * NUM_VERTICES)
    for number in range(count):
        yield (", " if number else "], [") + no_mesh
    yield "]]"


def check(path: Path, num_images: int) -> None:
    """Checks a submission as its readers will need it.

    Args:
      path: of the ZIP file.
      num_images: that the evaluation has.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the first thing that is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.namelist() != [FILE]:
                raise ValueError(f"{path} holds {archive.namelist()}, expected {FILE} alone")
            with archive.open(FILE) as file:
                content = json.load(file)
    except (zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}): write it again") from error
    if not isinstance(content, list) or len(content) != 2:
        raise ValueError(f"{FILE} in {path} must be a list of two, joints and vertices")
    for name, entries, points in (
        ("joints", content[0], NUM_JOINTS),
        ("vertices", content[1], NUM_VERTICES),
    ):
        if len(entries) != num_images:
            raise ValueError(
                f"{FILE} in {path} has {name} of {len(entries)} images, expected {num_images}"
            )
        for number, entry in enumerate(entries):
            if not _is_points(entry, points):
                raise ValueError(
                    f"the {name} of image {number} in {path} are not {points} points of three "
                    "finite numbers"
                )


def _is_points(entry: Any, count: int) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == count
        and all(isinstance(point, list) and len(point) == 3 for point in entry)
        and all(
            isinstance(value, int | float) and math.isfinite(value)
            for point in entry
            for value in point
        )
    )
