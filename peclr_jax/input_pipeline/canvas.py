"""Canvases for the accelerator to resample: the decoded part of a window, and its matrix.

Resampling would be TensorFlow's most expensive step after decoding, and the view resamples once
more. Instead the part of the window inside the image, as it is decoded, is copied into the corner
of a square canvas, which is black elsewhere, as the crop (see `crop`) is beyond the image.
"""

from typing import NamedTuple

import tensorflow as tf

from peclr_jax.geometry.crop import mirror_matrix, scaling
from peclr_jax.input_pipeline import crop
from peclr_jax.input_pipeline.crop import Window

# Where a window beyond the image is moved to, in sides of the crop: outside of every view.
_FAR = 1e4


class Layout(NamedTuple):
    """How images are laid on their canvases.

    Attributes:
      halvings: (...) int32, the image is decoded at 1 / 2^halvings of its size.
      part: (..., 4) int32 first row, first column, rows and columns there.
      fits: (...) bool, whether the part is put on the canvas as it is decoded.
      form: (..., 2) int32, rows on the canvas and three times the columns: its shape in memory.
    """

    halvings: tf.Tensor
    part: tf.Tensor
    fits: tf.Tensor
    form: tf.Tensor


def canvas_side(size: int) -> int:
    """Returns the side of the canvases for crops of a size: 6/5 of it, rounded down.

    Windows are decoded at 0.7 to 1.4 times the size of the crop. Those of more than 1.2, about a
    quarter, are resampled in TensorFlow to the crop's. The rest is resampled once, into the view,
    which shows it smaller by two at most: there is no low-pass filter, and pre-training's least
    scale is 0.6 (Sec. 8). For crops of 192 the canvases have 230 pixels, so that FreiHAND's images
    of 224 fit.
    """
    return 6 * size // 5


def lay_out(
    window: Window, shape: tf.Tensor, size: int, mirrored: tf.Tensor
) -> tuple[Layout, tf.Tensor]:
    """Returns layouts, and matrices (..., 2, 3) float32 from canvas pixels to crop pixels.

    Args:
      window: The window of each image.
      shape: (..., 2) int32 height and width of the images.
      size: Side of the crops, pixels.
      mirrored: (...) bool, in which crops left and right are exchanged.
    """
    part = crop.inside(window, shape)
    extent = tf.cast(part[..., 2:], tf.float32)
    ratio = (size / tf.cast(window.side, tf.float32))[..., None]
    fits = window.side <= canvas_side(size)
    on_canvas = tf.where(fits[..., None], extent, tf.maximum(tf.round(extent * ratio), 1.0))
    scale = ratio * extent / on_canvas
    border = crop.border(window, part)
    # Edges map to edges, half a pixel beyond the centres of the outermost pixels.
    shift = tf.cast(border[..., 0], tf.float32) * ratio + 0.5 * scale - 0.5
    beyond = tf.reduce_any(border < 0, (-2, -1))
    shift = tf.where(beyond[..., None], _FAR * size, shift)
    matrix = scaling(scale[..., 1], scale[..., 0], shift[..., 1], shift[..., 0])
    layout = Layout(window.halvings, part, fits, tf.cast(on_canvas, tf.int32) * [1, 3])
    return layout, mirror_matrix(matrix, mirrored, size)


def decode(image: tf.Tensor, layout: Layout) -> tf.Tensor:
    """Decodes a JPEG, () string, to uint8 of `layout.form`: rows are padded faster than pixels."""
    pixels = crop.decode(image, layout.halvings, layout.part)
    pixels = tf.cond(
        layout.fits, lambda: pixels, lambda: crop.resize(pixels, layout.form // [1, 3])
    )
    return tf.reshape(pixels, layout.form)
