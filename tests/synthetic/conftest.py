"""Scenes and images that the tests of several modules share: each is compiled once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.synthetic.render import Hands, RenderSpec, render_dataset
from peclr_jax.synthetic.scene import Probabilities, Scene, sample_scene

SCENES = 512
SPEC = RenderSpec(size=48, background="shared", shared_backgrounds=3, rays_per_block=2048)
KEY = jax.random.key(7)
CHUNK = 16


@pytest.fixture(scope="session")
def scenes() -> Scene:
    sample = functools.partial(sample_scene, probabilities=Probabilities(0.5, 0.15, 0.5))
    keys = jax.random.split(jax.random.key(1), SCENES)
    return jax.jit(jax.vmap(sample, out_axes=-1))(keys)


@pytest.fixture(scope="session")
def hands() -> Hands:
    """Forty images in pieces of sixteen."""
    done = []
    pieces = list(render_dataset(KEY, 40, SPEC, chunk=CHUNK, on_progress=done.append))
    assert done == [16, 32, 40]
    assert [len(piece.images) for piece in pieces] == [16, 16, 8]
    return Hands(*(np.concatenate(leaves) for leaves in zip(*pieces, strict=True)))


def as_points(array):
    """Splits (points, 3, scenes) into the three coordinates that distances take."""
    return tuple(jnp.moveaxis(jnp.asarray(array), 1, 0))
