"""Hands in images through a network: views cut out, shown, and the answers moved back.

What `evaluate` measures and what `predict` does is this one function, `look`, by the network's one
`LookingRule`. A view is resampled from the image's pixels once, with a low-pass filter.
"""

from collections.abc import Sequence
from typing import NamedTuple

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


class Looked(NamedTuple):
    """What a network has seen, and what it says.

    Attributes:
      pose: 2.5D: (x px, y px) in the image, root-relative depth in bone lengths.
      root_depth: Of the wrist, in bone lengths.
      squares: The last looks, in pixels of the images.
    """

    pose: Float[np.ndarray, "hands 21 3"]
    root_depth: Float[np.ndarray, " hands"]
    squares: list[Square]


class Inference(NamedTuple):
    """What a network says of a batch of an evaluation, and what it was shown.

    Attributes:
      estimate: In the pixels of the source crops.
      matrix: Source pixels to the view of the last pass.
      first_matrix: To the view of the first pass, which knows nothing of the network.
      intrinsics: Of the source crops; supposed where the data have none.
    """

    estimate: Estimate
    matrix: Float[Array, "batch 2 3"]
    first_matrix: Float[Array, "batch 2 3"]
    intrinsics: Float[Array, "batch 3 3"]


def look(estimator: Estimator, sights: Sequence[Sight], *, passes: int, rows: int) -> Looked:
    """Looks at some hands, at each of them `passes` times.

    Args:
      estimator: The network.
      sights: At most `rows` hands.
      passes: How many times: first where the sights say, then around what was found.
      rows: Batch size that the network is compiled for.
    """
    squares = [sight.square for sight in sights]
    pose, root_depth = _pass(estimator, sights, squares, rows)
    for _ in range(passes - 1):
        found = zip(squares, pose[..., :2], strict=True)
        squares = [estimator.looking.following(square, points) for square, points in found]
        pose, root_depth = _pass(estimator, sights, squares, rows)
    return Looked(pose, root_depth, squares)


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
    looked = look(estimator, sights, passes=1 if boxed else 2, rows=rows)
    last = _matrices(looked.squares, estimator.view_size)
    estimate = Estimate(jnp.asarray(looked.pose, jnp.float32), jnp.asarray(looked.root_depth))
    return Inference(estimate, last, first, intrinsics)


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


def _pass(
    estimator: Estimator, sights: Sequence[Sight], squares: Sequence[Square], rows: int
) -> tuple[Float[np.ndarray, "hands 21 3"], Float[np.ndarray, " hands"]]:
    """Returns the 2.5D poses in the images' pixels, and the root depths in bone lengths."""
    size = estimator.view_size
    views = np.stack(
        [
            cut_out(sight.window, square, size, mirror=sight.mirrored)
            for sight, square in zip(sights, squares, strict=True)
        ]
    )
    mirrored = np.array([sight.mirrored for sight in sights])
    matrix = np.stack([crop.to_matrix(square, size) for square in squares])
    labels = {"intrinsics": np.stack([sight.intrinsics for sight in sights])}
    labels = crop.mirror_labels(crop.warp_labels(labels, matrix), mirrored, size)
    to_view = crop.mirror_matrix(matrix, mirrored, size)
    # The view is cut out already, so that the network is shown all of it.
    identity = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (rows, 2, 3))
    cameras = labels["intrinsics"].astype(np.float32)
    answer = estimator(fill(views, rows), identity, fill(cameras, rows))
    pose = np.array(answer.pose[: len(sights)])
    pose[..., :2] = affine.apply_to_points(affine.invert_matrix(to_view), pose[..., :2])
    return pose, np.asarray(answer.root_depth[: len(sights)])


def _matrices(squares: Sequence[Square], size: int) -> Float[Array, "hands 2 3"]:
    """Returns the matrices from an image's pixels to views of its squares."""
    return jnp.asarray(np.stack([crop.to_matrix(square, size) for square in squares]), jnp.float32)
