"""Results as tables, and beside earlier ones."""

import argparse
import dataclasses
import json

import pytest

from benchmarks import harness, report
from benchmarks.report import Column

ENVIRONMENT = {"processor": "a processor", "cores": 2, "device": "cpu"}


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
    skipped = result()
    skipped["results"]["task"]["ours"] = {"skipped": "not there then"}
    for before in (None, result(processor="another"), result("median_ms"), skipped):
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


def test_flags_follow_the_settings():
    @dataclasses.dataclass
    class Settings:
        size: int = 3
        names: tuple[str, ...] = ("a",)

    parser = argparse.ArgumentParser()
    report.add_flags(parser, Settings())
    assert vars(parser.parse_args([])) == dataclasses.asdict(Settings())
    given = parser.parse_args(["--size", "4", "--names", "b", "c"])
    assert vars(given) == {"size": 4, "names": ["b", "c"]}
