"""What an evaluation measures: PCK curves, and how equivariant a network is (Figs. 9 and 10)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_CYCLE = cycler(linestyle=["-", "--", ":"]) * cycler(
    color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
)

Points = Float[np.ndarray, "_"]


def pck(curves: Mapping[str, tuple[Points, Points, float]], *, unit: str = "m") -> Figure:
    """Draws PCK curves, the AUC of each in the legend.

    Args:
      curves: Label to (thresholds, fractions of correct keypoints, AUC).
      unit: Of the thresholds, "m" (shown in centimetres) or "px".
    """
    figure, axes = _axes()
    factor, shown = (100, "cm") if unit == "m" else (1, unit)
    for label, (thresholds, fractions, area) in curves.items():
        axes.plot(factor * thresholds, fractions, label=f"{label}: AUC {area:.3f}")
    axes.set(xlabel=f"error threshold ({shown})", ylabel="correct keypoints", ylim=(0, 1))
    axes.margins(x=0)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(loc="lower right")
    return figure


def equivariance_curve(
    angles_deg: Points, values: Mapping[str, Points], *, label: str = "equivariance error (px)"
) -> Figure:
    """Draws a measure over the angle by which the image was rotated (Fig. 9).

    Args:
      angles_deg: Angles in degrees.
      values: Name of a network to its value at each angle.
      label: What is measured, with its unit.
    """
    figure, axes = _axes()
    for name, measured in values.items():
        axes.plot(angles_deg, measured, marker="o", markersize=4, label=name)
    axes.set(xlabel="rotation of the image (degrees)", ylabel=label)
    # What is no improvement must be seen as such.
    if any(np.nanmin(measured) < 0 for measured in values.values()):
        axes.axhline(0, color="black", linewidth=0.8)
    else:
        axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def equivariance_map(
    translations_px: Points, grid: Float[np.ndarray, "_ _"], label: str = "equivariance error (px)"
) -> Figure:
    """Draws a measure over the translation of the image (Fig. 10).

    Args:
      translations_px: Translations in pixels, evenly spaced, of both axes.
      grid: The measure, a row for each vertical and a column for each horizontal translation.
      label: What is measured, with its unit.

    Returns:
      The figure. Values on both sides of 0 are drawn in two colours that meet there.
    """
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    lowest, highest = float(np.nanmin(grid)), float(np.nanmax(grid))
    bound = max(-lowest, highest)
    signed = lowest < 0
    half = (translations_px[1] - translations_px[0]) / 2 if len(translations_px) > 1 else 0.5
    low, high = translations_px[0] - half, translations_px[-1] + half
    # Downward as in the image.
    image = axes.imshow(
        grid,
        extent=(low, high, high, low),
        cmap="PuOr" if signed else "viridis",
        vmin=-bound if signed else lowest,
        vmax=bound if signed else highest,
    )
    axes.set(
        xlabel="horizontal translation (px, + is right)",
        ylabel="vertical translation (px, + is down)",
        xticks=translations_px,
        yticks=translations_px,
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label(label)
    figure.tight_layout()
    return figure


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(_CYCLE)
    axes.grid(alpha=0.3)
    return figure, axes
