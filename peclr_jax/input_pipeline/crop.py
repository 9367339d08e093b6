"""Square crops around the hand, in TensorFlow; imported only where records are decoded.

A crop is a window of whole pixels, resized: of all its operations that resample, TensorFlow is
fast at this one alone (others take longer than decoding the JPEG). It therefore misses the wanted
window by up to half a pixel of the image as it is decoded. What was cut is known exactly: the point
p of the image (pixels, origin at the centre of the top-left pixel) lies at `scale * p + shift` in
the crop.
"""

from typing import Any, NamedTuple

import tensorflow as tf

# A hand that fills the image, times any sensible margins, stays far below this many image sides.
_LARGEST_SIDE = 8.0
# A JPEG can be decoded at 1/1, 1/2, 1/4 or 1/8 of its size.
_HALVINGS = 3
# The same on every system, and no slower.
_DCT = "INTEGER_ACCURATE"


class Window(NamedTuple):
    """A square of an image that is perhaps decoded at a fraction of its size.

    Attributes:
      halvings: () int32, the image is decoded at 1 / 2^halvings of its size.
      origin: (2,) int32, x and y of the first pixel there; negative beyond the border.
      side: () int32, in pixels there.
    """

    halvings: tf.Tensor
    origin: tf.Tensor
    side: tf.Tensor


def window_around(
    box: tf.Tensor, valid: tf.Tensor, shape: tf.Tensor, margin: float, size: int
) -> Window:
    """Returns the window whose centre is the box's centre.

    An image that is shrunk is decoded at the power of two nearest to the wanted size (the JPEG's
    own low frequencies: no aliasing, and faster), and interpolated from there.

    Args:
      box: (4,) x0, y0, x1, y1 of the hand in pixels.
      valid: () bool; without a box the window is the image's central square.
      shape: (2,) int32 height and width of the image.
      margin: side of the window over the larger side of the box.
      size: side of the crop in its own pixels.

    Returns:
      The window; it may reach over the image's border.
    """
    width_height = tf.cast(shape[::-1], tf.float32)
    side = margin * tf.reduce_max(box[2:] - box[:2])
    side = tf.clip_by_value(side, 2.0, _LARGEST_SIDE * tf.reduce_max(width_height))
    side = tf.where(valid, side, tf.reduce_min(width_height))
    # From here on from edge to edge, half a pixel beyond the centres of the outermost pixels.
    center = tf.where(valid, (box[:2] + box[2:] + 1) / 2, width_height / 2)
    halvings = tf.cast(tf.round(tf.math.log(side / size) / tf.math.log(2.0)), tf.int32)
    halvings = tf.clip_by_value(halvings, 0, _HALVINGS)
    ratio = _ratio(halvings)
    whole_side = tf.maximum(tf.round(side / ratio), 2.0)
    origin = tf.round(center / ratio - whole_side / 2)
    return Window(halvings, tf.cast(origin, tf.int32), tf.cast(whole_side, tf.int32))


def scale_and_shift(window: Window, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `scale` () and `shift` (2,) of the crop of a window, see the module's docstring."""
    ratio, side = _ratio(window.halvings), tf.cast(window.side, tf.float32)
    shift = (0.5 / ratio - tf.cast(window.origin, tf.float32)) * size / side - 0.5
    return size / (side * ratio), shift


def cut_out(
    image: tf.Tensor, shape: tf.Tensor, window: Window, size: int, mirrored: tf.Tensor
) -> tf.Tensor:
    """Decodes a JPEG and resamples a window of it once, bilinearly, black outside the image.

    Args:
      image: () string, the JPEG.
      shape: (2,) int32 height and width of the image.
      window: what to cut.
      size: side of the crop.
      mirrored: () bool, whether to exchange left and right.

    Returns:
      (size, size, 3) uint8.
    """
    # Rows before columns from here on. Sizes are rounded up, as JPEG decoders do.
    decoded_shape = -tf.bitwise.right_shift(-shape, window.halvings)
    first = window.origin[::-1]
    last = first + window.side
    # At least one pixel, though of a window beyond the border none is meant.
    low = tf.clip_by_value(first, 0, decoded_shape - 1)
    high = tf.clip_by_value(last, low + 1, decoded_shape)

    def part() -> tf.Tensor:
        inside = tf.concat([low, high - low], 0)
        return tf.image.decode_and_crop_jpeg(image, inside, channels=3, dct_method=_DCT)

    def whole(halvings: int) -> tf.Tensor:
        pixels = tf.io.decode_jpeg(image, channels=3, ratio=2**halvings, dct_method=_DCT)
        return pixels[low[0] : high[0], low[1] : high[1]]

    branches = [part, *((lambda h=h: whole(h)) for h in range(1, _HALVINGS + 1))]
    pixels = tf.switch_case(window.halvings, branches)
    over = tf.reduce_any((first < 0) | (last > decoded_shape))
    beyond = tf.reduce_any((last <= 0) | (first >= decoded_shape))
    border = tf.concat([tf.stack([low - first, last - high], 1), [[0, 0]]], 0)
    pixels = tf.switch_case(
        tf.cast(over, tf.int32) + tf.cast(beyond, tf.int32),
        [lambda: pixels, lambda: tf.pad(pixels, border), lambda: tf.zeros_like(pixels)],
    )
    # Of float32 it is the faster one by far.
    resized = tf.raw_ops.ResizeBilinear(
        images=tf.cast(pixels, tf.float32)[None], size=(size, size), half_pixel_centers=True
    )[0]
    # Colours are not negative, so that adding a half and cutting off rounds.
    crop = tf.cast(resized + 0.5, tf.uint8)
    crop = tf.cond(mirrored, lambda: tf.reverse(crop, [1]), lambda: crop)
    return tf.ensure_shape(crop, (size, size, 3))


def _ratio(halvings: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.bitwise.left_shift(1, halvings), tf.float32)


def adapt_labels(labels: dict[str, Any], scale: tf.Tensor, shift: tf.Tensor) -> dict[str, Any]:
    """Moves the labels of a batch from image pixels to crop pixels.

    Args:
      labels: keypoints_2d (B, 21, 2), intrinsics (B, 3, 3), hand_box (B, 4); others are kept.
      scale: (B,) as from `scale_and_shift`.
      shift: (B, 2) as from `scale_and_shift`.

    Returns:
      The labels; where they are not valid they mean as little as before.
    """
    zeros, ones = tf.zeros_like(scale), tf.ones_like(scale)
    rows = (
        tf.stack([scale, zeros, shift[:, 0]], -1),
        tf.stack([zeros, scale, shift[:, 1]], -1),
        tf.stack([zeros, zeros, ones], -1),
    )
    return labels | {
        "keypoints_2d": labels["keypoints_2d"] * scale[:, None, None] + shift[:, None],
        "hand_box": labels["hand_box"] * scale[:, None] + tf.tile(shift, (1, 2)),
        "intrinsics": tf.stack(rows, 1) @ labels["intrinsics"],
    }


def mirror_labels(labels: dict[str, Any], mirrored: tf.Tensor, size: int) -> dict[str, Any]:
    """Exchanges left and right in the labels of a batch, so that left hands become right ones.

    The camera space is mirrored as well (x becomes -x), and the intrinsics stay those of a camera:
    the focal length keeps its sign.

    Args:
      labels: keypoints_2d (B, 21, 2), keypoints_3d (B, 21, 3), intrinsics (B, 3, 3) and hand_box
        (B, 4), in crop pixels; others are kept.
      mirrored: (B,) bool, whose labels.
      size: side of the crops, pixels.

    Returns:
      The labels; where they are not valid they mean as little as before.
    """
    last = float(size - 1)
    sign, keep = tf.constant([-1.0, 1.0]), tf.constant([last, 0.0])
    box, intrinsics = labels["hand_box"], labels["intrinsics"]
    flipped = {
        "keypoints_2d": labels["keypoints_2d"] * sign + keep,
        "keypoints_3d": labels["keypoints_3d"] * tf.constant([-1.0, 1.0, 1.0]),
        "hand_box": tf.stack([last - box[:, 2], box[:, 1], last - box[:, 0], box[:, 3]], -1),
        "intrinsics": tf.concat(
            [
                intrinsics[:, :1] * tf.constant([1.0, -1.0, -1.0]) + [0.0, 0.0, last],
                intrinsics[:, 1:],
            ],
            1,
        ),
    }
    return labels | {
        name: tf.where(
            tf.reshape(mirrored, (-1, *[1] * (label.shape.rank - 1))), label, labels[name]
        )
        for name, label in flipped.items()
    }
