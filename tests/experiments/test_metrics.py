import typing

import pytest

from peclr_jax.experiments import metrics
from peclr_jax.hands.scores import Interval


def test_metrics_are_told_in_their_units():
    found = {"mean": {"value": 0.02}, "auc": {"value": 0.7}, "auc_50cm": {"value": 0.9}}
    pixels = {"mean": {"value": 3.0}, "auc": {"value": 0.7}, "auc_50cm": None}
    scores = {"2d_view": None, "2d_224": pixels, "3d": found, "pa": found}
    assert metrics.in_units(scores) == pytest.approx(
        {
            "epe_2d_224": 3.0,
            "epe_3d": 2.0,
            "auc": 0.7,
            "auc_50cm": 0.9,
            "pa_epe": 2.0,
            "pa_auc": 0.7,
        }
    )
    assert set(metrics.METRICS) == set(typing.get_args(metrics.MetricName))


def test_columns_of_meshes_without_a_size_say_so():
    assert metrics.label("pa_epe") == "PA-EPE, cm"
    assert metrics.label("pa_epe", 0.03) == "PA-EPE of meshes at a reference bone of 3 cm, cm"
    assert metrics.label("pa_auc", 0.03) == "PA-AUC of meshes at a reference bone of 3 cm"
    expected = "2D EPE by weak perspective, px of a crop of 224"
    assert metrics.label("epe_2d_224", 0.03) == expected


def test_columns_of_a_detectors_labels_are_no_errors():
    labels = [metrics.label(n, labelled_by="MediaPipe") for n in ("epe_2d", "pa_epe", "pa_auc")]
    assert labels == [
        "2D agreement with MediaPipe, px of the view",
        "PA agreement with MediaPipe, cm",
        "PA-AUC agreement with MediaPipe",
    ]


def test_what_was_not_measured_has_no_mean():
    mean = {"value": 1.0, "low": None, "high": None}
    arms = {"a": {"mean": {"x": {"epe_2d": mean}}}, "b": {"mean": {"y": {}, "x": {}}}}
    assert metrics.mean_of(arms["a"], "x", "epe_2d") == Interval(1.0, None, None)
    assert metrics.mean_of(arms["a"], "y", "epe_2d") is None
    assert metrics.evaluations_of({"arms": arms}) == ["x", "y"]
