import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from peclr_jax import pages
from peclr_jax.hands import skeleton
from peclr_jax.pages.hands import JOINT_COLORS


def hand(seed: int = 0, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.8, (21, 2)) * side


def grey(height: int = 64, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def test_every_finger_has_its_colour_and_masked_joints_are_left_out():
    axes = Figure().subplots()
    pages.draw_skeleton(axes, hand())
    assert len(axes.lines) == len(skeleton.BONES)
    colors = {to_rgb(line.get_color()) for line in axes.lines}
    assert colors == {tuple(np.divide(c, 255)) for c in skeleton.FINGER_COLORS.values()}

    axes = Figure().subplots()
    valid = np.ones(21, bool)
    valid[[skeleton.WRIST, 8]] = False
    pages.draw_skeleton(axes, hand(), valid, color="black", linestyle="--")
    # Five bones begin at the wrist, and one ends at the index's tip.
    assert len(axes.lines) == len(skeleton.BONES) - 6
    assert len(axes.collections[0].get_offsets()) == 19


def test_overlay_draws_each_joint_where_it_is():
    image, joints = grey(400, 300), hand(1, 300)
    drawn = pages.overlay(image, joints)
    assert drawn.shape == image.shape
    np.testing.assert_array_equal(image, grey(400, 300))
    # The joints that are drawn last lie on top; 20 bones may cross the others.
    for joint in (18, 19, 20):
        x, y = np.rint(joints[joint]).astype(int)
        assert np.abs(drawn[y, x].astype(int) - JOINT_COLORS[joint]).max() < 30
    assert (drawn[:30] == 90).all()


def test_overlay_of_several_hands_and_of_masked_ones():
    image = grey()
    both = pages.overlay(image, np.stack([hand(0), hand(1)]))
    np.testing.assert_array_equal(both, pages.overlay(pages.overlay(image, hand(0)), hand(1)))
    nothing = np.zeros((2, 21), bool)
    np.testing.assert_array_equal(pages.overlay(image, np.stack([hand(0)] * 2), nothing), image)
    unknown = np.full((21, 2), np.nan)
    np.testing.assert_array_equal(pages.overlay(image, unknown), image)


@given(st.integers(0, 2**31), st.sampled_from([1e-3, 1.0, 100.0, 1e4, 1e12]))
def test_overlay_survives_any_prediction(seed, scale):
    generator = np.random.default_rng(seed)
    image = grey(*generator.integers(1, 40, 2))
    joints = generator.normal(0, scale, (21, 2)).astype(np.float32)
    assert pages.overlay(image, joints).shape == image.shape


def panel(**changes: object) -> pages.HandPanel:
    joints = np.random.default_rng(0).normal((0, 0, 0.6), 0.05, (21, 3))
    complete = pages.HandPanel(
        image=grey(),
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
        panel(target_3d_valid=np.zeros(21, bool), image=grey(40, 80) / 2.0, title="masked"),
    ]
    figure = pages.hand_panels(rows)
    grid = np.array(figure.axes).reshape(5, 5)
    assert [cells[0].texts[-1].get_text() for cells in grid] == [row.title for row in rows]
    bones = [[len(cell.lines) for cell in cells] for cells in grid]
    partly = sum(parent < 12 and child < 12 for parent, child in skeleton.BONES)
    assert bones == [
        [0, 20, 20, 40, 40],
        [0, 20, partly, 20 + partly, 20 + partly],
        [0, 20, 0, 20, 20],
        [0, 20, 20, 0, 0],
        [0, 20, 20, 20, 20],
    ]
    # Both sides of a hand are drawn to one scale, with y downwards.
    front, side = grid[0, 3:]
    assert front.get_xlim() == side.get_xlim()
    assert front.get_ylim() == side.get_ylim() == front.get_xlim()[::-1]
    assert pages.as_image(figure).ndim == 3


def test_the_side_view_has_the_depth():
    joints = np.zeros((21, 3))
    joints[:, 2] = np.linspace(0.5, 0.6, 21)
    front, side = pages.hand_panels([panel(predicted_3d=joints, target_3d=None)]).axes[3:]
    assert np.ptp(front.collections[0].get_offsets()[:, 0]) == pytest.approx(0)
    # Ten centimetres, the farther to the right.
    across = np.asarray(side.collections[0].get_offsets()[:, 0])
    assert np.ptp(across) == pytest.approx(10)
    assert across[-1] > across[0]


def test_skeletons_fill_rows():
    images = np.stack([grey()] * 6).astype(np.float32)
    joints = np.stack([hand(i) for i in range(6)])
    figure = pages.skeletons(images, joints, titles=[f"hand {i}" for i in range(6)])
    assert [axes.get_title() for axes in figure.axes[:6]] == [f"hand {i}" for i in range(6)]
    assert [len(axes.lines) for axes in figure.axes] == [20] * 6 + [0] * 2
    single = pages.skeletons(images[:1], joints[:1], np.zeros((1, 21), bool))
    assert [len(axes.lines) for axes in single.axes] == [0]
