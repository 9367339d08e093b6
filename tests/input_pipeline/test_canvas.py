"""Canvases against crops: the accelerator, resampling once, sees what TensorFlow's crop shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from peclr_jax.geometry import affine
from peclr_jax.geometry.crop import mirror_matrix
from peclr_jax.input_pipeline import canvas, crop
from tests.input_pipeline.test_crop import center_of_mass, dot, jpeg

warp = jax.jit(affine.apply_to_images, static_argnums=2)


def smooth(height, width, seed=0):
    """A picture without fine detail, on which bilinear resampling hardly errs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def both(encoded, box, size, margin, mirrored=False, valid=True):
    """The crop, the canvas with its matrix, and the window that both show."""
    (shape,) = crop.jpeg_shapes(tf.constant([encoded]))
    box, valid = tf.constant(box, tf.float32), tf.constant(valid)
    window = crop.window_around(box, valid, shape, margin, size)
    image, flip = tf.constant(encoded), tf.constant(mirrored)
    cut = crop.cut_out(image, window, crop.inside(window, shape), size, flip).numpy()
    layout, matrix = canvas.lay_out(window, shape, size, flip)
    rows = canvas.decode(image, layout).numpy()
    pixels = rows.reshape(len(rows), -1, 3)
    side = canvas.canvas_side(size)
    padded = np.zeros((side, side, 3), np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return cut, padded, matrix.numpy(), window


def warped(padded, matrix, size):
    return np.asarray(warp(jnp.array(padded)[None], jnp.array(matrix)[None], size)[0])


def grown(mask, steps):
    """The mask, wider by so many pixels, or narrower; what lies beyond is not in it."""
    margin = abs(steps)
    padded = np.pad(mask if steps > 0 else ~mask, margin, constant_values=steps < 0)
    for _ in range(margin):
        shifted = [np.roll(padded, by, axis) for by in (1, -1) for axis in (0, 1)]
        padded = np.logical_or.reduce([padded, *shifted])
    inside = padded[margin:-margin, margin:-margin]
    return inside if steps > 0 else ~inside


CASES = {
    "inside": ((150, 201), [70.0, 40, 120, 95], 48, 1.5),
    "magnified": ((150, 201), [90.0, 60, 104, 70], 48, 1.5),
    "over the border": ((151, 203), [-20.0, 40, 60, 100], 48, 1.5),
    "over all borders": ((90, 101), [10.0, 10, 90, 80], 64, 2.25),
    "halved twice": ((301, 407), [100.0, 60, 250, 190], 48, 1.5),
    "too large for the canvas": ((301, 407), [100.0, 60, 150, 110], 48, 1.3),
    "beyond what JPEG halves": ((901, 1203), [100.0, 60, 1050, 800], 24, 1.0),
}


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_warped_canvas_is_the_crop(name, mirrored):
    """To 5 of 255 at most and 1 in the mean, but for two pixels at the ends of what is seen."""
    shape, box, size, margin = CASES[name]
    cut, padded, matrix, window = both(jpeg(smooth(*shape)), box, size, margin, mirrored)
    seen = warped(padded, matrix, size)
    # Where the window or the image ends, colours fade to black over a pixel of either.
    faded = max(2, int(np.ceil(size / int(window.side))) + 1)
    lit = cut.max(-1) > 0
    inner = grown(lit, -faded)
    assert inner.mean() > 0.2
    difference = np.abs(seen - cut)[inner]
    assert difference.max() <= 5
    assert difference.mean() <= 1
    black = ~grown(lit, 1)
    assert seen[black].max(initial=0) == 0
    assert black.any() == ("border" in name)


@pytest.mark.parametrize("box", [[200, 200, 240, 230], [-90, -80, -60, -50]])
def test_a_window_beyond_the_image_is_black(box):
    cut, padded, matrix, _ = both(jpeg(np.full((80, 80, 3), 200, np.uint8)), box, 32, 1.5)
    assert cut.max() == warped(padded, matrix, 32).max() == 0
    # Neither does any view see anything that looks beyond the window.
    zoomed_out = np.array([[0.3, 0, 11], [0, 0.3, 11]], np.float32)
    matrix = np.asarray(affine.compose_matrices(jnp.array(matrix), jnp.array(zoomed_out)))
    assert warped(padded, matrix, 32).max() == 0


@given(
    x=st.floats(60, 140),
    y=st.floats(50, 90),
    box_side=st.floats(12, 150),
    size=st.sampled_from([24, 48, 96]),
    mirrored=st.booleans(),
)
@settings(max_examples=25)
def test_a_dot_lands_under_its_keypoint(x, y, box_side, size, mirrored):
    """Within half a pixel of the crop through the canvas, as through the crop itself."""
    radius = max(2.0, 1.5 * box_side * 2.25 / size)
    pixels = dot((151, 203), (x, y), radius)
    box = [x - 0.4 * box_side, y - 0.2 * box_side, x + 0.6 * box_side, y + 0.3 * box_side]
    cut, padded, matrix, window = both(jpeg(pixels), box, size, 2.25, mirrored)
    to_crop = mirror_matrix(crop.to_matrix(window, size), tf.constant(mirrored), size)
    expected = to_crop.numpy() @ [x, y, 1]
    for image in (cut, warped(padded, matrix, size)):
        np.testing.assert_allclose(center_of_mass(image), expected, atol=0.5)


@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    x=st.floats(-300, 900),
    y=st.floats(-300, 900),
    side=st.floats(1, 5000),
    size=st.integers(8, 200),
)
def test_everything_fits_its_canvas(height, width, x, y, side, size):
    shape = tf.constant([height, width])
    box = tf.constant([x, y, x + side, y + side / 2], tf.float32)
    window = crop.window_around(box, tf.constant(True), shape, 1.5, size)
    layout, matrix = canvas.lay_out(window, shape, size, tf.constant(False))
    rows, columns = layout.form.numpy() // [1, 3]
    limit = canvas.canvas_side(size)
    assert 1 <= rows <= limit
    assert 1 <= columns <= limit
    assert np.isfinite(matrix.numpy()).all()
    # As it is decoded, else at the size of the crop.
    wanted = layout.part[2:].numpy()
    if wanted.max() > limit:
        wanted = np.maximum(np.round(wanted * size / window.side.numpy()), 1)
    np.testing.assert_array_equal([rows, columns], wanted)


def test_freihand_fits_whole():
    assert canvas.canvas_side(192) >= 224


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("gray", [False, True])
def test_parts_are_those_of_the_whole_image(options, gray):
    pixels = smooth(123, 201)
    pixels = pixels[..., 0] if gray else pixels
    encoded = tf.constant(jpeg(pixels, **options))
    for halvings in range(4):
        whole = tf.io.decode_jpeg(
            encoded, channels=3, ratio=2**halvings, dct_method="INTEGER_ACCURATE"
        ).numpy()
        top, left = whole.shape[0] // 4, whole.shape[1] // 3
        part = tf.constant([top, left, whole.shape[0] // 2, whole.shape[1] // 2])
        found = crop.decode(encoded, tf.constant(halvings), part).numpy()
        expected = whole[top:, left:][: found.shape[0], : found.shape[1]]
        assert found.shape[:2] == tuple(part[2:].numpy())
        assert np.abs(found.astype(int) - expected).max() <= 3
