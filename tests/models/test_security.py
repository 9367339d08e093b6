"""What strangers' weights must not do: run code, fill the machine. Real attempts."""

import pickle
import zipfile

import numpy as np
import pytest

from peclr_jax.models import torch_file, torch_writing


@pytest.mark.parametrize("suffix", ["pth", "ckpt"])
def test_weights_run_nothing(suffix, exploit, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": exploit}, 2))
    for attempt in (torch_file.read, lambda p: torch_file.read_text(p, "peclr_jax")):
        with pytest.raises(ValueError, match=r"refers to .*system, which no weights need"):
            attempt(path)


def test_compressed_pickles_in_weights_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    with pytest.raises(ValueError, match=r"'archive/data\.pkl' is compressed; download it again"):
        torch_file.read(tmp_path / "a.pth")


def test_many_views_of_the_same_numbers_are_refused(tmp_path):
    torch_writing.write(tmp_path / "a.pth", {str(i): np.zeros(1, np.float32) for i in range(40)})
    assert len(torch_file.read(tmp_path / "a.pth")) == 40
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        content = archive.read("archive/data.pkl")
        numbers = {name: archive.read(name) for name in archive.namelist() if "/data/" in name}
    for key in range(1, 40):
        name = str(key).encode()
        stored_key = b"X" + len(name).to_bytes(4, "little") + name + b"X\x03\x00\x00\x00cpu"
        content = content.replace(stored_key, b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu")
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for name, values in numbers.items():
            archive.writestr(name, values)
    with pytest.raises(ValueError, match="too many views of the same numbers"):
        torch_file.read(tmp_path / "b.pth")
