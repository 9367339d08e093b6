"""Pixels of any kind as 8-bit RGB, and what of them was not taken as it was."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from peclr_jax.errors import UserError

# Grey levels of white, of 8, 10, 12, 14 and 16 bits. Cameras for science keep 12 in files of 16.
_WHITES = 255, 1023, 4095, 16383, 65535


class Rgb(NamedTuple):
    """Pixels as 8-bit RGB, and remarks on what was not taken as it was."""

    image: Image.Image
    remarks: tuple[str, ...] = ()


def to_rgb(image: Image.Image) -> Rgb:
    """Converts any mode to 8-bit RGB; transparent pixels become white.

    Grey of more than 8 bits is scaled by the fewest bits that hold its largest level. Where all
    pixels are transparent, that is ignored: nothing would be left.

    Args:
      image: In any of Pillow's modes.

    Raises:
      UserError: Pixels of fractions, or of more than 16 bits.
    """
    if image.mode == "F":
        raise UserError("its pixels are fractions: save it with 8 bits a colour")
    if image.mode.startswith("I"):
        return _scaled(np.asarray(image))
    if not image.has_transparency_data:
        return Rgb(image.convert("RGB"))
    layer = image.convert("RGBA")
    alpha = layer.getchannel("A")
    if alpha.getextrema()[1] == 0:
        return Rgb(layer.convert("RGB"), ("all of it is transparent, which was ignored",))
    opaque = Image.new("RGB", layer.size, "white")
    opaque.paste(layer, mask=alpha)
    return Rgb(opaque)


def _scaled(levels: np.ndarray) -> Rgb:
    """Scales grey of up to 16 bits, which Pillow would cut off at 255."""
    most = int(levels.max())
    if most > _WHITES[-1]:
        raise UserError("its pixels have 32 bits: save it with 8 bits a colour")
    white = min(white for white in _WHITES if white >= most)
    grey = np.clip(levels, 0, white).astype(np.float32) * (255 / white)
    rgb = Image.fromarray((grey + 0.5).astype(np.uint8)).convert("RGB")
    if white == _WHITES[-1]:
        return Rgb(rgb)
    bits = white.bit_length()
    return Rgb(rgb, (f"its grey levels reach {most} of 65535 and were read as of {bits} bits",))
