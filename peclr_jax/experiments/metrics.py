"""The metrics of experiments, and how they are found in their results."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from peclr_jax.hands.averages import Average, average_in
from peclr_jax.hands.scores import Interval

ErrorName = Literal["epe_2d", "epe_2d_224", "epe_3d", "root_aligned", "pa_epe"]
MetricName = Literal[ErrorName, "auc", "auc_50cm", "pa_auc"]


class Metric(NamedTuple):
    """A column of the table.

    Attributes:
      label: Its name for people, with the unit.
      kind, statistic: The kind of error in metrics.json, and "mean", "auc" or "auc_50cm" of it.
      factor, digits: From metres or pixels to the label's unit, and digits after the point.
    """

    label: str
    kind: str
    statistic: str
    factor: float
    digits: int


METRICS: dict[MetricName, Metric] = {
    "epe_2d": Metric("2D EPE, px of the view", "2d_view", "mean", 1.0, 2),
    "epe_2d_224": Metric("2D EPE, px of a crop of 224", "2d_224", "mean", 1.0, 2),
    "epe_3d": Metric("3D EPE, cm", "3d", "mean", 100.0, 2),
    "root_aligned": Metric("root-aligned EPE, cm", "root_aligned", "mean", 100.0, 2),
    "pa_epe": Metric("PA-EPE, cm", "pa", "mean", 100.0, 3),
    "auc": Metric("AUC", "3d", "auc", 1.0, 3),
    "auc_50cm": Metric("AUC 0-50 cm", "3d", "auc_50cm", 1.0, 3),
    "pa_auc": Metric("PA-AUC", "pa", "auc", 1.0, 3),
}
"""By the name in results.json."""
BASELINES = {"mean_pose": "mean pose", "mean_hand": "mean hand"}
"""Predictors that do not look at the image, and their names for people."""


def label(
    name: MetricName, scaled_bone_m: float | None = None, labelled_by: str | None = None
) -> str:
    """Returns a metric's name for people, with the unit.

    Args:
      name: Of the metric.
      scaled_bone_m: As in metrics.json: not None where labels are meshes that lie on the image by
        weak perspective and have no size, as YouTube3DHands' (Sec. 4.3).
      labelled_by: The detector whose labels are agreed with, for the distance from them is no
        error; None for true ones.
    """
    what, comma, unit = METRICS[name].label.partition(",")
    if labelled_by is not None:
        what = f"{what.removesuffix('EPE').rstrip(' -')} agreement with {labelled_by}"
    if scaled_bone_m is None:
        return what + comma + unit
    kind = METRICS[name].kind
    if kind.startswith("2d"):
        what += " by weak perspective"
    elif kind == "pa":
        what += f" of meshes at a reference bone of {100 * scaled_bone_m:.3g} cm"
    return what + comma + unit


def in_units(scores: Mapping[str, Any]) -> dict[str, float]:
    """Returns what metrics.json holds of one predictor, in the metrics' units."""
    return {
        name: METRICS[name].factor * scores[METRICS[name].kind][METRICS[name].statistic]["value"]
        for name in _measured(scores)
    }


def _measured(scores: Mapping[str, Any]) -> list[MetricName]:
    return [n for n, m in METRICS.items() if (scores.get(m.kind) or {}).get(m.statistic)]


def averages(scores: Mapping[str, Any]) -> dict[str, Average]:
    """Returns what each metric that metrics.json holds of one predictor is a mean over."""
    return {name: average_in(scores[METRICS[name].kind]) for name in _measured(scores)}


def mean_of(arm: Mapping[str, Any], evaluation: str, metric: str) -> Interval | None:
    """Returns a metric of an arm, the mean over its seeds; None if it was not measured.

    Args:
      arm: Of the results.
      evaluation: Its name.
      metric: Its name.
    """
    found = arm["mean"].get(evaluation, {}).get(metric)
    return None if found is None else Interval(**found)


def evaluations_of(results: Mapping[str, Any]) -> list[str]:
    """Returns the names of the evaluations that any arm has finished, in order."""
    return list(dict.fromkeys(name for arm in results["arms"].values() for name in arm["mean"]))
