"""Which files of a folder become records, and as what: of phones, computers and accidents."""

import io

import numpy as np
import pytest
from absl import logging
from PIL import ExifTags, Image

from data.image_folder import layout
from peclr_jax import outputs
from peclr_jax.errors import MissingFileError
from peclr_jax.photos import read as reading
from tests.data.breakages import HTML
from tests.data.records import DATA, ENCODED, counts
from tests.data.test_image_folder import by_photo, gradient

NAME = "image_folder"
DUMMY = DATA / NAME / "dummy_data"


@pytest.fixture
def said(monkeypatch):
    """The warnings."""
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    return said


def test_upright_jpegs_are_stored_byte_for_byte(dummy):
    records = by_photo(dummy, ENCODED)
    assert records[3][0]["image"] == (DUMMY / "table.jpg").read_bytes()
    for hands in records.values():
        assert all(hand["image"].startswith(b"\xff\xd8") for hand in hands)


def test_photos_are_turned_upright(photos, prepared):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise by a quarter
    folder = photos({})
    folder.mkdir()
    lying = gradient(40, 60).transpose(Image.Transpose.ROTATE_90)
    lying.save(folder / "a.jpg", exif=exif, quality=95)
    (record,) = by_photo(prepared(folder))[0]
    difference = record["image"].astype(int) - np.asarray(gradient(40, 60), int)
    assert np.abs(difference).mean() < 3


def test_large_jpegs_are_shrunk_whole(photos, prepared):
    """They are decoded at a fraction of their size, whose last pixels reach over the border."""
    folder = photos({"a.jpg": gradient(1561, 2081)})
    (record,) = by_photo(prepared(folder, "1024px"))[0]
    assert record["image"].shape == (1024, 768, 3)
    expected = np.asarray(gradient(768, 1024), int)
    assert np.abs(record["image"].astype(int) - expected)[..., :2].max() <= 6


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_jpegs_are_shrunk_without_a_shift(tmp_path, orientation):
    width, height, side = 401, 309, 50
    pixels = np.zeros((height, width), np.uint8)
    pixels[100 - side : 100 + side, 120 - side : 120 + side] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).convert("RGB").save(tmp_path / "a.jpg", exif=exif, quality=95)
    size = (width, height) if orientation < 5 else (height, width)
    photo = layout.Photo(tmp_path / "a.jpg", *size, ())
    stored = Image.open(io.BytesIO(layout.as_jpeg(photo, 60))).convert("L")
    light = np.asarray(stored, float) - 20
    light = np.where(light > 0, light, 0)
    y, x = np.indices(light.shape)
    centre = np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
    # From the edges of the pixels.
    places = {1: (120, 100), 3: (281, 209), 6: (209, 120), 8: (100, 281)}
    expected = np.array(places[orientation]) * np.array(stored.size) / size
    np.testing.assert_allclose(centre + 0.5, expected, atol=0.15)


def test_photos_of_other_kinds(photos, prepared):
    files = {
        "grey.jpg": gradient(30, 20).convert("L"),
        "four.jpg": gradient(30, 20).convert("CMYK"),
        "clear.png": gradient(30, 20).convert("RGBA"),
        "UPPER.PNG": gradient(30, 20),
    }
    records = by_photo(prepared(photos(files)))
    assert [hands[0]["image"].shape for hands in records.values()] == [(20, 30, 3)] * 4


def test_unreadable_and_hidden_files_are_left_out(photos, prepared, said):
    whole = (DUMMY / "table.jpg").read_bytes()
    files = {
        "a.jpg": whole,
        "b.jpg": whole[:-4000],
        "below/c.png": HTML.encode(),
        ".hidden.jpg": whole,
        ".thumbnails/d.jpg": whole,
        "notes.txt": b"",
        "tiny.png": gradient(5, 5),
    }
    builder = prepared(photos(files))
    assert sum(counts(builder).values()) == 1
    assert builder.info.metadata["unreadable_files"] == 3
    *left_out, warning = said
    for part in ("no pictures (1: photos/notes.txt)", "(1: photos/.hidden.jpg)", "/.thumbnails)"):
        assert part in " ".join(left_out)
    assert warning.startswith("3 photos cannot be read and are left out: ")
    for name in ("b.jpg: cannot be decoded", "c.png: not a JPEG", "tiny.png: 5x5 px is too small"):
        assert name in warning


def test_folders_may_have_any_name(photos, tmp_path):
    folder = photos({"a [1] *.png": gradient(20, 20)}).rename(tmp_path / "of [2] *")
    assert len(layout.read_folder(folder).photos) == 1


def as_bytes(image, kind, **save):
    buffer = io.BytesIO()
    image.save(buffer, kind, **save)
    return buffer.getvalue()


def test_pictures_of_phones(photos, prepared, said):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 9
    lying = gradient(40, 60).transpose(Image.Transpose.ROTATE_90)
    several = {"save_all": True, "append_images": [gradient(40, 60).rotate(180)]}
    files = {
        "a.JPG": as_bytes(gradient(40, 60), "JPEG", quality=95),
        "b.jfif": as_bytes(gradient(40, 60), "JPEG", quality=94),
        "c.jpg": as_bytes(gradient(40, 60), "MPO", **several, quality=95),
        "d.jpg": as_bytes(gradient(40, 60), "JPEG", exif=exif, quality=95),
        "e.jpg": as_bytes(gradient(40, 60), "PNG"),
        "f.tif": as_bytes(gradient(40, 60), "TIFF"),
        "g.bmp": as_bytes(gradient(40, 60), "BMP"),
        "h.gif": as_bytes(gradient(40, 60), "GIF"),
        "._a.JPG": b"\x00\x05\x16\x07",
        "trip/i.png": as_bytes(gradient(40, 60), "PNG", compress_level=1),
        "trip/j.heic": as_bytes(lying, "PNG"),
    }
    records = by_photo(prepared(photos(files)))
    assert len(records) == 10
    images = [hands[0]["image"].astype(int) for _, hands in sorted(records.items())]
    for image in images[:-1]:
        assert np.abs(image - np.asarray(gradient(40, 60), int)).mean() < 4
    assert images[-1].shape == (40, 60, 3)
    text = " ".join(said)
    assert "notes that macOS keeps beside its files (1: photos/._a.JPG)" in text
    assert "its EXIF orientation, 9, is none of 1 to 8" in text


def test_what_cannot_be_read_is_named_with_what_to_do(photos, said):
    files = {"a.png": gradient(20, 20), "b.mov": b"", "trip/c.MOV": b"", "d.dng": b"", "e": b"x"}
    assert len(layout.read_folder(photos(files)).photos) == 1
    warning = " ".join(said)
    assert "films (2: photos/b.mov, trip/c.MOV): " in warning
    assert "ffmpeg -i FILM" in warning
    assert "raw photos (1: photos/d.dng): develop" in warning
    assert "files that are no pictures (1: photos/e)" in warning


def test_a_folder_of_other_files_is_refused_with_what_to_do(photos):
    with pytest.raises(MissingFileError, match=r"films \(1: photos/a\.mov\).*ffmpeg"):
        layout.read_folder(photos({"a.mov": b"", "boxes.json": b"{}"}))


def test_labels_are_no_left_out_file(photos, said):
    layout.read_folder(photos({"a.png": gradient(20, 20)}, {"a.png": [{"box": [1, 1, 9, 9]}]}))
    assert not said


def test_what_runs_wrote_is_no_data(photos, said):
    files = {"a.png": gradient(20, 20), "runs/1/views.png": gradient(20, 20)}
    files |= {"old/predictions.json": b"{}", "old/index.html": b"", "old/x.png": gradient(20, 20)}
    folder = photos(files)
    before = list(layout.raw_files(folder))
    assert len(layout.list_images(folder)) == 2
    outputs.mark(folder / "runs" / "1")
    assert [path.name for path in layout.list_images(folder)] == ["a.png"]
    assert list(layout.raw_files(folder)) != before
    layout.read_folder(folder)
    assert "folders that peclr_jax wrote (2: photos/old, runs/1)" in said[0]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_photos_of_very_many_pixels_are_halved_with_their_labels(
    photos, prepared, monkeypatch, suffix
):
    monkeypatch.setattr(reading, "MOST_PIXELS", 400 * 300)
    name = f"a.{suffix}"
    folder = photos({name: gradient(800, 600)}, {name: [{"box": [100, 100, 299, 199]}]})
    (record,) = by_photo(prepared(folder))[0]
    assert record["image"].shape == (300, 400, 3)
    np.testing.assert_allclose(record["hand_box"], [49.75, 49.75, 149.25, 99.25])
    expected = np.asarray(gradient(400, 300), int)
    assert np.abs(record["image"].astype(int) - expected)[..., :2].max() <= 6
