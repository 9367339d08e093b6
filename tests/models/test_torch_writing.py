"""Files of ours, read by us and by PyTorch."""

import ml_dtypes
import numpy as np
import pytest
import safetensors

from peclr_jax.models import torch_file, torch_writing
from tests.models.conftest import BASE, EXPECTED, assert_same

CONTENT = {"epoch": 2**40, "name": "ä", "done": True}


def test_written_files_are_read(tmp_path):
    path = tmp_path / "folder" / "weights.pth"
    torch_writing.write(path, {"state_dict": EXPECTED} | CONTENT)
    assert_same(torch_file.read(path), EXPECTED)
    assert torch_file.read_text(path, "name") == "ä"
    assert torch_file.read_text(path, "epoch") is None
    assert [file.name for file in path.parent.iterdir()] == ["weights.pth"]


def test_safetensors(tmp_path):
    path = tmp_path / "weights.pth"
    arrays = {
        "a": BASE.reshape(4, 6).T,
        "half": np.float16([1.5]),
        "bfloat16": np.array([1.5, -2], ml_dtypes.bfloat16),
        "counter": np.array(3),
    }
    torch_writing.write_safetensors(path, arrays, {"format": "pt"})
    expected = arrays | {"half": np.float32([1.5]), "bfloat16": np.float32([1.5, -2])}
    actual = torch_file.read(path)
    assert_same({name: actual[name] for name in expected}, expected)
    assert torch_file.read_text(path, "format") is None
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, 2]}, r"cannot write \[1, 2\]: give arrays"),
        ({"a": np.array(["b"])}, "an array of <U1: PyTorch does not have this type"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        torch_writing.write(tmp_path / "a.pth", value)
    assert not list(tmp_path.iterdir())


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
        torch_writing.write(tmp_path / "weights.pth", {"state_dict": arrays} | CONTENT)
        loaded = torch.load(tmp_path / "weights.pth", weights_only=True, mmap=mmap)
        assert_same({n: t.numpy() for n, t in loaded.pop("state_dict").items()}, arrays)
        assert loaded == CONTENT
