"""Figures of images: views side by side, hands on their images; writing figures."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from peclr_jax import files
from peclr_jax.pages.skeleton import DOT_DIAMETER, RIM, RIM_COLOR, drawing

# Sources and views differ in size.
Images = Shaped[np.ndarray, "rows _ _ 3"]


def view_pairs(sources: Images, first: Images, second: Images, second_on_first: Images) -> Figure:
    """Draws what the objective compares: two views of every image, and that they agree.

    Args:
      sources: RGB in [0, 255].
      first: The first views, RGB in [0, 255].
      second: The second views.
      second_on_first: The second views moved into the frame of the first: outlines must agree.
    """
    return in_columns(
        {
            "source": sources,
            "view 1": first,
            "view 2": second,
            "view 2 on view 1": second_on_first,
            "both": (np.asarray(first, np.float32) + np.asarray(second_on_first, np.float32)) / 2,
        }
    )


def in_columns(columns: Mapping[str, Images]) -> Figure:
    """Draws images side by side: a row for each, a column for each of what it has become.

    Args:
      columns: By their title the images, RGB in [0, 255].
    """
    side = 1.4
    rows = len(next(iter(columns.values())))
    figure = Figure(figsize=(side * len(columns), side * rows + 0.3))
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for cells, (title, images) in zip(axes.T, columns.items(), strict=True):
        cells[0].set_title(title, fontsize=8)
        for cell, image in zip(cells, images, strict=True):
            show_image(cell, image)
    figure.tight_layout(pad=0.3)
    return figure


def skeletons(
    images: Shaped[np.ndarray, "images _ _ 3"],
    keypoints_2d: Float[np.ndarray, "images 21 2"],
    valid: Bool[np.ndarray, "images 21"] | None = None,
    *,
    boxes: Float[np.ndarray, "images 4"] | None = None,
    titles: Sequence[str] | None = None,
    title: str | None = None,
    columns: int = 4,
) -> Figure:
    """Draws one hand on each image, row by row.

    Args:
      images: RGB in [0, 255].
      keypoints_2d: Pixels of each image.
      valid: Joints to draw; all by default.
      boxes: (x0, y0, x1, y1) in pixels of each image; NaN where there is none.
      titles: One title for each image.
      title: Title above all images.
      columns: Images in a row.
    """
    count = len(images)
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.0 * columns, 2.0 * rows), layout="constrained")
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        if i >= count:
            axes.set_axis_off()
            continue
        show_image(axes, images[i], keypoints_2d[i], None if valid is None else valid[i])
        if boxes is not None and np.isfinite(boxes[i]).all():
            x0, y0, x1, y1 = boxes[i]
            box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1)
            axes.add_patch(box)
        axes.set_title(titles[i] if titles else "", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def show_image(
    axes: Axes,
    image: Shaped[np.ndarray, "height width 3"],
    keypoints_2d: Float[np.ndarray, "21 2"] | None = None,
    valid: Bool[np.ndarray, "21"] | None = None,
) -> None:
    """Fills axes with an image and the hand on it.

    Args:
      axes: Axes to fill.
      image: RGB in [0, 255].
      keypoints_2d: Pixels of the image; None draws no hand.
      valid: Joints to draw; all by default.
    """
    axes.set_axis_off()
    axes.imshow(np.clip(np.asarray(image), 0, 255).astype(np.uint8))
    if keypoints_2d is not None:
        draw_on_axes(axes, keypoints_2d, valid)
    # Joints outside the image must not shrink it.
    axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG, whole or not at all."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    files.write_bytes(path, picture.getvalue())


def draw_on_axes(
    axes: Axes,
    keypoints_2d: Float[np.ndarray, "21 2"],
    valid: Bool[np.ndarray, "21"] | None = None,
    *,
    linewidth: float = 1.6,
    dashed: bool = False,
) -> None:
    """Draws a hand into Matplotlib's axes.

    Args:
      axes: Axes, in which an image may be shown already.
      keypoints_2d: Positions in the axes' units; pixels for an image that `imshow` drew.
      valid: Joints to draw; all by default.
      linewidth: Width of the bones, points.
      dashed: Draws the hand black and dashed, as the truth beside a prediction.
    """
    lines, line_colors, dots, dot_colors = drawing(keypoints_2d, valid)
    black = np.zeros(3)
    # A collection is drawn as a whole, so all rims lie below all colours.
    for rim in (0.0,) if dashed else (2 * RIM, 0.0):
        plain = black if dashed else np.divide(RIM_COLOR, 255) if rim else None
        bones = LineCollection(
            list(lines),
            colors=line_colors / 255 if plain is None else [plain],
            linewidths=linewidth * (1 + rim),
            linestyles="--" if dashed else "-",
            capstyle="butt" if dashed else "round",
            zorder=3,
        )
        axes.add_collection(bones, autolim=False)
        size = (linewidth * (DOT_DIAMETER + rim)) ** 2
        colors = dot_colors / 255 if plain is None else [plain]
        axes.scatter(dots[:, 0], dots[:, 1], s=size, c=colors, linewidths=0, zorder=3)


def as_image(figure: Figure) -> Shaped[np.ndarray, "height width 3"]:
    """Rasterises a figure, for TensorBoard."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
