"""A small training run with everything in it: python -m tests.training.toy_run WORKDIR [STALL_AT].

With STALL_AT, the source of batches waits for its standard input before it yields that step, so
that a test can be sure that the run has not ended before it is killed.
"""

import functools
import json
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from peclr_jax.devices.mesh import make_mesh, replicated, shard_batch
from peclr_jax.training.accumulation import cached_gradients
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.optimizer import lars_adam, warmup_cosine
from peclr_jax.training.progress import Progress
from peclr_jax.training.trainer import Hook, create_state, fit, make_train_step

ROWS, SIDE, SEED = 16, 6, 5


class Net(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        x = nn.Conv(4, (3, 3), strides=2, use_bias=False)(images)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(3)(x.mean((1, 2)))


def encode(params, batch_stats, images, key):
    images = images + 0.1 * jax.random.normal(key, images.shape)
    variables = {"params": params, "batch_stats": batch_stats}
    outputs, updated = Net().apply(variables, images, train=True, mutable=["batch_stats"])
    return outputs, images.mean((1, 2)), updated["batch_stats"]


def loss_fn(outputs, targets):
    return ((outputs - targets) ** 2).mean(), {"range": jnp.ptp(outputs)}


def images_of_step(step):
    rng = np.random.default_rng((SEED, step))
    return rng.normal(rng.normal(size=(ROWS, 1, 1, 3)), 1, (ROWS, SIDE, SIDE, 3)).astype(np.float32)


@functools.cache
def compiled(total_steps, num_devices=None, skip_nonfinite=False):
    mesh = make_mesh(jax.devices()[:num_devices])
    schedule = warmup_cosine(0.05, 3, total_steps)
    optimizer = lars_adam(schedule, 1e-6)
    step_fn = make_train_step(
        cached_gradients(encode, loss_fn, num_micro_batches=2),
        optimizer,
        mesh=mesh,
        learning_rate=schedule,
        skip_nonfinite=skip_nonfinite,
    )

    def init(key):
        variables = Net().init(key, jnp.zeros((1, SIDE, SIDE, 3)), train=False)
        return create_state(variables, optimizer)

    return mesh, jax.jit(init, out_shardings=replicated(mesh)), step_fn


def train(
    workdir,
    total_steps,
    *,
    images=images_of_step,
    num_batches=None,
    stall_at=None,
    num_devices=None,
    skip_nonfinite=False,
    **options,
):
    """Trains, or goes on training, with options of `fit`."""
    mesh, init, step_fn = compiled(total_steps, num_devices, skip_nonfinite)

    def batches(start):
        for step in range(start, num_batches or total_steps):
            if step + 1 == stall_at:
                sys.stdin.read()
            yield shard_batch(images(step), mesh)

    progress = Progress(workdir, total_steps=total_steps, images_per_step=ROWS, log_every=1)
    with Checkpoints(workdir, {"toy": True}, save_every=3) as checkpoints:
        return fit(
            init(jax.random.key(SEED)),
            step_fn,
            batches,
            key=jax.random.key(SEED),
            total_steps=total_steps,
            checkpoints=checkpoints,
            progress=progress,
            **options,
        )


class StoppedError(Exception):
    """Raised by a test in the middle of a run."""


def stop_at(step):
    """Returns a hook that ends a run with an error after a step."""

    def run(now, state):
        if now == step:
            raise StoppedError
        return {}

    return Hook(1, run)


def saved_steps(workdir):
    """Returns the steps of a run's complete checkpoints."""
    return sorted(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdecimal())


def records(workdir):
    """Returns the records of a run's metrics."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_equal(actual, expected):
    """Asserts that two trees are the same to the last bit."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


if __name__ == "__main__":
    train(sys.argv[1], 24, stall_at=int(sys.argv[2]) if len(sys.argv) > 2 else None)
    assert "tensorflow" not in sys.modules
