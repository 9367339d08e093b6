import os
import signal

import pytest

from peclr_jax.training.preemption import Preempted, stop_signals
from peclr_jax.training.restoring import restore_params
from peclr_jax.training.trainer import Hook
from tests.training import toy_run as toy
from tests.training.toy_run import assert_equal, saved_steps


def test_sigterm_saves_and_the_next_start_goes_on(tmp_path, whole):
    before = signal.getsignal(signal.SIGTERM)

    def interrupt(step, state):
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    with pytest.raises(Preempted, match="SIGTERM; the state after step 5 is saved") as info:
        toy.train(tmp_path, 12, hooks=[Hook(1, interrupt)])
    assert info.value.exit_code == 0
    assert signal.getsignal(signal.SIGTERM) == before
    assert saved_steps(tmp_path)[-1] == 5
    toy.train(tmp_path, 12)
    assert_equal(restore_params(tmp_path), whole)


def test_a_second_interrupt_does_not_wait():
    before = signal.getsignal(signal.SIGINT)  # a shell's background jobs ignore it
    with stop_signals() as stop:
        assert stop.requested(1) is None
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested(2) == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before
