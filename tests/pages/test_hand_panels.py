"""Hands one a row."""

import numpy as np
import pytest

from peclr_jax.hands import skeleton
from peclr_jax.pages import figures
from peclr_jax.pages.hand_panels import HandPanel, hand_panels
from tests.pages.test_figures import bones_in


def hand(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(13, 51, (21, 2))


def panel(**changes: object) -> HandPanel:
    joints = np.random.default_rng(0).normal((0, 0, 0.6), 0.05, (21, 3))
    complete = HandPanel(
        image=np.full((64, 64, 3), 90, np.uint8),
        title="hand 7 · PA-EPE 1.2 cm",
        predicted_2d=hand(),
        target_2d=hand(1),
        predicted_3d=joints,
        target_3d=joints + 0.01,
    )
    return complete._replace(**changes)


def test_panels_are_a_row_a_hand():
    valid = np.arange(21) < 12
    rows = [
        panel(),
        panel(target_2d_valid=valid, target_3d_valid=valid, title="partly labelled"),
        panel(target_2d=None, target_3d=None, title="no labels"),
        panel(predicted_3d=None, target_3d=None, title="no 3D"),
        panel(target_3d_valid=np.zeros(21, bool), image=np.full((40, 80, 3), 45.5), title="masked"),
        panel(predicted_3d=None, target_3d_valid=valid, title="truth alone"),
    ]
    figure = hand_panels(rows)
    grid = np.array(figure.axes).reshape(6, 5)
    assert [cells[0].texts[-1].get_text() for cells in grid] == [row.title for row in rows]
    partly = sum(parent < 12 and child < 12 for parent, child in skeleton.BONES)
    assert [bones_in(cells) for cells in grid] == [
        [0, 20, 20, 20, 20],
        [0, 20, partly, 20, 20],
        [0, 20, 0, 20, 20],
        [0, 20, 20, 0, 0],
        [0, 20, 20, 20, 20],
        [0, 20, 20, partly, partly],
    ]
    # The truth, dashed, lies below the prediction with its rim: lines and dots of three.
    assert [len(cells[3].collections) for cells in grid] == [6, 6, 4, 0, 4, 2]
    assert "no 2D label" in [text.get_text() for text in grid[2, 2].texts]
    # Both sides of a hand are drawn to one scale, with y downwards.
    front, side = grid[0, 3:]
    assert front.get_xlim() == side.get_xlim()
    assert front.get_ylim() == side.get_ylim() == front.get_xlim()[::-1]
    assert figures.as_image(figure).ndim == 3


def test_the_side_view_has_the_depth():
    joints = np.zeros((21, 3))
    joints[:, 2] = np.linspace(0.5, 0.6, 21)
    front, side = hand_panels([panel(predicted_3d=joints, target_3d=None)]).axes[3:]
    dots = [np.asarray(axes.collections[-1].get_offsets()[:, 0]) for axes in (front, side)]
    assert np.ptp(dots[0]) == pytest.approx(0)
    # Ten centimetres, the farther to the right.
    assert dots[1][-1] - dots[1][0] == pytest.approx(10)
