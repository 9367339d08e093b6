"""A network that finds hands in images, in two lines of Python.

    hands = peclr_jax.load()
    for hand in hands.predict("photo.jpg"):
        print(hand.handedness, hand.keypoints_3d)

It answers as `configs/predict.py` does, whose fields are the options of `load`.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from PIL import Image

from peclr_jax import places, specs
from peclr_jax.errors import MissingFileError, UserError, printable
from peclr_jax.networks.estimator import Estimator, open_estimator
from peclr_jax.pages.gallery import Prediction
from peclr_jax.photos.boxes import Box, as_request
from peclr_jax.photos.prepare import Prepared, Skipped, prepare
from peclr_jax.prediction.photographs import predict_photos, rows_for
from peclr_jax.prediction.spec import PredictSpec, bone_length_of, largest_error_of, options_of
from peclr_jax.weights import RELEASED

# Name of an image that is no file, for messages.
_IMAGE = "the image"
# Fields of the command's input and output.
_OF_THE_COMMAND = (
    *("images", "boxes", "decode_threads", "formats", "smooth", "min_cutoff", "beta"),
    *("overlay_side", "thumbnail_side"),
)


class HandPrediction(NamedTuple):
    """A hand in an image; pixels (x, y) from the centre of its top-left one.

    Attributes:
      handedness: "right" or "left".
      keypoints_2d: Pixels of the upright image, joints in FreiHAND's order.
      keypoints_3d: Metres from the camera: x right, y down, z forward.
      box: As given, (x0, y0, x1, y1) in pixels; None if there was none.
      crop: What the network saw last, likewise.
      expected_error: Of each joint in the image, pixels; None if the network is not calibrated.
    """

    handedness: str
    keypoints_2d: Float[np.ndarray, "21 2"]
    keypoints_3d: Float[np.ndarray, "21 3"]
    box: Box | None
    crop: Box
    expected_error: Float[np.ndarray, "21"] | None


@dataclass(frozen=True)
class Hands:
    """A network that finds hands in images; `load` makes it.

    Attributes:
      estimator: The network.
      spec: How it looks at images.
      bone_length: Of all hands' reference bone, metres.
    """

    estimator: Estimator
    spec: PredictSpec
    bone_length: float

    def predict(
        self,
        image: str | os.PathLike[str] | Image.Image | np.ndarray | jax.Array,
        boxes: Sequence[Sequence[float | int]] | np.ndarray | jax.Array | None = None,
        handedness: str | Sequence[str] | None = None,
    ) -> list[HandPrediction]:
        """Finds the hands in an image.

        Args:
          image: Path of a photo (JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP, GIF); a Pillow image; or
            an array, uint8 RGB (height, width, 3). A Pillow image is turned by the EXIF orientation
            that it carries, as a file is: give one that you have turned already, and that still
            carries it, as an array.
          boxes: Where the hands are, (x0, y0, x1, y1) each, in pixels of the upright image; None
            to search for them.
          handedness: "right" or "left", of all hands or of each; None for that of `load`.

        Returns:
          A prediction a box, in their order, or of the hands that were found, the surest first.

        Raises:
          UserError: An image that cannot be read, a box outside of it, an unknown handedness.
        """
        path, content = _open(image)
        hands = _entries(boxes, handedness)
        request = as_request(hands, path.as_posix(), self.spec.handedness)
        options = options_of(self.spec, self.estimator)
        photo = prepare(path, request, options, content)
        if isinstance(photo, Prepared) and photo.left_out:
            raise UserError(f"{path}: {'; '.join(photo.left_out)}")
        (result,) = predict_photos(
            self.estimator,
            [photo],
            self.bone_length,
            passes=self.spec.passes,
            rows=rows_for(self.estimator, request.hands, options.search, self.spec.batch_size),
            hands=self.spec.hands,
            worst=largest_error_of(self.spec, self.estimator),
        )
        if isinstance(result, Skipped):
            raise UserError(f"{path}: {result.reason}")
        for remark in result[0].remarks:
            warnings.warn(printable(f"{path}: {remark}"), stacklevel=2)
        return [_as_public(prediction) for prediction in result[1]]


def load(checkpoint: str | os.PathLike[str] = RELEASED, **options: Any) -> Hands:
    """Opens a network that finds hands in images.

    Args:
      checkpoint: "released", the network in the package; else a fine-tuning run's folder, that of
        one of its steps, or a file of configs/release.py.
      **options: Other fields of `PredictSpec`, such as `bone_length_m`, `focal_px` or `passes`; not
        those of its input and output.

    Example:
      >>> hands = peclr_jax.load()
      >>> [hand] = hands.predict("photo.jpg", boxes=[(120, 80, 360, 330)], handedness="left")
      >>> hand.keypoints_3d.shape
      (21, 3)
    """
    if unused := [name for name in _OF_THE_COMMAND if name in options]:
        raise UserError(
            f"load was given {', '.join(unused)}, which configs/predict.py alone has a use for: "
            "leave it out; images, boxes and sides are given to predict"
        )
    spec = specs.from_mapping(PredictSpec, options, "load")
    if not isinstance(checkpoint, str | os.PathLike):
        raise UserError(f"the checkpoint is {checkpoint!r}: give a folder, a file or {RELEASED!r}")
    if not os.fspath(checkpoint) and not spec.init.torch_checkpoint:
        raise UserError(f"the checkpoint is empty: give a folder, a file or {RELEASED!r}")
    estimator = open_estimator(checkpoint, spec.init.torch_checkpoint)
    return Hands(estimator, spec, bone_length_of(spec, estimator))


def _open(image: Any) -> tuple[Path, Image.Image | None]:
    """Returns the path of a file, or a name and the content of an image that is none."""
    if isinstance(image, str | os.PathLike):
        path = Path(places.named("the image", os.fsdecode(image)))
        if not os.fsdecode(image):
            raise UserError("the image's path is empty: give the path of a photo")
        if os.path.isdir(path):
            raise UserError(
                f"{path} is a folder: give one of its photos, or use configs/predict.py"
            )
        if not os.path.isfile(path):
            raise MissingFileError(f"there is no image {path}: check the path")
        return path, None
    if isinstance(image, Image.Image):
        return Path(_IMAGE), image
    if isinstance(image, jax.Array):
        image = np.asarray(image)
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"an image must be a path, a Pillow image or an array, got {type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(
            f"an image must be uint8 (height, width, 3), RGB, got {image.dtype} "
            f"{tuple(image.shape)}: convert it first"
        )
    return Path(_IMAGE), Image.fromarray(image)


def _entries(boxes: Any, handedness: str | Sequence[str] | None) -> list[dict[str, Any]]:
    """Returns hands as a boxes file has them."""
    given = [None] if boxes is None else _as_list(boxes)
    if not isinstance(given, list):
        raise UserError(f"boxes must be a list of (x0, y0, x1, y1), got {boxes!r}")
    hands = [{"box": _as_list(box)} for box in given]
    if handedness is None:
        return hands
    sides = _as_list(handedness)
    if not isinstance(sides, list):
        sides = [sides] * len(hands)
    if len(sides) != len(hands):
        raise UserError(
            f"handedness has {len(sides)} entries for {len(hands)} hand(s): give one each, or one "
            "for all"
        )
    return [hand | {"handedness": side} for hand, side in zip(hands, sides, strict=True)]


def _as_list(values: Any) -> Any:
    """Returns a sequence as a list of Python's own values; what is none is left to the checks."""
    if isinstance(values, np.ndarray | jax.Array):
        return np.asarray(values).tolist()
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        return values
    return [v.item() if isinstance(v, np.generic) else v for v in values]


def _as_public(found: Prediction) -> HandPrediction:
    left, top, right, bottom = map(float, found.square.edges)
    return HandPrediction(
        found.hand.handedness,
        # Copies, because the buffers of devices cannot be written to.
        np.array(found.keypoints_2d),
        np.array(found.keypoints_3d),
        found.hand.box,
        (left, top, right, bottom),
        None if found.expected_error is None else np.array(found.expected_error),
    )
