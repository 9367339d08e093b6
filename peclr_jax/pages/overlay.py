"""Skeletons drawn on photos."""

import io

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from peclr_jax.hands.skeleton import BONES, FINGER_COLORS, FINGERS

_SMOOTH = 3  # drawn so many times larger and shrunk, for smooth lines
_OUTLINE = (20, 20, 20, 255)
_WRIST = (240, 240, 240)
_COLORS = {
    0: _WRIST,
    **{joint: FINGER_COLORS[name] for name, joints in FINGERS.items() for joint in joints},
}


def draw_skeleton(image: Image.Image, keypoints: Float[np.ndarray, "21 2"]) -> None:
    """Draws a hand onto an image, in place, its lines as thick as suits the hand's size.

    Args:
      image: RGB.
      keypoints: In pixels of `image`, origin at the centre of the top-left one; joints may lie
        outside.
    """
    # Far outside is as good as farther, and does not overflow the drawing.
    points = np.clip(keypoints, -2 * max(image.size), 3 * max(image.size))
    extent = float(np.ptp(points, axis=0).max())
    width = min(max(extent / 60, max(image.size) / 400, 1.5), max(image.size) / 80)
    reach = 3 * width
    low = np.clip(np.floor(points.min(0) - reach), 0, image.size).astype(int)
    high = np.clip(np.ceil(points.max(0) + reach) + 1, 0, image.size).astype(int)
    if (low >= high).any():
        return
    width_px, height_px = (int(side) * _SMOOTH for side in high - low)
    layer = Image.new("RGBA", (width_px, height_px))
    draw = ImageDraw.Draw(layer)
    on_layer = (points + 0.5 - low) * _SMOOTH

    def stroke(thickness: float) -> int:
        return max(1, round(thickness * _SMOOTH))

    for thickness, colors in ((2 * width, None), (1.3 * width, _COLORS)):
        for parent, child in BONES:
            color = (*colors[child], 255) if colors else _OUTLINE
            ends = [tuple(on_layer[parent]), tuple(on_layer[child])]
            draw.line(ends, fill=color, width=stroke(thickness))
        for joint, point in enumerate(on_layer):
            color = (*colors[joint], 255) if colors else _OUTLINE
            draw.circle(tuple(point), stroke(0.85 * thickness), fill=color)
    layer = layer.reduce(_SMOOTH)
    image.paste(layer, (int(low[0]), int(low[1])), mask=layer)


def jpeg(image: Image.Image, *, side: int | None = None, most: int | None = None) -> bytes:
    """Encodes an image.

    Args:
      image: RGB.
      side: Shrinks it so that its longer side is at most this.
      most: Bytes at most; the quality gives way.
    """
    if side is not None and max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), reducing_gap=3.0)
    for quality in (88, 80, 70, 55, 40, 25, 10):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if most is None or buffer.tell() <= most:
            break
    return buffer.getvalue()
