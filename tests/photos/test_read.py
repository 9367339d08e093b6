import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, features

from peclr_jax.photos import read as reading
from peclr_jax.photos.read import UnreadableImageError, read, seen_size

GREY = 120


def corner_photo(width=96, height=64):
    """Grey, with a red corner at the top left."""
    pixels = np.full((height, width, 3), GREY, np.uint8)
    pixels[: height // 2, : width // 2] = (250, 10, 10)
    return Image.fromarray(pixels)


def is_red(photo, x, y):
    red, green, _ = photo.pixels.image.getpixel((x, y))
    return red > 150 and green < 100


MODES = {
    "jpg": ("RGB", "CMYK", "L"),
    "png": ("P", "RGBA", "LA", "1"),
    "webp": ("RGB", "RGBA"),
    "tif": ("RGB", "CMYK", "L", "P"),
    "bmp": ("RGB", "L", "1"),
    "gif": ("P", "L"),
    "avif": ("RGB", "RGBA"),
}
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow reads no AVIF here")


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        pytest.param(suffix, mode, marks=[needs_avif] * (suffix == "avif"))
        for suffix, modes in MODES.items()
        for mode in modes
    ],
)
def test_every_mode_becomes_rgb(tmp_path, suffix, mode):
    path = tmp_path / f"photo.{suffix}"
    Image.new("RGB", (40, 30), (255, 255, 255)).convert(mode).save(path)
    photo = read(path)
    assert (photo.width, photo.height, photo.pixels.image.mode) == (40, 30, "RGB")
    np.testing.assert_allclose(np.asarray(photo.pixels.image), 255, atol=2)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_several_pictures_the_first_is_read_and_the_others_are_told(tmp_path, suffix):
    pictures = [Image.new("RGB", (20, 20), (level, 0, 0)) for level in (250, 120, 10)]
    path = tmp_path / f"photo.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    photo = read(path)
    assert photo.remarks == ("it holds 3 pictures, of which the first was looked at",)
    assert photo.pixels.image.getpixel((3, 3))[0] > 200


@pytest.mark.parametrize(
    "suffix", ["jpg", "png", "webp", "tif", pytest.param("avif", marks=needs_avif)]
)
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
    assert (photo.width, photo.height) == seen_size(tmp_path / f"photo.{suffix}") == (96, 64)
    right, bottom = (side - 3 for side in photo.pixels.image.size)
    corners = [(2, 2), (right, 2), (2, bottom)]
    assert [is_red(photo, *corner) for corner in corners] == [True, False, False]


def seen_at(point, size, orientation):
    """Returns where a pixel of a file is in the upright photo."""
    (x, y), (right, bottom) = point, (size[0] - 1, size[1] - 1)
    return {
        1: (x, y),
        2: (right - x, y),
        3: (right - x, bottom - y),
        4: (x, bottom - y),
        5: (y, x),
        6: (bottom - y, x),
        7: (bottom - y, right - x),
        8: (y, right - x),
    }[orientation]


def centre_of_light(window):
    light = np.asarray(window.image.convert("L"), float)
    y, x = np.indices(light.shape)
    left_top = np.array([window.left, window.top])
    centre = np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
    return left_top + (centre + 0.5) / window.scale


@pytest.mark.parametrize(
    ("suffix", "most", "scale"),
    [
        ("jpg", 1.0, 1 / 8),
        # Reduced further than JPEGs can be decoded, and all others.
        ("jpg", 1 / 250, 1 / 16),
        ("png", 1 / 50, 1 / 8),
        ("tif", 1 / 50, 1 / 8),
    ],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_rounded_up_shifts_nothing(tmp_path, monkeypatch, orientation, suffix, most, scale):
    size, point = (401, 309), (150, 110)
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[point[1] - 40 : point[1] + 41, point[0] - 40 : point[0] + 41] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(pixels).convert("RGB").save(path, exif=exif, quality=95)
    monkeypatch.setattr(reading, "MOST_PIXELS", most * size[0] * size[1])
    photo = read(path, smallest=16.0)
    assert photo.pixels.scale == (scale, scale)
    expected = seen_at(point, size, orientation)
    np.testing.assert_allclose(centre_of_light(photo.pixels), expected, atol=0.3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_that_is_given_stays_as_it_is(tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    corner_photo().save(tmp_path / "photo.jpg", exif=exif)
    with Image.open(tmp_path / "photo.jpg") as image:
        first, second = (read(image, smallest=16.0) for _ in range(2))
        assert image.size == (96, 64)
        assert image.getexif()[ExifTags.Base.Orientation] == orientation
    size = (96, 64) if orientation < 5 else (64, 96)
    assert (first.width, first.height) == (second.width, second.height) == size
    assert first.pixels == second.pixels
    np.testing.assert_array_equal(first.pixels.image, read(tmp_path / "photo.jpg").pixels.image)


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


def test_focal_lengths_in_pixels():
    # A frame of film at its own size: one pixel a millimetre.
    assert reading.focal_from_35mm(50.0, (36, 24)) == pytest.approx(50)
    assert reading.focal_from_35mm(50.0, (24, 36)) == pytest.approx(50)
    assert reading.focal_from_field_of_view(90.0, (640, 480)) == pytest.approx(320)


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("F", (32, 32)).save(tmp_path / "real.tif")
    Image.new("I", (32, 32), 2**30).save(tmp_path / "long.tif")
    for name in ("cut.jpg", "cut.png"):
        corner_photo(400, 300).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    png = bytearray((tmp_path / "cut.png").read_bytes())
    png[20] ^= 1  # in the header, which a checksum guards
    (tmp_path / "flipped.png").write_bytes(png)
    corner_photo(400, 300).save(tmp_path / "head.gif")
    (tmp_path / "head.gif").write_bytes((tmp_path / "head.gif").read_bytes()[:8])
    for name, reason in {
        "flipped.png": "^damaged, or of a kind .*: copy it again",
        "head.gif": "^damaged, or of a kind .*: copy it again",
        "text.jpg": "not a JPEG, PNG or WebP",
        "empty.jpg": "an empty file",
        "real.tif": "its pixels are fractions",
        "long.tif": "its pixels have 32 bits",
        "dot.png": "1x1 px is too small",
        "cut.jpg": "cannot be decoded",
        "cut.png": "cannot be decoded",
        "missing.jpg": "is not there: see to the file",
    }.items():
        with pytest.raises(UnreadableImageError, match=reason):
            read(tmp_path / name)
    assert seen_size(tmp_path / "text.jpg") is seen_size(tmp_path / "empty.jpg") is None


def test_a_lack_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def lacks(*_):
        raise MemoryError

    corner_photo().save(tmp_path / "photo.png")
    monkeypatch.setattr(reading, "to_rgb", lacks)
    with pytest.raises(UnreadableImageError, match="does not fit into the memory that is left"):
        read(tmp_path / "photo.png")


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    corner_photo().save(tmp_path / "photo.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImageError, match="shrink it"):
        read(tmp_path / "photo.jpg")


@pytest.mark.parametrize("name", ["photo.png", "photo", "photo.heic", "photo.txt"])
def test_names_do_not_tell_what_is_inside(tmp_path, name):
    corner_photo().save(tmp_path / name, "JPEG")
    assert read(tmp_path / name).pixels.image.size == (96, 64)
    assert read(io.BytesIO((tmp_path / name).read_bytes())).pixels.image.size == (96, 64)


@pytest.mark.parametrize("keep", [1.0, 0.75])
@pytest.mark.parametrize("smallest", [64.0, 8.0])
def test_the_first_of_several_pictures_is_read(tmp_path, keep, smallest):
    path = tmp_path / "photo.jpg"
    others = [corner_photo().rotate(180), corner_photo().rotate(90)]
    corner_photo().save(path, "MPO", save_all=True, append_images=others)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    photo = read(path, smallest=smallest)
    assert (photo.width, photo.height) == (96, 64)
    assert is_red(photo, 2, 2)
    assert photo.pixels.image.size == ((96, 64) if smallest > 9 else (12, 8))


def test_the_first_picture_of_an_animation_is_read(tmp_path):
    for suffix in ("gif", "png", "webp", "tif"):
        path = tmp_path / f"photo.{suffix}"
        corner_photo().save(path, save_all=True, append_images=[corner_photo().rotate(180)])
        assert is_red(read(path), 2, 2)


HEIC = Path(__file__).with_name("turned.heic")
"""A drawing of ours like `corner_photo`, stored turned to the left, as phones do."""


def test_photos_of_iphones_are_read(tmp_path):
    pytest.importorskip("pi_heif", reason="pi-heif is not installed")
    for path in (HEIC, tmp_path / "photo.jpg"):
        path.write_bytes(HEIC.read_bytes())
        photo = read(path)
        assert (photo.width, photo.height) == (96, 64)
        corners = [(2, 2), (93, 2), (2, 61)]
        assert [is_red(photo, *corner) for corner in corners] == [True, False, False]


def test_half_a_photo_of_an_iphone_is_to_be_copied_again(tmp_path):
    pytest.importorskip("pi_heif", reason="pi-heif is not installed")
    whole = HEIC.read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "photo.heic").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UnreadableImageError, match="copy it again"):
            read(tmp_path / "photo.heic")


def test_without_its_decoder_heic_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(UnreadableImageError, match=r"a HEIC image, .*`pip install pi-heif"):
        read(HEIC)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_of_large_photos_a_part_of_the_pixels_is_kept(tmp_path, monkeypatch, suffix, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"photo.{suffix}"
    corner_photo(401, 301).save(path, exif=exif)
    monkeypatch.setattr(reading, "MOST_PIXELS", 401 * 301 / 5)
    photo = read(path)
    sizes = (photo.width, photo.height), photo.pixels.image.size
    assert sizes == tuple(s if orientation == 1 else s[::-1] for s in ((401, 301), (101, 76)))
    assert photo.pixels.scale == (0.25, 0.25)


@pytest.mark.parametrize("size", [(12000, 9000), (16320, 12240)])
def test_photos_of_108_and_200_megapixels(tmp_path, size):
    Image.new("L", size, GREY).save(tmp_path / "photo.jpg")
    photo = read(tmp_path / "photo.jpg", smallest=480.0)
    assert (photo.width, photo.height) == size
    assert photo.pixels.image.size == (size[0] // 8, size[1] // 8)


def test_progressive_jpegs_are_held_whole_and_may_be_less_large(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    for is_progressive in (False, True):
        corner_photo().save(tmp_path / f"{is_progressive}.jpg", progressive=is_progressive)
    assert read(tmp_path / "False.jpg").width == 96
    with pytest.raises(UnreadableImageError, match="shrink it"):
        read(tmp_path / "True.jpg")
