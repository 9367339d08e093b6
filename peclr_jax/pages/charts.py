"""Charts of numbers: losses, PCK, equivariance (Figs. 9 and 10), arms, expected errors."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from peclr_jax.hands.scores import Interval

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_CYCLE = cycler(linestyle=["-", "--", ":"]) * cycler(color=_COLORS)

Panel = tuple[Mapping[str, Interval], Mapping[str, float]]
Points = Float[np.ndarray, "_"]


def curve(
    steps: Float[np.ndarray, " points"], values: Float[np.ndarray, " points"], label: str
) -> Figure:
    """Draws one quantity over the steps of a run.

    Args:
      steps: Steps.
      values: Value at each step.
      label: Name of the quantity, with its unit.
    """
    figure = Figure(figsize=(6, 3.2))
    axes = figure.subplots()
    axes.plot(steps, values, linewidth=1)
    axes.set(xlabel="step", ylabel=label)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def pck(curves: Mapping[str, tuple[Points, Points, float]], *, unit: str = "m") -> Figure:
    """Draws PCK curves: label to (thresholds in `unit`, fractions of correct keypoints, AUC)."""
    figure, axes = _axes()
    factor, shown = (100, "cm") if unit == "m" else (1, unit)
    for label, (thresholds, fractions, area) in curves.items():
        axes.plot(factor * thresholds, fractions, label=f"{label}: AUC {area:.3f}")
    axes.set(xlabel=f"error threshold ({shown})", ylabel="correct keypoints", ylim=(0, 1))
    axes.margins(x=0)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(loc="lower right")
    return figure


def equivariance_curve(angles_deg: Points, values: Mapping[str, Points], *, label: str) -> Figure:
    """Draws a measure over the angle by which the image was rotated (Fig. 9).

    Args:
      angles_deg: Angles in degrees.
      values: Name of a network to its value at each angle.
      label: Name of the measure, with its unit.
    """
    figure, axes = _axes()
    for name, measured in values.items():
        axes.plot(angles_deg, measured, marker="o", markersize=4, label=name)
    axes.set(xlabel="rotation of the image (degrees)", ylabel=label)
    # Values below 0 must be seen as losses.
    if any(np.nanmin(measured) < 0 for measured in values.values()):
        axes.axhline(0, color="black", linewidth=0.8)
    else:
        axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def equivariance_map(translations_px: Points, grid: Float[np.ndarray, "_ _"], label: str) -> Figure:
    """Draws a measure over the translation of the image (Fig. 10), in two colours that meet at 0.

    Args:
      translations_px: Translations along either axis, pixels, evenly spaced.
      grid: The measure, a row for each vertical and a column for each horizontal translation.
      label: Name of the measure, with its unit.
    """
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    lowest, highest = float(np.nanmin(grid)), float(np.nanmax(grid))
    bound = max(-lowest, highest)
    signed = lowest < 0
    half = (translations_px[1] - translations_px[0]) / 2 if len(translations_px) > 1 else 0.5
    low, high = translations_px[0] - half, translations_px[-1] + half
    # Downward as in the image.
    colors = ("PuOr", -bound, bound) if signed else ("viridis", lowest, highest)
    style: dict[str, Any] = dict(zip(("cmap", "vmin", "vmax"), colors, strict=True))
    image = axes.imshow(grid, extent=(low, high, high, low), **style)
    axes.set(
        xlabel="horizontal translation (px, + is right)",
        ylabel="vertical translation (px, + is down)",
        xticks=translations_px,
        yticks=translations_px,
    )
    figure.colorbar(image, ax=axes, shrink=0.85, label=label)
    figure.tight_layout()
    return figure


class CurvePoint(NamedTuple):
    """Of a curve: a mean over seeds, and what each of them has there."""

    x: float
    mean: float
    seeds: Mapping[str, float] = MappingProxyType({})


def bars(panels: Mapping[str, Panel]) -> Figure:
    """Draws arms beside each other: quantity with its unit to values of arms and lines by label."""
    rows = max(len(arms) for arms, _ in panels.values())
    figure = Figure(figsize=(0.6 + 3.4 * len(panels), 1.2 + 0.36 * rows), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for panel, (quantity, (arms, lines)) in zip(axes, panels.items(), strict=True):
        values = [arm.value for arm in arms.values()]
        below = [arm.value - (arm.value if arm.low is None else arm.low) for arm in arms.values()]
        above = [(arm.value if arm.high is None else arm.high) - arm.value for arm in arms.values()]
        colors = [_COLORS[i % len(_COLORS)] for i in range(len(arms))]
        known = any(arm.low is not None for arm in arms.values())
        errors = [below, above] if known else None
        panel.barh(list(arms), values, xerr=errors, color=colors, capsize=3, ecolor="#444444")
        panel.margins(y=0.4 / rows)
        for (label, value), style in zip(lines.items(), (":", "--"), strict=False):
            panel.axvline(value, color="black", linewidth=0.9, linestyle=style, label=label)
        panel.set_xlabel(quantity)
        panel.grid(axis="x", alpha=0.3)
        if lines:
            # Above the bars, which take all of the panel.
            panel.legend(
                fontsize=7, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False
            )
    axes[0].invert_yaxis()  # shared by all; the first arm is on top
    return figure


def curves(
    panels: Mapping[str, Mapping[str, Sequence[CurvePoint]]],
    levels: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    *,
    x_label: str,
    doubling: bool = False,
) -> Figure:
    """Draws quantities over x: the means as a thick line, and a thin one for each seed.

    Args:
      panels: Name of each with the unit to series of points by label.
      levels: By the same names what has one value at every x, by label.
      x_label: Name of x, with its unit.
      doubling: Whether each x is twice the one before, and so far from it on the axis.
    """
    names = dict.fromkeys(name for part in (panels, levels) for of in part.values() for name in of)
    size = (0.6 + max(3.6 * len(panels), 4.8), 3.0 + 0.2 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    drawn: dict[str, Artist] = {}
    thin: dict[str, Artist] = {}
    for panel, (quantity, series) in zip(axes, panels.items(), strict=True):
        for color, (label, points) in zip(cycle(_COLORS), series.items(), strict=False):
            x, means = zip(*((point.x, point.mean) for point in points), strict=True)
            (drawn[label],) = panel.plot(
                x, means, marker="o", markersize=4, color=color, label=label
            )
            for seed in dict.fromkeys(seed for point in points for seed in point.seeds):
                of_seed = [(point.x, point.seeds.get(seed, np.nan)) for point in points]
                (line,) = panel.plot(
                    *zip(*of_seed, strict=True), ".-", color=color, linewidth=0.7, alpha=0.5
                )
                thin.setdefault("seeds", line)
        for (label, value), style in zip(
            levels.get(quantity, {}).items(), cycle((":", "--", "-.")), strict=False
        ):
            drawn[label] = panel.axhline(
                value, color="black", linewidth=0.9, linestyle=style, label=label
            )
        if doubling and series:
            panel.set_xscale("log", base=2)
            shown = sorted({x for points in series.values() for x, *_ in points})
            panel.set_xticks(shown, [f"{x:,.0f}" for x in shown])
        panel.set(xlabel=x_label, ylabel=quantity.replace(", ", ",\n"))
        panel.grid(alpha=0.3)
    # Beside the curves, which take all of the panels.
    drawn |= thin
    figure.legend([*drawn.values()], [*drawn], fontsize=8, loc="outside lower center")
    return figure


def reliability(
    expected: Points, measured: Points, joints: Sequence[int], *, unit: str = "px"
) -> Figure:
    """Draws measured over expected errors; on the diagonal, a network knows how far it is off.

    Args:
      expected: Mean expected error of each bin of joints.
      measured: Mean error of the same joints.
      joints: How many they are, which is written beside each bin.
      unit: Of the errors.
    """
    figure, axes = _axes()
    end = 1.1 * float(max(expected.max(), measured.max()))
    axes.plot([0, end], [0, end], color="black", linewidth=0.8, linestyle=":", label="as expected")
    axes.plot(expected, measured, marker="o", markersize=4, label="mean of a bin, and its joints")
    for x, y, count in zip(expected, measured, joints, strict=True):
        axes.annotate(f"{count}", (x, y), (4, -9), textcoords="offset points", fontsize=7)
    axes.set(
        xlabel=f"expected 2D error ({unit})",
        ylabel=f"measured 2D error ({unit})",
        xlim=(0, end),
        ylim=(0, end),
    )
    axes.legend(loc="upper left")
    return figure


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(_CYCLE)
    axes.grid(alpha=0.3)
    return figure, axes
