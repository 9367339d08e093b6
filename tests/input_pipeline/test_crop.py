"""Crops against their labels: what is drawn at a joint stays there, outside is black."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from peclr_jax.geometry.crop import around, to_matrix
from peclr_jax.input_pipeline import crop, rendered

BACKGROUND = (40, 60, 80)
crop_on_device = jax.jit(rendered.crop, static_argnums=2)


def jpeg(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=98, subsampling=0, **options)
    return buffer.getvalue()


def dot(shape, point, radius):
    """A smooth white dot whose centre of mass is the point."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    weight = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * radius**2))[..., None]
    return (255 * weight + np.asarray(BACKGROUND) * (1 - weight)).astype(np.uint8)


def center_of_mass(pixels):
    weight = np.clip(pixels[..., 0].astype(float) - BACKGROUND[0] - 25, 0, None)
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def cut(pixels, box, size, margin, valid=True, mirrored=False):
    shape = tf.constant(pixels.shape[:2])
    window = crop.window_around(
        tf.constant(box, tf.float32), tf.constant(valid), shape, margin, size
    )
    matrix = crop.to_matrix(window, size).numpy()
    part = crop.inside(window, shape)
    image = crop.cut_out(tf.constant(jpeg(pixels)), window, part, size, tf.constant(mirrored))
    return image.numpy(), matrix[0, 0], matrix[:, 2]


@given(
    x=st.floats(60, 140),
    y=st.floats(50, 90),
    box_side=st.floats(12, 150),
    size=st.sampled_from([48, 96]),
)
@settings(max_examples=20)
def test_a_dot_stays_under_its_keypoint(x, y, box_side, size):
    """From magnified four times to shrunk seven times, through every size of JPEG decoding."""
    margin = 2.25
    step = box_side * margin / size
    pixels = dot((151, 203), (x, y), radius=max(2.0, 1.5 * step))
    box = [x - 0.4 * box_side, y - 0.2 * box_side, x + 0.6 * box_side, y + 0.3 * box_side]
    image, scale, shift = cut(pixels, box, size, margin)
    np.testing.assert_allclose(center_of_mass(image), scale * np.array([x, y]) + shift, atol=0.2)


@given(x=st.floats(30, 60), y=st.floats(30, 60), box_side=st.floats(12, 60))
@settings(max_examples=10)
def test_the_device_crops_as_tensorflow_does(x, y, box_side):
    """But for whole pixels, of which TensorFlow's windows consist."""
    step = box_side * 1.5 / 48
    pixels = dot((90, 90), (x, y), radius=max(2.5, 2 * step))
    half = box_side / 2
    box = np.array([x - half, y - half, x + half, y + half - 3], np.float32)
    _, scale, shift = cut(pixels, box, 48, 1.5)
    matrix = to_matrix(around(box[None], 1.5), 48)
    device_scale, device_shift = matrix[0, 0, 0], matrix[0, :, 2]
    image = crop_on_device(pixels[None], jnp.array(matrix), 48)
    pixel = max(1.0, 1.5 / scale)  # of the image as it is decoded, in those of the image
    assert abs(48 / device_scale - 48 / scale) <= 0.51 * pixel
    point, device_point = (
        a * np.array([x, y]) + b for a, b in ((scale, shift), (device_scale, device_shift))
    )
    assert abs(point - device_point).max() <= 1.1 * scale * pixel
    np.testing.assert_allclose(center_of_mass(np.asarray(image[0])), device_point, atol=0.2)


@given(x=st.floats(30, 70), y=st.floats(30, 70), side=st.floats(10, 80), size=st.integers(20, 120))
@settings(max_examples=20)
def test_the_box_is_centred_and_spans_its_part(x, y, side, size):
    """To half a pixel of the image, or of the crop where several fall on one."""
    box = [x - side / 2, y - side / 4, x + side / 2, y + side / 4]
    _, scale, shift = cut(np.zeros((100, 100, 3), np.uint8), box, size, 2.25)
    pixel = max(scale, 2**0.5)
    np.testing.assert_allclose(scale * np.array([x, y]) + shift, (size - 1) / 2, atol=0.51 * pixel)
    np.testing.assert_allclose(2.25 * side * scale, size, atol=0.51 * pixel)


@pytest.mark.parametrize("size", [30, 100, 300])
def test_without_a_box_the_central_square_is_taken(size):
    pixels = np.full((60, 100, 3), 90, np.uint8)
    pixels[:, :20] = pixels[:, 80:] = 200
    image, _, _ = cut(pixels, [0, 0, 0, 0], size, 2.25, valid=False)
    edge = size // 30  # JPEG rings at the border of the grey square
    assert abs(image[:, edge : size - edge].astype(int) - 90).max() < 12


@pytest.mark.parametrize("size", [20, 50, 200])
def test_outside_the_image_is_black(size):
    pixels = np.full((80, 80, 3), 200, np.uint8)
    image, scale, shift = cut(pixels, [-10, 20, 30, 60], size, 2.0)
    column = (np.arange(size) - shift[0]) / scale
    assert image[:, column < -1 / scale - 1].max(initial=0) == 0
    inside = image[:, column > 0][2:-2]
    assert abs(inside.astype(int) - 200).max() < 4


def test_shrinking_does_not_alias():
    """Stripes of one pixel become grey, whatever their phase."""
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[:, ::2] = 255
    image, _, _ = cut(pixels, [0, 0, 127, 127], 32, 1.0)
    assert abs(image[2:-2, 2:-2].astype(int) - 127).max() < 12


def test_shrinking_a_large_photo_does_not_alias():
    """Stripes that are a pixel wide where JPEG cannot be decoded any smaller."""
    pixels = np.zeros((768, 768, 3), np.uint8)
    pixels[:, np.arange(768) // 8 % 2 == 0] = 255
    image, _, _ = cut(pixels, [0, 0, 767, 767], 24, 1.0)
    assert abs(image[2:-2, 2:-2].astype(int) - 127).max() < 12


@pytest.mark.parametrize("box_side", [12, 60, 150])
def test_a_mirrored_crop_is_the_crop_mirrored(box_side):
    pixels = dot((151, 203), (77.3, 60.8), radius=max(2.0, box_side / 20))
    box = [80 - box_side / 2, 60 - box_side / 2, 80 + box_side / 2, 60 + box_side / 3]
    plain, _, _ = cut(pixels, box, 48, 1.5)
    mirrored, _, _ = cut(pixels, box, 48, 1.5, mirrored=True)
    assert abs(mirrored[:, ::-1].astype(int) - plain).max() <= 1
