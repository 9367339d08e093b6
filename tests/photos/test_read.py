import numpy as np
import pytest
from PIL import ExifTags, Image

from peclr_jax.photos import read as reading
from peclr_jax.photos.read import UnreadableImageError, read

GREY = 120


def corner_photo(width=96, height=64):
    """Grey, with a red corner at the top left."""
    pixels = np.full((height, width, 3), GREY, np.uint8)
    pixels[: height // 2, : width // 2] = (250, 10, 10)
    return Image.fromarray(pixels)


def is_red(photo, x, y):
    red, green, _ = photo.pixels.image.getpixel((x, y))
    return red > 150 and green < 100


MODES = {"jpg": ("RGB", "CMYK", "L"), "png": ("P", "RGBA", "LA", "1"), "webp": ("RGB", "RGBA")}


@pytest.mark.parametrize(
    ("suffix", "mode"), [(suffix, mode) for suffix, modes in MODES.items() for mode in modes]
)
def test_every_mode_becomes_rgb(tmp_path, suffix, mode):
    path = tmp_path / f"photo.{suffix}"
    Image.new("RGB", (40, 30), (255, 255, 255)).convert(mode).save(path)
    photo = read(path)
    assert (photo.width, photo.height, photo.pixels.image.mode) == (40, 30, "RGB")
    np.testing.assert_allclose(np.asarray(photo.pixels.image), 255, atol=2)


def test_sixteen_bits_are_scaled_and_transparent_is_white(tmp_path):
    grey, nothing = tmp_path / "grey.png", tmp_path / "nothing.png"
    Image.fromarray(np.full((20, 20), GREY * 257, np.uint16)).save(grey)
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(nothing)
    for path, level in ((grey, GREY), (nothing, 255)):
        assert read(path).pixels.image.getpixel((3, 3)) == (level,) * 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path, orientation, suffix):
    # What a camera stores, so that a viewer who obeys the note sees the red corner top left.
    store = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_90 TRANSVERSE ROTATE_270"
    image = corner_photo()
    if orientation > 1:
        image = image.transpose(Image.Transpose[store.split()[orientation - 2]])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(tmp_path / f"photo.{suffix}", exif=exif)
    photo = read(tmp_path / f"photo.{suffix}", smallest=32.0)
    assert (photo.width, photo.height) == (96, 64)
    right, bottom = (side - 3 for side in photo.pixels.image.size)
    corners = [(2, 2), (right, 2), (2, bottom)]
    assert [is_red(photo, *corner) for corner in corners] == [True, False, False]


@pytest.mark.parametrize(
    ("side", "limits", "factor"),
    [(96, {}, 1), (96, {"smallest": 30.0}, 2), (576, {"smallest": 16.0, "reduction": 3.0}, 2)],
)
def test_jpegs_are_decoded_smaller_where_that_will_do(tmp_path, side, limits, factor):
    corner_photo(side, 64).save(tmp_path / "photo.jpg")
    photo = read(tmp_path / "photo.jpg", **limits)
    assert photo.pixels.image.size == (side // factor, 64 // factor)
    assert photo.pixels.scale == (1 / factor, 1 / factor)
    assert (photo.width, photo.height) == (side, 64)


def test_the_focal_length_is_read(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 26
    corner_photo().save(tmp_path / "photo.jpg", exif=exif)
    assert read(tmp_path / "photo.jpg").focal_35mm == 26
    corner_photo().save(tmp_path / "photo.jpg")
    assert read(tmp_path / "photo.jpg").focal_35mm is None


def test_focal_lengths_in_pixels():
    # A frame of film at its own size: one pixel a millimetre.
    assert reading.focal_from_35mm(50.0, (36, 24)) == pytest.approx(50)
    assert reading.focal_from_35mm(50.0, (24, 36)) == pytest.approx(50)
    assert reading.focal_from_field_of_view(90.0, (640, 480)) == pytest.approx(320)


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    corner_photo().save(tmp_path / "moving.gif")
    for name in ("cut.jpg", "cut.png"):
        corner_photo(400, 300).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    for name, reason in {
        "text.jpg": "not a JPEG, PNG or WebP",
        "empty.jpg": "not a JPEG, PNG or WebP",
        "moving.gif": "not a JPEG, PNG or WebP",
        "dot.png": "1x1 px is too small",
        "cut.jpg": "cannot be decoded",
        "cut.png": "cannot be decoded",
        "missing.jpg": "cannot be decoded",
    }.items():
        with pytest.raises(UnreadableImageError, match=reason):
            read(tmp_path / name)


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    corner_photo().save(tmp_path / "photo.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImageError, match="shrink it"):
        read(tmp_path / "photo.jpg")
