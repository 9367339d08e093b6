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
      halvings: (...) int32, the image is decoded at 1 / 2^halvings of its size.
      origin: (..., 2) int32, x and y of the first pixel there; negative beyond the border.
      side: (...) int32, in pixels there.
    """

    halvings: tf.Tensor
    origin: tf.Tensor
    side: tf.Tensor


def jpeg_shapes(images: tf.Tensor) -> tf.Tensor:
    """Reads height and width of JPEGs, (B, 2) int32, from their headers.

    Args:
      images: (B,) string; B must be known when the graph is built.
    """
    # Written out, for a loop's own operations would take longer than reading a header.
    shapes = [tf.io.extract_jpeg_shape(image) for image in tf.unstack(images)]
    return tf.reshape(tf.concat(shapes, 0), (-1, 3))[:, :2]


def window_around(
    box: tf.Tensor, valid: tf.Tensor, shape: tf.Tensor, margin: float, size: int
) -> Window:
    """Returns the windows whose centres are the boxes' centres.

    An image that is shrunk is decoded at the power of two nearest to the wanted size (the JPEG's
    own low frequencies: no aliasing, and faster), and interpolated from there.

    Args:
      box: (..., 4) x0, y0, x1, y1 of the hand in pixels.
      valid: (...) bool; without a box the window is the image's central square.
      shape: (..., 2) int32 height and width of the image.
      margin: side of the window over the larger side of the box.
      size: side of the crop in its own pixels.

    Returns:
      The windows; they may reach over the image's border.
    """
    width_height = tf.cast(shape[..., ::-1], tf.float32)
    side = margin * tf.reduce_max(box[..., 2:] - box[..., :2], -1)
    side = tf.clip_by_value(side, 2.0, _LARGEST_SIDE * tf.reduce_max(width_height, -1))
    side = tf.where(valid, side, tf.reduce_min(width_height, -1))
    # From here on from edge to edge, half a pixel beyond the centres of the outermost pixels.
    center = (box[..., :2] + box[..., 2:] + 1) / 2
    center = tf.where(valid[..., None], center, width_height / 2)
    halvings = tf.cast(tf.round(tf.math.log(side / size) / tf.math.log(2.0)), tf.int32)
    halvings = tf.clip_by_value(halvings, 0, _HALVINGS)
    ratio = _ratio(halvings)
    whole_side = tf.maximum(tf.round(side / ratio), 2.0)
    origin = tf.round(center / ratio[..., None] - whole_side[..., None] / 2)
    return Window(halvings, tf.cast(origin, tf.int32), tf.cast(whole_side, tf.int32))


def scale_and_shift(window: Window, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `scale` (...) and `shift` (..., 2) of windows' crops, see the module's docstring."""
    ratio, side = _ratio(window.halvings), tf.cast(window.side, tf.float32)
    first = tf.cast(window.origin, tf.float32)
    shift = (0.5 / ratio[..., None] - first) * (size / side)[..., None] - 0.5
    return size / (side * ratio), shift


def inside(window: Window, shape: tf.Tensor) -> tf.Tensor:
    """Returns the parts of windows that lie inside of their images.

    Args:
      window: in images that are decoded at its fraction of their size.
      shape: (..., 2) int32 height and width of the images.

    Returns:
      (..., 4) int32 first row, first column, rows and columns; at least one pixel, though none is
      meant where the window lies wholly beyond the border.
    """
    # Sizes are rounded up, as JPEG decoders do.
    decoded_shape = -tf.bitwise.right_shift(-shape, window.halvings[..., None])
    first = window.origin[..., ::-1]
    low = tf.clip_by_value(first, 0, decoded_shape - 1)
    high = tf.clip_by_value(first + window.side[..., None], low + 1, decoded_shape)
    return tf.concat([low, high - low], -1)


def border(window: Window, part: tf.Tensor) -> tf.Tensor:
    """Returns by how much windows reach over their images' borders.

    Args:
      window: the windows.
      part: (..., 4), as from `inside`.

    Returns:
      (..., 2, 2) int32, for rows and columns, before and after `part`; some are negative where the
      window lies wholly beyond the border.
    """
    first = window.origin[..., ::-1]
    low, extent = part[..., :2], part[..., 2:]
    return tf.stack([low - first, first + window.side[..., None] - low - extent], -1)


def decode(image: tf.Tensor, halvings: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """Decodes a part of a JPEG, at 1 / 2^halvings of its size.

    Args:
      image: () string, the JPEG.
      halvings: () int32, 0 to 3.
      part: (4,) int32 first row, first column, rows and columns, at that size.

    Returns:
      (rows, columns, 3) uint8.
    """

    def at(ratio: int) -> tf.Tensor:
        return tf.raw_ops.DecodeAndCropJpeg(
            contents=image, crop_window=part, channels=3, ratio=ratio, dct_method=_DCT
        )

    return tf.switch_case(halvings, [lambda h=h: at(2**h) for h in range(_HALVINGS + 1)])


def resize(pixels: tf.Tensor, shape: tf.Tensor | tuple[int, int]) -> tf.Tensor:
    """Resamples (rows, columns, 3) uint8 bilinearly to `shape`, edges to edges."""
    # Of float32 it is the faster one by far.
    resized = tf.raw_ops.ResizeBilinear(
        images=tf.cast(pixels, tf.float32)[None], size=shape, half_pixel_centers=True
    )[0]
    # Colours are not negative, so that adding a half and cutting off rounds.
    return tf.cast(resized + 0.5, tf.uint8)


def cut_out(
    image: tf.Tensor, window: Window, part: tf.Tensor, size: int, mirrored: tf.Tensor
) -> tf.Tensor:
    """Decodes a JPEG and resamples a window of it once, bilinearly, black outside the image.

    Args:
      image: () string, the JPEG.
      window: what to cut.
      part: (4,), what of it lies inside the image.
      size: side of the crop.
      mirrored: () bool, whether to exchange left and right.

    Returns:
      (size, size, 3) uint8.
    """
    pixels = decode(image, window.halvings, part)
    padding = tf.concat([border(window, part), [[0, 0]]], 0)
    beyond = tf.reduce_any(padding < 0)
    over = beyond | tf.reduce_any(padding > 0)
    pixels = tf.switch_case(
        tf.cast(over, tf.int32) + tf.cast(beyond, tf.int32),
        [lambda: pixels, lambda: tf.pad(pixels, padding), lambda: tf.zeros_like(pixels)],
    )
    crop = resize(pixels, (size, size))
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
