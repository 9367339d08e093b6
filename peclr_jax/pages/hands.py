"""Hands on their images and in space; every finger has its colour (`skeleton.FINGER_COLORS`)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from peclr_jax.hands.skeleton import BONES, FINGER_COLORS, FINGERS, JOINT_NAMES, WRIST

_WRIST_COLOR = (255, 255, 255)


def _joint_color(joint: int) -> tuple[int, int, int]:
    if joint == WRIST:
        return _WRIST_COLOR
    return FINGER_COLORS[next(name for name, joints in FINGERS.items() if joint in joints)]


JOINT_COLORS = tuple(_joint_color(joint) for joint in range(len(JOINT_NAMES)))
"""RGB, 0 to 255; a bone has the colour of its joint farther from the wrist."""


class HandPanel(NamedTuple):
    """A row of `hand_panels`; what is None is left empty.

    Attributes:
      image: RGB in [0, 255].
      title: Stands over the row, with the error.
      predicted_2d: Pixels of `image`.
      target_2d: The truth, pixels of `image`.
      target_2d_valid: Which of its joints are labelled; all by default.
      predicted_3d: Camera space, metres, aligned as the error in the title is.
      target_3d: The truth, camera space, metres.
      target_3d_valid: Which of its joints are labelled; all by default.
    """

    image: Shaped[np.ndarray, "height width 3"]
    title: str
    predicted_2d: Float[np.ndarray, "21 2"]
    target_2d: Float[np.ndarray, "21 2"] | None = None
    target_2d_valid: Bool[np.ndarray, "21"] | None = None
    predicted_3d: Float[np.ndarray, "21 3"] | None = None
    target_3d: Float[np.ndarray, "21 3"] | None = None
    target_3d_valid: Bool[np.ndarray, "21"] | None = None


def draw_skeleton(
    axes: Axes,
    keypoints_2d: Float[np.ndarray, "21 2"],
    valid: Bool[np.ndarray, "21"] | None = None,
    *,
    color: str | None = None,
    linewidth: float = 1.6,
    linestyle: str = "-",
) -> None:
    """Draws a hand's bones and joints into axes.

    Args:
      axes: Matplotlib's, in which an image may be shown already.
      keypoints_2d: Positions in the axes' units; pixels for an image that `imshow` drew.
      valid: Joints to draw; a bone needs both of its own. All by default.
      color: Of the whole hand; by default every finger has its own.
      linewidth: Of the bones, in points.
      linestyle: Of the bones.
    """
    drawn = np.ones(len(keypoints_2d), bool) if valid is None else valid
    colors = [color or tuple(np.divide(rgb, 255)) for rgb in JOINT_COLORS]
    for parent, child in BONES:
        if drawn[parent] and drawn[child]:
            axes.plot(
                *keypoints_2d[[parent, child]].T,
                color=colors[child],
                linewidth=linewidth,
                linestyle=linestyle,
                solid_capstyle="round",
            )
    x, y = keypoints_2d[drawn].T
    axes.scatter(
        x,
        y,
        s=(2 * linewidth) ** 2,
        c=[colors[joint] for joint in np.flatnonzero(drawn)],
        edgecolors="black",
        linewidths=0.4,
        zorder=3,
    )


def skeletons(
    images: Shaped[np.ndarray, "images _ _ 3"],
    keypoints_2d: Float[np.ndarray, "images 21 2"],
    valid: Bool[np.ndarray, "images 21"] | None = None,
    *,
    boxes: Float[np.ndarray, "images 4"] | None = None,
    titles: Sequence[str] | None = None,
    title: str | None = None,
    columns: int = 4,
    cell_inches: float = 2.0,
) -> Figure:
    """Draws one hand on each image, row by row.

    Args:
      images: RGB in [0, 255].
      keypoints_2d: Pixels of each image.
      valid: Joints to draw; all by default.
      boxes: X0, y0, x1, y1 in pixels of each image; NaN where there is none.
      titles: One an image.
      title: Stands over all of them.
      columns: Images in a row.
      cell_inches: Side of one image.
    """
    count = len(images)
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(cell_inches * columns, cell_inches * rows), layout="constrained")
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if i < count:
            _draw_on_image(axes, images[i], keypoints_2d[i], None if valid is None else valid[i])
            if boxes is not None and np.isfinite(boxes[i]).all():
                _draw_box(axes, boxes[i])
            axes.set_title(titles[i] if titles else "", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    keypoints_2d: Float[np.ndarray, "*hands 21 2"],
    valid: Bool[np.ndarray, "*hands 21"] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws hands on a copy of an image, pixel for pixel of the same size.

    Args:
      image: RGB.
      keypoints_2d: Of one hand, or of any number; pixels, origin at the centre of the top-left one.
        They may lie outside.
      valid: Joints to draw; all by default.
    """
    height, width = image.shape[:2]
    canvas = Image.fromarray(image)
    hands = keypoints_2d.reshape(-1, len(JOINT_NAMES), 2)
    drawn = np.isfinite(hands).all(-1)
    if valid is not None:
        drawn &= valid.reshape(drawn.shape)
    for points, shown in zip(hands, drawn, strict=True):
        if not shown.any():
            continue
        # Pillow counts pixels in 32 bits; what lies so far away is not seen anyway.
        points = np.clip(points, -1e5, 1e5)
        low, high = points[shown].min(0), points[shown].max(0)
        thickness = float(np.clip(np.max(high - low) / 60, 0.6, 0.01 * max(height, width, 100)))
        # Only the hand's surroundings, so that a large photograph costs no more than its hand.
        x0, y0 = np.clip(low - 4 * thickness, 0, (width, height)).astype(int).tolist()
        x1, y1 = np.clip(high + 4 * thickness + 1, 0, (width, height)).astype(int).tolist()
        if x1 > x0 and y1 > y0:
            layer = _layer((x1 - x0, y1 - y0), points - (x0, y0), shown, thickness)
            canvas.paste(layer, (x0, y0), layer)
    return np.array(canvas)


def _layer(
    size: tuple[int, int], points: np.ndarray, shown: np.ndarray, thickness: float
) -> Image.Image:
    """Draws one hand on a transparent layer: lines at several times the size, scaled down."""
    oversampling = max(1, min(4, 2048 // max(size)))
    layer = Image.new("RGBA", (size[0] * oversampling, size[1] * oversampling))
    draw = ImageDraw.Draw(layer)
    places = [tuple(p) for p in ((points + 0.5) * oversampling).tolist()]
    unit = thickness * oversampling
    bones = [bone for bone in BONES if shown[list(bone)].all()]
    # A dark rim keeps the colours apart from any skin or background.
    for rim in (True, False):
        for parent, child in bones:
            color = (0, 0, 0) if rim else JOINT_COLORS[child]
            width = max(1, round(unit * (2.2 if rim else 1.3)))
            draw.line([places[parent], places[child]], fill=(*color, 255), width=width)
    for joint in np.flatnonzero(shown):
        x, y = places[joint]
        for radius, color in ((1.7 * unit, (0, 0, 0)), (1.25 * unit, JOINT_COLORS[joint])):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*color, 255))
    return layer.resize(size, Image.Resampling.LANCZOS)


_COLUMNS = (
    "image",
    "prediction",
    "ground truth",
    "3D from the front\n(dashed: truth)",
    "3D from the side\n(dashed: truth)",
)


def hand_panels(rows: Sequence[HandPanel], *, cell_inches: float = 2.1) -> Figure:
    """Draws hands one a row: image, prediction, truth, and both in 3D from two sides.

    In 3D the prediction is in the fingers' colours and the truth is black and dashed. The front is
    the camera's own side, x right and y down; the side is seen from the right, with the camera
    on the left: z grows to the right. Both show the same length.

    Args:
      rows: The hands.
      cell_inches: Side of one picture.
    """
    head, foot, gap = 0.85, 0.4, 0.7
    width = 1.12 * cell_inches * len(_COLUMNS)
    height = head + foot + cell_inches * len(rows) + gap * (len(rows) - 1)
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(len(rows), len(_COLUMNS), squeeze=False)
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        top=1 - head / height,
        bottom=foot / height,
        wspace=0.12,
        hspace=gap / cell_inches,
    )
    for cell, title in zip(grid[0], _COLUMNS, strict=True):
        _write_above(cell, title, at=0.5, points=24, ha="center", fontsize=9)
    for cells, row in zip(grid, rows, strict=True):
        _write_above(cells[0], row.title, at=0.0, points=6, ha="left", fontsize=10, weight="bold")
        for cell in cells[:3]:
            cell.set_axis_off()
        _draw_on_image(cells[0], row.image, None, None)
        _draw_on_image(cells[1], row.image, row.predicted_2d, None)
        if row.target_2d is None:
            _say(cells[2], "no 2D label")
        else:
            _draw_on_image(cells[2], row.image, row.target_2d, row.target_2d_valid)
        _draw_in_space(cells[3], cells[4], row)
    return figure


def _write_above(axes: Axes, text: str, *, at: float, points: int, **style: Any) -> None:
    axes.annotate(
        text,
        xy=(at, 1),
        xycoords="axes fraction",
        xytext=(0, points),
        textcoords="offset points",
        va="bottom",
        **style,
    )


def _draw_on_image(
    axes: Axes,
    image: np.ndarray,
    keypoints_2d: np.ndarray | None,
    valid: np.ndarray | None,
) -> None:
    axes.imshow(np.clip(image, 0, 255).astype(np.uint8))
    if keypoints_2d is not None:
        draw_skeleton(axes, keypoints_2d, valid)
    # Joints outside the image must not shrink it.
    axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))


def _draw_box(axes: Axes, box: np.ndarray) -> None:
    x0, y0, x1, y1 = box
    axes.add_patch(
        Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1)
    )


def _draw_in_space(front: Axes, side: Axes, row: HandPanel) -> None:
    hands = [
        (joints, np.ones(len(JOINT_NAMES), bool) if valid is None else valid, style)
        for joints, valid, style in (
            (row.target_3d, row.target_3d_valid, {"color": "black", "linestyle": "--"}),
            (row.predicted_3d, None, {}),
        )
        if joints is not None and (valid is None or valid.any())
    ]
    if not hands:
        for axes in (front, side):
            axes.set_axis_off()
            _say(axes, "no 3D")
        return
    points = np.concatenate([joints[valid] for joints, valid, _ in hands])
    center = (points.min(0) + points.max(0)) / 2
    reach = 100 * 0.55 * float(np.max(np.ptp(points, axis=0))) + 0.1
    for axes, horizontal, name in ((front, 0, "x"), (side, 2, "z")):
        for joints, valid, style in hands:
            centimetres = 100 * (joints - center)[:, [horizontal, 1]]
            draw_skeleton(axes, centimetres, valid, linewidth=1.2, **style)
        axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
        axes.set_xlabel(f"{name} (cm)", fontsize=7, labelpad=1)
        axes.tick_params(labelsize=6, pad=1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(alpha=0.3)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, transform=axes.transAxes)
