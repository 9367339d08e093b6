"""Files as `torch.save` writes them, of whatever a test asks for; programs that tests share."""

import functools
import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import jax
import numpy as np
import pytest

from peclr_jax.models import resnet

FILES = Path(__file__).parent / "torch_files"
BASE = np.arange(24, dtype=np.float32)
BYTES = BASE.tobytes()
EXPECTED = {
    "whole": BASE.reshape(2, 3, 4),
    "transposed": BASE.reshape(6, 4).T,
    "row": BASE.reshape(6, 4)[2],
    "strided": BASE[1::5],
    "parameter": np.float32([0.1, -0.2]),
    "half": np.float32([1.5, -2.25]),
    "bfloat16": np.float32([1.5, -2.25]),
    "double": np.array([0.1]),
    "counter": np.array(7),
    "empty": np.zeros((0, 3), np.float32),
}
"""What the files of PyTorch in `torch_files` hold."""


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype, name
        np.testing.assert_array_equal(actual[name], array, strict=True, err_msg=name)


@functools.cache
def pooled_features(name):
    """Returns the compiled encoder of an architecture."""
    return jax.jit(resnet.BY_NAME[name]().apply)


class Storage:
    """A storage to be pickled, of `size` float32."""

    def __init__(self, size, key="0"):
        self.size, self.key = size, key


class Call:
    """Something to be pickled as a call of a global."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.fixture
def named(monkeypatch):
    """Makes globals of packages that are not installed, to be pickled."""

    def make(module, name):
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            package = ".".join(parts[:end])
            if package not in made:
                made[package] = types.ModuleType(package)
                monkeypatch.setitem(sys.modules, package, made[package])
        if not hasattr(made[module], name):
            setattr(made[module], name, type(name, (), {"__module__": module}))
        return getattr(made[module], name)

    made = {}
    return make


@pytest.fixture
def torch_save(tmp_path, named):
    """Writes a file as `torch.save` does; a pickle may be given as bytes."""
    float_storage = named("torch", "FloatStorage")

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                return ("storage", float_storage, value.key, "cpu", value.size)
            return None

    def save(content, entries=(), data=BYTES, compression=zipfile.ZIP_STORED):
        buffer = io.BytesIO()
        if isinstance(content, bytes):
            buffer.write(content)
        else:
            Pickler(buffer, 2).dump(content)
        path = tmp_path / "file.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("file/data.pkl", buffer.getvalue())
            archive.writestr("file/data/0", data, compression)
            for name, value in dict(entries).items():
                archive.writestr(name, value)
        return path

    return save


@pytest.fixture
def tensor(named):
    """A tensor to be pickled."""
    rebuild = named("torch._utils", "_rebuild_tensor_v2")

    def make(offset=0, shape=(24,), strides=(1,), storage=None, *rest):
        storage = Storage(24) if storage is None else storage
        return Call(rebuild, storage, offset, shape, strides, False, OrderedDict(), *rest)

    return make
