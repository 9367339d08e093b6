"""Square crops around the hand, in TensorFlow; imported only where records are decoded.

A crop is described by `scale` and `shift`: the point p of the image (pixels, origin at the centre
of the top-left pixel) lies at `scale * p + shift` in the crop.
"""

from typing import Any

import tensorflow as tf

# A hand that fills the image, times any sensible margins, stays far below this many image sides.
_LARGEST_SIDE = 8.0
# A JPEG can be decoded at 1/1, 1/2, 1/4 or 1/8 of its size.
_HALVINGS = 3


def crop_around(
    box: tf.Tensor, valid: tf.Tensor, shape: tf.Tensor, margin: float, size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the crop whose centre is the box's centre.

    Args:
      box: (4,) x0, y0, x1, y1 of the hand in pixels.
      valid: () bool; without a box the crop is the image's central square.
      shape: (2,) int32 height and width of the image.
      margin: side of the crop over the larger side of the box.
      size: side of the crop in its own pixels.

    Returns:
      `scale` () and `shift` (2,). The crop may reach over the image's border.
    """
    height_width = tf.cast(shape, tf.float32)
    side = margin * tf.reduce_max(box[2:] - box[:2])
    side = tf.clip_by_value(side, 2.0, _LARGEST_SIDE * tf.reduce_max(height_width))
    side = tf.where(valid, side, tf.reduce_min(height_width))
    center = tf.where(valid, (box[:2] + box[2:]) / 2, (height_width[::-1] - 1) / 2)
    scale = size / side
    return scale, (size - 1) / 2 - scale * center


def cut_out(
    image: tf.Tensor,
    shape: tf.Tensor,
    scale: tf.Tensor,
    shift: tf.Tensor,
    size: int,
    mirrored: tf.Tensor,
) -> tf.Tensor:
    """Decodes a JPEG and resamples it once, black outside the image.

    An image that is shrunk is decoded at the power of two nearest to the wanted size (the JPEG's
    own low frequencies: no aliasing, and faster), and interpolated from there.

    Args:
      image: () string, the JPEG.
      shape: (2,) int32 height and width of the image.
      scale: () as from `crop_around`.
      shift: (2,) as from `crop_around`.
      size: side of the crop.
      mirrored: () bool, whether to exchange left and right.

    Returns:
      (size, size, 3) uint8.
    """
    # Rows before columns from here on. First and last point of the image that is looked at:
    first = -shift[::-1] / scale
    last = first + (size - 1) / scale

    def whole(halvings: int) -> tuple[tf.Tensor, tf.Tensor]:
        ratio = 2**halvings
        pixels = tf.io.decode_jpeg(image, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")
        return pixels, tf.zeros(2)

    def part() -> tuple[tf.Tensor, tf.Tensor]:
        low = tf.clip_by_value(tf.cast(tf.floor(first), tf.int32), 0, shape - 1)
        high = tf.clip_by_value(tf.cast(tf.floor(last), tf.int32) + 2, low + 1, shape)
        window = tf.concat([low, high - low], 0)
        pixels = tf.image.decode_and_crop_jpeg(
            image, window, channels=3, dct_method="INTEGER_ACCURATE"
        )
        return pixels, tf.cast(low, tf.float32)

    halvings = tf.cast(tf.round(tf.math.log(1 / scale) / tf.math.log(2.0)), tf.int32)
    halvings = tf.clip_by_value(halvings, 0, _HALVINGS)
    branches = [part, *((lambda h=h: whole(h)) for h in range(1, _HALVINGS + 1))]
    pixels, origin = tf.switch_case(halvings, branches)
    # The outermost pixels reach half a pixel beyond their centres, where interpolation would stop.
    pixels = tf.pad(pixels, [[1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    ratio = tf.cast(tf.bitwise.left_shift(1, halvings), tf.float32)
    extent = tf.cast(tf.shape(pixels)[:2], tf.float32) - 1
    corners = (tf.stack([first, last]) + 0.5) / ratio + 0.5 - origin
    corners = tf.where([[False, mirrored]], corners[::-1], corners)
    box = tf.reshape(corners / extent, (1, 4))
    resampled = tf.image.crop_and_resize(pixels[None], box, [0], (size, size))[0]
    return tf.ensure_shape(tf.cast(tf.round(resampled), tf.uint8), (size, size, 3))


def adapt_labels(labels: dict[str, Any], scale: tf.Tensor, shift: tf.Tensor) -> dict[str, Any]:
    """Moves the labels of a batch from image pixels to crop pixels.

    Args:
      labels: keypoints_2d (B, 21, 2), intrinsics (B, 3, 3), hand_box (B, 4); others are kept.
      scale: (B,) as from `crop_around`.
      shift: (B, 2) as from `crop_around`.

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
