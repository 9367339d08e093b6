import random
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.training.failures import NonFiniteLossError, OutOfDeviceMemoryError
from peclr_jax.training.restoring import restore_params, restore_state
from peclr_jax.training.trainer import Hook
from tests.training import toy_run as toy
from tests.training.toy_run import assert_equal, records, saved_steps

ROOT = Path(__file__).parents[2]


def test_a_killed_run_resumes_to_bit_identical_parameters(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # From 7 on a checkpoint is sure to be complete: saving step 6 waits for that of step 3.
    kill_at = random.randrange(7, 15)
    command = [sys.executable, "-m", toy.__name__, str(killed), str(kill_at + 8)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as victim:
        toy.train(whole, 24)
        for line in victim.stdout:
            if line.startswith(f"step {kill_at}/"):
                victim.kill()
                break
    assert victim.returncode == -signal.SIGKILL, f"was to be killed at step {kill_at}"

    toy.train(killed, 24)
    assert "resuming after step" in (killed / "train.log").read_text()
    assert_equal(restore_params(killed), restore_params(whole))
    losses = [[record["loss"] for record in records(workdir)] for workdir in (whole, killed)]
    assert losses[0] == losses[1], f"killed at step {kill_at}"
    assert [record["step"] for record in records(killed)] == list(range(1, 25))


def test_resuming_with_another_number_of_devices_and_not_past_the_end(tmp_path):
    with pytest.raises(ValueError, match="the batches ended after step 4 of 6"):
        toy.train(tmp_path, 6, num_batches=4)
    state = toy.train(tmp_path, 6, num_devices=2)
    assert int(state.step) == 6
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state)} == {2}
    again = toy.train(tmp_path, 6)
    assert_equal(again, state)
    assert_equal(restore_state(tmp_path, again), state)
    assert [record["step"] for record in records(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_metrics_and_hooks_are_written(tmp_path, capsys):
    seen = []

    def hook(step, state):
        seen.append(step)
        return {"evaluation": float(state.step)}

    toy.train(tmp_path, 6, hooks=[Hook(4, hook)])
    assert seen == [4, 6]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert "first step after" in lines[0]
    assert "images/s | ETA 0:00:" in lines[1]
    assert (tmp_path / "train.log").read_text().splitlines() == lines
    steps = {record["step"]: record for record in records(tmp_path) if "loss" in record}
    assert set(steps) == {1, 2, 3, 4, 5, 6}
    assert {"gradient_norm", "learning_rate", "range", "images_per_second"} <= set(steps[3])
    assert steps[1]["learning_rate"] == 0.0
    assert [r["evaluation"] for r in records(tmp_path) if "evaluation" in r] == [4.0, 6.0]
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("every", [3, 6])
def test_a_measurement_that_was_not_made_is_made_up_for(tmp_path, every):
    seen = []

    def measure(step, state):
        seen.append(step)
        if len(seen) < 3:
            raise toy.StoppedError
        return {"evaluation": float(state.step)}

    for _ in range(2):
        with pytest.raises(toy.StoppedError):
            toy.train(tmp_path, 6, hooks=[Hook(every, measure)])
    for _ in range(2):
        toy.train(tmp_path, 6, hooks=[Hook(every, measure)])
    expected = {3: [3.0, 6.0], 6: [6.0]}[every]
    assert seen == [every, every, *expected]
    assert [r["evaluation"] for r in records(tmp_path) if "evaluation" in r] == expected


def test_a_loss_that_is_not_finite_stops_the_run_with_its_step(tmp_path):
    def images(step):
        return toy.images_of_step(step) * (np.nan if step == 4 else 1.0)

    message = "the loss is nan, .* at step 5; the last good .* of step 3, and"
    with pytest.raises(NonFiniteLossError, match=message):
        toy.train(tmp_path, 6, images=images)
    assert saved_steps(tmp_path) == [3]


def test_skipped_steps_are_counted_over_all_starts(tmp_path):
    def images(step):
        return toy.images_of_step(step) * (np.nan if step in (1, 4, 5) else 1.0)

    options = {"images": images, "skip_nonfinite": True, "most_skipped": 2}
    with pytest.raises(NonFiniteLossError, match=r"^3 steps have been skipped, the last .* step 6"):
        toy.train(tmp_path, 9, **options)
    assert saved_steps(tmp_path) == [3]
    with pytest.raises(NonFiniteLossError, match=r"^3 steps have been skipped, the last .* step 6"):
        toy.train(tmp_path, 9, **options)
    toy.train(tmp_path, 9, **options | {"most_skipped": 3})
    rates = {record["step"]: record["learning_rate"] for record in records(tmp_path)}
    assert rates[2] == rates[3]  # the optimizer has not moved between them
    assert "no trace is written" not in (tmp_path / "train.log").read_text()


def test_a_lack_of_memory_for_a_batch_is_no_loss_of_data(tmp_path):
    def images(step):
        if step == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return toy.images_of_step(step)

    with pytest.raises(OutOfDeviceMemoryError, match="does not hold training step 3"):
        toy.train(tmp_path, 6, images=images)


def test_fewer_steps_than_were_taken_are_refused(tmp_path):
    toy.train(tmp_path, 6)
    with pytest.raises(UserError, match="checkpoint is of step 6, but the run has 4 steps now"):
        toy.train(tmp_path, 4)


def test_a_trace_of_steps_that_are_not_taken_is_said(tmp_path):
    toy.train(tmp_path, 6, profile=(10, 20))
    assert "no trace is written: step 10 is none of the steps from 1 to 6" in (
        (tmp_path / "train.log").read_text()
    )


def test_one_and_eight_devices_follow_the_same_loss_curve(tmp_path):
    for count in (1, 8):
        toy.train(tmp_path / str(count), 20, num_devices=count)
    one, eight = ([r["loss"] for r in records(tmp_path / str(count))] for count in (1, 8))
    assert len(one) == 20
    np.testing.assert_allclose(eight, one, rtol=1e-4)
