import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from peclr_jax.training.optimizer import (
    decay_mask,
    lars_adam,
    official_decay_mask,
    scale_by_lars,
    warmup_cosine,
)

NAMES = ("conv.weight", "dense.weight", "dense.bias")
BASE = 1e-4 * math.sqrt(2048)
STEPS = 12


@pytest.fixture(scope="module")
def reference(parity):
    return parity("lars_adam")


def tree_at(reference, prefix, t):
    """The arrays of step `t`, by the names of NAMES."""
    return unflatten_dict({n: jnp.asarray(reference[f"{prefix}/{n}"][t]) for n in NAMES}, sep=".")


def assert_trajectory(optimizer, reference, run):
    """Compares parameters and moments of twelve steps with the official ones."""
    params = tree_at(reference, run, 0)
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, gradients):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    history = [params]
    for t in range(STEPS):
        params, state = step(params, state, tree_at(reference, "grad", t))
        history.append(params)
    for name, ours in flatten_dict(jax.tree.map(lambda *p: np.stack(p), *history), sep=".").items():
        np.testing.assert_allclose(ours, reference[f"{run}/{name}"], rtol=0, atol=1e-6)
    leaves = jax.tree.leaves(state, is_leaf=lambda s: isinstance(s, optax.ScaleByAdamState))
    adam = next(part for part in leaves if isinstance(part, optax.ScaleByAdamState))
    for moment, tree in (("exp_avg", adam.mu), ("exp_avg_sq", adam.nu)):
        for name, ours in flatten_dict(tree, sep=".").items():
            expected = reference[f"{run}/{moment}/{name}"]
            np.testing.assert_allclose(ours, expected, rtol=2e-6, atol=1e-6 * expected.max())


def test_strong_decay_counts_in_the_trust_ratio():
    rng = np.random.default_rng(0)
    param, gradient = (jnp.asarray(rng.normal(size=(3, 2))) for _ in range(2))
    decay, rate = 0.5, 0.04
    scaler = scale_by_lars(rate, decay)
    scaled, _ = scaler.update(gradient, scaler.init(param), param)
    norm = np.linalg.norm(param)
    ratio = 0.02 * norm / (np.linalg.norm(gradient) + decay * norm + 1e-8) / rate
    assert ratio < 1
    np.testing.assert_allclose(scaled, (gradient + decay * param) * ratio, rtol=1e-5)


def test_gradients_given_to_adam_have_the_official_scale(reference):
    scaler = scale_by_lars(warmup_cosine(BASE, 4, STEPS), 1e-6, decay_mask)
    state = scaler.init(tree_at(reference, "wd1e-6", 0))
    for t in range(STEPS):
        gradients = tree_at(reference, "grad", t)
        scaled, state = scaler.update(gradients, state, tree_at(reference, "wd1e-6", t))
        ratios = jax.tree.map(
            lambda a, b: jnp.linalg.norm(a) / jnp.linalg.norm(b), scaled, gradients
        )
        for name, ratio in flatten_dict(ratios, sep=".").items():
            expected = reference[f"wd1e-6/gradscale/{name}"][t]
            np.testing.assert_allclose(ratio, expected, rtol=2e-6, err_msg=f"{name} {t}")


def test_schedule_is_the_official_one(reference):
    for warmup, total, name in ((100, 1000, "sched_100_1000/lr"), (4, STEPS, "wd1e-6/lr")):
        ours = jax.jit(jax.vmap(warmup_cosine(BASE, warmup, total)))(jnp.arange(total + 1))
        np.testing.assert_allclose(ours, reference[name], rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize(
    ("warmup", "total", "first"), [(0, 3, [1, 0.75]), (1, 10, [0, 1]), (2, 10, [0, 1, 1])]
)
def test_shortest_warmups(warmup, total, first):
    schedule = warmup_cosine(1.0, warmup, total)
    np.testing.assert_allclose([schedule(t) for t in range(len(first))], first, rtol=1e-6)
    assert schedule(total) == schedule(total + 5) == 0.0


@pytest.mark.parametrize(("warmup", "total"), [(-1, 10), (10, 10), (20, 10)])
def test_warmup_that_does_not_fit_is_refused(warmup, total):
    with pytest.raises(ValueError, match="does not fit into 10 steps"):
        warmup_cosine(1.0, warmup, total)


def test_zero_norms_leave_gradients_alone_without_decay():
    params = {"zero": jnp.zeros(3), "one": jnp.ones(3)}
    gradients = {"zero": jnp.ones(3), "one": jnp.zeros(3)}
    scaler = scale_by_lars(0.1, weight_decay=0.5)
    scaled, _ = scaler.update(gradients, scaler.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, scaled, gradients)


def test_learning_rate_zero_moves_nothing_but_fills_the_moments():
    params = {"kernel": jnp.ones((2, 2))}
    optimizer = lars_adam(0.0, 1e-2)
    updates, state = optimizer.update({"kernel": jnp.ones((2, 2))}, optimizer.init(params), params)
    np.testing.assert_array_equal(updates["kernel"], 0.0)
    # The ratio is clipped to one, so Adam saw gradient + decay.
    np.testing.assert_allclose(state[1].mu["kernel"], 0.1 * 1.01, rtol=1e-6)


@pytest.mark.parametrize("gradient", [1e-4, 10.0])
def test_norms_of_float16_neither_vanish_nor_overflow(gradient):
    scaler = scale_by_lars(1000.0)
    params = {"a": jnp.ones(1000, jnp.float16)}
    gradients = {"a": jnp.full(1000, gradient, jnp.float16)}
    scaled, _ = scaler.update(gradients, scaler.init(params), params)
    assert scaled["a"].dtype == jnp.float16
    np.testing.assert_allclose(scaled["a"], 2e-5, rtol=2e-2)


def test_masks_may_be_trees_prefixes_or_functions():
    params = {"a": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, "b": jnp.ones(2)}
    gradients = jax.tree.map(jnp.ones_like, params)

    def scaled(mask):
        scaler = scale_by_lars(1e-6, 0.5, mask)
        return scaler.update(gradients, scaler.init(params), params)[0]

    prefix = scaled({"a": True, "b": False})
    tree = scaled({"a": {"kernel": True, "bias": True}, "b": False})
    jax.tree.map(np.testing.assert_array_equal, prefix, tree)
    np.testing.assert_allclose(prefix["b"], 1.0)
    np.testing.assert_allclose(prefix["a"]["kernel"], 1.5)
    np.testing.assert_allclose(scaled(decay_mask)["a"]["bias"], 1.0)


def test_missing_parameters_are_named():
    scaler = scale_by_lars(0.1)
    with pytest.raises(ValueError, match="needs the parameters"):
        scaler.update({"a": jnp.ones(2)}, scaler.init({"a": jnp.ones(2)}))


def test_decay_masks_of_a_resnet():
    expected = {  # all kernels, the official choice
        "encoder.conv1.kernel": (True, True),
        "encoder.bn1.scale": (False, True),
        "encoder.bn1.bias": (False, False),
        "encoder.layer1_0.conv1.kernel": (True, True),
        "encoder.layer1_0.bn1.scale": (False, False),
        "encoder.layer1_0.bn1.bias": (False, False),
        "encoder.layer1_0.downsample_conv.kernel": (True, True),
        "encoder.layer1_0.downsample_bn.scale": (False, True),
        "head.dense1.kernel": (True, True),
        "head.dense1.bias": (False, False),
        "head.bn1.scale": (False, True),
    }
    params = unflatten_dict(dict.fromkeys(expected, 0), sep=".")
    kernels, official = (
        flatten_dict(f(params), sep=".") for f in (decay_mask, official_decay_mask)
    )
    assert {name: (kernels[name], official[name]) for name in expected} == expected
