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
DEEP = ("resnet101", "resnet152")  # of the same blocks as a ResNet-50
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP)) for name in PARAMETERS]


@pytest.fixture
def official(parity):
    """Tensors of an architecture by its name, and images."""
    module = parity.make_state_dict
    images = module.normalise(module.make_images())[:, :128, :128]

    def make(name):
        keys = module.load_keys(f"torchvision_{name}", parity.path("keys.json"))
        return module.make_state_dict(keys), images

    return make


@pytest.mark.parametrize("name", NAMES)
def test_pooled_features_agree_with_torch(parity, official, name):
    """The same weights give the official network's features."""
    with np.load(FILES / "pooled.npz") as others:
        expected = (parity("refine") | dict(others))[f"{name}_pooled128"]
    tensors, images = official(name)
    variables = from_state_dict(tensors)
    pooled = pooled_features(name)(variables, jnp.asarray(images[: len(expected)]))
    assert np.abs(pooled - expected).max() < 3e-5 * np.abs(expected).max()
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == PARAMETERS[name]


@pytest.mark.parametrize("name", NAMES)
def test_recorded_features_are_those_of_torch(parity, official, name):
    torch = pytest.importorskip("torch")
    with np.load(FILES / "pooled.npz") as others:
        recorded = (parity("refine") | dict(others))[f"{name}_pooled128"]
    tensors, images = official(name)
    expected = features_by_torch(torch, tensors, images[: len(recorded)])
    assert np.abs(recorded - expected).max() < 3e-5 * np.abs(expected).max()


def features_by_torch(torch, arrays, images):
    """A torchvision ResNet's pooled features, written with `torch.nn.functional`."""
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}

    def conv(x, key, stride=1):
        kernel = tensors[f"{key}.weight"]
        return torch.nn.functional.conv2d(x, kernel, None, stride, (kernel.shape[-1] - 1) // 2)

    def norm(x, key):
        leaves = ("running_mean", "running_var", "weight", "bias")
        return torch.nn.functional.batch_norm(x, *(tensors[f"{key}.{leaf}"] for leaf in leaves))

    x = norm(conv(torch.from_numpy(images.transpose(0, 3, 1, 2)), "conv1", 2), "bn1").relu()
    x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    blocks = [key[5:].split(".")[:2] for key in arrays if key.endswith(".conv1.weight")]
    for stage, index in sorted((int(stage), int(index)) for stage, index in blocks):
        key, stride = f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1
        last = 3 if f"{key}.conv3.weight" in tensors else 2
        y = x
        for number in range(1, last + 1):
            y = conv(y, f"{key}.conv{number}", stride if number == last - 1 else 1)
            y = norm(y, f"{key}.bn{number}")
            y = y.relu() if number < last else y
        if f"{key}.downsample.0.weight" in tensors:
            x = norm(conv(x, f"{key}.downsample.0", stride), f"{key}.downsample.1")
        x = (x + y).relu()
    return x.mean((2, 3)).numpy()


def value_and_gradient(network, variables, images):
    """Returns the compiled function of the parameters: a loss and its gradient."""

    def loss(params):
        variables_of = variables | {"params": params}
        pooled, _ = network.apply(variables_of, images, train=True, mutable=["batch_stats"])
        return jnp.sum(pooled**2)

    return jax.jit(jax.value_and_grad(loss)).lower(variables["params"]).compile()


@pytest.mark.parametrize("remat", resnet.REMAT_POLICIES)
@pytest.mark.parametrize("block", [resnet.BasicBlock, resnet.Bottleneck])
def test_remat_changes_no_gradient(remat, block):
    images = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))
    plain = resnet.ResNet((1, 1), block, width=4, stem="small")
    variables = jax.jit(plain.init)(jax.random.key(1), images)
    gradients = [
        value_and_gradient(network, variables, images)(variables["params"])[1]
        for network in (plain, plain.clone(remat=remat))
    ]
    for b, a in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6 * np.abs(b).max())


@pytest.mark.parametrize("pointwise", resnet.POINTWISE)
def test_convolutions_of_size_one_are_products(pointwise):
    images = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
    plain = resnet.ResNet((1, 1), resnet.Bottleneck, width=4, stem="small", pointwise="convolution")
    variables = jax.jit(plain.init)(jax.random.key(1), images)
    networks = plain, plain.clone(pointwise=pointwise)
    compiled = [value_and_gradient(network, variables, images) for network in networks]
    before, after = (program.as_text().count("convolution(") for program in compiled)
    assert (after < before) == (pointwise != "convolution")
    expected, ours = (jax.tree.leaves(program(variables["params"])) for program in compiled)
    largest = max(np.abs(leaf).max() for leaf in expected)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * largest)


def test_pooled_features_are_the_mean_of_the_last_map():
    network = resnet.ResNet18(width=4, stem="small")
    images = jax.random.normal(jax.random.key(0), (2, 24, 24, 3))
    variables = jax.jit(network.init)(jax.random.key(1), images)
    maps = jax.jit(partial(network.apply, method="maps"))(variables, images)
    assert [m.shape[1:] for m in maps] == [(12, 12, 4), (6, 6, 8), (3, 3, 16), (2, 2, 32)]
    pooled = jax.jit(network.apply)(variables, images)
    np.testing.assert_allclose(pooled, maps[-1].mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_bfloat16_keeps_parameters_and_statistics_in_float32():
    network = resnet.ResNet((1, 1, 1, 1), resnet.BasicBlock, width=4, dtype=jnp.bfloat16)
    images = jnp.zeros((2, 64, 64, 3))

    def train():
        variables = network.init(jax.random.key(1), images)
        return variables, network.apply(variables, images, train=True, mutable=["batch_stats"])

    variables, (pooled, updates) = jax.eval_shape(train)
    assert pooled.dtype == jnp.float32
    assert {x.dtype.name for x in jax.tree.leaves((variables, updates))} == {"float32"}


@pytest.mark.parametrize(
    ("field", "value"), [("stem", "cifar"), ("remat", "all"), ("pointwise", "conv")]
)
def test_mistakes_are_named(field, value):
    network = resnet.ResNet18(**{field: value})
    with pytest.raises(ValueError, match=f"unknown {field} '{value}'"):
        network.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
