"""Files of PyTorch's, read without it; `torch_files` holds some that PyTorch wrote."""

import contextlib
import errno
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.models import torch_file, torch_writing
from tests.models.conftest import BASE, EXPECTED, FILES, Call, Storage, assert_same

WRITTEN_BY_TORCH = ("zip.pth", "stream.pth", "lightning.ckpt")


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_both_formats_of_torch_are_told_by_their_content(tmp_path, name):
    assert_same(torch_file.read(FILES / name), EXPECTED)
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


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module.module.", "_orig_mod.module.", "module._orig_mod."]
)
def test_prefixes_of_every_name_are_dropped(tmp_path, prefix):
    tensors = {f"{prefix}a": BASE, f"{prefix}b": BASE}
    tensors[f"{prefix.rpartition('module.')[0]}n_averaged"] = np.zeros(1, np.int64)
    torch_writing.write(tmp_path / "a.pth", {"model": tensors})
    assert list(torch_file.read(tmp_path / "a.pth")) == ["a", "b"]
    torch_writing.write(tmp_path / "b.pth", {f"{prefix}a": BASE, "b": BASE})
    assert list(torch_file.read(tmp_path / "b.pth")) == [f"{prefix}a", "b"]


@pytest.mark.parametrize("entry", ["state_dict", "model", "model_state_dict"])
def test_entries_that_hold_the_weights(torch_save, tensor, entry):
    state = {"state": {0: {"exp_avg": tensor(1, (2, 3), (3, 1))}}}
    path = torch_save({"epoch": 1, entry: {"a": tensor()}, "optimizer_state_dict": state})
    assert_same(torch_file.read(path), {"a": BASE})


def test_strings_beside_the_tensors_are_read_from_both_formats(tmp_path):
    path, content = tmp_path / "a.pth", {"note": "text", "state_dict": {}}
    torch_writing.write(path, content | {"state_dict": {"a": BASE}})
    assert torch_file.read_text(path, "note") == "text"
    magic = 0x1950A86A20F9469CFC6C
    parts = (magic, 1001, {"little_endian": True}, content, [])
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    assert torch_file.read_text(path, "note") == "text"
    assert torch_file.read_text(path, "other") is None


def test_crafted_file_is_a_file(torch_save, tensor):
    """The fixtures write what PyTorch would."""
    path = torch_save({"state_dict": OrderedDict(a=tensor(), b=tensor(1, (2, 3), (3, 1)))})
    assert_same(torch_file.read(path), {"a": BASE, "b": BASE[1:7].reshape(2, 3)})
    assert_same(torch_file.read(torch_save(tensor())), {"": BASE})


@pytest.mark.parametrize("size", [23, 25, -1, 10**15])
def test_storages_of_another_size_are_refused(torch_save, tensor, size):
    path = torch_save({"a": tensor(0, (2,), (1,), Storage(size))})
    with pytest.raises(ValueError, match="the storage '0' has 96 bytes where its tensors need"):
        torch_file.read(path)


def test_damaged_records_are_named(torch_save, tensor, tmp_path):
    content = {"a": tensor(0, (2,), (1,), Storage(2, "../secret"))}
    with pytest.raises(ValueError, match=r"the storage '\.\./secret' is not in it"):
        torch_file.read(torch_save(content))
    bomb = torch_save({"a": tensor()}, data=bytes(96), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is damaged: the storage '0'"):
        torch_file.read(bomb)
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    with pytest.raises(ValueError, match=r"'archive/data\.pkl' is compressed; download it again"):
        torch_file.read(tmp_path / "a.pth")
    with pytest.raises(ValueError, match="written on a big-endian machine"):
        torch_file.read(torch_save({"a": tensor()}, {"file/byteorder": "big"}))


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "file/../../evil", "C:\\evil"])
def test_entries_that_leave_the_folder_are_refused(torch_save, tensor, name):
    with pytest.raises(ValueError, match=r"holds the entry .* which would leave its folder"):
        torch_file.read(torch_save({"a": tensor()}, {name: b"x"}))


def test_files_without_tensors(torch_save, tensor, tmp_path, named):
    endless = {}
    endless["model"] = endless
    whole_model = Call(named("torchvision.models.resnet", "ResNet"))
    for content in ({}, [1], "text", whole_model):
        with pytest.raises(ValueError, match=r"no tensors under names: save .* not the whole"):
            torch_file.read(torch_save(content))
    for content, keys in (
        ({"state_dict": {}}, "'state_dict'"),
        ({"epoch": 1, "net": {"a": tensor()}}, "'epoch', 'net'"),
        ({"epoch": 1, "model": whole_model}, "'epoch', 'model'"),
        ({3: 4}, "3"),
        (endless, "'model'"),
        ({f"{i}": i for i in range(10)}, "'0', '1', '2', '3', '4', '5', '6', '7' and 2 others"),
    ):
        message = rf"file\.pth holds {keys}, but no tensors under names, .*: save weights by"
        with pytest.raises(ValueError, match=message):
            torch_file.read(torch_save(content))
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


@pytest.mark.parametrize("name", WRITTEN_BY_TORCH)
def test_truncated_files(tmp_path, name):
    content = (FILES / name).read_bytes()
    path = tmp_path / "weights.pth"
    for length in range(0, len(content), 31):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"weights\.pth (is|holds) "):
            torch_file.read(path)


@pytest.mark.parametrize("name", WRITTEN_BY_TORCH)
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


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_files_out_of_reach_are_not_called_damaged(monkeypatch, name):
    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle", name)

    monkeypatch.setattr(torch_file, "unpickle", stale)
    with pytest.raises(OSError, match="Stale"):
        torch_file.read(FILES / name)
