import argparse
import dataclasses
import importlib.metadata
import json
import os
from itertools import count

import pytest

from benchmarks import harness, machine, report
from benchmarks.harness import Candidate
from benchmarks.process import CandidateError, Process
from benchmarks.report import Column

ENVIRONMENT = {"processor": "a processor", "cores": 2, "device": "cpu"}


def prepare_counting(start):
    """Counts the calls; the figures say where and with what."""
    numbers, variable = count(start), float(os.environ.get("OF_THE_TEST", "nan"))
    return lambda: {"number": next(numbers), "process": os.getpid(), "variable": variable}


def prepare_badly():
    os.write(2, b"said before\n")
    raise ArithmeticError("a bad preparation")


def prepare_dying():
    return lambda: os._exit(7)


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


def test_process_keeps_its_candidate_elsewhere():
    with Process(prepare_counting, start=3, environment={"OF_THE_TEST": "5"}) as candidate:
        first, second = candidate(), candidate()
    assert (first["number"], second["number"]) == (3, 4)
    assert first["process"] == second["process"] != os.getpid()
    assert first["variable"] == 5
    assert 1 < first["peak_memory_mib"] <= second["peak_memory_mib"] < 1000
    assert "OF_THE_TEST" not in os.environ


def test_process_says_why_it_could_not_be_prepared():
    with pytest.raises(CandidateError, match=r"said before(.|\n)*a bad preparation"):
        Process(prepare_badly).__enter__()


def test_process_that_ended_says_how():
    with Process(prepare_dying) as candidate, pytest.raises(CandidateError, match="exit code 7"):
        candidate()


def test_a_missing_peer_is_a_row_with_the_reason():
    reason = harness.missing("json", "no_such_module")
    assert "no_such_module is not installed" in reason
    assert harness.missing("json") is None
    ours = Candidate(prepare_counting, {"start": 1})
    measured = harness.measure_in_turn({"peer": reason, "ours": ours}, rounds=2, separate=False)
    assert list(measured) == ["peer", "ours"]
    assert measured["peer"] == {"skipped": reason}
    assert measured["ours"]["number"]["rounds"] == [1, 2]
    benchmark = harness.with_ratios(measured, [("ours", "peer", "number")])
    assert benchmark["ratios"] == {}
    shown = report.markdown([report.table("Title", benchmark, [Column("number", "N", 2)])], "H")
    assert "# H\n\n## Title" in shown
    assert "| 1.50 ±33% |" in shown
    assert f"- peer: skipped, {reason}" in shown


def test_ratios_stand_below_the_table():
    rows = {name: {"ms": harness.spread([value])} for name, value in {"a": 6.0, "b": 4.0}.items()}
    benchmark = harness.with_ratios(rows, [("a", "b", "ms")])
    assert harness.rows(benchmark) == rows
    table = report.table("Title", benchmark, [Column("ms", "milliseconds")])
    assert table.caption == "a / b: 1.50 (1.50 to 1.50) of milliseconds"


def result(figure="per_second", rounds=(10.0, 11.0), **place):
    row = {figure: harness.spread(rounds)}
    return {"environment": ENVIRONMENT | place, "results": {"task": {"ours": row, "ratios": {}}}}


@pytest.mark.parametrize(
    ("figure", "rounds", "verdict"),
    [
        ("per_second", (8.0, 9.0), "slower"),
        ("per_second", (14.0, 15.0), "faster"),
        ("median_ms", (8.0, 9.0), "faster"),
        ("median_ms", (14.0, 15.0), "slower"),
        ("whole_seconds", (14.0, 15.0), "slower"),
        ("peak_memory_mib", (14.0, 15.0), "more"),
        ("peak_memory_mib", (8.0, 9.0), "less"),
        ("per_second", (5.0, 10.0), "same"),  # the ranges touch
        ("per_second", (11.01, 11.02), "same"),  # apart, but by less than 5 %
    ],
)
def test_compare_tells_what_changed(figure, rounds, verdict):
    (change,) = report.compare(result(figure, rounds), result(figure))
    assert change[:4] == ("task", "ours", figure, 10.5)
    assert change.verdict == verdict
    assert report.changes_table([change]).row_count == (verdict != "same")


def test_compare_needs_the_same_machine_and_the_same_rows():
    assert report.compare(result(), None) == []
    assert report.compare(result(), result(processor="another")) == []
    assert report.compare(result("median_ms"), result("per_second")) == []
    before = result()
    before["results"]["task"]["ours"] = {"skipped": "not there then"}
    assert report.compare(result(), before) == []


def test_write_leaves_the_old_file_where_it_fails(tmp_path):
    path = tmp_path / "folder" / "result.json"
    report.write(path, {"a": 1})
    for broken in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises((ValueError, TypeError)):
            report.write(path, broken)
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


def test_committed_results_are_read_from_history(tmp_path):
    assert report.committed(tmp_path / "cpu.json") is None
    assert report.committed(report.RESULTS / "no_such_result.json") is None


def test_environment_names_machine_and_versions():
    place = machine.environment(["numpy", "absl", "no_such_package"], device="cpu")
    assert place["versions"]["no_such_package"] is None
    assert place["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert place["versions"]["absl"] == importlib.metadata.version("absl-py")
    assert place["cores"] >= 1
    assert place["device"] == "cpu"
    assert machine.same_machine(place, place | {"commit": "another"})


def test_flags_follow_the_settings():
    @dataclasses.dataclass
    class Settings:
        size: int = 3
        names: tuple[str, ...] = ("a",)
        separate: bool = True

    parser = argparse.ArgumentParser()
    report.add_flags(parser, Settings())
    assert vars(parser.parse_args([])) == dataclasses.asdict(Settings())
    given = parser.parse_args(["--size", "4", "--names", "b", "c", "--no-separate"])
    assert vars(given) == {"size": 4, "names": ["b", "c"], "separate": False}
