"""The whole benchmark of an accelerator, on a CPU and at toy size, and its report."""

import json

import pytest

from benchmarks import harness, machine
from benchmarks.gpu import plan, suite, tables, turns
from benchmarks.gpu.plan import BEST, CEILINGS, OFFICIAL, OURS, TOY, Group, Scale
from benchmarks.gpu.turns import Budget


def test_groups_that_do_not_fit_into_the_time_are_left_out_and_shorter_ones_are_not(
    monkeypatch, in_process, attempt, clock
):
    taking = {OURS: [attempt(rate=1.0, clock=clock, lasts=60.0)]}
    expected = {"first": 50.0, "long": 45.0, "short": 30.0, "other": 0.0}
    groups = [Group(name, taking, 1, seconds) for name, seconds in expected.items()]
    monkeypatch.setattr(plan, "groups", lambda scale, cached: groups)
    budget = Budget(100.0, clock)
    results, left_out = suite.measure(TOY, budget, patterns=("first", "long", "short"))
    assert list(results) == ["first", "short"]
    assert left_out["long"] == "would take some 45 s, 40 s were left"
    assert left_out["other"] == "not asked for"
    # Measured already: kept as it is.
    again, _ = suite.measure(TOY, Budget(1e3, clock), before={"long": {}})
    assert again["long"] == {}


def test_a_report_is_written_whole_and_goes_on_where_it_stopped(tmp_path, results):
    environment = {"device": "NVIDIA H100", "processor": "p", "cores": 1, "commit": "c"}
    environment["date"] = "2000-01-01"
    skipped = {OURS: {"skipped": turns.OUT_OF_TIME}}
    result = {
        "environment": environment,
        "results": {**results, "resnet50, 256 pairs": skipped},
        "left_out": {"resnet152, 256 pairs": "no time"},
    }
    suite.write_report(result, Scale(), tmp_path, "gpu")
    text = (tmp_path / "gpu.md").read_text()
    for said in ("Targets", "no time", "stopped: the time was up", "% peak", "NVIDIA H100"):
        assert said in text
    kept = suite.earlier(tmp_path / "gpu.json", environment)
    assert list(kept) == list(results)
    assert suite.earlier(tmp_path / "none.json", environment) == {}
    with pytest.raises(SystemExit, match="another machine or commit"):
        suite.earlier(tmp_path / "gpu.json", {**environment, "commit": "d"})


@pytest.mark.slow
def test_a_toy_run_through_the_real_step(tmp_path, in_process, shallow):
    patterns = (CEILINGS, "resnet18, 4 pairs", "parts of resnet18, 4 pairs")
    results, left_out = suite.measure(TOY, Budget(1e4), patterns=patterns)
    assert tuple(results) == patterns
    environment = {**machine.environment(device="cpu"), "device": "cpu"}
    result = {"environment": environment, "results": results, "left_out": left_out}
    suite.write_report(result, TOY, tmp_path, "gpu")
    written = json.loads((tmp_path / "gpu.json").read_text())["results"]
    beside = written["resnet18, 4 pairs"]
    wanted = {"pairs_per_second", "step_ms", "host_percent", "program_mib", "of_matmul_percent"}
    assert wanted <= beside[OURS].keys()
    for peer in (BEST, OFFICIAL):
        if harness.missing("torch"):
            assert "torch" in beside[peer]["skipped"]
        else:
            assert beside[peer]["views_given_ms"]["median"] > 0
            assert f"{OURS} / {peer}" in beside["ratios"]
    parts = written["parts of resnet18, 4 pairs"][OURS]
    shares = [parts[f"{part}_percent"]["median"] for part in tables.PARTS]
    assert sum(shares) == pytest.approx(100)


def test_what_must_be_installed_is_named(monkeypatch):
    assert suite.missing_packages() is None
    monkeypatch.setattr(suite, "REQUIRED", ("jax", "no_such_package"))
    assert suite.missing_packages().startswith("no_such_package cannot be imported: install it by")
