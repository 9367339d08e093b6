from itertools import count

import pytest

from benchmarks import harness, report
from benchmarks.harness import Candidate
from benchmarks.report import Column


@pytest.fixture
def clock(monkeypatch):
    """Time that goes by only where a test says so; half of it is work."""
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(harness, "core_seconds", lambda: now[0] / 2)

    def spend(seconds):
        now[0] += seconds

    return spend


def test_timed_counts_calls_without_the_first_one(clock):
    durations = iter([100, 1, 2, 6, 50])
    figures = harness.timed(lambda: clock(next(durations)), seconds=8, units=4)
    assert figures == {"per_second": 12 / 9, "per_core_second": 12 / 4.5, "median_ms": 2000}
    assert next(durations) == 50


def test_timed_takes_one_call_however_long(clock):
    durations = iter([5, 70])
    figures = harness.timed(lambda: clock(next(durations)), seconds=0, units=1, warm_up=False)
    assert figures["median_ms"] == 5000


def test_candidates_take_turns():
    calls = []
    candidates = {
        name: lambda name=name: calls.append(name) or {"calls": len(calls)} for name in "abc"
    }
    measured = harness.in_turn(candidates, rounds=3)
    assert calls == list("abcabcabc")
    assert measured["b"]["calls"] == {"median": 5, "min": 2, "max": 8, "rounds": [2, 5, 8]}


def test_ratio_is_taken_round_by_round():
    ours = {"per_second": harness.spread([1.0, 30.0, 8.0])}
    peer = {"per_second": harness.spread([2.0, 10.0, 4.0])}
    assert harness.ratio(ours, peer, "per_second") == harness.spread([0.5, 3.0, 2.0])


def test_a_missing_peer_is_a_row_with_the_reason(in_process):
    numbers = count(1)
    reason = harness.missing("json", "no_such_module")
    assert "no_such_module is not installed" in reason
    assert harness.missing("json") is None
    ours = Candidate(lambda: lambda: {"number": next(numbers)})
    measured = harness.measure_in_turn({"peer": reason, "ours": ours}, rounds=2)
    assert list(measured) == ["peer", "ours"]
    assert measured["peer"] == {"skipped": reason}
    assert measured["ours"]["number"]["rounds"] == [1, 2]
    benchmark = harness.with_ratios(measured, [("ours", "peer", "number")])
    assert benchmark["ratios"] == {}
    shown = report.markdown([report.table("Title", benchmark, [Column("number", "N", 2)])], "H")
    assert "# H\n\n## Title" in shown
    assert "| 1.50 ±33% |" in shown
    assert f"- peer: skipped, {reason}" in shown
