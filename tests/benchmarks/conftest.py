"""What the tests of the benchmarks share: candidates in this process, and small networks."""

import contextlib

import pytest

from benchmarks import harness, process
from tests.stand_ins import shallow_networks


class InProcess:
    """Stands in for `process.Process`: what the candidates import is imported already."""

    def __init__(self, prepare, *, cores=None, environment=None, **kwargs):
        self._prepare, self._kwargs = prepare, kwargs

    def __enter__(self):
        return self._prepare(**self._kwargs)

    def __exit__(self, *_):
        pass


@contextlib.contextmanager
def _in_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "Process", InProcess)
        yield


@pytest.fixture
def in_process():
    """Runs all candidates of a test in this process."""
    with _in_process():
        yield


@pytest.fixture(scope="module")
def whole_module_in_process():
    """Runs all candidates of a module in this process."""
    with _in_process():
        yield


@pytest.fixture(scope="module")
def shallow():
    """Makes "resnet18" a network of one block, the twin's one of four: they compile in seconds."""
    with shallow_networks(), pytest.MonkeyPatch.context() as patch:
        if not harness.missing("torch"):
            import torch

            from benchmarks.peers import torch_network

            # Threads that wait for each other on a busy machine take longer than the work.
            torch.set_num_threads(1)
            twin = (torch_network.BasicBlock, (1, 1, 1, 1))
            patch.setitem(torch_network.ARCHITECTURES, "resnet18", twin)
        yield
