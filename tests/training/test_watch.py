import jax
import numpy as np
import pytest

from peclr_jax.training.failures import NonFiniteLossError
from tests.training import toy_run as toy
from tests.training.toy_run import assert_equal


def test_a_step_that_is_not_finite_changes_nothing_but_its_number():
    mesh, init, step_fn = toy.compiled(6, skip_nonfinite=True)
    good = toy.images_of_step(0)
    state = init(jax.random.key(1))
    before = jax.device_get(state)
    state, metrics = step_fn(state, toy.shard_batch(good * np.nan, mesh), jax.random.key(0))
    assert (metrics["skipped"], state.step) == (1, 1)
    assert_equal(jax.device_get(state).replace(step=before.step), before)
    _, metrics = step_fn(state, toy.shard_batch(good, mesh), jax.random.key(0))
    assert metrics["skipped"] == 0
    assert np.isfinite(float(metrics["parameter_norm"]))


def test_skipped_steps_are_counted_up_to_the_most_that_may_be(tmp_path):
    def images(step):
        return toy.images_of_step(step) * (np.nan if step in (1, 3) else 1.0)

    def train(workdir, most):
        return toy.train(workdir, 6, images=images, skip_nonfinite=True, most_skipped=most)

    assert int(train(tmp_path / "two", 2).step) == 6
    log = (tmp_path / "two/train.log").read_text()
    assert "step 4 is skipped, because its loss or gradient is not finite: 2 so far, of at " in log
    with pytest.raises(NonFiniteLossError, match=r"2 steps have been skipped, the last .* step 4"):
        train(tmp_path / "one", 1)
