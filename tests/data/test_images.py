"""Images become JPEGs: those that are one stay byte for byte."""

import errno

import numpy as np
import pytest
from PIL import Image

from data import images
from peclr_jax.errors import MissingFileError, UserError


@pytest.fixture
def picture(tmp_path):
    """Writes an image of one colour."""

    def write(name, mode="RGB"):
        Image.new(mode, (20, 10), "grey").save(tmp_path / name)
        return tmp_path / name

    return write


def test_jpegs_stay_as_they_are(picture):
    path = picture("a.jpg", "L")
    assert images.as_jpeg(path, "") == path.read_bytes()


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp"])
def test_others_are_encoded(picture, tmp_path, name):
    path = picture(name)
    (tmp_path / "new.jpg").write_bytes(images.as_jpeg(path, ""))
    with Image.open(tmp_path / "new.jpg") as new, Image.open(path) as old:
        assert new.format == "JPEG"
        assert np.abs(np.asarray(new, int) - np.asarray(old, int)).max() <= 2


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(UserError, match=r"a\.gif is not an image, corrupt .*: fetch it"):
        images.as_jpeg(tmp_path / "a.gif", "fetch it")
    with pytest.raises(MissingFileError, match=r"b\.png is missing: fetch it"):
        images.as_jpeg(tmp_path / "b.png", "fetch it")


def test_files_out_of_reach_are_not_called_broken(picture, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", "a.png")

    path = picture("a.png")
    monkeypatch.setattr(images.Image, "open", refuse)
    with pytest.raises(PermissionError):
        images.as_jpeg(path, "fetch it")


def test_results_come_in_order_and_only_some_ahead():
    taken = []

    def numbers():
        for number in range(1000):
            taken.append(number)
            yield number

    results = images.ahead(lambda number: 2 * number, numbers())
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(taken) < 1000
    assert list(results) == list(range(10, 2000, 2))
