"""Scores for people: a table, and what its means are over."""

from typing import Any

from rich import box
from rich.table import Table

from peclr_jax.hands import scores
from peclr_jax.hands.averages import COMPARE, Average, average_in
from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.terminal import table

ROWS = {
    "3d": ("3D EPE, cm", 100.0),
    "root_aligned": ("root-aligned, cm", 100.0),
    "scale_aligned": ("scale-aligned, cm", 100.0),
    "pa": ("PA-EPE, cm", 100.0),
    "pa_proper": ("PA, proper, cm", 100.0),
    "2d": ("2D EPE, image px", 1.0),
    "2d_view": ("2D EPE, view px", 1.0),
    "2d_224": ("2D EPE, px of 224", 1.0),
}
"""Kind of error -> its name, and the factor to the unit that people read."""
_OTHER_JOINTS = "*"


def describe_averages(scored: dict[str, Any]) -> list[str]:
    """Returns what each kind of error is a mean over, those of the same joints together."""
    kinds: dict[Average, list[str]] = {}
    for kind, (label, _) in ROWS.items():
        if scored[kind] is not None:
            kinds.setdefault(average_in(scored[kind]), []).append(label.removesuffix(", cm"))
    notes = []
    for over, labels in kinds.items():
        what = "Means are" if len(kinds) == 1 else f"{'; '.join(labels)}:"
        compare = "" if over.is_complete else f" {COMPARE}"
        notes.append(f"{what} over {over}.{compare}")
    return notes


def curve_label(label: str, scored: dict[str, Any]) -> str:
    """Returns the name of a curve, with how many joints it is over if they are not all."""
    over = average_in(scored)
    return label if over.is_complete else f"{label}, {over.joints_a_hand} of {NUM_JOINTS} joints"


def scores_table(result: dict[str, Any]) -> Table:
    """Returns the table of what metrics.json holds."""
    rows = []
    for kind, (label, factor) in ROWS.items():
        if (measured := result["prediction"][kind]) is None:
            continue
        others = (result[predictor].get(kind) for predictor in ("mean_pose", "mean_hand"))
        over = average_in(measured)
        low, high = (measured["mean"][end] for end in ("low", "high"))
        rows.append(
            (
                label,
                _number(factor * measured["mean"]["value"]),
                "" if low is None else f"{_number(factor * low)} to {_number(factor * high)}",
                _number(factor * measured["median"]),
                f"{measured['auc']['value']:.3f}",
                over.joints_a_hand,
                *("" if o is None else _beside(o, factor, over) for o in others),
            )
        )
    interval = f"{100 * scores.CONFIDENCE:.0f} %"
    marked = any(cell.endswith(_OTHER_JOINTS) for row in rows for cell in row)
    fewer = f"; {_OTHER_JOINTS} over other hands or joints than the network's" if marked else ""
    return table(
        f"{result['data']}: {result['hands']} hands, crop {result['crop']!r}",
        ("", "mean", interval, "median", "AUC", "joints", "mean\npose", "mean\nhand"),
        rows,
        caption=f"intervals: bootstrap over samples; joints: those averaged of each hand's "
        f"{NUM_JOINTS}; mean pose, mean hand: the training set's{fewer}",
        caption_justify="left",
        box=box.SIMPLE_HEAD,  # narrow enough for a terminal of 80 columns
        padding=(0, 1, 0, 0),
    )


def _beside(scored: dict[str, Any], factor: float, over: Average) -> str:
    """Returns the error of what knows nothing, marked if it is not over the network's joints."""
    mark = "" if average_in(scored) == over else _OTHER_JOINTS
    return _number(factor * scored["mean"]["value"]) + mark


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"
