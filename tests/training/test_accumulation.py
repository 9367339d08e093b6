from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.devices.mesh import make_mesh, shard_batch
from peclr_jax.training.accumulation import (
    accumulate_gradients,
    cached_gradients,
    merge_micro_batches,
    split_micro_batches,
)

ROWS, PARTS = 16, 4


class Net(nn.Module):
    normalized: bool
    width: int = 8
    depth: int = 1

    @nn.compact
    def __call__(self, images, train):
        x = images
        for _ in range(self.depth):
            x = nn.Conv(self.width, (3, 3), use_bias=not self.normalized)(x)
            if self.normalized:
                x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            x = nn.relu(x)
        return nn.Dense(4)(x.mean((1, 2)))


def task(normalized, rows=ROWS, side=8, **size):
    """A contrastive toy: two noisy views, told apart from all others of the batch."""
    net = Net(normalized, **size)
    images = jax.random.normal(jax.random.key(1), (rows, side, side, 3))
    variables = jax.jit(partial(net.init, train=False))(jax.random.key(0), images[:1])

    def encode(params, state, images, key):
        noise = 0.1 * jax.random.normal(key, (2, *images.shape))
        views = (images + noise).reshape(-1, *images.shape[1:])  # first views, then second views
        features, updated = net.apply(
            {"params": params, **state}, views, train=True, mutable=list(state)
        )
        return features, jnp.abs(noise).mean((2, 3, 4)).reshape(-1), dict(updated)

    def loss(features, context):
        features = features / jnp.linalg.norm(features, axis=-1, keepdims=True)
        similarity = features @ features.T / 0.5 - 1e9 * jnp.eye(len(features))
        positive = jnp.roll(jnp.arange(len(features)), len(features) // 2)
        log_likelihood = jax.nn.log_softmax(similarity)[jnp.arange(len(features)), positive]
        return -(log_likelihood * (1 + context)).mean(), {"noise": context.mean()}

    params = variables["params"]
    return encode, loss, params, {k: v for k, v in variables.items() if k != "params"}, images


def whole_batch(encode, loss, parts):
    """The gradient of the loss over all rows, with nothing cached and no loop."""

    def objective(params, state, images, key):
        outputs = []
        for index in range(parts):
            part_key = jax.random.fold_in(key, index)
            *output, state = encode(params, state, images[index::parts], part_key)
            outputs.append(output)
        stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *outputs)
        value, metrics = loss(*merge_micro_batches(tuple(stacked)))
        return value, (state, metrics)

    return jax.value_and_grad(objective, has_aux=True)


def on_cpus(function):
    """Compiles a function as a training over CPUs does."""
    mesh = make_mesh(jax.devices()[:1]).abstract_mesh

    def traced(*arguments):
        with jax.sharding.use_abstract_mesh(mesh):
            return function(*arguments)

    return jax.jit(traced)


def norm(tree):
    return np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))


def assert_close(actual, expected, tolerance=1e-5):
    difference = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), actual, expected)
    assert norm(difference) <= tolerance * norm(expected)


@pytest.mark.parametrize("compiled", [jax.jit, on_cpus])
@pytest.mark.parametrize("normalized", [True, False], ids=["batchnorm", "plain"])
def test_cached_gradient_is_the_gradient_of_the_whole_batch(normalized, compiled):
    encode, loss, params, state, images = task(normalized)
    key = jax.random.key(2)
    cached = compiled(cached_gradients(encode, loss, PARTS))(params, state, images, key)
    whole = jax.jit(whole_batch(encode, loss, PARTS))
    (value, (new_state, metrics)), gradients = whole(params, state, images, key)
    np.testing.assert_allclose(cached.loss, value, rtol=1e-6)
    np.testing.assert_allclose(cached.metrics["noise"], metrics["noise"], rtol=1e-6)
    assert_close(cached.gradients, gradients)
    assert_close(cached.model_state, new_state)  # averages passed through every micro-batch once


def test_without_batch_statistics_caching_does_not_depend_on_the_split():
    _, loss, params, state, images = task(normalized=False)
    net = Net(normalized=False)

    def encode(params, state, views, key):
        del key
        return [net.apply({"params": params}, view, train=True) for view in views], {}, state

    def loss_of_views(features, context):
        del context
        return loss(jnp.concatenate(features), jnp.zeros(2 * ROWS))

    args = (params, state, (images, images[:, ::-1]), jax.random.key(3))
    whole = jax.jit(cached_gradients(encode, loss_of_views, 1))(*args)
    parts = jax.jit(cached_gradients(encode, loss_of_views, PARTS))(*args)
    np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-6)
    assert_close(parts.gradients, whole.gradients)


@pytest.mark.parametrize("compiled", [jax.jit, on_cpus])
def test_accumulation_averages_the_losses_of_micro_batches(compiled):
    encode, loss, params, state, images = task(normalized=True)

    def loss_fn(params, state, images, key):
        features, context, state = encode(params, state, images, key)
        value, metrics = loss(features, context)
        return value, (state, metrics)

    key = jax.random.key(2)
    ours = compiled(accumulate_gradients(loss_fn, PARTS))(params, state, images, key)

    single = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    values, gradients = [], []
    for index in range(PARTS):
        part_key = jax.random.fold_in(key, index)
        (value, (state, _)), gradient = single(params, state, images[index::PARTS], part_key)
        values.append(value)
        gradients.append(gradient)
    np.testing.assert_allclose(ours.loss, np.mean(values), rtol=1e-6)
    assert_close(ours.gradients, jax.tree.map(lambda *g: np.mean(g, 0), *gradients))
    assert_close(ours.model_state, state)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [jax.jit, on_cpus])
def test_caching_takes_the_memory_of_a_micro_batch(compiled):
    encode, loss, params, state, images = task(True, rows=64, side=32, width=16, depth=3)
    args = (params, state, images, jax.random.key(0))

    def compile_parts(count):
        program = compiled(cached_gradients(encode, loss, count)).lower(*args).compile()
        convolutions = program.as_text().count(" convolution(")
        return program.memory_analysis().temp_size_in_bytes, convolutions

    (whole, once), (parts, convolutions) = compile_parts(1), compile_parts(8)
    assert parts < 0.4 * whole, f"{parts / whole:.1%} of {whole / 2**20:.0f} MiB"
    # In XLA's loops, which hold each but once, convolutions on CPUs are many times slower.
    assert (convolutions >= 8 * once) == (compiled is on_cpus)


@pytest.mark.parametrize("parts", [0, 5])
def test_rows_that_do_not_divide_are_named(parts):
    with pytest.raises(ValueError, match=rf"12 rows cannot be split into {parts} micro-batches"):
        split_micro_batches({"a": jnp.ones((12, 2))}, parts)


@pytest.mark.parametrize("rows", [8, 24])
def test_splitting_interleaves_rows_and_merging_restores_them(rows):
    array = jnp.arange(2 * rows).reshape(rows, 2)
    split = split_micro_batches({"a": array}, 4)
    np.testing.assert_array_equal(split["a"][1], array[1::4])
    np.testing.assert_array_equal(merge_micro_batches(split)["a"], array)


def test_splitting_a_sharded_batch_moves_no_data():
    mesh = make_mesh()
    batch = shard_batch(np.zeros((16 * mesh.size, 3), np.float32), mesh)

    def add(total, part):
        return total + part, None

    def visit(batch):
        return jax.lax.scan(add, jnp.zeros((4 * mesh.size, 3)), split_micro_batches(batch, 4))[0]

    program = jax.jit(visit).lower(batch).compile().as_text()
    for collective in ("all-gather", "all-to-all", "collective-permute", "all-reduce"):
        assert collective not in program
