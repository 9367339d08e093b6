"""Predictions for the challenges of FreiHAND and HO-3D, in the file that they want.

`pred.zip` holds `pred.json`: a list of the joints (images, 21, 3) and a list of the vertices
(images, 778, 3), metres, in the order of the evaluation images. No mesh is predicted: the vertices
are zeros, and the scores that the challenge makes of them mean nothing.
"""

import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import IO, NamedTuple

import ijson
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict
from rich.console import Console

from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.hands import skeleton
from peclr_jax.hands.skeleton import NUM_JOINTS, WRIST
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks import estimator as estimators
from peclr_jax.networks import inference
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.inference import Inference
from peclr_jax.runs import recipe

FILE = "pred.json"
NUM_VERTICES = 778
# Micrometres: digits beyond them would fill the file with noise.
_DIGITS = 6


class Challenge(NamedTuple):
    """What a challenge tells of every hand, and how it wants the joints.

    Attributes:
      given: what it tells besides the intrinsics: "scale", the length of the reference bone, or
        "root", the position of the wrist.
      where: the files that tell it.
      knows: for which images of a batch it is there.
      lift: makes joints in camera space, metres, of an inference, the batch, and the mean bone
        length of the training hands.
      order: of our joints, as it wants them.
      axes: signs of x, y and z; ours are x right, y down, z forward.
    """

    given: str
    where: str
    knows: Callable[[Batch], Bool[np.ndarray, " batch"]]
    lift: Callable[[Inference, Batch, float], Float[Array, "batch 21 3"]]
    order: Int[np.ndarray, "21"]
    axes: tuple[int, int, int]


def _knows_scale(batch: Batch) -> Bool[np.ndarray, " batch"]:
    return batch["bone_length_valid"]


def _knows_root(batch: Batch) -> Bool[np.ndarray, " batch"]:
    return batch["keypoints_3d_valid"][:, WRIST]


def _lift_by_scale(
    inferred: Inference, batch: Batch, mean_bone: float
) -> Float[Array, "batch 21 3"]:
    """Returns the joints at the distance that the network estimates, in units of the given bone."""
    del mean_bone  # every hand's own is given
    return inferred.estimate.lift(inferred.intrinsics, jnp.asarray(batch["bone_length"]))


def _lift_by_root(
    inferred: Inference, batch: Batch, mean_bone: float
) -> Float[Array, "batch 21 3"]:
    """Returns the joints of hands of mean size, with the wrist at the depth that is given."""
    depth = jnp.asarray(batch["keypoints_3d"])[:, WRIST, 2]
    estimate = inferred.estimate._replace(root_depth=depth / mean_bone)
    return estimate.lift(inferred.intrinsics, jnp.full_like(depth, mean_bone))


CHALLENGES = MappingProxyType(
    {
        "freihand": Challenge(
            "scale",
            "evaluation_K.json and evaluation_scale.json",
            _knows_scale,
            _lift_by_scale,
            order=np.arange(NUM_JOINTS),
            axes=(1, 1, 1),
        ),
        "ho3d": Challenge(
            "root",
            "evaluation/*/meta",
            _knows_root,
            _lift_by_root,
            order=skeleton.inverse(skeleton.FROM_MANO),
            axes=(1, -1, -1),
        ),
    }
)


def run(config: ConfigDict, workdir: Path) -> None:
    """Predicts the evaluation images and writes `pred.zip` to `workdir`.

    Raises:
      UserError: an impossible config, a checkpoint of another task, or images that lack what the
        challenge gives.
      MissingFileError: data or a checkpoint that are not there.
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
    recipe.check_choice("challenge", config.challenge, tuple(CHALLENGES))
    recipe.check_choice("crop", config.crop, inference.CROPS)
    recipe.check_positive(config, "batch_size")
    challenge = CHALLENGES[config.challenge]
    estimator = estimators.open_estimator(config)
    _check_size(challenge, estimator)
    _, name, split = inference.open_data(
        config.data, config.split, estimator, config.crop, config.batch_size
    )
    count = split.num_examples
    batches = report(
        split.batches(), f"Predicting {count} images ({name})", -(-count // config.batch_size)
    )
    path = workdir / "pred.zip"
    write(path, _hands(challenge, estimator, batches, config.crop, config.batch_size))
    check(path, count)
    return count


def _check_size(challenge: Challenge, estimator: Estimator) -> None:
    if challenge.given == "root" and not math.isfinite(estimator.bone_length):
        raise UserError(
            "the challenge does not tell the hands' size, and the network was trained on labels "
            "without a metric one: name a --config.checkpoint that was fine-tuned on metric labels"
        )


def _hands(
    challenge: Challenge,
    estimator: Estimator,
    batches: Iterator[Batch],
    crop: str,
    rows: int,
) -> Iterator[Float[np.ndarray, "21 3"]]:
    """Yields the joints of every image, metres, in the challenge's order and axes."""
    done = 0
    for batch in batches:
        _check_given(challenge, batch, crop, done)
        inferred = inference.infer(estimator, batch, crop, rows)
        joints = challenge.lift(inferred, batch, estimator.bone_length)
        wanted = np.asarray(joints, np.float64) * challenge.axes
        yield from skeleton.reorder(wanted, challenge.order)
        done += len(wanted)


def _check_given(challenge: Challenge, batch: Batch, crop: str, done: int) -> None:
    """Checks that the next images, from number `done` on, have what the challenge gives."""
    boxed = crop == "box"
    known = batch["intrinsics_valid"] & challenge.knows(batch)
    if boxed:
        known &= batch["hand_box_valid"]
    if known.all():
        return
    given = challenge.given
    lacking = f"intrinsics, {given} or box" if boxed else f"intrinsics or {given}"
    raise UserError(
        f"image {done + int(np.argmin(known))} has no {lacking}, which the challenge gives for "
        f"every image: look at {challenge.where}"
        + (", or choose --config.crop=two_pass" if boxed else "")
    )


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
    """Checks a submission as its readers will need it; little of it is in memory at a time.

    Args:
      path: of the ZIP file.
      num_images: that the evaluation has.

    Raises:
      MissingFileError: there is no such file.
      UserError: the first thing that is wrong.
    """
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.namelist() != [FILE]:
                raise UserError(f"{path} holds {archive.namelist()}, expected {FILE} alone")
            with archive.open(FILE) as file:
                problem = _problem(file, num_images)
    except (zipfile.BadZipFile, zlib.error, ijson.JSONError) as error:
        reason = str(error).splitlines()[0]  # others quote the file
        raise UserError(f"{path} cannot be read ({reason}): write it again") from error
    if problem:
        raise UserError(f"{FILE} in {path} {problem}")


_LISTS = (("joints", NUM_JOINTS), ("vertices", NUM_VERTICES))


def _problem(file: IO[bytes], num_images: int) -> str | None:
    """Returns the first thing that is wrong with the content, or `None`.

    It must be nested lists: of two, of `num_images`, of so many points, of three finite numbers.
    """
    # How many entries of the list at each depth have been seen; that of depth 0 is the file.
    seen = [0] * 5
    depth = 0
    for event, value in ijson.basic_parse(file, use_float=True):
        if event == "end_array":
            if problem := _wrong_length(depth, seen, num_images):
                return problem
            depth -= 1
            continue
        opens = event == "start_array" and depth < 4
        if not opens and not (event == "number" and depth == 4 and math.isfinite(value)):
            return _wrong_entry(depth, seen)
        seen[depth] += 1
        if opens:
            depth += 1
            seen[depth] = 0
    return None


def _wrong_length(depth: int, seen: list[int], num_images: int) -> str | None:
    """Returns what is wrong with the length of the list that ends at `depth`, if anything."""
    name, points = _LISTS[min(seen[1], 2) - 1]
    if depth == 2 and seen[1] <= 2 and seen[2] != num_images:
        return f"has {name} of {seen[2]} images, expected {num_images}"
    if seen[depth] != (2, num_images, points, 3)[depth - 1]:
        return _wrong_entry(depth, seen)
    return None


def _wrong_entry(depth: int, seen: list[int]) -> str:
    if depth < 2 or seen[1] > 2:
        return "must be a list of two, joints and vertices"
    name, points = _LISTS[seen[1] - 1]
    # An entry that is no list at all has not been counted.
    number = seen[2] - (depth > 2)
    return f"has {name} of image {number} that are not {points} points of three finite numbers"
