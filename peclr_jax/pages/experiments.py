"""What experiments come to: bars of arms beside each other, curves over a quantity."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from peclr_jax.hands.scores import Interval

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

Panel = tuple[Mapping[str, Interval], Mapping[str, float]]


def bars(panels: Mapping[str, Panel]) -> Figure:
    """Draws arms beside each other, with intervals, a panel for each quantity.

    Args:
      panels: Quantity with its unit to its arms' values and to what is drawn as a line across them,
        by their labels.
    """
    rows = max(len(arms) for arms, _ in panels.values())
    figure = Figure(figsize=(0.6 + 3.4 * len(panels), 1.2 + 0.36 * rows), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for panel, (quantity, (arms, lines)) in zip(axes, panels.items(), strict=True):
        values = [arm.value for arm in arms.values()]
        below = [arm.value - (arm.value if arm.low is None else arm.low) for arm in arms.values()]
        above = [(arm.value if arm.high is None else arm.high) - arm.value for arm in arms.values()]
        colors = [_COLORS[i % len(_COLORS)] for i in range(len(arms))]
        panel.barh(
            list(arms), values, xerr=[below, above], color=colors, capsize=3, ecolor="#444444"
        )
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
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float, float | None, float | None]]]],
    *,
    x_label: str,
) -> Figure:
    """Draws quantities over another one, with intervals.

    Args:
      panels: Quantity with its unit to its series; of each the points (x, value, low, high), the
        ends being None where there is no interval.
      x_label: What x is.
    """
    figure = Figure(figsize=(0.6 + 3.6 * len(panels), 3.4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (quantity, series) in zip(axes, panels.items(), strict=True):
        for color, (label, points) in zip(_COLORS, series.items(), strict=False):
            x, values, low, high = zip(*points, strict=True)
            panel.plot(x, values, marker="o", markersize=4, color=color, label=label)
            if None not in low and None not in high:
                panel.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
                # A band about a single point has no width.
                panel.vlines(x, low, high, color=color, linewidth=1)
        panel.set(xlabel=x_label, ylabel=quantity)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    return figure
