import jax
import numpy as np
import pytest

from peclr_jax.synthetic import background


@pytest.mark.parametrize("draw", [background.green_screen, background.clutter])
def test_backgrounds_are_colours_and_differ(draw):
    images = jax.jit(jax.vmap(lambda k: draw(k, 32)))(jax.random.split(jax.random.key(0), 4))
    assert images.shape == (4, 32, 32, 3)
    assert np.all((images >= 0) & (images <= 1.05))
    assert np.all(np.abs(images[1:] - images[:-1]).max(axis=(1, 2, 3)) > 0.01)


def test_green_screens_are_green():
    image = background.green_screen(jax.random.key(0), 16)
    assert np.all(image[..., 1] > 2 * np.maximum(image[..., 0], image[..., 2]))
