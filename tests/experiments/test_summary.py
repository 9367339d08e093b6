"""Means, comparisons and missing runs, from the numbers of each seed."""

import pytest

from peclr_jax.experiments import summary
from peclr_jax.experiments.spec import ComparisonSpec

RESULTS = {
    "seeds": [0, 1],
    "compared": ["epe_2d", "pa_epe"],
    "arms": {
        "ours": {
            "label": "ours",
            "seeds": {
                "0": {"held_out": {"epe_2d": 3.0}},
                "1": {"held_out": {"epe_2d": 2.0}},
            },
        },
        "theirs": {
            "label": "theirs",
            "seeds": {"1": {"held_out": {"epe_2d": 4.0}}},
        },
        "none": {"label": "none", "seeds": {}},
    },
}


def test_what_follows_from_each_seed():
    comparisons = {
        "first": ComparisonSpec("ours", "theirs", "57 %"),
        "second": ComparisonSpec("ours", "none"),
    }
    found = summary.summarize(RESULTS, comparisons, ["held_out"])
    assert found["arms"]["ours"]["mean"]["held_out"]["epe_2d"]["value"] == 2.5
    assert found["arms"]["none"]["mean"] == {}
    assert found["unfinished"] == ["theirs, seed 0", "none, seed 0", "none, seed 1"]
    rows = found["comparisons"]["held_out"]
    # Over the seed that both have, and the metrics that were measured.
    assert list(rows["first"]["metrics"]) == ["epe_2d"]
    assert rows["first"]["metrics"]["epe_2d"]["reduction"]["value"] == pytest.approx(0.5)
    assert rows["first"]["paper"] == "57 %"
    assert not rows["first"]["metrics"]["epe_2d"]["apart"]
    assert rows["second"] == {
        "arm": "ours",
        "against": "none",
        "paper": "",
        "shown": False,
        "metrics": {},
    }


def test_earlier_summaries_are_replaced():
    once = summary.summarize(RESULTS, {}, ["held_out"])
    assert once["comparisons"] == {}
    assert summary.summarize(once, {}, ["held_out"]) == once
