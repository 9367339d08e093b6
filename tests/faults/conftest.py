"""Shared by the tests of faults."""

from tests.training.conftest import whole  # noqa: F401, a fixture
