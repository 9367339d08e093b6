import ctypes
import sys

import pytest

from peclr_jax.input_pipeline import allocator


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's alone")
def test_glibc_takes_every_option():
    assert allocator.keep_freed_memory()
    assert allocator.keep_freed_memory()


def test_other_allocators_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
