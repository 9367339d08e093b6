from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.models import resnet
from peclr_jax.models.torch_weights import from_state_dict

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
    with np.load(Path(__file__).parent / "torch_files" / "pooled.npz") as others:
        expected = (parity("refine") | dict(others))[f"{name}_pooled128"]
    variables = reference_weights(parity, f"torchvision_{name}")
    network = resnet.BY_NAME[name]()
    pooled = jax.jit(network.apply)(variables, images[: len(expected), :128, :128])
    assert np.abs(pooled - expected).max() < 3e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", PARAMETERS)
def test_tree_is_the_one_weights_are_mapped_to(parity, name):
    network = resnet.BY_NAME[name]()
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == PARAMETERS[name]
    # Shapes alone: filling 60 million weights is not what this test is about.
    keys = parity.make_state_dict.load_keys(f"torchvision_{name}", parity.path("keys.json"))
    mapped = from_state_dict({key: np.broadcast_to(np.float32(0), shape) for key, shape in keys})
    assert jax.tree.map(jnp.shape, mapped) == jax.tree.map(jnp.shape, shapes)


def test_training_updates_statistics_as_torch_does():
    network = resnet.ResNet(
        stage_sizes=(1, 1, 1, 1), block=resnet.BasicBlock, width=8, stem="small"
    )
    images = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
    variables = network.init(jax.random.key(1), images)
    _, updates = network.apply(variables, images, train=True, mutable=["batch_stats"])
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
        resnet.ResNet((1, 1, 1, 1), block, width=4, stem="small", remat=policy)
        for policy in ("none", remat)
    )
    variables = plain.init(jax.random.key(1), images)

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
    network = resnet.ResNet(
        (1, 1, 1, 1), resnet.Bottleneck, width=4, stem="small", pointwise=pointwise
    )
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
    images = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    variables = network.init(jax.random.key(1), images)
    pooled, updates = network.apply(variables, images, train=True, mutable=["batch_stats"])
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
