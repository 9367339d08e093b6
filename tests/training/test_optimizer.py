import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from peclr_jax.training.optimizer import (
    decay_mask,
    lars_adam,
    official_decay_mask,
    scale_by_lars,
    sqrt_batch_learning_rate,
    warmup_cosine,
)

NAMES = ("conv.weight", "dense.weight", "dense.bias")
BASE = sqrt_batch_learning_rate(1e-4, 2048)
STEPS = 12
NO_BIAS = {"conv.weight": True, "dense.weight": True, "dense.bias": False}


@pytest.fixture(scope="module")
def reference(parity):
    return parity("lars_adam")


def trajectory(optimizer, reference, run):
    params = {name: jnp.asarray(reference[f"{run}/{name}"][0]) for name in NAMES}
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, gradients):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    history = [params]
    for t in range(STEPS):
        params, state = step(params, state, {n: reference[f"grad/{n}"][t] for n in NAMES})
        history.append(params)
    return history, state


def assert_moments(state, reference, run):
    adam = next(part for part in state if isinstance(part, optax.ScaleByAdamState))
    for name in NAMES:
        for moment, ours in (("exp_avg", adam.mu[name]), ("exp_avg_sq", adam.nu[name])):
            expected = reference[f"{run}/{moment}/{name}"]
            np.testing.assert_allclose(ours, expected, rtol=2e-6, atol=1e-6 * expected.max())


def test_parameters_and_moments_follow_the_official_optimizer(reference):
    optimizer = lars_adam(warmup_cosine(BASE, 4, STEPS), 1e-6, NO_BIAS)
    history, state = trajectory(optimizer, reference, "wd1e-6")
    for name in NAMES:
        ours = np.stack([params[name] for params in history])
        np.testing.assert_allclose(ours, reference[f"wd1e-6/{name}"], rtol=0, atol=1e-6)
    assert_moments(state, reference, "wd1e-6")


def lars_adam_in_numpy(params, gradients, rates, decays, eta=0.02, eps=1e-8):
    """The published description of the official optimizer, in float64."""
    params = {name: value.astype(np.float64) for name, value in params.items()}
    first = {name: np.zeros_like(value) for name, value in params.items()}
    second = {name: np.zeros_like(value) for name, value in params.items()}
    for t, rate in enumerate(rates):
        for name, param in params.items():
            gradient = gradients[t][name].astype(np.float64)
            norm, gradient_norm = np.linalg.norm(param), np.linalg.norm(gradient)
            if norm > 0 and gradient_norm > 0:
                ratio = eta * norm / (gradient_norm + decays[name] * norm + eps)
                ratio = min(ratio / rate, 1.0) if rate > 0 else 1.0
                gradient = (gradient + decays[name] * param) * ratio
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            step = first[name] / (1 - 0.9 ** (t + 1))
            params[name] = param - rate * step / (
                np.sqrt(second[name] / (1 - 0.999 ** (t + 1))) + eps
            )
    return params


def test_strong_decay_and_vanishing_norms(reference):
    """Weight decay 1e-2, a bias that starts at zero, and one step whose gradient is zero."""
    params = {name: reference[f"wd1e-6/{name}"][0] for name in NAMES}
    params["dense.bias"] = np.zeros_like(params["dense.bias"])
    gradients = [{name: reference[f"grad/{name}"][t] for name in NAMES} for t in range(STEPS)]
    gradients[5]["dense.weight"] = np.zeros_like(gradients[5]["dense.weight"])
    decays = {name: 1e-2 * decayed for name, decayed in NO_BIAS.items()}
    expected = lars_adam_in_numpy(params, gradients, reference["wd1e-6/lr"][:STEPS], decays)

    optimizer = lars_adam(warmup_cosine(BASE, 4, STEPS), 1e-2, NO_BIAS)
    params = jax.tree.map(jnp.asarray, params)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(jax.tree.map(jnp.asarray, gradient), state, params)
        params = optax.apply_updates(params, updates)
    for name in NAMES:
        np.testing.assert_allclose(params[name], expected[name], rtol=0, atol=1e-6)


def test_adam_without_lars_follows_the_official_baseline(reference):
    optimizer = optax.chain(
        optax.add_decayed_weights(1e-2, NO_BIAS),
        optax.scale_by_adam(),
        optax.scale_by_learning_rate(warmup_cosine(BASE, 0, STEPS)),
    )
    history, state = trajectory(optimizer, reference, "adam_wd1e-2")
    for name in NAMES:
        ours = np.stack([params[name] for params in history])
        np.testing.assert_allclose(ours, reference[f"adam_wd1e-2/{name}"], rtol=0, atol=1e-6)
    assert_moments(state, reference, "adam_wd1e-2")


def test_gradients_given_to_adam_have_the_official_scale(reference):
    scaler = scale_by_lars(warmup_cosine(BASE, 4, STEPS), 1e-6, NO_BIAS)
    run = "wd1e-6"
    state = scaler.init({name: jnp.asarray(reference[f"{run}/{name}"][0]) for name in NAMES})
    for t in range(STEPS):
        params = {name: jnp.asarray(reference[f"{run}/{name}"][t]) for name in NAMES}
        gradients = {name: jnp.asarray(reference[f"grad/{name}"][t]) for name in NAMES}
        scaled, state = scaler.update(gradients, state, params)
        for name in NAMES:
            ratio = jnp.linalg.norm(scaled[name]) / jnp.linalg.norm(gradients[name])
            np.testing.assert_allclose(
                ratio, reference[f"{run}/gradscale/{name}"][t], rtol=2e-6, err_msg=f"{name} {t}"
            )


def test_schedule_is_the_official_one(reference):
    expected = reference["sched_100_1000/lr"]
    ours = jax.jit(jax.vmap(warmup_cosine(BASE, 100, 1000)))(jnp.arange(1001))
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-15)
    ours = jax.vmap(warmup_cosine(BASE, 4, STEPS))(jnp.arange(STEPS + 1))
    np.testing.assert_allclose(ours, reference["wd1e-6/lr"], rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize(
    ("warmup", "first"), [(0, [1.0, 0.75]), (1, [0.0, 1.0]), (2, [0.0, 1.0, 1.0])]
)
def test_shortest_warmups(warmup, first):
    total = 3 if warmup == 0 else 10
    schedule = warmup_cosine(1.0, warmup, total)
    np.testing.assert_allclose([schedule(t) for t in range(len(first))], first, rtol=1e-6)
    assert schedule(total) == 0.0
    assert schedule(total + 5) == 0.0


@pytest.mark.parametrize(("warmup", "total"), [(-1, 10), (10, 10), (20, 10)])
def test_warmup_that_does_not_fit_is_refused(warmup, total):
    with pytest.raises(ValueError, match="does not fit into 10 steps"):
        warmup_cosine(1.0, warmup, total)


def test_learning_rate_of_the_paper():
    np.testing.assert_allclose(BASE, 0.004525483399593904, rtol=1e-12)


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
    conv, norm = {"kernel": 0}, {"scale": 0, "bias": 0}
    params = {
        "encoder": {
            "conv1": conv,
            "bn1": norm,
            "layer1_0": {
                "conv1": conv,
                "bn1": norm,
                "downsample_conv": conv,
                "downsample_bn": norm,
            },
        },
        "head": {"dense1": {"kernel": 0, "bias": 0}, "bn1": norm},
    }
    decayed = {"scale": True, "bias": False}
    skipped = {"scale": False, "bias": False}
    expected = {
        "encoder": {
            "conv1": {"kernel": True},
            "bn1": decayed,
            "layer1_0": {
                "conv1": {"kernel": True},
                "bn1": skipped,
                "downsample_conv": {"kernel": True},
                "downsample_bn": decayed,
            },
        },
        "head": {"dense1": {"kernel": True, "bias": False}, "bn1": decayed},
    }
    assert official_decay_mask(params) == expected
    standard = decay_mask(params)
    assert standard["encoder"]["conv1"]["kernel"]
    assert standard["encoder"]["bn1"] == skipped
    assert standard["head"]["bn1"] == skipped
