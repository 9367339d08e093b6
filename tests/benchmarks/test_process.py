"""Candidates and commands in processes of their own."""

import os
import sys
from itertools import count

import pytest

from benchmarks.process import CandidateError, Process, run


def prepare_counting(start):
    """Counts the calls; the figures say where and with what."""
    numbers, variable = count(start), float(os.environ.get("OF_THE_TEST", "nan"))
    return lambda: {"number": next(numbers), "process": os.getpid(), "variable": variable}


def prepare_badly():
    os.write(2, b"said before\n")
    raise ArithmeticError("a bad preparation")


def prepare_dying():
    return lambda: os._exit(7)


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


def test_a_command_is_measured_and_one_that_fails_is_no_figure():
    figures = run([sys.executable, "-c", "x = bytearray(2**26)"])
    assert figures["seconds"] > 0
    assert figures["peak_memory_mib"] > 64
    with pytest.raises(CandidateError, match="out of order"):
        run([sys.executable, "-c", "raise SystemExit('out of order')"])


def test_a_command_runs_where_and_with_what_is_said(tmp_path):
    run(["/bin/sh", "-c", "echo $WORD > here"], folder=tmp_path, environment={"WORD": "said"})
    assert (tmp_path / "here").read_text() == "said\n"
