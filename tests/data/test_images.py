"""Images become JPEGs: those that are one stay byte for byte."""

import errno
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

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


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_jpegs_that_are_stored_turned_are_refused(picture, orientation):
    """Labels are of the pixels as they are stored, or as they are seen: nobody knows."""
    path = picture("a.jpg")
    with Image.open(path) as image:
        exif = image.getexif()
        exif[ExifTags.Base.Orientation] = orientation
        image.save(path, exif=exif)

    def cut_out(path, remedy):
        return images.cut_out(path, np.array([2.0, 2, 9, 9]), 2.0, remedy)

    for read in (images.as_jpeg, images.size, cut_out):
        if orientation == 1:
            assert read(path, "fetch it")
            continue
        message = rf"a\.jpg is stored turned \(EXIF orientation {orientation}\): store it upright"
        with pytest.raises(UserError, match=message):
            read(path, "fetch it")


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
    for content, reason in ((b"", "it is empty"), (b"<html>", "of no known kind")):
        (tmp_path / "c.png").write_bytes(content)
        with pytest.raises(UserError, match=rf"c\.png is not an image, .* \({reason}\): fetch it$"):
            images.as_jpeg(tmp_path / "c.png", "fetch it")
    with pytest.raises(MissingFileError, match=r"b\.png is not there: fetch it"):
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


@given(
    corner=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    sides=st.tuples(st.floats(0, 250), st.floats(0, 250)),
    margin=st.floats(0.5, 4),
)
def test_crops_hold_the_square_as_far_as_the_image_goes(noise, corner, sides, margin):
    path, whole = noise
    box = np.array([*corner, *np.add(corner, sides)])
    part, (left, top) = images.cut_out(path, box, margin, "")
    with Image.open(io.BytesIO(part)) as image:
        width, height = image.size
        shown = np.asarray(image, int)
    assert left % 16 == top % 16 == 0
    assert 0 <= left < left + width <= whole.shape[1]
    assert 0 <= top < top + height <= whole.shape[0]
    assert np.abs(shown - whole[top : top + height, left : left + width]).mean() < 3
    half = margin * max(*sides, 1) / 2
    for low, middle, start, size, end in zip(
        (0, 0),
        np.add(corner, np.divide(sides, 2)),
        (left, top),
        (width, height),
        whole.shape[1::-1],
        strict=True,
    ):
        if middle + half > 0 and middle - half < end - 1:
            assert start <= max(middle - half, low)
            assert start + size - 1 >= min(middle + half, end - 1)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """An image of coloured patches, with its pixels."""
    path = tmp_path_factory.mktemp("noise") / "a.png"
    patches = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    Image.fromarray(patches).resize((203, 170)).save(path)
    with Image.open(path) as image:
        return path, np.asarray(image, int)
