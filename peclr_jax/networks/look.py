"""A look at the hands in photos: crops through the network, and back to the photos' pixels."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from peclr_jax.geometry import affine, camera
from peclr_jax.geometry import crop as cropping
from peclr_jax.geometry.crop import Square
from peclr_jax.networks.estimator import Estimator
from peclr_jax.pages.gallery import Prediction
from peclr_jax.photos import crop
from peclr_jax.photos.prepare import Subject

# A look is at most so much closer or wider than the one before: training shows hands at 0.7 to 1.3
# of their usual size, and what seems further off than that is more likely to be mistaken.
_CLOSEST, _WIDEST = 0.5, 1.5


class Look(NamedTuple):
    """A hand to look at, and the photo that it is in.

    Attributes:
      subject: the hand, and the pixels around it.
      intrinsics: of the photo, pixels.
      width: of the photo, pixels.
      height: of the photo, pixels.
    """

    subject: Subject
    intrinsics: Float[np.ndarray, "3 3"]
    width: int
    height: int


def look(
    estimator: Estimator, looks: Sequence[Look], bone_length: float, passes: int, batch_size: int
) -> list[Prediction]:
    """Looks at some hands, at each of them `passes` times, closer from one to the next.

    The second look is the released network's: around the first one's keypoints, the hand as large
    as in training.

    Args:
      estimator: the network.
      looks: at most `batch_size` hands.
      bone_length: metres.
      passes: how many times.
      batch_size: that the network is compiled for.
    """
    squares = [item.subject.square for item in looks]
    intrinsics = np.stack([item.intrinsics for item in looks])
    pose, root_depth = _look_once(estimator, looks, squares, intrinsics, batch_size)
    for _ in range(passes - 1):
        squares = [
            _closer(item, square, keypoints, estimator.hand_margin)
            for item, square, keypoints in zip(looks, squares, pose[..., :2], strict=True)
        ]
        pose, root_depth = _look_once(estimator, looks, squares, intrinsics, batch_size)
    joints = camera.from_25d(
        jnp.asarray(pose, jnp.float32),
        jnp.asarray(intrinsics, jnp.float32),
        bone_length,
        z_root=jnp.asarray(root_depth),
    )
    return [
        Prediction(item.subject.hand, square, keypoints[:, :2], np.asarray(hand))
        for item, square, keypoints, hand in zip(looks, squares, pose, joints, strict=True)
    ]


def _look_once(
    estimator: Estimator,
    looks: Sequence[Look],
    squares: Sequence[Square],
    intrinsics: Float[np.ndarray, "hands 3 3"],
    batch_size: int,
) -> tuple[Float[np.ndarray, "hands 21 3"], Float[np.ndarray, " hands"]]:
    """Returns the 2.5D poses in the photos' pixels, and the root depths in bone lengths."""
    size = estimator.view_size
    mirrored = [item.subject.hand.handedness == "left" for item in looks]
    crops = np.stack(
        [
            crop.cut_out(item.subject.window, square, size, mirror=mirror)
            for item, square, mirror in zip(looks, squares, mirrored, strict=True)
        ]
    )
    matrix = np.stack([cropping.to_matrix(square, size) for square in squares])
    labels = cropping.warp_labels({"intrinsics": intrinsics}, matrix)
    cameras = cropping.mirror_labels(labels, np.array(mirrored), size)["intrinsics"]
    to_crop = cropping.mirror_matrix(matrix, np.array(mirrored), size)

    fill = np.arange(batch_size) % len(looks)  # the last batch is filled up with more of the same
    # A crop is the view already: cut out by Pillow, whose low-pass filter suits any size of photo.
    nothing = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (batch_size, 2, 3))
    answer = estimator(crops[fill], nothing, cameras[fill].astype(np.float32))
    pose = np.array(answer.pose[: len(looks)])
    pose[..., :2] = affine.apply_to_points(affine.invert_matrix(to_crop), pose[..., :2])
    return pose, np.asarray(answer.root_depth[: len(looks)])


def _closer(
    item: Look, square: Square, keypoints: Float[np.ndarray, "21 2"], hand_margin: float
) -> Square:
    """Returns where to look next; the same again if the keypoints make no sense."""
    if not np.isfinite(keypoints).all():
        return square
    closer = cropping.around(
        cropping.bounding_box(keypoints.astype(np.float64)),
        hand_margin,
        least=_CLOSEST * square.side,
        most=_WIDEST * square.side,
    )
    inside = 0 <= closer.x < item.width and 0 <= closer.y < item.height
    return closer if inside else square
