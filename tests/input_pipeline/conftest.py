"""Small records of our own."""

import json
from pathlib import Path

import pytest

from peclr_jax.devices.mesh import make_mesh
from peclr_jax.input_pipeline import default_config

DUMMY = Path(__file__).parents[2] / "data/freihand/dummy_data"
REFERENCE = Path(__file__).parents[1] / "reference"


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


@pytest.fixture(scope="session")
def recorded_draws():
    """What was drawn before; the same seed must give the same batches for ever."""
    return json.loads((REFERENCE / "recorded_draws.json").read_text())
