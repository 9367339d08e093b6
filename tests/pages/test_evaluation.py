import numpy as np
import pytest

from peclr_jax import pages
from peclr_jax.hands import metrics


def test_pck_shows_centimetres_and_the_auc():
    pck = np.linspace(0, 1, 100)
    figure = pages.pck({"PA": (metrics.THRESHOLDS, pck, 0.5), "3D": (metrics.THRESHOLDS, pck, 0.4)})
    (axes,) = figure.axes
    assert axes.get_xlabel() == "error threshold (cm)"
    assert axes.lines[0].get_xdata()[-1] == pytest.approx(5)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["PA: AUC 0.500", "3D: AUC 0.400"]
    pixels = pages.pck({"2D": (metrics.THRESHOLDS_2D, pck, 0.5)}, unit="px").axes[0]
    assert pixels.get_xlabel() == "error threshold (px)"
    assert pixels.lines[0].get_xdata()[-1] == 30


def test_curves_of_many_networks_can_be_told_apart():
    curves = {str(i): (metrics.THRESHOLDS, np.ones(100), 1.0) for i in range(21)}
    lines = pages.pck(curves).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 21


def test_equivariance_over_angles():
    angles = np.arange(-80.0, 81, 10)
    (axes,) = pages.equivariance_curve(angles, {"PeCLR": np.abs(angles)}).axes
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylabel() == "equivariance error (px)"
    (axes,) = pages.equivariance_curve(angles, {"PeCLR": angles}, label="improvement (%)").axes
    # Losses show, and where they begin.
    assert axes.get_ylim()[0] < -80
    assert len(axes.lines) == 2


def test_equivariance_over_translations():
    translations = np.arange(-25.0, 26, 5)
    grid = np.zeros((11, 11))
    grid[0, 10] = 7.0
    axes, _ = pages.equivariance_map(translations, grid).axes
    (image,) = axes.images
    # Row 0 is the largest upward, column 10 the largest rightward translation.
    assert tuple(image.get_extent()) == (-27.5, 27.5, 27.5, -27.5)
    assert image.get_clim() == (0, 7)
    grid[5, 5] = -10.0
    axes, bar = pages.equivariance_map(translations, grid, "improvement (%)").axes
    assert axes.images[0].get_clim() == (-10, 10)
    assert bar.get_ylabel() == "improvement (%)"
