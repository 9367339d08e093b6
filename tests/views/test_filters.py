import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.views import color, filters

gaussian_blur = jax.jit(filters.gaussian_blur, static_argnames="kernel_size")
sobel = jax.jit(filters.sobel, static_argnames=("channel_order", "wrap"))


@pytest.mark.parametrize("side", [16, 64, 128])
def test_blur_is_the_official_blur(parity, side):
    reference = parity("color")
    kernel_size = filters.blur_kernel_size(side)
    assert kernel_size == reference[f"blur_kernel{side}"][0]
    image = reference["images"][0] if side == 16 else reference[f"blur_image{side}"]
    sigma = jnp.array(reference["blur_sigma"], jnp.float32)
    images = jnp.tile(jnp.array(image, jnp.float32), (len(sigma), 1, 1, 1))
    blurred = gaussian_blur(images, sigma, kernel_size)
    # OpenCV rounds its 8-bit kernels and its result: about half a level each way.
    np.testing.assert_allclose(blurred, reference[f"blur_out{side}"], atol=1)


@pytest.mark.parametrize(("side", "size"), [(16, 1), (32, 3), (64, 7), (128, 13), (224, 23)])
def test_kernel_size_is_a_tenth_made_odd(side, size):
    assert filters.blur_kernel_size(side) == size


def test_blur_keeps_constants_and_spreads_a_dot_symmetrically():
    constant = jnp.full((1, 16, 16, 2), 100.0)
    np.testing.assert_allclose(gaussian_blur(constant, jnp.array([1.5]), 7), constant, rtol=1e-5)
    dot = jnp.zeros((1, 15, 15, 1)).at[0, 7, 7].set(1.0)
    spread = np.asarray(gaussian_blur(dot, jnp.array([1.0]), 7))[0, :, :, 0]
    np.testing.assert_allclose(spread.sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(spread, spread.T, atol=1e-7)
    np.testing.assert_allclose(spread, spread[::-1], atol=1e-7)


def test_wrapped_sobel_is_the_official_one_to_the_bit(parity):
    reference = parity("color")
    images = jnp.array(reference["images"], jnp.float32)
    response = sobel(images, channel_order="bgr", wrap=True)
    np.testing.assert_array_equal(response, reference["sobel"])
    luma = jnp.round(color.grey(images, channel_order="bgr"))
    np.testing.assert_array_equal(filters.sobel_response(luma), reference["sobel_raw"])


def test_sobel_measures_slopes_of_either_sign_alike():
    ramp = jnp.broadcast_to(4.0 * jnp.arange(8.0)[None, None, :, None], (1, 8, 8, 3))
    for image in (ramp, 255 - ramp):
        response = sobel(image)
        # Reflected borders are flat.
        np.testing.assert_allclose(response[:, :, 1:-1], 32.0, atol=1e-3)
        np.testing.assert_allclose(response[:, :, [0, -1]], 0.0, atol=1e-3)
