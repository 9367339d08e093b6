"""Utilisation and targets, by hand."""

import pytest

from benchmarks.gpu import tables
from benchmarks.gpu.plan import BEST, OURS

H100 = "NVIDIA H100 80GB HBM3"


def test_utilisation_follows_from_times_and_ceilings(results):
    derived = tables.derive(results, H100)["resnet50, 512 pairs"]
    medians = {name: one["median"] for name, one in derived[OURS].items()}
    assert medians["mfu_percent"] == pytest.approx(100 * 8 / 0.064 / 989.4)
    assert medians["of_matmul_percent"] == pytest.approx(100 * 8 / 0.064 / 800)
    assert medians["of_bandwidth_percent"] == pytest.approx(100 * 117 / 3000 / 0.064)
    assert medians["host_percent"] == pytest.approx(0.5, abs=0.01)
    assert derived[BEST]["mfu_percent"]["median"] == pytest.approx(100 * 8 / 0.1024 / 989.4)
    unknown = tables.derive(results, "some card")["resnet50, 512 pairs"]
    assert "mfu_percent" not in unknown[OURS]


def test_targets_are_judged_and_what_was_not_measured_is_said_so(results):
    derived = tables.derive(results, H100)
    table = tables.targets(derived, "resnet50", 512, 2048)
    verdicts = list(table.columns[2].cells)
    assert list(table.columns[1].cells) == ["1.60", "8.00", "8.89", "3.0 %", "0.5 %", "16,000"]
    assert verdicts == ["reached"] * 5 + ["missed"]
    empty = tables.targets({}, "resnet50", 512, 2048)
    assert set(empty.columns[1].cells) == {tables.NOT_MEASURED}
    assert not any(empty.columns[2].cells)
