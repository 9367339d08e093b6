"""Small records of our own, and a renderer that costs nothing."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from peclr_jax.input_pipeline import default_config
from peclr_jax.training.mesh import make_mesh

DUMMY = Path(__file__).parents[2] / "data/freihand/dummy_data"


class FakeHands(NamedTuple):
    images: jax.Array
    keypoints_2d: jax.Array
    keypoints_3d: jax.Array
    intrinsics: jax.Array
    visible: jax.Array
    mask: jax.Array


def fake_render(key, indices, size=32):
    """Images whose grey level is the index, with joints drawn from the key."""

    def one(index):
        joints = jax.random.uniform(jax.random.fold_in(key, index), (21, 3))
        joints = joints * 0.1 + jnp.array([-0.05, -0.05, 0.5])
        intrinsics = jnp.array([[100.0, 0, 15.5], [0, 100.0, 15.5], [0, 0, 1]])
        projected = joints @ intrinsics.T
        return FakeHands(
            images=jnp.full((size, size, 3), index, jnp.uint8),
            keypoints_2d=projected[:, :2] / projected[:, 2:],
            keypoints_3d=joints,
            intrinsics=intrinsics,
            visible=jnp.ones(21, bool),
            mask=jnp.ones((size, size), bool),
        )

    return jax.vmap(one)(indices)


@pytest.fixture(scope="session")
def mesh():
    return make_mesh()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("records"))


@pytest.fixture
def record_config(data_dir):
    config = default_config()
    config.source = "tfds"
    config.manual_dir = str(DUMMY)
    config.data_dir = data_dir
    config.split = "train+validation"
    config.source_size = 24
    return config


@pytest.fixture
def rendered_config(monkeypatch):
    monkeypatch.setattr("peclr_jax.input_pipeline.make_render", lambda fields: fake_render)
    config = default_config()
    config.source_size = 16
    config.rendered.count = 40
    config.rendered.held_out = 24
    config.rendered.chunk = 12
    return config
