"""What a photo's file says of it is believed where it can be, and is ignored and said otherwise."""

import io

import pytest
from PIL import ExifTags, Image

from peclr_jax.photos.read import read
from tests.photos.test_read import corner_photo, is_red


def photo_with(tmp_path, orientation=None, focal=None):
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    if focal is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = focal
    corner_photo().save(tmp_path / "photo.jpg", exif=exif)
    return read(tmp_path / "photo.jpg")


@pytest.mark.parametrize("focal", [6, 13, 26, 300, 2000])
def test_focal_lengths_of_lenses_are_read(tmp_path, focal):
    photo = photo_with(tmp_path, focal=focal)
    assert (photo.focal_35mm, photo.remarks) == (focal, ())


@pytest.mark.parametrize("focal", [65535, 1, 3, 9999, -26, "26 mm", b"\xff", (26, 28)])
def test_focal_lengths_of_no_lens_are_ignored(tmp_path, monkeypatch, focal):
    # Not all of them fit into the note's type, but into that of another program.
    monkeypatch.setattr(Image.Image, "getexif", lambda _: FakeExif(1, focal))
    photo = photo_with(tmp_path)
    assert photo.focal_35mm is None
    (remark,) = photo.remarks
    assert "focal length" in remark


class FakeExif(dict):
    def __init__(self, orientation, focal):
        super().__init__({ExifTags.Base.Orientation: orientation})
        self._ifd = {ExifTags.Base.FocalLengthIn35mmFilm: focal}

    def get_ifd(self, _):
        return self._ifd


@pytest.mark.parametrize("focal", [float("nan"), float("inf"), 1e-300])
def test_focal_lengths_that_are_no_numbers_are_ignored(tmp_path, monkeypatch, focal):
    monkeypatch.setattr(Image.Image, "getexif", lambda _: FakeExif(1, focal))
    assert photo_with(tmp_path).focal_35mm is None


@pytest.mark.parametrize("orientation", [9, 255, 65535])
def test_impossible_orientations_are_ignored_and_said(tmp_path, orientation):
    photo = photo_with(tmp_path, orientation)
    assert (photo.width, photo.height) == (96, 64)
    assert is_red(photo, 2, 2)
    assert str(orientation) in photo.remarks[0]


@pytest.mark.parametrize("orientation", [-6, 6.5, "6", b"6", (6, 6), None])
def test_orientations_of_another_type_are_none(tmp_path, monkeypatch, orientation):
    monkeypatch.setattr(Image.Image, "getexif", lambda _: FakeExif(orientation, None))
    assert (photo_with(tmp_path).width, photo_with(tmp_path).height) == (96, 64)


@pytest.mark.parametrize(("width", "is_believed"), [(150, True), (170, False), (900, False)])
def test_focal_lengths_are_not_of_panoramas(tmp_path, width, is_believed):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 26
    corner_photo(width, 64).save(tmp_path / "photo.jpg", exif=exif)
    photo = read(tmp_path / "photo.jpg")
    assert photo.focal_35mm == (26 if is_believed else None)
    assert len(photo.remarks) == (not is_believed)


@pytest.mark.parametrize(
    ("noted", "is_believed"),
    [
        ((6000, 4000), True),
        ((4000, 6000), True),
        ((96, 64), True),
        ((4000, 3000), False),
        ((4000, 4000), False),
        ((0, 0), True),
        ((6000, None), True),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_focal_lengths_are_not_of_a_part_of_a_photo(tmp_path, noted, is_believed, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.FocalLengthIn35mmFilm] = 26
    for tag, side in zip((0xA002, 0xA003), noted, strict=True):
        if side is not None:
            details[tag] = side
    corner_photo().save(tmp_path / "photo.jpg", exif=exif)
    photo = read(tmp_path / "photo.jpg")
    assert photo.focal_35mm == (26 if is_believed else None)
    assert ["focal length" in remark for remark in photo.remarks] == [True] * (not is_believed)


def test_cameras_that_do_not_know_say_zero(tmp_path):
    photo = photo_with(tmp_path, 0, 0)
    assert (photo.focal_35mm, photo.remarks) == (None, ())


@pytest.mark.parametrize("fault", [KeyError("x"), SyntaxError("not TIFF"), ValueError()])
def test_broken_notes_are_no_broken_photo(tmp_path, monkeypatch, fault):
    def fail(_):
        raise fault

    monkeypatch.setattr(Image.Image, "getexif", fail)
    photo = photo_with(tmp_path)
    assert (photo.width, photo.height) == (96, 64)
    assert "broken" in photo.remarks[0]


@pytest.mark.parametrize("start", range(0, 60, 6))
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_garbled_notes_are_no_broken_photo(tmp_path, start):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 26
    corner_photo().save(buffer, "JPEG", exif=exif)
    content = bytearray(buffer.getvalue())
    at = content.index(b"Exif\0\0") + start
    content[at : at + 6] = b"\xff\xa5\x00\xff\xee\x11"
    (tmp_path / "photo.jpg").write_bytes(content)
    photo = read(tmp_path / "photo.jpg")
    assert {photo.width, photo.height} == {96, 64}
