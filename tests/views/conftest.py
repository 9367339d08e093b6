import jax
import jax.numpy as jnp
import numpy as np
import pytest

BATCH = 8


@pytest.fixture(scope="session")
def images() -> jax.Array:
    """Smooth random images, so that two resamplings of one agree."""
    coarse = np.random.default_rng(0).uniform(0, 255, (BATCH, 5, 5, 3))
    smooth = jax.image.resize(jnp.array(coarse), (BATCH, 48, 48, 3), "cubic")
    return jnp.clip(smooth, 0, 255).astype(jnp.uint8)
