"""Figures of images."""

import numpy as np
from matplotlib.collections import LineCollection

from peclr_jax.hands.skeleton import BONES
from peclr_jax.pages import figures


def bones_in(axes):
    """Returns the number of bones in each of some axes."""
    lines = [[c for c in cell.collections if isinstance(c, LineCollection)] for cell in axes]
    return [len(collections[-1].get_segments()) if collections else 0 for collections in lines]


def test_views_have_a_column_each_and_files_appear_whole(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.uint8)
    figure = figures.view_pairs(images, images[:, :4, :4], images, images[:, :4, :4] + 9)
    titles = ["source", "view 1", "view 2", "view 2 on view 1", "both"]
    assert [axes.get_title() for axes in figure.axes] == titles + [""] * 5
    figures.save(figure, tmp_path / "new" / "grid.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["grid.png"]
    assert (tmp_path / "new" / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_skeletons_fill_rows():
    images = np.full((6, 64, 64, 3), 90.0, np.float32)
    joints = np.random.default_rng(0).uniform(-10, 74, (6, 21, 2))
    boxes = np.where(np.arange(6)[:, None] < 2, [5.0, 6, 50, 60], np.nan)
    figure = figures.skeletons(images, joints, boxes=boxes, titles=[f"hand {i}" for i in range(6)])
    assert [axes.get_title() for axes in figure.axes[:6]] == [f"hand {i}" for i in range(6)]
    assert bones_in(figure.axes) == [len(BONES)] * 6 + [0] * 2
    assert [len(axes.patches) for axes in figure.axes] == [1, 1] + [0] * 6
    # Joints outside do not shrink the image.
    assert figure.axes[0].get_xlim() == (-0.5, 63.5)
    single = figures.skeletons(images[:1], joints[:1], np.zeros((1, 21), bool), title="none")
    assert bones_in(single.axes) == [0]
