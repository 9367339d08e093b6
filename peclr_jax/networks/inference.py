"""A split through a fine-tuned network: what evaluation, equivariance and submission share."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from peclr_jax import input_pipeline, specs
from peclr_jax.errors import UserError
from peclr_jax.geometry import affine, camera
from peclr_jax.geometry import crop as cropping
from peclr_jax.input_pipeline import Batch, Split
from peclr_jax.input_pipeline.spec import DataSpec, as_list
from peclr_jax.networks.estimator import Estimate, Estimator, around, canonical_matrix

CROPS = ("box", "two_pass")
# Data sets whose split to evaluate on is not called "evaluation".
_SPLITS = {
    "youtube_3d_hands": "test",
    "dexter_object": "test",
    "synthetic_hands": "test",
    "image_folder": "validation",
}
CENTRAL_BOX = 0.33
"""Side of the box that the first of two passes supposes in the middle of the image, over the
image's: as the released networks."""


class Inference(NamedTuple):
    """What the network says of a batch, and what it was shown.

    Attributes:
      estimate: in the pixels of the source crops.
      matrix: source pixels to the view of the last pass.
      first_matrix: source pixels to the view of the first pass, which knows nothing of the network.
      intrinsics: of the source crops; supposed where the data have none.
    """

    estimate: Estimate
    matrix: Float[Array, "batch 2 3"]
    first_matrix: Float[Array, "batch 2 3"]
    intrinsics: Float[Array, "batch 3 3"]


def default_data_config() -> ConfigDict:
    """Returns the fields that name the data; "" and 0 stand for what the network was trained on.

    Places are an exception: "" stands for the usual ones, see `resolve_data`.

    How crops are cut (their margins) is always as in training.
    """
    config = ConfigDict()
    config.source = ""  # "rendered" or "tfds"; "": "tfds" if names or manual_dir are given
    config.names = ""  # TFDS names, separated by commas
    config.manual_dir = ""  # their raw files, one each, from which records are written
    config.data_dir = ""  # where records are kept
    config.source_size = 0  # px, side of the crops
    config.decode_threads = 0  # 0: one per core
    config.rendered = ConfigDict()
    config.rendered.held_out = 0  # hands
    config.rendered.background = ""  # "green", "shared" or "clutter"
    config.rendered.cache_dir = "~/.cache/peclr_jax"  # kept for later runs; "": not
    return config


def resolve_data(given: ConfigDict, estimator: Estimator, crop: str) -> ConfigDict:
    """Completes the fields of `default_data_config` by those of the network's training.

    Args:
      given: the fields.
      estimator: the network.
      crop: one of `CROPS`.

    Returns:
      All fields of the input pipeline.

    Raises:
      UserError: nothing is given, and the network's own data lie at a place of their own.
    """
    data = specs.to_config(DataSpec())
    data.update(estimator.config.data.to_dict())
    data.update(
        labels=True,
        label_fraction=1.0,
        pairs="image",
        weights="",
        cache="none",
        crop="hand" if crop == "box" else "image",
        decode_threads=given.decode_threads,
    )
    trained = specs.from_mapping(DataSpec, data.to_dict(), "--config.data")
    if trained.is_mixed:  # what the rendered hands were to help with
        data.names = ",".join(trained.record_names)
    others = given.names or given.manual_dir
    if others and (data.source != "tfds" or given.names not in ("", data.names)):
        data.names = "freihand"
    data.source = given.source or ("tfds" if others else data.source)
    if data.source == "tfds" and not (others or given.data_dir):
        _check_usual_place(data)
    data.names = given.names or data.names
    # A checkpoint may be anybody's: nothing is read or written at places that it names.
    data.manual_dir, data.data_dir = given.manual_dir, given.data_dir
    data.rendered.cache_dir = given.rendered.cache_dir
    for name in ("held_out", "background"):
        data.rendered[name] = given.rendered[name] or data.rendered[name]
    if crop == "two_pass":
        # So that the central box is seen at the resolution of the view.
        data.source_size = round(estimator.view_size / (CENTRAL_BOX * estimator.hand_margin))
    data.source_size = given.source_size or data.source_size
    return data


def _check_usual_place(data: ConfigDict) -> None:
    """Raises ValueError for data of a training that are not found by their name alone."""
    places = {name: data[name] for name in ("manual_dir", "data_dir") if data[name]}
    if places:
        flags = " ".join(f"--config.data.{name}={place!r}" for name, place in places.items())
        raise UserError(
            f"the network was trained on data at a place that only its checkpoint names, and that "
            f"may be anybody's: if they are yours, add {flags}; else name other data by "
            f"--config.data.names={data.names}"
        )


def default_split(data: ConfigDict) -> str:
    """Returns the split that is meant to be evaluated on."""
    if data.source == "rendered":
        return "held_out"
    first = as_list(data.names)[0].partition("/")[0]
    return _SPLITS.get(first, "evaluation")


def open_data(
    given: ConfigDict, split: str, estimator: Estimator, crop: str, batch_size: int
) -> tuple[ConfigDict, str, Split]:
    """Opens a split that a network is to be shown.

    Args:
      given: fields of `default_data_config`.
      split: its name; "" for `default_split`.
      estimator: the network.
      crop: one of `CROPS`.
      batch_size: images at a time.

    Returns:
      All fields of the input pipeline, the split's name, and the split.

    Raises:
      UserError: impossible fields or no such split.
      MissingFileError: no records and no raw files.
    """
    data = resolve_data(given, estimator, crop)
    split = split or default_split(data)
    spec = specs.from_mapping(DataSpec, data.to_dict(), "--config.data")
    return data, split, input_pipeline.open_split(spec, split, batch_size=batch_size)


def describe_data(data: ConfigDict, split: str) -> str:
    """Returns a name for people: "freihand (evaluation)"."""
    return f"{'rendered hands' if data.source == 'rendered' else data.names} ({split})"


def infer(estimator: Estimator, batch: Batch, crop: str, rows: int) -> Inference:
    """Estimates the hands of a batch.

    Args:
      estimator: the network.
      batch: with labels, of which the intrinsics are used.
      crop: "box": the batch holds crops around the hands' boxes. "two_pass": it holds whole
        images; the network is shown their middle, then what is around its own estimate.
      rows: to which the batch is filled up, so that one program serves all batches.
    """
    count, side = batch["image"].shape[:2]
    choose_view = canonical_matrix if crop == "box" else central_matrix
    first = matrix = choose_view(estimator, side, rows)
    supposed = camera.warp_intrinsics(
        affine.invert_matrix(first), camera.assumed_intrinsics(estimator.view_size)
    )
    known = fill(batch["intrinsics_valid"], rows)[:, None, None]
    intrinsics = jnp.where(known, fill(batch["intrinsics"], rows), supposed)
    images = fill(batch["image"], rows)
    estimate = estimator(images, matrix, intrinsics)
    if crop == "two_pass":
        matrix = around(estimate.pose[..., :2], estimator.view_size, estimator.hand_margin)
        estimate = estimator(images, matrix, intrinsics)
    return jax.tree.map(lambda a: a[:count], Inference(estimate, matrix, first, intrinsics))


def central_matrix(estimator: Estimator, side: int, batch: int) -> Float[Array, "batch 2 3"]:
    """Returns the matrices from whole images to the view around a box in their middle.

    Args:
      estimator: says how large views are and what part of them the box fills.
      side: of the square images, pixels.
      batch: how many.
    """
    square = cropping.central(side, side, CENTRAL_BOX * estimator.hand_margin)
    matrix = cropping.to_matrix(square, estimator.view_size)
    return jnp.tile(jnp.asarray(matrix, jnp.float32), (batch, 1, 1))


def fill(array: np.ndarray, rows: int) -> np.ndarray:
    """Repeats the last row until there are `rows`, so that one program serves all batches."""
    return np.pad(array, [(0, rows - len(array)), *[(0, 0)] * (array.ndim - 1)], mode="edge")
