"""The one drawing of a hand's skeleton, in figures, on photos and on pages.

A dark rim keeps bones and joints apart from skin and background. What is drawn is decided here; the
three backends only say how a line and a dot are made.
"""

import html
import json
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from peclr_jax.errors import UserError
from peclr_jax.hands.skeleton import BONES, FINGER_COLORS, FINGERS, NUM_JOINTS

_COLORS = {joint: FINGER_COLORS[name] for name, joints in FINGERS.items() for joint in joints}
JOINT_COLORS = np.array([_COLORS.get(joint, (255,) * 3) for joint in range(NUM_JOINTS)], np.uint8)
"""RGB of each joint, the wrist white; a bone has the colour of its joint farther from the wrist."""

RIM_COLOR = (20, 20, 20)
# In widths of a bone.
DOT_DIAMETER = 2.0
RIM = 0.3

# Photos are drawn at this multiple of their size and reduced, for smooth lines.
_OVERSAMPLING = 3


class Drawing(NamedTuple):
    """What is drawn of a hand: lines, then dots on top of them, and the RGB of each."""

    lines: Float[np.ndarray, "bones 2 dims"]
    line_colors: UInt8[np.ndarray, "bones 3"]
    dots: Float[np.ndarray, "joints dims"]
    dot_colors: UInt8[np.ndarray, "joints 3"]


def drawing(
    keypoints: Float[np.ndarray, "21 dims"], valid: Bool[np.ndarray, "21"] | None = None
) -> Drawing:
    """Returns the lines and dots of a hand in any frame; a bone needs both of its joints."""
    shown = np.ones(NUM_JOINTS, bool) if valid is None else valid
    bones = np.array([bone for bone in BONES if shown[list(bone)].all()], int).reshape(-1, 2)
    return Drawing(
        keypoints[bones], JOINT_COLORS[bones[:, 1]], keypoints[shown], JOINT_COLORS[shown]
    )


def draw_on_image(image: Image.Image, keypoints_2d: Float[np.ndarray, "21 2"]) -> None:
    """Draws a hand onto an image, in place, its lines as thick as suits the hand's size.

    Pixels have their origin at the centre of the top-left one; joints may lie outside.
    """
    side = max(image.size)
    # Pillow counts pixels in 32 bits; what lies farther away is not seen anyway.
    points = np.clip(keypoints_2d, -2 * side, 3 * side)
    extent = float(np.ptp(points, axis=0).max())
    width = min(max(extent / 45, side / 300, 2.0), side / 60)
    # Only the hand's surroundings, so that a large photo costs no more than its hand.
    reach = (DOT_DIAMETER / 2 + RIM) * width + 1
    low = np.clip(np.floor(points.min(0) - reach), 0, image.size).astype(int)
    high = np.clip(np.ceil(points.max(0) + reach) + 1, 0, image.size).astype(int)
    if (low >= high).any():
        return
    layer = Image.new("RGBA", tuple((_OVERSAMPLING * (high - low)).tolist()))
    canvas = ImageDraw.Draw(layer)
    lines, line_colors, dots, dot_colors = drawing((points + 0.5 - low) * _OVERSAMPLING)
    unit = width * _OVERSAMPLING
    for rim in (2 * RIM, 0.0):
        for line, color in zip(lines, line_colors, strict=True):
            fill = (*(RIM_COLOR if rim else color.tolist()), 255)
            canvas.line([tuple(p) for p in line.tolist()], fill, max(1, round(unit * (1 + rim))))
        for dot, color in zip(dots, dot_colors, strict=True):
            fill = (*(RIM_COLOR if rim else color.tolist()), 255)
            canvas.circle(dot.tolist(), max(1, round(unit * (DOT_DIAMETER + rim) / 2)), fill)
    layer = layer.reduce(_OVERSAMPLING)
    image.paste(layer, (int(low[0]), int(low[1])), mask=layer)


def skeleton_widget(keypoints_3d: Float[np.ndarray, "21 3"], label: str = "3D hand") -> str:
    """Returns the HTML of a hand that the reader turns by dragging; `page` adds the script.

    Joints are in metres, x right, y down, z forward; the hand is shown around its own centre.
    """
    if not np.isfinite(keypoints_3d).all():
        raise UserError("the hand's coordinates must be finite to be drawn")
    center = (keypoints_3d.min(0) + keypoints_3d.max(0)) / 2
    millimetres = np.round(1000 * (keypoints_3d - center), 1).tolist()
    joints = json.dumps(millimetres, separators=(",", ":"))
    return (
        f'<canvas class="skeleton" tabindex="0" role="img" aria-label="{html.escape(label)}; '
        f'drag or use the arrow keys to turn it" data-joints="{joints}"></canvas>'
    )


def widget_script() -> str:
    """Returns the JavaScript that draws and turns the widgets of a page."""
    hand = {
        "bones": BONES,
        "colors": [_css(color) for color in JOINT_COLORS.tolist()],
        "dotDiameter": DOT_DIAMETER,
        "rim": RIM,
        "rimColor": _css(RIM_COLOR),
        "fingers": [(name, _css(color)) for name, color in FINGER_COLORS.items()],
    }
    script = resources.files("peclr_jax.pages").joinpath("skeleton.js").read_text(encoding="utf-8")
    return f"const HAND = {json.dumps(hand)};\n{script}"


def legend() -> str:
    """Returns the HTML that says which colour is which finger, and how to turn a hand."""
    names = "".join(
        f'<span><i style="background:{_css(color)}"></i>{finger}</span>'
        for finger, color in FINGER_COLORS.items()
    )
    return (
        f'<p class="legend note">{names}</p>\n<p class=note>Drag a hand to turn it, or use the '
        "arrow keys; a double click or Home shows it again as the camera saw it.</p>"
    )


def _css(color: tuple[int, int, int] | list[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
