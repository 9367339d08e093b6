"""Charts of numbers."""

import numpy as np
import pytest

from peclr_jax.hands import metrics
from peclr_jax.hands.scores import Interval
from peclr_jax.pages import charts, figures


def test_pck_shows_centimetres_and_the_auc():
    pck = np.linspace(0, 1, 100)
    figure = charts.pck(
        {"PA": (metrics.THRESHOLDS, pck, 0.5), "3D": (metrics.THRESHOLDS, pck, 0.4)}
    )
    (axes,) = figure.axes
    assert axes.get_xlabel() == "error threshold (cm)"
    assert axes.lines[0].get_xdata()[-1] == pytest.approx(5)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["PA: AUC 0.500", "3D: AUC 0.400"]
    pixels = charts.pck({"2D": (metrics.THRESHOLDS_2D, pck, 0.5)}, unit="px").axes[0]
    assert pixels.get_xlabel() == "error threshold (px)"
    assert pixels.lines[0].get_xdata()[-1] == 30


def test_many_networks_can_be_told_apart():
    curves = {str(i): (metrics.THRESHOLDS, np.ones(100), 1.0) for i in range(21)}
    lines = charts.pck(curves).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 21
    series = {str(i): [charts.CurvePoint(1.0, 2.0)] for i in range(9)}
    assert len(charts.curves({"EPE": series}, x_label="%").axes[0].lines) == 9


def test_equivariance_over_angles():
    angles = np.arange(-80.0, 81, 10)
    (axes,) = charts.equivariance_curve(angles, {"PeCLR": np.abs(angles)}, label="error (px)").axes
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylabel() == "error (px)"
    (axes,) = charts.equivariance_curve(angles, {"PeCLR": angles}, label="improvement (%)").axes
    # Losses show, and where they begin.
    assert axes.get_ylim()[0] < -80
    assert len(axes.lines) == 2


def test_equivariance_over_translations():
    translations = np.arange(-25.0, 26, 5)
    grid = np.zeros((11, 11))
    grid[0, 10] = 7.0
    axes, _ = charts.equivariance_map(translations, grid, "error (px)").axes
    (image,) = axes.images
    # Row 0 is the largest upward, column 10 the largest rightward translation.
    assert tuple(image.get_extent()) == (-27.5, 27.5, 27.5, -27.5)
    assert image.get_clim() == (0, 7)
    grid[5, 5] = -10.0
    axes, bar = charts.equivariance_map(translations, grid, "improvement (%)").axes
    assert axes.images[0].get_clim() == (-10, 10)
    assert bar.get_ylabel() == "improvement (%)"


def test_bars_have_a_panel_a_quantity_and_a_bar_an_arm():
    arms = {"random": Interval(4.0, 3.5, 4.5), "PeCLR": Interval(2.0, None, None)}
    figure = charts.bars({"2D EPE, px": (arms, {"mean pose": 5.0}), "PA-EPE, cm": (arms, {})})
    first, second = figure.axes
    assert [bar.get_width() for bar in first.patches] == [4.0, 2.0]
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["random", "PeCLR"]
    assert first.get_xlabel() == "2D EPE, px"
    assert first.yaxis_inverted()  # the first arm on top
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["mean pose"]
    assert second.get_legend() is None


def test_curves_have_a_line_a_series_and_one_a_seed():
    point = charts.CurvePoint
    series = {
        "PeCLR": [point(100, 4, {"0": 3, "1": 5}), point(200, 2, {"0": 2})],
        "SimCLR": [point(100, 4), point(200, 3)],
    }
    (panel,) = charts.curves({"2D EPE, px": series}, x_label="steps").axes
    assert panel.get_xlabel() == "steps"
    lines = [list(line.get_ydata()) for line in panel.lines]
    np.testing.assert_array_equal(lines, [[4, 2], [3, 2], [5, np.nan], [4, 3]])
    assert panel.lines[0].get_color() == panel.lines[1].get_color() != panel.lines[3].get_color()


def test_curves_over_steps_that_double_and_what_has_no_steps():
    series = {"PeCLR": [charts.CurvePoint(500, 4), charts.CurvePoint(1000, 2)]}
    levels = {"2D EPE, px": {"mean pose": 14.0}}
    (panel,) = charts.curves({"2D EPE, px": series}, levels, x_label="steps", doubling=True).axes
    assert panel.get_xscale() == "log"
    assert [text.get_text() for text in panel.get_xticklabels()] == ["500", "1,000"]
    assert [line.get_label() for line in panel.lines] == ["PeCLR", "mean pose"]


def test_a_curve_as_an_image():
    figure = charts.curve(np.arange(3.0), np.arange(3.0), "loss")
    assert figure.axes[0].get_ylabel() == "loss"
    image = figures.as_image(figure)
    assert image.shape[2] == 3
    assert image.min() < 255


def test_reliability_has_a_point_and_a_count_a_bin():
    expected, measured = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 5.0])
    (axes,) = charts.reliability(expected, measured, [30, 30, 29], unit="view px").axes
    diagonal, line = axes.lines
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    np.testing.assert_array_equal(line.get_xydata(), np.stack([expected, measured], 1))
    assert [text.get_text() for text in axes.texts] == ["30", "30", "29"]
    # The diagonal is one, and nothing lies beyond.
    assert axes.get_xlim() == axes.get_ylim() == (0, pytest.approx(5.5))
    assert axes.get_xlabel() == "expected 2D error (view px)"
