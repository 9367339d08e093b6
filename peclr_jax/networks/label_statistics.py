"""What the training labels say before any image is looked at: mean pose, mean hand, mean size."""

import contextlib
import dataclasses
import itertools
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from peclr_jax.devices.mesh import gather
from peclr_jax.errors import FieldError, UserError
from peclr_jax.geometry import camera, crop
from peclr_jax.hands import metrics
from peclr_jax.hands.skeleton import NUM_JOINTS, WRIST
from peclr_jax.input_pipeline import Source
from peclr_jax.models.pose_network import from_pixels
from peclr_jax.objectives.pose import PoseTarget, target_in_view
from peclr_jax.specs import Between, NonNegativeInt, Spec
from peclr_jax.views.spec import ViewSpec

# No hand is larger, in metres or in halves of the view's side.
Coordinate = Annotated[float, Between(-100, 100)]
Joints = tuple[tuple[Coordinate, Coordinate, Coordinate], ...]

MAX_HANDS = 4096
_PROCRUSTES_ROUNDS = 4
_PIXELS = ("image", "to_source")


@dataclasses.dataclass(frozen=True)
class LabelStatistics(Spec):
    """Statistics of the training labels, a result of fine-tuning; None where no label tells.

    Attributes:
      bone_length: Mean length of the reference bone, metres.
      mean_pose: (21, 3), the mean 2.5D pose in the canonical view, normalised as by `PoseNetwork`.
      mean_hand: (21, 3), the Procrustes mean of the hands, metres, the wrist at the origin.
    """

    hands: NonNegativeInt = 0
    bone_length: Annotated[float, Between(1e-4, 1)] | None = None
    mean_pose: Joints | None = None
    mean_hand: Joints | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mean_pose", "mean_hand"):
            joints = getattr(self, name)
            if joints is not None and len(joints) != NUM_JOINTS:
                raise FieldError(name, f"has {len(joints)} joints, not {NUM_JOINTS}")


def measure_labels(
    source: Source, batch_size: int, view: ViewSpec, source_size: int
) -> LabelStatistics:
    """Measures the labels of up to `MAX_HANDS` training examples.

    Args:
      source: Of the training, with labels.
      batch_size: Of its batches.
      view: Says what the canonical view is.
      source_size: Side of the crops that the labels are given in, pixels.
    """
    epoch = source.steps_per_epoch
    steps = max(1, min(MAX_HANDS // batch_size, MAX_HANDS if epoch is None else epoch))
    matrix = crop.source_to_canonical(source_size, view.size, view.source_margin)

    @jax.jit  # one program for all batches, not one an operation
    def canonical(labels: dict[str, Any]) -> PoseTarget:
        matrices = jnp.tile(matrix, (batch_size, 1, 1))
        target, _ = target_in_view(labels, matrices, camera.assumed_intrinsics(view.size))
        return target._replace(pose=from_pixels(target.pose, view.size))

    parts = []
    batches: Any = source.batches(0)
    with contextlib.closing(batches):
        for batch in itertools.islice(batches, steps):
            labels = gather({name: batch[name] for name in batch if name not in _PIXELS})
            kept = {k: v for k, v in labels.items() if k.startswith(("keypoints_3d", "bone"))}
            parts.append((jax.tree.map(np.asarray, canonical(labels)), kept))
    target, labels = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    if not target.keypoints_valid.any():
        raise UserError(
            "the training data have no labels to fine-tune on: name a labelled data set by "
            "--config.data.names or --config.data.manual_dir"
        )
    valid = np.stack([target.keypoints_valid, target.keypoints_valid, target.depth_valid], -1)
    mean_pose = target.pose.sum(0, where=valid) / np.maximum(valid.sum(0), 1)
    bones = labels["bone_length"][labels["bone_length_valid"]]
    complete = labels["keypoints_3d"][labels["keypoints_3d_valid"].all(1)]
    return LabelStatistics(
        hands=len(target.pose),
        bone_length=float(bones.mean(dtype=np.float64)) if len(bones) else None,
        mean_pose=_as_joints(mean_pose),
        mean_hand=_as_joints(mean_hand(complete)) if len(complete) else None,
    )


def mean_hand(joints: Float[np.ndarray, "hands 21 3"]) -> Float[np.ndarray, "21 3"]:
    """Returns the Procrustes mean of hands, metres, of their mean size, the wrist at the origin."""
    joints = joints.astype(np.float64)
    joints = joints - joints.mean(1, keepdims=True)
    mean = joints[0]
    for _ in range(_PROCRUSTES_ROUNDS):
        target = np.broadcast_to(mean, joints.shape)
        mean = metrics.procrustes_align(joints, target, reflection=False).mean(0)
    size = np.linalg.norm(joints, axis=(1, 2)).mean() / np.linalg.norm(mean)
    return (mean - mean[WRIST]) * size


def _as_joints(array: Float[np.ndarray, "21 3"]) -> Joints:
    return tuple((x, y, z) for x, y, z in array.tolist())
