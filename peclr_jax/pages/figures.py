"""Figures as such: grids of images, a curve, and writing them."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.figure import Figure

from peclr_jax import files

# Sources and views differ in size.
Images = Shaped[np.ndarray, "rows _ _ 3"]


def image_grid(columns: Mapping[str, Images], *, cell_inches: float = 1.4) -> Figure:
    """Draws images side by side, a titled column for each entry and a row for each image.

    Args:
      columns: Title to (N, H, W, 3) RGB images in [0, 255]; all with the same N.
      cell_inches: Side of one cell.

    Returns:
      The figure, which no global state refers to.
    """
    rows = len(next(iter(columns.values())))
    figure = Figure(figsize=(cell_inches * len(columns), cell_inches * rows + 0.3))
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (title, images) in enumerate(columns.items()):
        axes[0, column].set_title(title, fontsize=8)
        for row, image in enumerate(images):
            axes[row, column].imshow(np.clip(np.asarray(image), 0, 255).astype(np.uint8))
            axes[row, column].set_axis_off()
    figure.tight_layout(pad=0.3)
    return figure


def view_pairs(sources: Images, first: Images, second: Images, second_on_first: Images) -> Figure:
    """Draws what the objective compares: two views of every image, and that they do agree.

    Args:
      sources: (N, Q, Q, 3) RGB in [0, 255].
      first: (N, S, S, 3), the first view.
      second: (N, S, S, 3), the second view.
      second_on_first: (N, S, S, 3), the second view moved into the frame of the first; where both
        see the hand, its outline must be that of the first view.
    """
    return image_grid(
        {
            "source": sources,
            "view 1": first,
            "view 2": second,
            "view 2 on view 1": second_on_first,
            "both": (np.asarray(first, np.float32) + np.asarray(second_on_first, np.float32)) / 2,
        }
    )


def curve(
    steps: Float[np.ndarray, " points"], values: Float[np.ndarray, " points"], label: str
) -> Figure:
    """Draws one quantity over the steps of a run."""
    figure = Figure(figsize=(6, 3.2))
    axes = figure.subplots()
    axes.plot(steps, values, linewidth=1)
    axes.set(xlabel="step", ylabel=label)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG, all of it or nothing."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    files.write_bytes(path, picture.getvalue())


def as_image(figure: Figure) -> Shaped[np.ndarray, "height width 3"]:
    """Rasterises a figure, for TensorBoard."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
