"""Shared by the tests of training."""

import pytest

from peclr_jax.training.restoring import restore_params
from tests.training import toy_run as toy


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Parameters after twelve steps that nothing has interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    toy.train(workdir, 12)
    return restore_params(workdir)
