"""Pixels of any kind become 8-bit RGB that shows what they show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from peclr_jax.errors import UserError
from peclr_jax.photos.pixels import to_rgb
from peclr_jax.photos.read import read

BITS = {8: 255, 10: 1023, 12: 4095, 14: 16383, 16: 65535}


def grey(levels, kind):
    """A picture of one line, of 16 bits or of Pillow's 32, of which fewer are used."""
    return Image.fromarray(np.array([levels], kind))


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
@given(levels=st.lists(st.integers(0, 65535), min_size=1, max_size=9))
def test_grey_is_scaled_by_the_fewest_bits_that_hold_it(kind, levels):
    image, remarks = to_rgb(grey(levels, kind))
    bits = min(bits for bits, white in BITS.items() if white >= max(levels))
    expected = np.array(levels) * 255 / BITS[bits]
    np.testing.assert_allclose(np.asarray(image)[0], expected[:, None].repeat(3, 1), atol=0.51)
    assert [f"{bits} bits" in remark for remark in remarks] == [True] * (bits < 16)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", BITS)
def test_twelve_bits_in_a_file_of_sixteen_are_not_black(tmp_path, suffix, bits):
    path = tmp_path / f"grey.{suffix}"
    levels = np.linspace(0, BITS[bits], 256).round().astype(np.uint16)
    Image.fromarray(np.tile(levels, (20, 1))).save(path)
    photo = read(path)
    red = np.asarray(photo.pixels.image)[5, :, 0].astype(int)
    np.testing.assert_allclose(red, np.arange(256), atol=1)
    assert len(photo.remarks) == (bits < 16)


@pytest.mark.parametrize("image", [Image.new("F", (9, 9)), grey([65536], np.int32)])
def test_what_does_not_say_its_white_is_refused(image):
    with pytest.raises(UserError, match="save it with 8 bits a colour"):
        to_rgb(image)


def test_transparent_pixels_become_white():
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    assert to_rgb(image)[0].tobytes() == bytes((10, 20, 30, 255, 255, 255))
    assert to_rgb(image).remarks == ()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_channel_that_hides_all_is_ignored_and_said(tmp_path, mode):
    seen = Image.effect_noise((20, 20), 60)
    image = seen.convert(mode)
    image.putalpha(0)
    image.save(tmp_path / "photo.png")
    photo = read(tmp_path / "photo.png")
    assert photo.pixels.image.tobytes() == seen.convert("RGB").tobytes()
    (remark,) = photo.remarks
    assert "transparent" in remark


@pytest.mark.parametrize("orientation", [1, 3])
def test_a_colour_that_is_transparent_becomes_white(tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.new("RGB", (20, 20))
    image.paste((9, 8, 7), (10, 0, 20, 20))
    image.save(tmp_path / "photo.png", transparency=(0, 0, 0), exif=exif)
    shown = read(tmp_path / "photo.png").pixels.image
    colours = [shown.getpixel((x, 9)) for x in (3, 16)]
    assert colours[:: 1 if orientation == 1 else -1] == [(255,) * 3, (9, 8, 7)]
