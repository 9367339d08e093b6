"""Hands in images through a network: views cut out, shown, and the answers moved back.

`look` serves both `evaluate` and `predict`. A view is resampled once, with a low-pass filter; those
that are turned (`LookingRule.turns_deg`) a second time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

from peclr_jax.geometry import affine, camera, crop
from peclr_jax.geometry.crop import Square
from peclr_jax.input_pipeline import Batch
from peclr_jax.networks.estimator import Estimate, Estimator
from peclr_jax.photos.crop import Window, cut_out


class Sight(NamedTuple):
    """A hand to look at, and the image that it is in.

    Attributes:
      window: The pixels of the image, or those around the hand.
      square: Where to look first, in pixels of the image.
      intrinsics: Of the image, pixels.
      mirrored: Whether it is a left hand, which the network is shown mirrored.
    """

    window: Window
    square: Square
    intrinsics: Float[np.ndarray, "3 3"]
    mirrored: bool = False


class Inference(NamedTuple):
    """What a network says of a batch of an evaluation, and what it was shown.

    Attributes:
      estimate: In the pixels of the source crops.
      matrix: Source pixels to the view of the last pass.
      first_matrix: To the view of the first pass, which knows nothing of the network.
      intrinsics: Of the source crops; supposed where the data have none.
      zoom: Pixels of a view of the labelled box over source pixels, whatever was looked at; of the
        first view where there is no box.
    """

    estimate: Estimate
    matrix: Float[Array, "batch 2 3"]
    first_matrix: Float[Array, "batch 2 3"]
    intrinsics: Float[Array, "batch 3 3"]
    zoom: Float[np.ndarray, " batch"]


def look(
    estimator: Estimator, sights: Sequence[Sight], *, passes: int, rows: int
) -> tuple[Estimate, list[Square]]:
    """Looks at hands; returns the estimate and the squares looked at last, in image pixels.

    Args:
      estimator: The network.
      sights: At most `rows` hands.
      passes: How many times: first where the sights say, then around what was found.
      rows: Batch size that the network is compiled for.
    """
    estimate = look_once(estimator, sights, rows)
    for _ in range(passes - 1):
        found = zip(sights, np.asarray(estimate.pose)[..., :2], strict=True)
        sights = [
            sight._replace(square=estimator.looking.following(sight.square, points))
            for sight, points in found
        ]
        estimate = look_once(estimator, sights, rows)
    return estimate, [sight.square for sight in sights]


def look_once(estimator: Estimator, sights: Sequence[Sight], rows: int) -> Estimate:
    """Looks at hands where the sights say; returns the estimate in image pixels.

    Args:
      estimator: The network.
      sights: At most `rows` hands.
      rows: Batch size that the network is compiled for.
    """
    size, rule = estimator.view_size, estimator.looking
    # Views that are turned show what lies beside the square.
    side = round(size * estimator.source_margin) if len(rule.turns_deg) > 1 else size
    squares = [s.square._replace(side=s.square.side * side / size) for s in sights]
    pairs = zip(sights, squares, strict=True)
    crops = np.stack([cut_out(s.window, square, side, mirror=s.mirrored) for s, square in pairs])
    mirrored = np.array([sight.mirrored for sight in sights])
    matrix = np.stack([crop.to_matrix(square, side) for square in squares])
    labels = {"intrinsics": np.stack([sight.intrinsics for sight in sights])}
    labels = crop.mirror_labels(crop.warp_labels(labels, matrix), mirrored, side)
    to_crop = crop.mirror_matrix(matrix, mirrored, side)
    to_view = np.asarray(crop.to_matrix(crop.central(side, side, size / side), size), np.float32)
    cameras = labels["intrinsics"].astype(np.float32)
    answer = estimator(
        fill(crops, rows), np.broadcast_to(to_view, (rows, 2, 3)), fill(cameras, rows)
    )
    answer = jax.tree.map(lambda array: array[: len(sights)], answer)
    pose = np.array(answer.pose)
    pose[..., :2] = affine.apply_to_points(affine.invert_matrix(to_crop), pose[..., :2])
    answer = answer._replace(pose=jnp.asarray(pose))
    if answer.expected_error is None:
        return answer
    return answer._replace(expected_error=answer.expected_error / affine.zoom(to_crop)[:, None])


def look_at_batch(estimator: Estimator, batch: Batch, crop_name: str, rows: int) -> Inference:
    """Looks at the hands of a batch of an evaluation.

    Args:
      estimator: The network.
      batch: With labels, of which the intrinsics are used.
      crop_name: "box": the batch holds crops around the hands' boxes, which are looked at once.
        "two_pass": it holds whole images, of whose hands nothing is known.
      rows: Batch size that the network is compiled for.
    """
    side = batch["image"].shape[1]
    boxed = crop_name == "box"
    square = (
        Square((side - 1) / 2, (side - 1) / 2, side / estimator.source_margin)
        if boxed
        else estimator.looking.first(None, side, side)
    )
    first = _matrices([square] * len(batch["image"]), estimator.view_size)
    intrinsics = intrinsics_of(batch, estimator.view_size, first)
    sights = [
        Sight(Window(Image.fromarray(image), -0.5, -0.5, (1.0, 1.0)), square, matrix)
        for image, matrix in zip(batch["image"], np.asarray(intrinsics, np.float64), strict=True)
    ]
    estimate, squares = look(estimator, sights, passes=1 if boxed else 2, rows=rows)
    zoom = np.asarray(affine.zoom(np.asarray(first)))
    if not boxed:
        of_hand = crop.around(batch["hand_box"], estimator.looking.hand_margin)
        zoom = np.where(batch["hand_box_valid"], estimator.view_size / of_hand.side, zoom)
    return Inference(estimate, _matrices(squares, estimator.view_size), first, intrinsics, zoom)


def intrinsics_of(
    batch: Batch, view_size: int, matrix: Float[Array, "batch 2 3"]
) -> Float[Array, "batch 3 3"]:
    """Returns the intrinsics of a batch's source crops; supposed where there are none.

    Args:
      batch: With labels.
      view_size: Side of the views whose camera's field of view is supposed, pixels.
      matrix: Source pixels to those views.
    """
    supposed = camera.warp_intrinsics(
        affine.invert_matrix(matrix), camera.assumed_intrinsics(view_size)
    )
    return jnp.where(batch["intrinsics_valid"][:, None, None], batch["intrinsics"], supposed)


def fill(array: np.ndarray, rows: int) -> np.ndarray:
    """Repeats the last row until there are `rows`, so that one program serves all batches."""
    return np.pad(array, [(0, rows - len(array)), *[(0, 0)] * (array.ndim - 1)], mode="edge")


def _matrices(squares: Sequence[Square], size: int) -> Float[Array, "hands 2 3"]:
    return jnp.asarray(np.stack([crop.to_matrix(square, size) for square in squares]), jnp.float32)
