"""Pickles that try to do more than name tensors."""

import contextlib
import io
import os
import pickle
from collections import OrderedDict

import pytest

from peclr_jax.models import torch_file, torch_pickle
from tests.models.conftest import BASE, EXPECTED, FILES, Call, Storage, assert_same

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
    path = torch_save(content)
    for read in (torch_file.read, lambda path: torch_file.read_text(path, "peclr_jax")):
        with pytest.raises(ValueError, match=f"file.pth refers to ({name}), which no weights need"):
            read(path)
    assert not RAN


def test_calls_are_refused_in_every_pickle_of_a_stream(tmp_path):
    good = (FILES / "stream.pth").read_bytes()
    bad = pickle.dumps(Call(os.system, "true"), 2)
    file = io.BytesIO(good)
    path = tmp_path / "file.pth"
    for _ in range(3):
        torch_pickle.unpickle(file, {})
        path.write_bytes(good[: file.tell()] + bad)
        with pytest.raises(ValueError, match=r"refers to .*system, which no weights need"):
            torch_file.read(path)


MENTIONED = ("torch.load", "torch.optim.adam.Adam", "pytorch_lightning.callbacks.Timer")


@pytest.mark.parametrize("name", [*MENTIONED, "src.models.utils.run", "easydict.EasyDict"])
def test_what_checkpoints_mention_does_nothing(torch_save, tensor, named, name):
    call = Call(named(*name.rsplit(".", 1)), "argument")
    path = torch_save({"state_dict": {"a": tensor()}, "callbacks": {"b": call}})
    assert_same(torch_file.read(path), {"a": BASE})


TORCH = (b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_sparse_tensor")
OTHERS = (b"torch\nFloatStorage", b"collections\nOrderedDict", b"easydict\nEasyDict")


@pytest.mark.parametrize("name", [*TORCH, *OTHERS, b"builtins\nset"])
@pytest.mark.parametrize("called", [b"", pickle.EMPTY_TUPLE + pickle.REDUCE])
def test_a_pickle_cannot_alter_what_reads_it(torch_save, name, called):
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
        *((offset, (2,), (1,)) for offset in (-1, 0.0, 10**30)),
        *((0, (size,), (1,)) for size in (25, -2, "a")),
        (1, (24,), (1,)),
        (0, (2, 3), (12, 7)),
        (0, (2,), (-1,)),
        (0, (2, 3), (1,)),
        (0, (10**12,), (0,)),
    ],
)
def test_views_beyond_their_storage_are_refused(torch_save, tensor, offset, shape, strides):
    path = torch_save({"layer.weight": tensor(offset, shape, strides)})
    with pytest.raises(ValueError, match=r"is damaged: 'layer\.weight' is said to have the shape"):
        torch_file.read(path)


def test_storages_are_described_once_and_seldom_viewed(torch_save, tensor):
    content = {"a": tensor(), "b": tensor(0, (2,), (1,), Storage(2))}
    with pytest.raises(ValueError, match="describes the storage '0' twice"):
        torch_file.read(torch_save(content))
    assert len(torch_file.read(torch_save({str(i): tensor() for i in range(16)}))) == 16
    with pytest.raises(ValueError, match="too many views of the same numbers"):
        torch_file.read(torch_save({str(i): tensor() for i in range(17)}))


def test_the_keys_of_storages_are_short(monkeypatch, torch_save, tensor):
    monkeypatch.setattr(torch_pickle, "LONGEST_NAME", 0)
    with pytest.raises(ValueError, match=r"is damaged: it describes a storage as \('0', "):
        torch_file.read(torch_save({"a": tensor()}))


def test_other_kinds_of_tensors(torch_save, tensor, named):
    sparse = Call(named("torch._utils", "_rebuild_sparse_tensor"), 1)
    path = torch_save({"a": sparse, "b": tensor()})
    with pytest.raises(ValueError, match=r"holds 'a' in a form .*\(torch\._utils\._rebuild_sparse"):
        torch_file.read(path)
    other = Call(named("torch._utils", "Wrapped"), 1)
    assert_same(torch_file.read(torch_save({"a": other, "b": tensor()})), {"b": BASE})
    # Lazily negated ones are not read as if they were not.
    path = torch_save({"a": tensor(0, (2,), (1,), None, {"neg": True})})
    with pytest.raises(ValueError, match="holds 'a' in a form that is not read here"):
        torch_file.read(path)
