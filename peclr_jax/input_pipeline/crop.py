"""Square crops around the hand, in TensorFlow; imported only where records are decoded.

A crop is a window of whole pixels, resized: the only resampling that is fast in TensorFlow. It
misses the wanted window by up to half a decoded pixel; its matrix (`to_matrix`) is exact.
"""

from typing import NamedTuple

import tensorflow as tf

from peclr_jax.geometry import crop as cropping

# A hand that fills the image, times any sensible margins, stays far below this many image sides.
_LARGEST_SIDE = 8.0
# A JPEG can be decoded at 1/1, 1/2, 1/4 or 1/8 of its size; beyond that, pixels are averaged.
_HALVINGS, _MOST_HALVINGS = 3, 16
# The same on every system, and no slower.
_DCT = "INTEGER_ACCURATE"


class Window(NamedTuple):
    """A square of an image that may be decoded at a fraction of its size.

    Attributes:
      halvings: (...) int32, the image is decoded at 1 / 2^halvings of its size.
      origin: (..., 2) int32, x and y of the first pixel there; negative beyond the border.
      side: (...) int32, in pixels there.
    """

    halvings: tf.Tensor
    origin: tf.Tensor
    side: tf.Tensor


def jpeg_shapes(images: tf.Tensor) -> tf.Tensor:
    """Reads height and width, (B, 2) int32, from the headers of JPEGs, (B,) string."""
    # Unrolled: the operations of a loop would take longer than reading a header.
    shapes = [tf.io.extract_jpeg_shape(image) for image in tf.unstack(images)]
    return tf.reshape(tf.concat(shapes, 0), (-1, 3))[:, :2]


def window_around(
    box: tf.Tensor, valid: tf.Tensor, shape: tf.Tensor, margin: float, size: int
) -> Window:
    """Returns the windows around the boxes' centres; they may reach over the image's border.

    An image that is shrunk is decoded at the power of two nearest to the wanted size (the JPEG's
    own low frequencies, and means of pixels below an eighth: no aliasing, and faster), and
    interpolated from there, which shrinks it by 1.4 at most.

    Args:
      box: (..., 4) x0, y0, x1, y1 of the hand in pixels.
      valid: (...) bool; without a box the window is the image's central square.
      shape: (..., 2) int32 height and width of the image.
      margin: Side of the window over the larger side of the box.
      size: Side of the crop in pixels.
    """
    width_height = tf.cast(shape[..., ::-1], tf.float32)
    most = _LARGEST_SIDE * tf.reduce_max(width_height, -1)
    hand = cropping.around(box, margin, least=2.0, most=most)
    middle = cropping.central(width_height[..., 0], width_height[..., 1])
    x, y, side = (tf.where(valid, *choice) for choice in zip(hand, middle, strict=True))
    # From here on relative to the image's edges, half a pixel beyond the outermost pixels' centres.
    center = tf.stack([x, y], -1) + 0.5
    halvings = tf.cast(tf.round(tf.math.log(side / size) / tf.math.log(2.0)), tf.int32)
    halvings = tf.clip_by_value(halvings, 0, _MOST_HALVINGS)
    ratio = _ratio(halvings)
    whole_side = tf.maximum(tf.round(side / ratio), 2.0)
    origin = tf.round(center / ratio[..., None] - whole_side[..., None] / 2)
    return Window(halvings, tf.cast(origin, tf.int32), tf.cast(whole_side, tf.int32))


def to_matrix(window: Window, size: int) -> tf.Tensor:
    """Returns the matrices (..., 2, 3) from image pixels to those of windows' crops of a size."""
    ratio, side = _ratio(window.halvings), tf.cast(window.side, tf.float32)
    first = tf.cast(window.origin, tf.float32)
    shift = (0.5 / ratio[..., None] - first) * (size / side)[..., None] - 0.5
    scale = size / (side * ratio)
    return cropping.scaling(scale, scale, shift[..., 0], shift[..., 1])


def inside(window: Window, shape: tf.Tensor) -> tf.Tensor:
    """Returns the parts of windows inside of their images, whose height and width `shape` has.

    They are (..., 4) int32: first row, first column, rows and columns of the decoded image. Where
    the window lies wholly beyond the border, it is one pixel, which must not be shown.
    """
    # Sizes are rounded up, as JPEG decoders do.
    decoded_shape = -tf.bitwise.right_shift(-shape, window.halvings[..., None])
    first = window.origin[..., ::-1]
    low = tf.clip_by_value(first, 0, decoded_shape - 1)
    high = tf.clip_by_value(first + window.side[..., None], low + 1, decoded_shape)
    return tf.concat([low, high - low], -1)


def border(window: Window, part: tf.Tensor) -> tf.Tensor:
    """Returns by how much windows reach over the borders of their images, before and after `part`.

    It is (..., 2, 2) int32, rows and columns; partly negative for windows wholly beyond the border.
    """
    first = window.origin[..., ::-1]
    low, extent = part[..., :2], part[..., 2:]
    return tf.stack([low - first, first + window.side[..., None] - low - extent], -1)


def decode(image: tf.Tensor, halvings: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """Decodes a part of a JPEG to (rows, columns, 3) uint8.

    Args:
      image: () string, the JPEG.
      halvings: () int32: it is decoded at 1 / 2^halvings of its size.
      part: (4,) int32 first row, first column, rows and columns, at that size.
    """

    def at(ratio: int, part: tf.Tensor = part) -> tf.Tensor:
        return tf.raw_ops.DecodeAndCropJpeg(
            contents=image, crop_window=part, channels=3, ratio=ratio, dct_method=_DCT
        )

    def below() -> tf.Tensor:
        block = tf.bitwise.left_shift(1, halvings - _HALVINGS)
        shape = tf.io.extract_jpeg_shape(image)[:2]
        first, last = part[:2] * block, (part[:2] + part[2:]) * block
        last = tf.minimum(last, -tf.bitwise.right_shift(-shape, _HALVINGS))
        return _block_means(at(2**_HALVINGS, tf.concat([first, last - first], 0)), block)

    known = [lambda h=h: at(2**h) for h in range(_HALVINGS + 1)]
    return tf.switch_case(tf.minimum(halvings, _HALVINGS + 1), [*known, below])


def resize(pixels: tf.Tensor, shape: tf.Tensor | tuple[int, int]) -> tf.Tensor:
    """Resamples (rows, columns, 3) uint8 bilinearly to rows and columns `shape`, edges to edges."""
    # Far faster on float32 than on uint8.
    resized = tf.raw_ops.ResizeBilinear(
        images=tf.cast(pixels, tf.float32)[None], size=shape, half_pixel_centers=True
    )[0]
    # Colours are not negative: adding a half and truncating rounds.
    return tf.cast(resized + 0.5, tf.uint8)


def cut_out(
    image: tf.Tensor, window: Window, part: tf.Tensor, size: int, mirrored: tf.Tensor
) -> tf.Tensor:
    """Decodes a JPEG and resamples a window of it once, bilinearly, black outside the image.

    Args:
      image: () string, the JPEG.
      window: The window.
      part: (4,) part of the window inside the image, from `inside`.
      size: Side of the crop in pixels.
      mirrored: () bool, whether to exchange left and right.
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


def _block_means(pixels: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """Returns the means of square blocks of uint8 pixels; the last ones may be cut."""
    shape = tf.shape(pixels)[:2]
    rows, columns = tf.unstack(-(-shape // block))
    beyond = tf.stack([rows, columns]) * block - shape
    padded = tf.pad(tf.cast(pixels, tf.float32), [[0, beyond[0]], [0, beyond[1]], [0, 0]])
    sums = tf.reduce_sum(tf.reshape(padded, (rows, block, columns, block, 3)), (1, 3))
    height = tf.minimum(block, shape[0] - block * tf.range(rows))
    width = tf.minimum(block, shape[1] - block * tf.range(columns))
    area = tf.cast(height[:, None, None] * width[:, None], tf.float32)
    return tf.cast(sums / area + 0.5, tf.uint8)


def _ratio(halvings: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.bitwise.left_shift(1, halvings), tf.float32)
