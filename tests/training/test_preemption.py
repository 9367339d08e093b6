import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peclr_jax.stopping import Stopped
from peclr_jax.training import preemption
from peclr_jax.training.preemption import Preempted, stop_signals, telling_what_is_saved
from peclr_jax.training.restoring import restore_params
from peclr_jax.training.trainer import Hook
from tests.training import toy_run as toy
from tests.training.toy_run import assert_equal, saved_steps

ROOT = Path(__file__).parents[2]
CODES = {"SIGTERM": 0, "SIGINT": 130, "SIGHUP": 129, "SIGUSR1": 0}


@pytest.fixture(autouse=True)
def raising():
    """Handlers that raise, as those of a whole program do."""
    numbers = [getattr(signal, name) for name in CODES]

    def stop(number, frame):
        raise Stopped(number, resumes=True)

    before = {number: signal.signal(number, stop) for number in numbers}
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(name, at):
    """Returns a hook that sends a signal to this process after a step."""

    def run(step, state):
        if step == at:
            os.kill(os.getpid(), getattr(signal, name))
        return {}

    return Hook(1, run)


@pytest.mark.parametrize("name", CODES)
def test_a_signal_saves_and_the_next_start_goes_on(tmp_path, whole, raising, name):
    with pytest.raises(Preempted, match=f"{name}; the state after step 5 is saved") as info:
        toy.train(tmp_path, 12, hooks=[interrupt(name, 4)])
    assert info.value.exit_code == CODES[name]
    assert signal.getsignal(getattr(signal, name)) == raising
    assert saved_steps(tmp_path)[-1] == 5
    toy.train(tmp_path, 12)
    assert_equal(restore_params(tmp_path), whole)


def test_a_signal_after_the_last_step_is_not_lost(tmp_path, whole):
    with (
        pytest.raises(Preempted, match="SIGHUP; the state after step 12 is saved"),
        telling_what_is_saved(tmp_path),
    ):
        toy.train(tmp_path, 12, hooks=[interrupt("SIGHUP", 12)])
    assert_equal(restore_params(tmp_path), whole)


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1"])
def test_a_signal_before_the_first_step_stops_at_once(tmp_path, name):
    def images(step):
        os.kill(os.getpid(), getattr(signal, name))
        return toy.images_of_step(step)

    with (
        pytest.raises(Preempted, match=f"{name}; nothing was saved yet") as info,
        telling_what_is_saved(tmp_path),
    ):
        toy.train(tmp_path, 12, images=images)
    assert info.value.exit_code == CODES[name]
    assert not saved_steps(tmp_path)


def test_a_second_interrupt_does_not_wait(monkeypatch):
    now = iter([0.0, 0.5, 5.0])
    monkeypatch.setattr(preemption.time, "monotonic", lambda: next(now))
    before = signal.getsignal(signal.SIGINT)

    def interrupt_three_times():
        with stop_signals() as stop:
            assert stop.requested(1) is None
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.requested(2) == signal.SIGINT
            os.kill(os.getpid(), signal.SIGINT)  # the same, sent twice
            assert stop.requested(3) == signal.SIGINT
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("it was not raised")

    with pytest.raises(Stopped):
        interrupt_three_times()
    assert signal.getsignal(signal.SIGINT) == before


def test_under_nohup_a_closed_terminal_stops_nothing():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # set back by the fixture
    with stop_signals() as stop:
        stop.requested(1)
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.requested(2) is None


def test_without_a_program_around_it_training_saves_too(tmp_path):
    """Of a library's user, whose handlers are Python's own."""
    command = [sys.executable, "-m", "tests.training.toy_run", str(tmp_path), "4"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:
        for line in process.stdout:
            if line.startswith("step 1/"):
                break
        process.send_signal(signal.SIGTERM)
        said = process.communicate("")[1]  # for which the fourth batch waits
    (saved,) = re.findall(r"stopped by SIGTERM; the state after step (\d) is saved", said)
    assert saved_steps(tmp_path)[-1] == int(saved)
