"""Pickles, PyTorch's files and safetensors that declare more than they hold."""

import json
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from data import pickles
from data.youtube_3d_hands import mano
from peclr_jax import weights
from peclr_jax.errors import UserError
from peclr_jax.models import torch_file, torch_weights
from peclr_jax.weights import file as weights_file
from tests.faults import bounded


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def doubled(times=40):
    """A tuple that holds itself twice, that often: to be shown or added up without end."""
    return b"K\x01" + b"2\x86" * times


def array(shape, kind="f8", data=b"C\x00", order=b"\x89"):
    made = named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\x00\x85"
    data_type = named("numpy", "dtype") + text(kind) + b"\x85R"
    return made + b"C\x01b\x87R" + b"(K\x01" + shape + data_type + order + data + b"tb"


def scalar(kind, data=b"C\x01x"):
    data_type = named("numpy", "dtype") + text(kind) + b"\x85R"
    return named("numpy.core.multiarray", "scalar") + data_type + data + b"\x86R"


LABELS = {
    # What NumPy's shape is multiplied to: a list of 4 GB.
    "a list times a number": array(b"]N\x61" + number(5 * 10**8) + b"\x86"),
    "a text times a number": array(text("x") + number(2**32) + b"\x86"),
    "a shape without end": array(doubled()),
    "more numbers than bytes": array(number(2**31 - 1) + b"\x85"),
    "sides beyond any": array(number(2**62) + b"2\x86"),
    "a negative side": array(number(-1) + b"\x85"),
    "a huge side": array(b"\x8b" + struct.pack("<i", 5000) + b"\x7f" * 5000 + b"\x85"),
    "texts of 4 GB": array(number(1) + b"\x85", "U1000000000"),
    "one of 4 GB": scalar("V4000000000"),
    "records": scalar("f8,f8"),
    "bytes of 4 GB": b"\x96" + struct.pack("<Q", 2**32),
    "a text of 4 GB": b"\x8d" + struct.pack("<Q", 2**32),
    "a frame of 4 GB": b"\x95" + struct.pack("<Q", 2**32),
    "bytes of a number": named("builtins", "bytes") + number(2**32) + b"\x85R",
    "a set of a range": named("builtins", "range") + number(2**40) + b"\x85R",
    "numbers of no text": named("builtins", "complex") + doubled() + b"\x85R",
    "nested without end": doubled(),
    "a key without end": b"}" + doubled() + b"K\x01s",
    "a place far away": b"]r\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_checked_before_they_are_made(label, tmp_path):
    path = tmp_path / "0000.pkl"
    path.write_bytes(b"\x80\x04}" + text("camMat") + LABELS[label] + b"s.")
    with pytest.raises(UserError) as info:
        pickles.as_numbers(pickles.load(path)["camMat"], 10)
    assert len(str(info.value)) < 500


ZERO, ONE, WHOLE, FIRST = number(0), number(1) + b"\x85", number(24), text("0")


def storage(key=FIRST, size=WHOLE):
    kind = named("torch", "FloatStorage")
    return b"(" + text("storage") + kind + key + text("cpu") + size + b"tQ"


def tensor(held=None, offset=ZERO, shape=WHOLE + b"\x85", strides=ONE):
    parts = (storage() if held is None else held) + offset + shape + strides + b"\x89}"
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + parts + b"tR"


TENSORS = {
    "a shape without end": tensor(shape=doubled()),
    "strides without end": tensor(strides=doubled()),
    "an offset without end": tensor(offset=doubled()),
    "a key without end": tensor(storage(key=doubled())),
    "a size without end": tensor(storage(size=doubled())),
    "a size of text": tensor(storage(size=text("9" * 1000))),
    "a size beyond any": tensor(storage(size=number(2**62))),
    "a shape beyond any": tensor(shape=number(2**62) + b"\x85"),
    "a shape of text": tensor(shape=text("x" * 1000)),
    "a tensor for a storage": tensor(tensor()),
    "no arguments": named("torch._utils", "_rebuild_tensor_v2") + b")R",
    "wrapped without end": named("torch._utils", "_rebuild_parameter") + doubled() + b"\x85R",
    "of a type without end": named("torch._tensor", "_rebuild_from_type_v2") + doubled() + b"R",
}


def saved(path, tensors, data=bytes(96), name="file/data/0"):
    items = b"".join(text(key) + value + b"s" for key, value in tensors.items())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("file/data.pkl", b"\x80\x02}" + items + b".")
        archive.writestr(name, data)
    return path


@pytest.mark.parametrize("label", TENSORS)
def test_tensors_are_checked_before_they_are_made_or_shown(label, tmp_path):
    path = saved(tmp_path / "a.pth", {"layer": TENSORS[label]})
    assert path.stat().st_size < 3000
    for read in (torch_file.read, torch_weights.read_weights):
        with pytest.raises(UserError) as info:
            read(path)
        assert len(info.value.args[0]) < 700


def test_good_ones_are_read(tmp_path):
    """What the cases above are made of."""
    assert torch_file.read(saved(tmp_path / "a.pth", {"layer": tensor()}))["layer"].shape == (24,)
    path = tmp_path / "0000.pkl"
    values = b"C\x10" + np.arange(2.0).tobytes()
    path.write_bytes(b"\x80\x04" + array(number(2) + b"\x85", data=values) + b".")
    assert pickles.as_numbers(pickles.load(path), 2).tolist() == [0, 1]


def test_storages_that_lie_on_each_other_are_refused(tmp_path):
    """Every entry of an archive may be said to be at the same place."""
    count = 50
    tensors = {f"w{i}": tensor(storage(text(str(i)))) for i in range(count)}
    path = saved(tmp_path / "a.pth", tensors)
    with zipfile.ZipFile(path, "a") as archive:
        entry = archive.getinfo("file/data/0")
        for i in range(1, count):
            again = zipfile.ZipInfo(f"file/data/{i}")
            again.header_offset, again.CRC = entry.header_offset, entry.CRC
            again.file_size = again.compress_size = entry.file_size
            archive.filelist.append(again)
            archive._didModify = True
    with pytest.raises(UserError, match="damaged"):
        torch_file.read(path)


def test_a_short_file_takes_no_memory(tmp_path):
    """All cases at once, in a program that has two gigabytes."""
    for number_, content in enumerate(LABELS.values()):
        (tmp_path / f"{number_}.pkl").write_bytes(b"\x80\x04" + content + b".")
    for number_, content in enumerate(TENSORS.values()):
        saved(tmp_path / f"{number_}.pth", {"layer": content})
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, sys\n"
        "from data import pickles\nfrom peclr_jax.models import torch_file\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.p*')):\n"
        "    try:\n"
        "        if path.suffix == '.pkl': pickles.as_numbers(pickles.load(path), 10)\n"
        "        elif path.suffix == '.pth': torch_file.read(path)\n"
        "        else: continue\n"
        "        print('read', path)\n"
        "    except ValueError as error: print(str(error)[:80])\n"
    )
    ended = bounded.run([program, tmp_path])
    assert ended.code == 0, ended.output
    assert ended.output.count("\n") == len(LABELS) + len(TENSORS)


def test_an_array_that_is_only_declared_is_not_made(tmp_path):
    header = np.lib.format.header_data_from_array_1_0(np.zeros(3))
    with (tmp_path / "J_regressor.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": (10**6, 10**6)})
    with pytest.raises(UserError, match=r"J_regressor\.npy is not an array of NumPy"):
        mano.read_regressor([tmp_path])


def safetensors_of(path, kind, shape=(2,), size=2, header=b""):
    said = {"w": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}
    said["__metadata__"] = {weights_file.NOTE: "{}"}
    content = header or json.dumps(said).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(size))
    return path


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F4", "C64", "F128"])
def test_numbers_that_numpy_has_not_are_named(tmp_path, kind):
    size = 16 if kind == "C64" else 2
    path = safetensors_of(tmp_path / "a.safetensors", kind, size=size)
    for read in (torch_weights.read_weights, lambda p: weights_file.read(weights.find(p), {})):
        with pytest.raises(UserError, match=r"a\.safetensors (holds w|holds 'w'|is )"):
            read(path)


@pytest.mark.parametrize(
    ("shape", "size"), [((10**6, 10**6), 2), ((2**62, 2**62), 2), ((2,), 10), ((-1,), 2)]
)
def test_safetensors_that_only_declare_are_refused(tmp_path, shape, size):
    path = safetensors_of(tmp_path / "a.safetensors", "F32", shape, size)
    for read in (torch_weights.read_weights, lambda p: weights_file.read(weights.find(p), {})):
        with pytest.raises(UserError, match=r"a\.safetensors (is|holds) "):
            read(path)


def test_headers_without_end_are_not_read(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 2**30) + b"{" + bytes(100))
    for read in (torch_weights.read_weights, weights_file.read_note):
        with pytest.raises(UserError, match=r"header"):
            read(path)


def test_float16_and_whole_files_are_read(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"w": np.float16([1, 2])}, path)
    assert torch_file.read(path)["w"].tolist() == [1, 2]
