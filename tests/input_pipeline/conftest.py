"""Small data sets: our drawings in FreiHAND's layout, and hands that cost nothing to render."""

import itertools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from peclr_jax import specs
from peclr_jax.devices.mesh import make_mesh
from peclr_jax.input_pipeline import DataSpec, make_source

DUMMY = Path(__file__).parents[2] / "data/freihand/dummy_data"
REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture(scope="session")
def mesh():
    return make_mesh()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("records"))


def join(batches):
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}


def assert_equal(found, expected):
    """Compares two batches, name by name."""
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def spec_factory(**defaults):
    """Returns a function that makes a `DataSpec` of these fields, changed by its arguments."""
    spec = specs.changed(DataSpec(), defaults, "--config.data")
    return lambda **fields: specs.changed(spec, fields, "--config.data")


RENDERED = {"count": 40, "held_out": 24, "chunk": 12}


@pytest.fixture(scope="session")
def record_fields(data_dir):
    return {
        "source": "tfds",
        "manual_dir": str(DUMMY),
        "data_dir": data_dir,
        "split": "train+validation",
        "source_size": 24,
    }


@pytest.fixture(scope="session")
def record_spec(record_fields):
    """Four drawn hands in four versions each: 16 records."""
    return spec_factory(**record_fields)


@pytest.fixture
def rendered_spec(cheap_rendering):
    """Forty hands to train on, 24 held out."""
    return spec_factory(source_size=16, rendered=RENDERED)


@pytest.fixture
def mixed_spec(cheap_rendering, record_fields):
    """The hands of both."""
    return spec_factory(**record_fields, names="rendered,freihand", labels=True, rendered=RENDERED)


@pytest.fixture
def open_source(mesh):
    """Opens the training images of a spec in batches of eight, unless told otherwise."""

    def open_(spec, **changes):
        options = {"batch_size": 8, "seed": 0, "mesh": mesh}
        return make_source(spec, **options | changes)

    return open_


@pytest.fixture(scope="session")
def take():
    """Takes some batches of a source, on the host, and closes it."""

    def take_(source, count, start=0):
        batches = source.batches(start)
        result = [jax.tree.map(np.asarray, b) for b in itertools.islice(batches, count)]
        batches.close()
        return result

    return take_


@pytest.fixture(scope="session")
def recorded_draws():
    """What was drawn before; the same seed must give the same batches for ever."""
    return json.loads((REFERENCE / "recorded_draws.json").read_text())
