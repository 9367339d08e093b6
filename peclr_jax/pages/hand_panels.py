"""Hands one a row: prediction beside truth, on the image and in space."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.pages.figures import draw_on_axes, show_image

_SPACE = [f"3D from the {side}\n(dashed: truth)" for side in ("front", "side")]
_COLUMNS = ("image", "prediction", "ground truth", *_SPACE)
# Inches.
_CELL, _HEAD, _FOOT, _GAP = 2.1, 0.85, 0.4, 0.7


class HandPanel(NamedTuple):
    """A row of `hand_panels`; what is None is left empty, and masks mark all joints.

    Attributes:
      image: RGB in [0, 255].
      title: Text above the row, with the error.
      predicted_2d: Pixels of `image`, as those of the truth.
      predicted_3d, target_3d: Camera space, metres; the prediction is aligned as for the error.
    """

    image: Shaped[np.ndarray, "height width 3"]
    title: str
    predicted_2d: Float[np.ndarray, "21 2"]
    target_2d: Float[np.ndarray, "21 2"] | None = None
    target_2d_valid: Bool[np.ndarray, "21"] | None = None
    predicted_3d: Float[np.ndarray, "21 3"] | None = None
    target_3d: Float[np.ndarray, "21 3"] | None = None
    target_3d_valid: Bool[np.ndarray, "21"] | None = None


def hand_panels(rows: Sequence[HandPanel]) -> Figure:
    """Draws hands one a row: image, prediction, truth, and both in 3D from two sides.

    In 3D the truth is black and dashed. The front is the camera's own side; the side is seen from
    the right, so that z grows to the right. Both show the same length.
    """
    width = 1.12 * _CELL * len(_COLUMNS)
    height = _HEAD + _FOOT + _CELL * len(rows) + _GAP * (len(rows) - 1)
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(len(rows), len(_COLUMNS), squeeze=False)
    top, bottom, gap = 1 - _HEAD / height, _FOOT / height, _GAP / _CELL
    figure.subplots_adjust(0.01, bottom, 0.99, top, wspace=0.12, hspace=gap)
    for cell, title in zip(grid[0], _COLUMNS, strict=True):
        _write_above(cell, title, at=0.5, points=24, ha="center", fontsize=9)
    for cells, row in zip(grid, rows, strict=True):
        _write_above(cells[0], row.title, at=0.0, points=6, ha="left", fontsize=10, weight="bold")
        show_image(cells[0], row.image)
        show_image(cells[1], row.image, row.predicted_2d)
        if row.target_2d is None:
            _write_inside(cells[2], "no 2D label")
        else:
            show_image(cells[2], row.image, row.target_2d, row.target_2d_valid)
        _draw_in_space(cells[3], cells[4], row)
    return figure


def _draw_in_space(front: Axes, side: Axes, row: HandPanel) -> None:
    everything = np.ones(NUM_JOINTS, bool)
    valid = everything if row.target_3d_valid is None else row.target_3d_valid
    candidates = ((row.target_3d, valid, True), (row.predicted_3d, everything, False))
    hands = [
        (joints, shown, dashed)
        for joints, shown, dashed in candidates
        if joints is not None and shown.any()
    ]
    if not hands:
        for axes in (front, side):
            _write_inside(axes, "no 3D")
        return
    points = np.concatenate([joints[shown] for joints, shown, _ in hands])
    center = (points.min(0) + points.max(0)) / 2
    reach = 100 * 0.55 * float(np.max(np.ptp(points, axis=0))) + 0.1
    for axes, horizontal, name in ((front, 0, "x"), (side, 2, "z")):
        for joints, shown, dashed in hands:
            centimetres = 100 * (joints - center)[:, [horizontal, 1]]
            draw_on_axes(axes, centimetres, shown, linewidth=1.2, dashed=dashed)
        axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
        axes.set_xlabel(f"{name} (cm)", fontsize=7, labelpad=1)
        axes.tick_params(labelsize=6, pad=1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(alpha=0.3)


def _write_above(axes: Axes, text: str, *, at: float, points: int, **style: Any) -> None:
    place: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "bottom",
    }
    axes.annotate(text, xy=(at, 1), xytext=(0, points), **place, **style)


def _write_inside(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, transform=axes.transAxes)
