"""Small records of our own."""

from pathlib import Path

import pytest

from peclr_jax.devices.mesh import make_mesh
from peclr_jax.input_pipeline import default_config

DUMMY = Path(__file__).parents[2] / "data/freihand/dummy_data"


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
def rendered_config(cheap_rendering):
    config = default_config()
    config.source_size = 16
    config.rendered.count = 40
    config.rendered.held_out = 24
    config.rendered.chunk = 12
    return config
