"""Files of PyTorch's, read without it; `torch_files` holds some that PyTorch wrote."""

import contextlib
import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.models import torch_file, torch_pickle

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


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype, name
        np.testing.assert_array_equal(actual[name], array, strict=True, err_msg=name)


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_both_formats_of_torch(name):
    assert_same(torch_file.read(FILES / name), EXPECTED)


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_the_format_is_told_by_the_content(tmp_path, name):
    path = tmp_path / "weights.safetensors"
    path.write_bytes((FILES / name).read_bytes())
    assert_same(torch_file.read(path), EXPECTED)


def test_lightning_checkpoint_gives_its_state_dict_alone(monkeypatch):
    fetched = []
    fetch = torch_file._fetch_zipped
    monkeypatch.setattr(
        torch_file,
        "_fetch_zipped",
        lambda archive, folder, storage: fetched.append(storage) or fetch(archive, folder, storage),
    )
    tensors = torch_file.read(FILES / "lightning.ckpt")
    # "module." is gone from the names.
    expected = {"weight": BASE[:6].reshape(3, 2), "bias": np.float32([1, 2, 3])}
    assert_same(tensors, expected)
    # The optimiser's state, of the same sizes, is never read.
    assert len(fetched) == 2


def test_safetensors(tmp_path):
    path = tmp_path / "weights.pth"
    arrays = {
        "a": BASE.reshape(4, 6).T,
        "half": np.float16([1.5]),
        "bfloat16": np.array([1.5, -2], ml_dtypes.bfloat16),
        "counter": np.array(3),
    }
    torch_file.write_safetensors(path, arrays, {"format": "pt"})
    expected = arrays | {"half": np.float32([1.5]), "bfloat16": np.float32([1.5, -2])}
    actual = torch_file.read(path)
    assert_same({name: actual[name] for name in expected}, expected)
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == {"format": "pt"}


def test_written_files_are_read(tmp_path):
    path = tmp_path / "folder" / "weights.pth"
    torch_file.write(path, {"state_dict": EXPECTED, "epoch": 2**40, "name": "ä", "done": True})
    assert_same(torch_file.read(path), EXPECTED)
    assert [file.name for file in path.parent.iterdir()] == ["weights.pth"]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_a_prefix_of_every_name_is_dropped(tmp_path, prefix):
    torch_file.write(tmp_path / "a.pth", {"model": {f"{prefix}a": BASE, f"{prefix}b": BASE}})
    assert list(torch_file.read(tmp_path / "a.pth")) == ["a", "b"]
    torch_file.write(tmp_path / "b.pth", {f"{prefix}a": BASE, "b": BASE})
    assert list(torch_file.read(tmp_path / "b.pth")) == [f"{prefix}a", "b"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, 2]}, r"cannot write \[1, 2\]: only arrays"),
        ({"a": np.array(["b"])}, "an array of <U1, which PyTorch has not"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        torch_file.write(tmp_path / "a.pth", value)
    assert not list(tmp_path.iterdir())


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
    """Writes a file as `torch.save` does, of whatever a test asks for."""
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


def test_crafted_file_is_a_file(torch_save, tensor):
    """The helpers of this file write what PyTorch would."""
    path = torch_save({"state_dict": OrderedDict(a=tensor(), b=tensor(1, (2, 3), (3, 1)))})
    assert_same(torch_file.read(path), {"a": BASE, "b": BASE[1:7].reshape(2, 3)})
    assert_same(torch_file.read(torch_save(tensor())), {"": BASE})


RAN = []


def ran(*args):
    RAN.append(args)


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (os.system, ("true",), rf"{os.system.__module__}\.system"),
        (eval, ("1",), r"builtins\.eval|__builtin__\.eval"),
        (exec, ("1",), r"builtins\.exec|__builtin__\.exec"),
        (__import__, ("os",), r"builtins\.__import__|__builtin__\.__import__"),
        (contextlib.nullcontext, (), r"contextlib\.nullcontext"),
        (ran, (1,), rf"{ran.__module__}\.ran"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_calls_are_refused_and_not_made(torch_save, tensor, function, args, name, nested):
    call = Call(function, *args)
    content = {"a": tensor(), "extra": {"b": [call]}} if nested else call
    with pytest.raises(ValueError, match=f"file.pth refers to ({name}), which no weights need"):
        torch_file.read(torch_save(content))
    assert not RAN


def test_calls_are_refused_in_every_pickle_of_a_stream(tmp_path):
    good = (FILES / "stream.pth").read_bytes()
    bad = pickle.dumps(Call(os.system, "true"), 2)
    ends = []
    file = io.BytesIO(good)
    for _ in range(3):
        torch_pickle.unpickle(file, {})
        ends.append(file.tell())
    for end in ends:
        path = tmp_path / "file.pth"
        path.write_bytes(good[:end] + bad)
        with pytest.raises(ValueError, match=r"refers to .*system, which no weights need"):
            torch_file.read(path)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch", "load"),
        ("torch.optim.adam", "Adam"),
        ("pytorch_lightning.callbacks", "Timer"),
        ("src.models.utils", "run"),
        ("easydict", "EasyDict"),
    ],
)
def test_what_checkpoints_mention_does_nothing(torch_save, tensor, named, module, name):
    call = Call(named(module, name), "argument")
    path = torch_save({"state_dict": {"a": tensor()}, "callbacks": {"b": call}})
    assert_same(torch_file.read(path), {"a": BASE})


@pytest.mark.parametrize(
    "name",
    [
        b"torch._utils\n_rebuild_tensor_v2",
        b"torch._utils\n_rebuild_sparse_tensor",
        b"torch\nFloatStorage",
        b"collections\nOrderedDict",
        b"easydict\nEasyDict",
        b"builtins\nset",
    ],
)
@pytest.mark.parametrize("called", [b"", pickle.EMPTY_TUPLE + pickle.REDUCE])
def test_a_pickle_cannot_alter_what_reads_it(torch_save, tensor, name, called):
    names = [b"__call__", b"__init__", b"__new__", b"__setstate__", b"items", b"_call", b"append"]
    values = b"".join(pickle.SHORT_BINSTRING + bytes([len(n)]) + n + pickle.NONE for n in names)
    state = pickle.EMPTY_DICT + pickle.MARK + values + pickle.SETITEMS
    for states in (state, pickle.NONE + state + pickle.TUPLE2):
        altered = pickle.GLOBAL + name + b"\n" + called + states + pickle.BUILD
        with pytest.raises(ValueError, match=r"holds no tensors|is truncated or damaged"):
            torch_file.read(torch_save(pickle.PROTO + b"\x02" + altered + pickle.STOP))
    assert_same(torch_file.read(FILES / "zip.pth"), EXPECTED)
    assert OrderedDict(a=1).items() == {"a": 1}.items()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (25,), (1,)),
        (1, (24,), (1,)),
        (0, (2, 3), (12, 7)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (2, 3), (1,)),
        (0, (10**12,), (0,)),
        (0.0, (2,), (1,)),
        (0, ("a",), (1,)),
        (10**30, (2,), (1,)),
    ],
)
def test_views_beyond_their_storage_are_refused(torch_save, tensor, offset, shape, strides):
    path = torch_save({"layer.weight": tensor(offset, shape, strides)})
    with pytest.raises(ValueError, match=r"is damaged: 'layer\.weight' is said to have the shape"):
        torch_file.read(path)


@pytest.mark.parametrize("size", [23, 25, -1, 10**15])
def test_storages_of_another_size_are_refused(torch_save, tensor, size):
    path = torch_save({"a": tensor(0, (2,), (1,), Storage(size))})
    with pytest.raises(ValueError, match="the storage '0' has 96 bytes where its tensors need"):
        torch_file.read(path)


def test_damaged_records_are_named(torch_save, tensor):
    content = {"a": tensor(0, (2,), (1,), Storage(2, "../secret"))}
    with pytest.raises(ValueError, match=r"the storage '\.\./secret' is not in it"):
        torch_file.read(torch_save(content))
    content = {"a": tensor(), "b": tensor(0, (2,), (1,), Storage(2))}
    with pytest.raises(ValueError, match="says two things of the storage '0'"):
        torch_file.read(torch_save(content))
    bomb = torch_save({"a": tensor()}, data=bytes(96), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is damaged: the storage '0'"):
        torch_file.read(bomb)
    with pytest.raises(ValueError, match="written on a big-endian machine"):
        torch_file.read(torch_save({"a": tensor()}, {"file/byteorder": "big"}))


def test_a_huge_table_of_values_is_not_made(torch_save):
    put = pickle.EMPTY_DICT + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f" + pickle.STOP
    with pytest.raises(ValueError, match="is damaged: it numbers its values wrongly"):
        torch_file.read(torch_save(pickle.PROTO + b"\x02" + put))


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "file/../../evil", "C:\\evil"])
def test_entries_that_leave_the_folder_are_refused(torch_save, tensor, name):
    with pytest.raises(ValueError, match=r"holds the entry .* which would leave its folder"):
        torch_file.read(torch_save({"a": tensor()}, {name: b"x"}))


def test_other_kinds_of_tensors(torch_save, tensor, named):
    sparse = Call(named("torch._utils", "_rebuild_sparse_tensor"), 1)
    path = torch_save({"a": sparse, "b": tensor()})
    with pytest.raises(ValueError, match=r"holds 'a' in a form .*\(torch\._utils\._rebuild_sparse"):
        torch_file.read(path)
    other = Call(named("torch._utils", "Wrapped"), 1)
    assert_same(torch_file.read(torch_save({"a": other, "b": tensor()})), {"b": BASE})


def test_lazily_negated_tensors_are_not_read_as_if_they_were_not(torch_save, tensor):
    path = torch_save({"a": tensor(0, (2,), (1,), None, {"neg": True})})
    with pytest.raises(ValueError, match="holds 'a' in a form that is not read here"):
        torch_file.read(path)


def test_files_without_tensors(torch_save, tmp_path, named):
    for content in ({}, {"state_dict": {}}, [1], "text", {"a": 1}, {3: 4}):
        with pytest.raises(ValueError, match="holds no tensors under names: save weights by"):
            torch_file.read(torch_save(content))
    endless = {}
    endless["model"] = endless
    with pytest.raises(ValueError, match="holds no tensors"):
        torch_file.read(torch_save(endless))
    whole_model = Call(named("torchvision.models.resnet", "ResNet"))
    with pytest.raises(ValueError, match="not the whole model"):
        torch_file.read(torch_save(whole_model))
    (tmp_path / "empty.safetensors").write_bytes(safetensors.numpy.save({}))
    with pytest.raises(ValueError, match="holds no tensors"):
        torch_file.read(tmp_path / "empty.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a weights file: it starts with b''"),
        (b"<!DOCTYPE html><html>", "is not a weights file: it starts with b'<!DOCTYPE"),
        (b"\x1f\x8b\x08\x00", "is a compressed archive: unpack it"),
        (b"PK\x03\x04 and no more", "is truncated or damaged"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{truncated", "is truncated or damaged"),
    ],
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        torch_file.read(path)


def test_other_zip_archives(torch_save, tensor, tmp_path):
    with pytest.raises(ValueError, match="is a TorchScript program"):
        torch_file.read(torch_save({"a": tensor()}, {"file/constants.pkl": b""}))
    np.savez(tmp_path / "arrays.npz", a=BASE)
    with pytest.raises(ValueError, match=r"a zip archive without data\.pkl"):
        torch_file.read(tmp_path / "arrays.npz")


def test_no_file(tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no weights file"):
            torch_file.read(path)


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth", "lightning.ckpt"])
def test_truncated_files(tmp_path, name):
    content = (FILES / name).read_bytes()
    path = tmp_path / "weights.pth"
    for length in range(0, len(content), 31):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"weights\.pth (is|holds) "):
            torch_file.read(path)


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth", "lightning.ckpt"])
def test_flipped_bytes_are_survived(tmp_path_factory, name):
    content = (FILES / name).read_bytes()
    path = tmp_path_factory.mktemp("flipped") / "weights.pth"

    @given(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1))
    def check(changes):
        changed = bytearray(content)
        for position, value in changes:
            changed[position] = value
        path.write_bytes(changed)
        with contextlib.suppress(ValueError):
            torch_file.read(path)

    check()


class TestBesideTorch:
    """Files go both ways, bit for bit."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    @pytest.mark.parametrize("zipped", [True, False])
    def test_its_files_are_read(self, torch, tmp_path, zipped):
        generator = torch.Generator().manual_seed(0)
        base = torch.randn(6, 5, 4, generator=generator)
        tensors = {
            "base": base,
            "shared": base[2:4],
            "permuted": base.permute(2, 0, 1),
            "strided": base[::2, 1:, ::3],
            "half": base.half(),
            "bfloat16": base.bfloat16(),
            "double": base.double(),
            "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
            "parameter": torch.nn.Parameter(base),
            "counter": torch.tensor(5),
            "bytes": torch.arange(4, dtype=torch.uint8),
            "flags": torch.tensor([True, False]),
        }
        path = tmp_path / "weights.pth"
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=zipped)
        expected = {
            name: (t.float() if t.dtype in (torch.half, torch.bfloat16) else t).detach().numpy()
            for name, t in tensors.items()
        }
        assert_same(torch_file.read(path), expected)

    @pytest.mark.parametrize("mmap", [True, False])
    def test_it_reads_ours(self, torch, tmp_path, mmap):
        arrays = EXPECTED | {"large": np.random.default_rng(0).normal(size=(50, 7, 3, 3)).T}
        content = {"state_dict": arrays, "epoch": 2**40, "name": "ä", "done": True}
        torch_file.write(tmp_path / "weights.pth", content)
        loaded = torch.load(tmp_path / "weights.pth", weights_only=True, mmap=mmap)
        assert_same({n: t.numpy() for n, t in loaded.pop("state_dict").items()}, arrays)
        assert loaded == {"epoch": 2**40, "name": "ä", "done": True}

    def test_a_module_takes_ours(self, torch, tmp_path):
        weights = {"weight": np.float32([[1, 2]]), "bias": np.float32([3])}
        torch_file.write(tmp_path / "weights.pth", weights)
        layer = torch.nn.Linear(2, 1)
        layer.load_state_dict(torch.load(tmp_path / "weights.pth"))
        assert layer(torch.ones(1, 2)).item() == 6
