"""One drawing of a hand, in three places."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from peclr_jax.hands import skeleton as hands
from peclr_jax.pages import skeleton
from peclr_jax.pages.figures import draw_on_axes
from peclr_jax.pages.skeleton import JOINT_COLORS, draw_on_image

HAND = np.random.default_rng(0).normal(size=(21, 3)) * 0.05 + [0.1, 0.2, 0.6]
VALID = ~np.isin(np.arange(21), [hands.WRIST, 8])


def test_every_finger_has_its_colour():
    drawing = skeleton.drawing(HAND)
    assert drawing.lines.shape == (len(hands.BONES), 2, 3)
    np.testing.assert_array_equal(drawing.dots, HAND)
    np.testing.assert_array_equal(drawing.lines[:, 1], HAND[[child for _, child in hands.BONES]])
    assert set(map(tuple, drawing.line_colors.tolist())) == set(hands.FINGER_COLORS.values())
    assert drawing.dot_colors[hands.WRIST].tolist() == [255, 255, 255]


def test_masked_joints_and_their_bones_are_left_out():
    drawing = skeleton.drawing(HAND, VALID)
    # Five bones begin at the wrist, and one ends at the index's tip.
    assert len(drawing.lines) == len(hands.BONES) - 6
    assert len(drawing.dots) == 19
    nothing = skeleton.drawing(HAND, np.zeros(21, bool))
    assert [part.shape[0] for part in nothing] == [0] * 4


def test_figures_have_a_rim_below_the_colours_and_dashes_for_the_truth():
    axes = Figure().subplots()
    draw_on_axes(axes, HAND[:, :2], VALID)
    rim, rim_dots, bones, dots = axes.collections
    assert len(rim.get_segments()) == len(bones.get_segments()) == len(hands.BONES) - 6
    np.testing.assert_allclose(bones.get_colors()[:, :3] * 255, skeleton.drawing(HAND, VALID)[1])
    np.testing.assert_allclose(dots.get_facecolors()[:, :3] * 255, JOINT_COLORS[VALID])
    assert rim.get_linewidths()[0] > bones.get_linewidths()[0]
    assert rim_dots.get_sizes()[0] > dots.get_sizes()[0]

    axes = Figure().subplots()
    draw_on_axes(axes, HAND[:, :2], dashed=True)
    bones, dots = axes.collections
    assert bones.get_linestyles()[0][1] is not None
    assert not bones.get_colors()[0, :3].any()


def test_photos_have_each_joint_where_it_is():
    image = Image.new("RGB", (300, 400), (90, 90, 90))
    points = np.random.default_rng(1).uniform(60, 240, (21, 2))
    draw_on_image(image, points)
    drawn = np.asarray(image)
    # The joints that are drawn last lie on top.
    x, y = np.rint(points[18:]).astype(int).T
    assert np.abs(drawn[y, x].astype(int) - JOINT_COLORS[18:]).max() < 30
    assert (drawn[:30] == 90).all()


@given(st.integers(0, 2**31), st.sampled_from([1e-3, 1.0, 100.0, 1e4, 1e12]))
def test_photos_survive_any_prediction(seed, scale):
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", tuple(generator.integers(1, 40, 2).tolist()))
    size = image.size
    draw_on_image(image, generator.normal(0, scale, (21, 2)).astype(np.float32))
    assert image.size == size


def test_the_widget_is_centred_and_in_millimetres():
    text = skeleton.skeleton_widget(HAND, 'a "left" <hand>')
    shown = np.array(json.loads(re.search(r'data-joints="([^"]*)"', text)[1]))
    np.testing.assert_allclose(shown.min(0), -shown.max(0), atol=0.11)
    np.testing.assert_allclose(np.diff(shown, axis=0), 1000 * np.diff(HAND, axis=0), atol=0.11)
    assert html.escape('a "left" <hand>') in text
    with pytest.raises(ValueError, match="finite"):
        skeleton.skeleton_widget(np.full((21, 3), np.nan))


def test_the_script_draws_the_same_hand():
    hand = json.loads(re.match(r"const HAND = (.*);\n", skeleton.widget_script())[1])
    assert hand["bones"] == [list(bone) for bone in hands.BONES]
    assert [bytes.fromhex(color[1:]) for color in hand["colors"]] == [
        bytes(c) for c in JOINT_COLORS
    ]
    assert all(hand["colors"][joints[0]] in skeleton.legend() for joints in hands.FINGERS.values())
    page = (Path(skeleton.__file__).parent / "serve.js").read_text()
    assert set(re.findall(r"HAND\.(\w+)", skeleton.widget_script() + page)) == set(hand)
