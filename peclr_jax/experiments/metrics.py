"""The metrics that experiments are told in, and how they are found in their results."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from peclr_jax.hands.scores import Interval


class Metric(NamedTuple):
    """A column of the table.

    Attributes:
      label: for people, with the unit.
      kind: of error, in metrics.json.
      statistic: "mean" or "auc".
      factor: from metres or pixels to the unit of the label.
      digits: after the point.
    """

    label: str
    kind: str
    statistic: str
    factor: float
    digits: int


METRICS = {
    "epe_2d": Metric("2D EPE, px of the view", "2d_view", "mean", 1.0, 2),
    "epe_3d": Metric("3D EPE, cm", "3d", "mean", 100.0, 2),
    "root_aligned": Metric("root-aligned EPE, cm", "root_aligned", "mean", 100.0, 2),
    "pa_epe": Metric("PA-EPE, cm", "pa", "mean", 100.0, 3),
    "auc": Metric("AUC", "3d", "auc", 1.0, 3),
    "pa_auc": Metric("PA-AUC", "pa", "auc", 1.0, 3),
}
"""By the name in results.json."""
COMPARED = ("epe_2d", "root_aligned", "pa_epe")
"""Errors that arms are compared and drawn by."""
NOTHING = {"mean_pose": "mean pose", "mean_hand": "mean hand"}
"""Predictors that do not look at the image."""


def in_units(scores: Mapping[str, Any]) -> dict[str, float]:
    """Returns every metric of one predictor of metrics.json, in its unit, where it was measured."""
    values = {}
    for name, metric in METRICS.items():
        kind = scores.get(metric.kind)
        if kind is not None:
            values[name] = metric.factor * kind[metric.statistic]["value"]
    return values


def mean_of(arm: Mapping[str, Any], evaluation: str, metric: str) -> Interval | None:
    """Returns a metric of an arm of the results, the mean over its seeds; None if it has none."""
    found = arm["mean"].get(evaluation, {}).get(metric)
    return None if found is None else Interval(**found)


def evaluations_of(results: Mapping[str, Any]) -> list[str]:
    """The names of the evaluations that any arm has finished, in order."""
    return list(dict.fromkeys(name for arm in results["arms"].values() for name in arm["mean"]))
