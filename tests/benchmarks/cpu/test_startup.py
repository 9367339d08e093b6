"""The time to the first step, read from what a training prints."""

import os
import sys

import pytest

from benchmarks import process
from benchmarks.cpu import startup
from peclr_jax.training.progress import Progress


def say(text, code=0):
    return [sys.executable, "-c", f"print({text!r}); raise SystemExit({code})"]


def test_start_up_is_read_from_what_training_says(tmp_path, capsys):
    progress = Progress(tmp_path, total_steps=1, images_per_step=1)
    with progress.running(0):
        progress.report(1, {"loss": 1.5})
    line = capsys.readouterr().out
    figures = startup.first_step(say(f"before\n{line}after"), {})
    assert 0 < figures["first_step_seconds"] <= figures["whole_seconds"]
    assert figures["of_that_step_seconds"] == float(startup.FIRST_STEP.search(line)[1])


@pytest.mark.parametrize(
    "command", [say("no step"), say("step 1/1 | loss 1 | first step after 1.0 s", code=3)]
)
def test_start_up_that_fails_is_no_figure(command):
    with pytest.raises(process.CandidateError, match="step"):
        startup.first_step(command, {})


def test_cold_and_warm_share_caches(monkeypatch):
    runs = []

    def first_step(command, environment):
        runs.append((command, environment))
        return {"first_step_seconds": 8.0 / len(runs), "whole_seconds": 9.0}

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "the user's own")
    monkeypatch.setattr(startup, "first_step", first_step)
    benchmark = startup.measure(startup.Settings("--config.seed=3", rounds=1))
    (cold, cold_caches), (warm, warm_caches) = runs
    assert cold_caches == warm_caches
    assert "JAX_COMPILATION_CACHE_DIR" not in cold_caches
    assert cold_caches["HOME"] != os.environ["HOME"]
    assert "--config.seed=3" in cold
    assert cold[:-1] == warm[:-1]
    assert cold[-1] != warm[-1]  # another run, not the same one resumed
    assert benchmark["ratios"]["cold / warm"]["first_step_seconds"]["median"] == 2
    assert startup.table(benchmark).row_count == 2
