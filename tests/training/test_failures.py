"""What ends a run: the sentence, and what is saved."""

import errno

import pytest

from peclr_jax.training.failures import LostDataError, NonFiniteLossError, explain
from peclr_jax.training.restoring import restore_params
from tests.training import toy_run as toy
from tests.training.toy_run import assert_equal, saved_steps


def test_data_that_disappear_end_the_run_but_lose_nothing(tmp_path, whole):
    def images(step):
        if step == 7:
            raise OSError(errno.ESTALE, "Stale file handle", "hands.array_record")
        return toy.images_of_step(step)

    message = r"batch of step 8 .*hands\.array_record.* step 7 is sav"
    with pytest.raises(LostDataError, match=message):
        toy.train(tmp_path, 12, images=images)
    assert saved_steps(tmp_path)[-1] == 7
    toy.train(tmp_path, 12)
    assert_equal(restore_params(tmp_path), whole)


def test_a_mistake_in_the_program_is_not_called_lost_data(tmp_path):
    def images(step):
        raise KeyError("image")

    with pytest.raises(KeyError):
        toy.train(tmp_path, 12, images=images)


def test_an_exploding_loss_is_told_from_a_large_one(tmp_path):
    def images(step):
        return toy.images_of_step(step) * (1e6 if step == 4 else 1.0)

    message = "the loss has exploded to .* at step 5; the last g"
    with pytest.raises(NonFiniteLossError, match=message):
        toy.train(tmp_path, 6, images=images)
    assert saved_steps(tmp_path) == [3]


def test_errors_of_the_program_are_not_explained(tmp_path):
    assert explain(ValueError("another"), tmp_path) is None
