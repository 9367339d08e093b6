import jax
import numpy as np
import pytest

from peclr_jax.training import trainer
from peclr_jax.training.failures import NonFiniteLossError
from tests.training import toy_run as toy
from tests.training.toy_run import assert_equal


def test_steps_that_are_not_finite_may_be_skipped_and_are_counted(tmp_path):
    mesh, init, _ = toy.compiled(12, None, 2)

    def step_fn(skip):
        return trainer.make_train_step(
            toy.cached_gradients(toy.encode, toy.loss_fn, 2),
            toy.lars_adam(toy.warmup_cosine(0.05, 3, 12), 1e-6),
            mesh=mesh,
            skip_nonfinite=skip,
        )

    bad = toy.shard_batch(np.full_like(toy.images_of_step(0), np.nan), mesh)
    good = toy.shard_batch(toy.images_of_step(0), mesh)
    key, state = jax.random.key(0), init(jax.random.key(1))
    before = jax.device_get(state)
    state, metrics = step_fn(True)(state, bad, key)
    assert float(metrics["skipped"]) == 1
    assert int(state.step) == 1
    assert_equal(jax.device_get(state).replace(step=before.step), before)
    state, metrics = step_fn(True)(state, good, key)
    assert float(metrics["skipped"]) == 0
    assert np.isfinite(float(metrics["parameter_norm"]))

    def batches(start):
        for step in range(start, 6):
            yield bad if step in (1, 3) else toy.shard_batch(toy.images_of_step(step), mesh)

    def train(workdir, most):
        progress = toy.Progress(workdir, total_steps=6, images_per_step=16, log_every=1)
        with toy.Checkpoints(workdir, {}, save_every=3) as checkpoints:
            return trainer.fit(
                init(jax.random.key(1)),
                step_fn(True),
                batches,
                key=key,
                total_steps=6,
                checkpoints=checkpoints,
                progress=progress,
                most_skipped=most,
            )

    assert int(train(tmp_path / "two", 2).step) == 6
    assert "step 4 is skipped, .*: 2 so far, of at most 2" in (
        tmp_path / "two/train.log"
    ).read_text().replace("because its loss or gradient is not finite", ".*")
    with pytest.raises(
        NonFiniteLossError, match="2 steps have been skipped, the last of them step 4"
    ):
        train(tmp_path / "one", 1)
