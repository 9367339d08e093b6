"""Candidates in turn, within a time; what fails takes nothing else down."""

import pytest

from benchmarks.gpu import turns
from benchmarks.gpu.plan import BEST, OURS, Attempt, Group
from benchmarks.gpu.turns import Budget
from benchmarks.harness import Candidate


def slow():
    """A candidate whose preparation never ends."""
    while True:
        pass


def test_a_process_that_outlasts_the_time_is_ended():
    group = Group("g", {OURS: [Attempt("", Candidate(slow))]}, 1, 0.0)
    result = turns.measure(group, Budget(0.2))
    assert result[OURS] == {"skipped": turns.OUT_OF_TIME}


@pytest.fixture
def run(in_process, clock):
    return lambda group: turns.measure(group, Budget(1000.0, clock))


def test_candidates_are_called_in_turn_and_divided(run, attempt):
    calls = []
    candidates = {
        OURS: [attempt(rate=300.0, calls=calls)],
        BEST: [attempt(rate=200.0, calls=calls)],
    }
    result = run(Group("g", candidates, 3, 0.0, [(OURS, BEST)]))
    assert calls == [300.0, 200.0] * 3
    assert result["ratios"][f"{OURS} / {BEST}"]["pairs_per_second"]["median"] == 1.5


def test_candidates_too_large_for_each_other_follow_one_another(run, attempt):
    calls = []
    candidates = {"a": [attempt(rate=1.0, calls=calls)], "b": [attempt(rate=2.0, calls=calls)]}
    run(Group("g", candidates, 2, 0.0, together=False))
    assert calls == [1.0, 1.0, 2.0, 2.0]


def test_the_first_attempt_that_fits_into_memory_counts(run, attempt):
    full = attempt(fails="RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes")
    attempts = [full, attempt("remat=norm", rate=5.0), attempt("remat=block", rate=4.0)]
    result = run(Group("g", {OURS: attempts}, 1, 0.0))
    assert result[OURS]["pairs_per_second"]["median"] == 5.0
    assert result["settings"] == {OURS: "remat=norm"}


def test_what_fails_says_why_and_takes_nothing_else_down(run, attempt):
    candidates = {
        "memory": [attempt(fails="torch.OutOfMemoryError: CUDA out of memory.")] * 2,
        "wrong": [attempt(fails="first line\nValueError: no such flag"), attempt(rate=1.0)],
        "absent": "torch is not installed",
        "present": [attempt(rate=7.0)],
    }
    result = run(Group("g", candidates, 2, 0.0, [("present", "memory")]))
    assert result["memory"] == {"skipped": turns.OUT_OF_MEMORY}
    assert result["wrong"] == {"skipped": "ValueError: no such flag"}
    assert result["absent"] == {"skipped": "torch is not installed"}
    assert result["present"]["pairs_per_second"]["rounds"] == [7.0, 7.0]
    assert result["ratios"] == {}
