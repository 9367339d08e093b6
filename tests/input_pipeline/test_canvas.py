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
    """To 5 of 255 at most and 1 in the mean, but for two pixels at the ends of what is seen.

    To 8 where it is resampled twice, in TensorFlow and by the warp.
    """
    shape, box, size, margin = CASES[name]
    cut, padded, matrix, window = both(jpeg(smooth(*shape)), box, size, margin, mirrored)
    seen = warped(padded, matrix, size)
    # Where the window or the image ends, colours fade to black over a pixel of either.
    faded = max(2, int(np.ceil(size / int(window.side))) + 1)
    lit = cut.max(-1) > 0
    inner = grown(lit, -faded)
    assert inner.mean() > 0.2
    difference = np.abs(seen - cut)[inner]
    assert difference.max() <= (5 if window.side <= canvas.canvas_side(size) else 8)
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
    if window.side > limit:
        wanted = np.maximum(np.round(wanted * size / window.side.numpy()), 1)
    np.testing.assert_array_equal([rows, columns], wanted)


@given(
    height=st.integers(20, 6000),
    width=st.integers(20, 6000),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    share=st.floats(0.01, 3),
    view=st.sampled_from([48, 64, 128, 224]),
)
@settings(max_examples=100)
def test_no_view_shows_its_canvas_smaller_by_more_than_two(height, width, x, y, share, view):
    """Views of Sec. 8's least scale, 0.6, from crops of 1.5 times their side."""
    shape = tf.constant([height, width])
    half = share * max(height, width) / 2
    box = [x * width - half, y * height - half, x * width + half, y * height + half]
    size = 3 * view // 2
    window = crop.window_around(tf.constant(box, tf.float32), tf.constant(True), shape, 1.5, size)
    layout, matrix = canvas.lay_out(window, shape, size, tf.constant(False))
    # At scale 1 a pixel of the view is one of the crop.
    shrunk = 1 / (0.6 * np.diag(matrix.numpy()[:, :2]))
    # Where it is resampled in TensorFlow, by less than a pixel more.
    rows, columns = layout.form.numpy() // [1, 3]
    slack = 0 if layout.fits else 0.5 / np.array([columns, rows])
    assert (shrunk <= 2 * (1 + slack) + 1e-4).all()
    # There the window shrinks by the square root of two, whatever the size of the image.
    assert window.side / size <= 2**0.5 + 1 / size


def test_freihand_fits_whole():
    assert canvas.canvas_side(192) >= 224


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("gray", [False, True])
def test_parts_are_those_of_the_whole_image(options, gray):
    """Down to an eighth by JPEG, then by means of blocks, the last of which are cut."""
    pixels = smooth(123, 201)
    pixels = pixels[..., 0] if gray else pixels
    encoded = tf.constant(jpeg(pixels, **options))
    for halvings in range(6):
        whole = tf.io.decode_jpeg(
            encoded, channels=3, ratio=2 ** min(halvings, 3), dct_method="INTEGER_ACCURATE"
        ).numpy()
        block = 2 ** max(halvings - 3, 0)
        starts = [np.arange(0, side, block) for side in whole.shape[:2]]
        whole = np.array(
            [
                [whole[y : y + block, x : x + block].mean((0, 1)) for x in starts[1]]
                for y in starts[0]
            ]
        )
        top, left = whole.shape[0] // 4, whole.shape[1] // 3
        for rows, columns in ((whole.shape[0] // 2, whole.shape[1] // 2), whole.shape[:2]):
            rows, columns = min(rows, len(whole) - top), min(columns, len(whole[0]) - left)
            part = tf.constant([top, left, rows, columns])
            found = crop.decode(encoded, tf.constant(halvings), part).numpy()
            expected = whole[top : top + rows, left : left + columns]
            assert found.shape[:2] == (rows, columns)
            assert np.abs(found.astype(int) - expected).max() <= 3
