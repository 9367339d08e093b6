"""The one record that every data set of hands is stored as.

A label that a data set lacks is expressed by its validity mask, never by a made-up value: the
numbers under a false mask are zero and mean nothing. Conventions (`geometry.camera`,
`hands.skeleton`): pixels (x, y) with the origin at the centre of the top-left pixel; camera space
in metres, x right, y down, z forward; the 21 joints in FreiHAND's order.
"""

import dataclasses
import io
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, Float

from peclr_jax.errors import UserError
from peclr_jax.hands.skeleton import NUM_JOINTS

HANDEDNESS = ("unknown", "right", "left")

# Label name -> (shape of its value, shape of its validity mask).
LABELS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "keypoints_2d": ((NUM_JOINTS, 2), (NUM_JOINTS,)),
    "keypoints_3d": ((NUM_JOINTS, 3), (NUM_JOINTS,)),
    "intrinsics": ((3, 3), ()),
    "bone_length": ((), ()),
    "hand_box": ((4,), ()),
}


def features() -> tfds.features.FeaturesDict:
    """Returns the TFDS features of `Record`, each label with a mask `*_valid`."""
    fields: dict[str, Any] = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "sample_id": np.int64,
        "version": np.int64,
        "handedness": tfds.features.ClassLabel(names=list(HANDEDNESS)),
        "visible": tfds.features.Tensor(shape=(NUM_JOINTS,), dtype=np.bool_),
        "visible_valid": tfds.features.Tensor(shape=(NUM_JOINTS,), dtype=np.bool_),
        "hand_mask": tfds.features.Text(doc="encoded image, empty if absent"),
        "score": np.float32,
    }
    for name, (shape, valid_shape) in LABELS.items():
        fields[name] = tfds.features.Tensor(shape=shape, dtype=np.float32)
        fields[f"{name}_valid"] = tfds.features.Tensor(shape=valid_shape, dtype=np.bool_)
    return tfds.features.FeaturesDict(fields)


@dataclasses.dataclass(frozen=True)
class Record:
    """One image of a hand and what is known of it; `None` is a label the data set lacks.

    Attributes:
      image: The encoded JPEG, of any size, stored byte for byte.
      sample_id: The hand that the image shows; images before several backgrounds share it.
      version: Which image of that hand, 0 where there is but one.
      keypoints_2d: Joints in pixels.
      keypoints_2d_valid: Which of them are labelled; `None` means all.
      keypoints_3d: Joints in camera space, metres.
      keypoints_3d_valid: Which of them are labelled; `None` means all.
      intrinsics: Camera matrix, pixels.
      bone_length: Length of `REFERENCE_BONE` in metres.
      hand_box: Box (x0, y0, x1, y1) in pixels; `None` derives it from the valid 2D joints.
      visible: Which joints are seen, not hidden.
      handedness: One of `HANDEDNESS`.
      hand_mask: Encoded PNG or JPEG of the image's size, hand where above 127.
      score: How far the labels are to be trusted, in (0, 1]: they weigh so much in training.
    """

    image: bytes
    sample_id: int
    version: int = 0
    keypoints_2d: Float[np.ndarray, "21 2"] | None = None
    keypoints_2d_valid: Bool[np.ndarray, "21"] | None = None
    keypoints_3d: Float[np.ndarray, "21 3"] | None = None
    keypoints_3d_valid: Bool[np.ndarray, "21"] | None = None
    intrinsics: Float[np.ndarray, "3 3"] | None = None
    bone_length: float | None = None
    hand_box: Float[np.ndarray, "4"] | None = None
    visible: Bool[np.ndarray, "21"] | None = None
    handedness: str = "unknown"
    hand_mask: bytes | None = None
    score: float = 1.0

    def encode(self) -> dict[str, Any]:
        """Returns the example for TFDS; refuses wrong shapes and valid values not finite."""
        example: dict[str, Any] = {
            "image": io.BytesIO(self.image),
            "sample_id": self.sample_id,
            "version": self.version,
            "handedness": self.handedness,
            "hand_mask": self.hand_mask or b"",
            "score": np.float32(self.score),
            "visible": np.zeros(NUM_JOINTS, bool) if self.visible is None else self.visible,
            "visible_valid": np.full(NUM_JOINTS, self.visible is not None),
        }
        for name in LABELS:
            valid = getattr(self, f"{name}_valid", None)
            example |= self._encode_label(name, getattr(self, name), valid)
        if self.hand_box is None and example["keypoints_2d_valid"].any():
            points = example["keypoints_2d"][example["keypoints_2d_valid"]]
            example["hand_box"] = np.concatenate([points.min(0), points.max(0)])
            example["hand_box_valid"] = np.asarray(True)
        return example

    def _encode_label(
        self, name: str, value: Any, valid: Bool[np.ndarray, "..."] | None
    ) -> dict[str, np.ndarray]:
        shape, valid_shape = LABELS[name]
        if value is None:
            absent = np.zeros(valid_shape, bool)
            return {name: np.zeros(shape, np.float32), f"{name}_valid": absent}
        where = f"sample {self.sample_id}, version {self.version}"
        value = np.asarray(value, np.float32)
        if value.shape != shape:
            raise UserError(f"{name} of {where} has shape {value.shape}, expected {shape}")
        valid = np.ones(valid_shape, bool) if valid is None else np.asarray(valid)
        if valid.shape != valid_shape:
            raise UserError(
                f"{name}_valid of {where} has shape {valid.shape}, expected {valid_shape}"
            )
        # The mask of the joints is (21,), their coordinates (21, 2 or 3).
        by_value = valid.reshape(valid.shape + (1,) * (value.ndim - valid.ndim))
        if not np.isfinite(np.where(by_value, value, 0)).all():
            raise UserError(
                f"{name} of {where} holds NaN or infinity: mark the missing joints as not valid"
            )
        return {name: np.where(by_value, value, 0).astype(np.float32), f"{name}_valid": valid}
