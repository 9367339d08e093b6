"""PeCLR's augmentation in OpenCV, image by image: as in the official code, and at its fastest.

The official order of work: rotate the whole photograph about the hand, cut a square out around the
hand, shrink it by averaging areas, jitter its colours in 8-bit HSV, standardise. `resample` and
`jitter` do that; `resample_once` and `jitter_by_tables` make the same view as fast as OpenCV can.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.harness import Figures, timed

# The ranges of `ViewSpec`, which cannot be imported here: it would bring JAX into this process.
ROTATION_DEG = 45.0
SCALE = (0.6, 2.0)
TRANSLATION = (-15 / 128, 15 / 128)
HUE = (0.01, 1.0)
SATURATION = (0.01, 1.0)
VALUE_GAIN = (0.5, 1.0)
VALUE_OFFSET = (5.0, 20.0)
MARGIN = 1.5
"""Side of the photograph over the side of the view that is neither scaled nor shifted."""

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_LEVELS = np.arange(256, dtype=np.float32)
_NORMALIZED = ((_LEVELS[:, None] / 255 - _MEAN) / _DEVIATION)[None]


class Parameters(NamedTuple):
    """Parameters of one view.

    Attributes:
      rotation: 2x3 matrix, whole image to whole image, pixels.
      box: Crop (x, y, side) in the rotated image, pixels.
      hue, saturation: Factors.
      value_gain: Factor of the value.
      value_offset: Added to the value, in grey levels of 255.
    """

    rotation: np.ndarray
    box: tuple[int, int, int]
    hue: float
    saturation: float
    value_gain: float
    value_offset: float


def sample(draw: random.Random, side: int) -> Parameters:
    """Draws a view of a square photograph with the hand at its centre."""
    center = side // 2
    rotation = cv2.getRotationMatrix2D(
        (center, center), draw.uniform(-ROTATION_DEG, ROTATION_DEG), 1.0
    )
    crop = side / MARGIN / draw.uniform(*SCALE)
    x, y = (int(center - crop / 2 - draw.uniform(*TRANSLATION) * crop) for _ in range(2))
    return Parameters(
        rotation,
        (x, y, int(crop)),
        draw.uniform(*HUE),
        draw.uniform(*SATURATION),
        draw.uniform(*VALUE_GAIN),
        draw.uniform(*VALUE_OFFSET),
    )


def matrix(parameters: Parameters, size: int) -> np.ndarray:
    """Returns the 2x3 matrix from the photograph's pixels to the view's."""
    x, y, side = parameters.box
    factor = size / side
    result = parameters.rotation * factor
    result[:, 2] += (0.5 - np.array([x, y])) * factor - 0.5
    return result


def resample(image: np.ndarray, parameters: Parameters, size: int) -> np.ndarray:
    """Rotates the whole image, cuts out the box as far as there is an image, and resizes that."""
    height, width = image.shape[:2]
    rotated = cv2.warpAffine(image, parameters.rotation, (width, height))
    x, y, side = parameters.box
    x, y = max(x, 0), max(y, 0)
    return cv2.resize(
        rotated[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA
    )


def resample_once(image: np.ndarray, parameters: Parameters, size: int) -> np.ndarray:
    """Reads the view's pixels straight from the photograph, black outside of it."""
    return cv2.warpAffine(image, matrix(parameters, size), (size, size))


def jitter(view: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Scales hue, saturation and value, each channel as an array of its own."""
    # The official code takes its RGB images for BGR; the work is the same.
    hue, saturation, value = cv2.split(cv2.cvtColor(view, cv2.COLOR_BGR2HSV))
    hue = np.clip(hue * parameters.hue, 0, 255)
    saturation = np.clip(saturation * parameters.saturation, 0, 255)
    value = np.clip(value * parameters.value_gain + parameters.value_offset, 0, 255)
    jittered = cv2.merge([hue, saturation, value]).astype(np.uint8)
    return cv2.cvtColor(jittered, cv2.COLOR_HSV2BGR)


def jitter_by_tables(view: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Computes the same as `jitter`, from a table of the 256 levels."""
    levels = np.stack(
        [
            _LEVELS * parameters.hue,
            _LEVELS * parameters.saturation,
            _LEVELS * parameters.value_gain + parameters.value_offset,
        ],
        axis=-1,
    )
    table = np.clip(levels, 0, 255).astype(np.uint8)[None]
    return cv2.cvtColor(cv2.LUT(cv2.cvtColor(view, cv2.COLOR_BGR2HSV), table), cv2.COLOR_HSV2BGR)


def standardise(view: np.ndarray) -> np.ndarray:
    """Returns float32 pixels, channels first, standardised by ImageNet's mean and deviation."""
    result = np.ascontiguousarray(view.transpose(2, 0, 1)).astype(np.float32)
    result /= 255
    result -= _MEAN[:, None, None]
    result /= _DEVIATION[:, None, None]
    return result


def standardise_by_table(view: np.ndarray) -> np.ndarray:
    """Computes the same as `standardise`, channels last, from a table of the 256 levels."""
    return cv2.LUT(view, _NORMALIZED)


def official(image: np.ndarray, parameters: Parameters, size: int) -> np.ndarray:
    """Makes one view, in the official code's steps."""
    return standardise(jitter(resample(image.copy(), parameters, size), parameters))


def best(image: np.ndarray, parameters: Parameters, size: int) -> np.ndarray:
    """Makes the same view in as few passes over pixels as OpenCV needs."""
    view = jitter_by_tables(resample_once(image, parameters, size), parameters)
    return standardise_by_table(view)


STYLES = {"official": official, "best": best}


def prepare(
    style: str, batch: int, photo_side: int, size: int, seconds: float
) -> Callable[[], Figures]:
    """Makes two views of every image of a batch, on one thread."""
    cv2.setNumThreads(1)
    draw = random.Random(0)
    make_view = STYLES[style]
    shape = (batch, photo_side, photo_side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def pairs() -> np.ndarray:
        return np.stack(
            [make_view(image, sample(draw, photo_side), size) for image in images for _ in range(2)]
        )

    return lambda: timed(pairs, seconds, units=2 * batch)
