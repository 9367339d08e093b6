from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.models import resnet
from peclr_jax.models.torch_weights import from_state_dict
from tests.models.conftest import FILES, pooled_features

# Learnable parameters of torchvision's networks without their classifiers.
PARAMETERS = {
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "resnet101": 42_500_160,
    "resnet152": 58_143_808,
}


def reference_weights(parity, name):
    module = parity.make_state_dict
    return from_state_dict(module.make_state_dict(module.load_keys(name, parity.path("keys.json"))))


@pytest.fixture
def images(parity):
    module = parity.make_state_dict
    return jnp.asarray(module.normalise(module.make_images()))


@pytest.mark.parametrize("name", PARAMETERS)
def test_pooled_features_agree_with_torch(parity, images, name):
    """The same weights give the official network's features."""
    with np.load(FILES / "pooled.npz") as others:
        expected = (parity("refine") | dict(others))[f"{name}_pooled128"]
    variables = reference_weights(parity, f"torchvision_{name}")
    pooled = pooled_features(name)(variables, images[: len(expected), :128, :128])
    assert np.abs(pooled - expected).max() < 3e-5 * np.abs(expected).max()
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == PARAMETERS[name]


def test_training_updates_statistics_as_torch_does():
    network = resnet.ResNet(stage_sizes=(1,), block=resnet.BasicBlock, width=8, stem="small")
    images = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
    variables = jax.jit(network.init)(jax.random.key(1), images)
    apply = jax.jit(partial(network.apply, train=True, mutable=["batch_stats"]))
    _, updates = apply(variables, images)
    stem = jax.lax.conv_general_dilated(
        images,
        variables["params"]["conv1"]["kernel"],
        (2, 2),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ).reshape(-1, 8)
    new = updates["batch_stats"]["bn1"]
    np.testing.assert_allclose(new["mean"], 0.1 * stem.mean(0), atol=1e-6)
    np.testing.assert_allclose(new["var"], 0.9 + 0.1 * jnp.var(stem, axis=0, ddof=1), atol=1e-6)


@pytest.mark.parametrize("remat", resnet.REMAT_POLICIES)
@pytest.mark.parametrize("block", [resnet.BasicBlock, resnet.Bottleneck])
def test_remat_changes_no_gradient(remat, block):
    images = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))
    plain, saving = (
        resnet.ResNet((1, 1), block, width=4, stem="small", remat=policy)
        for policy in ("none", remat)
    )
    variables = jax.jit(plain.init)(jax.random.key(1), images)

    def gradient(network):
        def loss(params):
            pooled, _ = network.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(pooled**2)

        return jax.jit(jax.grad(loss))(variables["params"])

    for a, b in zip(*map(jax.tree.leaves, (gradient(plain), gradient(saving))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6 * np.abs(b).max())


@pytest.mark.parametrize("pointwise", resnet.POINTWISE)
def test_convolutions_of_size_one_are_products(pointwise):
    images = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
    network = resnet.ResNet((1, 1), resnet.Bottleneck, width=4, stem="small", pointwise=pointwise)
    plain = network.clone(pointwise="convolution")
    variables = jax.jit(plain.init)(jax.random.key(1), images)
    results = {}
    for name, candidate in (("plain", plain), ("candidate", network)):

        def loss(params, candidate=candidate):
            pooled, _ = candidate.apply(
                variables | {"params": params}, images, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(pooled**2)

        compiled = jax.jit(jax.value_and_grad(loss)).lower(variables["params"]).compile()
        results[name] = compiled(variables["params"]), compiled.as_text().count("convolution(")
    assert (results["candidate"][1] < results["plain"][1]) == (pointwise != "convolution")
    ours, expected = (jax.tree.leaves(results[name][0]) for name in ("candidate", "plain"))
    largest = max(np.abs(leaf).max() for leaf in expected)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * largest)


def test_bfloat16_keeps_parameters_and_statistics_in_float32():
    network = resnet.ResNet((1, 1, 1, 1), resnet.BasicBlock, width=4, dtype=jnp.bfloat16)
    images = jnp.zeros((2, 64, 64, 3))

    def train():
        variables = network.init(jax.random.key(1), images)
        return variables, network.apply(variables, images, train=True, mutable=["batch_stats"])

    variables, (pooled, updates) = jax.eval_shape(train)
    assert pooled.dtype == jnp.float32
    assert {x.dtype.name for x in jax.tree.leaves((variables, updates))} == {"float32"}


def test_mistakes_are_named():
    images = jnp.zeros((1, 64, 64, 3))
    with pytest.raises(ValueError, match="unknown stem 'cifar'"):
        resnet.ResNet18(stem="cifar").init(jax.random.key(0), images)
    with pytest.raises(ValueError, match="unknown remat 'all'"):
        resnet.ResNet18(remat="all").init(jax.random.key(0), images)
    with pytest.raises(ValueError, match="unknown pointwise 'conv'"):
        resnet.ResNet18(pointwise="conv").init(jax.random.key(0), images)
    with pytest.raises(ValueError, match=r"'layer5\.0\.scale' is not a tensor"):
        from_state_dict({"layer5.0.scale": np.zeros(3)})
