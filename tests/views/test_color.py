import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.views import color

color_jitter = jax.jit(color.color_jitter, static_argnames=("channel_order", "quantize"))


def factors(*values: float, batch: int = 1) -> list[jax.Array]:
    return [jnp.full((batch,), value) for value in values]


def official_jitter(parity, name, **options):
    """Returns our and the official results, both (factor set, image, ...)."""
    reference = parity("color")
    images = jnp.array(reference["images"], jnp.float32)
    ours = [
        color_jitter(images, *factors(*row, batch=len(images)), **options)
        for row in reference["factors_hsab"].astype(np.float32)
    ]
    return np.stack(ours), np.moveaxis(reference[name].astype(np.float32), 1, 0)


@pytest.mark.parametrize(
    ("channel_order", "name"), [("bgr", "color_jitter"), ("rgb", "color_jitter_true_rgb_hue")]
)
def test_jitter_agrees_with_the_official_code(parity, channel_order, name):
    ours, official = official_jitter(parity, name, channel_order=channel_order)
    # What 8-bit hue, saturation and value differ from exact ones by.
    difference = np.abs(ours - official)
    assert difference.mean() < 0.65
    assert np.percentile(difference, 99) < 5.6
    assert difference.max() < 10
    ours, official = official_jitter(parity, name, channel_order=channel_order, quantize=True)
    assert (ours != official).mean() < 0.005
    assert np.abs(ours - official).mean() < 0.02


def test_the_hue_of_red_is_0_and_not_a_whole_turn():
    """OpenCV's 8-bit hues end at 179; half of a whole turn would be cyan."""
    reds = jnp.array([[[[200, 0, blue] for blue in range(4)]]], jnp.float32)
    jittered = color_jitter(reds, *factors(0.5, 1.0, 1.0, 0.0), quantize=True)
    np.testing.assert_array_equal(jittered[0, 0, :, 1:], 0)
    np.testing.assert_array_equal(jittered[0, 0, :, 0], 200)
    # The next hue, 179, is halved to 89.
    purer = color_jitter(reds.at[..., 2].set(7), *factors(0.5, 1.0, 1.0, 0.0), quantize=True)
    assert (purer[..., 1] == 200).all()


def test_jitter_by_one_and_zero_returns_the_image():
    image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    image[0, 0, :4] = [[0, 0, 0], [255, 255, 255], [7, 7, 7], [255, 0, 0]]
    same = color_jitter(jnp.array(image), *factors(1.0, 1.0, 1.0, 0.0))
    np.testing.assert_allclose(same, image, atol=1e-2)


@given(
    st.tuples(*[st.integers(0, 255)] * 3),
    *(st.floats(*bounds, width=32) for bounds in ((0, 1), (0, 1), (0.5, 1), (5, 20))),
)
def test_jitter_is_what_the_standard_library_says(pixel, h, s, a, b):
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in pixel))
    value = min(max(value * a + b / 255, 0), 1)
    expected = 255 * np.array(colorsys.hsv_to_rgb(hue * h, saturation * s, value))
    image = jnp.array(pixel, jnp.float32).reshape(1, 1, 1, 3)
    jittered = color_jitter(image, *factors(h, s, a, b))
    # Hue, in sixths of a turn, is exact to about 1e-6.
    np.testing.assert_allclose(jittered[0, 0, 0], expected, atol=1e-2)


def test_each_image_has_its_own_jitter():
    image = jnp.array(np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)), jnp.float32)
    pair = jnp.concatenate([image, image])
    per_image = [jnp.array(values) for values in ((0.1, 0.9), (0.5, 1.0), (0.6, 1.0), (5.0, 20.0))]
    both = color_jitter(pair, *per_image)
    for index in range(2):
        alone = color_jitter(image, *(v[index : index + 1] for v in per_image))
        np.testing.assert_allclose(both[index], alone[0], atol=1e-4)


@pytest.mark.parametrize(
    ("channel_order", "name"), [("bgr", "color_drop"), ("rgb", "color_drop_true_rgb_gray")]
)
def test_drop_is_the_official_grey(parity, channel_order, name):
    reference = parity("color")
    images = jnp.array(reference["images"], jnp.float32)
    dropped = color.color_drop(images, channel_order=channel_order)
    # Half a level is what the official rounding costs.
    np.testing.assert_allclose(dropped, reference[name], atol=0.51)


def test_cut_out_paints_the_official_box(parity):
    names = ("cutout_args", "cutout_ratio", "cutout_box_rows_cols", "cutout_fill")
    for (rows, columns, x, y), ratio, box, fill in zip(
        *map(parity("color").get, names), strict=True
    ):
        blank = jnp.full((1, int(rows), int(columns), 3), -1.0)
        # The official code takes x for the row.
        place = ([[y, x]], [rows * ratio], [fill])
        painted = color.cut_out(blank, *(jnp.array(value, jnp.float32) for value in place))
        expected = np.full(blank.shape, -1.0)
        top, bottom, left, right = box
        expected[:, top:bottom, left:right] = fill
        np.testing.assert_array_equal(painted, expected)


def test_cut_out_takes_x_along_the_width_and_ends_at_the_border():
    painted = color.cut_out(
        jnp.zeros((1, 10, 10, 3)), jnp.array([[9.0, 2.0]]), jnp.array([4.9]), jnp.array([50.0])
    )
    expected = np.zeros((1, 10, 10, 3))
    expected[:, 0:4, 7:10] = 50
    np.testing.assert_array_equal(painted, expected)


def test_noise_has_its_deviation_and_stays_in_range():
    noisy = color.gaussian_noise(jax.random.key(0), jnp.full((2, 64, 64, 3), 128.0), 25.0)
    assert abs(noisy.std() - 25) < 0.5
    assert abs(noisy.mean() - 128) < 0.5
    bright = color.gaussian_noise(jax.random.key(0), jnp.full((1, 64, 64, 3), 250.0), 25.0)
    assert bright.max() == 255
    assert bright.min() > 0
