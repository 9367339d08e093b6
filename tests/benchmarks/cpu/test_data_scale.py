"""What is measured of very large data sets, and what follows from it."""

import dataclasses

import pytest

from benchmarks.cpu import data_scale


def test_what_grows_and_what_does_not(in_process):
    settings = dataclasses.replace(data_scale.TOY, sizes=(10**7, 10**8))
    benchmark = data_scale.measure(settings)
    small, large = (
        {name: one["median"] for name, one in benchmark[f"{size:,}"].items()}
        for size in settings.sizes
    )
    for figure in ("records_gb", "build_hours", "index_mib", "open_seconds", "epoch_minutes"):
        assert large[figure] == pytest.approx(10 * small[figure])
    assert max(small["order_mib"], large["order_mib"]) < 1
    assert (small["files"], large["files"]) == (1024, 2048)
    assert small["records_gb"] == 150
    assert data_scale.table(benchmark).row_count == 4
