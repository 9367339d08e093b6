"""The time to the first step, read from what a training prints."""

import os
import sys
from pathlib import Path

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


def test_programs_and_modules_are_counted_up_to_the_first_step():
    said = "\n".join(
        [
            "import time:  1 | 2 | jax",
            "Finished XLA compilation of jit(init) in 1 sec",
            "step 1/1 | loss 1 | first step after 1.0 s",
            "import time:  1 | 2 | matplotlib",
        ]
    )
    # Python's own start imports modules, too.
    counted = startup.count(say(said), {})
    assert counted["programs"] == 1
    without_any = startup.count(say(said.replace("import time", "")), {})
    assert counted["modules"] == without_any["modules"] + 1 > 1


def test_runs_share_caches_but_for_the_last_ones_programs(monkeypatch):
    runs = []

    def first_step(command, environment):
        runs.append((command, environment))
        compiled = Path(environment["XDG_CACHE_HOME"], "peclr_jax/compiled")
        figures = {"first_step_seconds": 8.0 / len(runs), "whole_seconds": float(compiled.exists())}
        compiled.mkdir(parents=True, exist_ok=True)
        return figures

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "the user's own")
    monkeypatch.setattr(startup, "first_step", first_step)
    monkeypatch.setattr(startup, "count", lambda *_: {"programs": 8, "modules": 1000})
    benchmark = startup.measure(startup.Settings("--config.seed=3", rounds=1))
    (cold, cold_caches), (warm, warm_caches), (_, rendered_caches) = runs
    assert cold_caches == warm_caches == rendered_caches
    assert "JAX_COMPILATION_CACHE_DIR" not in cold_caches
    assert cold_caches["HOME"] != os.environ["HOME"]
    assert "--config.seed=3" in cold
    assert cold[:-1] == warm[:-1]
    assert cold[-1] != warm[-1]  # another run, not the same one resumed
    assert [benchmark[name]["whole_seconds"]["median"] for name in ("warm", "rendered")] == [1, 0]
    assert benchmark["ratios"]["cold / warm"]["first_step_seconds"]["median"] == 2
    assert startup.table(benchmark).row_count == 3
