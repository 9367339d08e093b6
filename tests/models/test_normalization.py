"""Our batch normalisation beside Flax's, derived by JAX; folded into convolutions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from peclr_jax.devices.mesh import data_sharding, make_mesh, replicated
from peclr_jax.models import resnet
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.normalization import BatchNorm, cumulative, finish, fold, standardize
from peclr_jax.models.projector import Projector

SHAPE = (6, 4, 4, 5)


def plain(x, scale, bias, shortcut, *, relu, dtype=jnp.float32):
    norm = nn.BatchNorm(use_running_average=False, epsilon=1e-5, dtype=dtype)
    stats = {"mean": jnp.zeros(x.shape[-1]), "var": jnp.ones(x.shape[-1])}
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": stats}
    y, _ = norm.apply(variables, x, mutable=["batch_stats"])
    y = y if shortcut is None else y + shortcut
    return nn.relu(y) if relu else y


def ours(x, scale, bias, shortcut, *, relu, dtype=jnp.float32):
    return standardize(x, scale, bias, shortcut, 1e-5, relu, dtype)[0]


def arguments(shortcut, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 4)
    x = (1 + 2 * jax.random.normal(keys[0], SHAPE)).astype(dtype)
    scale, bias = (jax.random.normal(key, SHAPE[-1:]) for key in keys[1:3])
    return x, scale, bias, jax.random.normal(keys[3], SHAPE).astype(dtype) if shortcut else None


def pulled_back(function, primals, dtype):
    @jax.jit
    def differentiate(gradient, *primals):
        y, vjp = jax.vjp(function, *primals)
        return y, vjp(gradient)

    return differentiate(jax.random.normal(jax.random.key(9), SHAPE).astype(dtype), *primals)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)], ids=["float32", "bfloat16"]
)
def test_values_are_those_of_flax_and_so_are_the_gradients(relu, shortcut, dtype, tolerance):
    primals = arguments(shortcut, dtype)
    y, gradients = pulled_back(partial(ours, relu=relu, dtype=dtype), primals, dtype)
    expected = pulled_back(partial(plain, relu=relu, dtype=dtype), primals, dtype)
    np.testing.assert_array_equal(np.asarray(y, np.float32), np.asarray(expected[0], np.float32))
    for mine, theirs in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected[1]), strict=True):
        assert mine.dtype == theirs.dtype
        theirs = np.asarray(theirs, np.float32)
        np.testing.assert_allclose(
            np.asarray(mine, np.float32), theirs, atol=tolerance * np.abs(theirs).max()
        )


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shortcut", [False, True])
def test_forward_mode_is_that_of_flax(relu, shortcut):
    primals = arguments(shortcut)
    tangents = jax.tree.map(lambda array: jnp.cos(3 * array), primals)
    mine, theirs = (
        jax.jit(partial(jax.jvp, partial(function, relu=relu)))(primals, tangents)
        for function in (ours, plain)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), mine, theirs)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (3,), (0, 3), (1, 2), (0, 1, 2)])
def test_the_others_may_be_constant(wanted):
    primals = arguments(shortcut=True)

    def gradient(function):
        def total(*given):
            full = list(primals)
            for place, one in zip(wanted, given, strict=True):
                full[place] = one
            return jnp.sum(function(*full, relu=True) ** 3)

        return jax.jit(jax.grad(total, tuple(range(len(wanted)))))(*(primals[i] for i in wanted))

    for mine, theirs in zip(gradient(ours), gradient(plain), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * np.abs(theirs).max())


def test_of_constants_alone_nothing_moves():
    primals = arguments(shortcut=False)
    moved = jax.jvp(lambda t: ours(*primals, relu=False) + t, (0.0,), (1.0,))[1]
    np.testing.assert_array_equal(moved, 1)


def test_statistics_span_the_devices():
    mesh = make_mesh()
    x = jax.random.normal(jax.random.key(0), (16, 3, 3, 5)) + jnp.arange(16.0)[:, None, None, None]
    norm = BatchNorm(use_running_average=False, relu=True)
    variables = norm.init(jax.random.key(1), x)

    def loss(x, variables):
        y, updates = norm.apply(variables, x, mutable=["batch_stats"])
        return jnp.sum(y**3), updates

    derive = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    spread = jax.jit(derive, in_shardings=(data_sharding(mesh), replicated(mesh)))
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
        spread(x, variables),
        jax.jit(derive)(x, variables),
    )


def test_the_running_variance_is_unbiased():
    x = jax.random.normal(jax.random.key(0), (6, 4))
    norm = BatchNorm(use_running_average=False)
    _, updates = norm.apply(norm.init(jax.random.key(1), x), x, mutable=["batch_stats"])
    stats = updates["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * np.mean(x, 0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * np.var(x, 0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_the_cumulative_average_weighs_all_batches_alike(start):
    """Whatever the statistics are at first, and however long ago a batch was."""
    batches = 3 + 2 * jax.random.normal(jax.random.key(0), (20, 6, 4))
    norm = BatchNorm(use_running_average=False)
    variables = norm.init(jax.random.key(1), batches[0])
    mean = jax.tree.map(lambda leaf: jnp.full_like(leaf, start), variables["batch_stats"])
    for count, batch in enumerate(batches):
        variables = {"params": variables["params"], "batch_stats": mean}
        _, updates = norm.apply(variables, batch, mutable=["batch_stats"])
        mean = cumulative(mean, updates["batch_stats"], count)
    np.testing.assert_allclose(mean["mean"], batches.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(mean["var"], np.var(batches, 1, ddof=1).mean(0), rtol=1e-5)


def test_evaluation_takes_the_running_statistics():
    x, shortcut = jnp.ones((1, 2)), jnp.full((1, 2), -5.0)
    norm = BatchNorm(use_running_average=True, relu=True, epsilon=0.0)
    stats = {"mean": jnp.zeros(2), "var": jnp.full(2, 0.25)}
    params = {"scale": jnp.array([1.0, 3.0]), "bias": jnp.array([0.5, 0.5])}
    y = norm.apply({"params": params, "batch_stats": stats}, x, shortcut)
    np.testing.assert_allclose(y, [[0.0, 1.5]])


@pytest.mark.parametrize(
    ("block", "stem"), [(resnet.BasicBlock, "imagenet"), (resnet.Bottleneck, "small")]
)
def test_folding_changes_no_output(block, stem):
    encoder = resnet.ResNet((1, 2), block, width=8, stem=stem)
    network = Projector(encoder, ProjectionHead(hidden=16, num_points=4))
    images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    variables = jax.jit(network.init)(jax.random.key(1), images)
    # As after training: no statistic is zero or one, none the same in two layers.
    generator = np.random.default_rng(2)
    variables = jax.tree.map(
        lambda leaf: leaf + 0.3 * generator.random(leaf.shape, np.float32),
        jax.tree.map(np.asarray, variables),
    )
    folded, _ = fold(network, variables)
    rest = jax.jit(lambda variables: fold(network, variables)[1])(variables)
    paths = jax.tree_util.tree_leaves_with_path(rest["params"]["encoder"])
    assert not any("bn" in jax.tree_util.keystr(path) for path, _ in paths)
    assert "encoder" not in rest["batch_stats"]
    expected = jax.jit(network.apply)(variables, images)
    np.testing.assert_allclose(
        jax.jit(folded.apply)(rest, images), expected, atol=2e-5 * np.abs(expected).max()
    )
    assert "encoder" in variables["batch_stats"]


def test_a_folded_network_is_not_trained():
    network = resnet.ResNet18(folded=True)
    with pytest.raises(ValueError, match="folded BatchNorm cannot be trained"):
        network.init(jax.random.key(0), jnp.zeros((2, 32, 32, 3)), train=True)


def test_the_end_of_a_block_is_a_relu_of_the_sum():
    """On CPUs it is written in another way; what is not a number must not become zero."""
    y = jnp.array([-jnp.inf, -1.0, -0.0, 0.0, 2.0, jnp.inf, jnp.nan])
    ends = jax.jit(lambda y, shortcut: finish(y, shortcut, relu=True))
    np.testing.assert_array_equal(ends(y, None), nn.relu(y))
    np.testing.assert_array_equal(ends(y, jnp.full(7, -1.5)), nn.relu(y - 1.5))


def test_variables_are_of_32_bits_where_jax_computes_with_64():
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    norm = BatchNorm(use_running_average=False)
    with jax.enable_x64(True):
        variables = norm.init(jax.random.key(1), jnp.asarray(x))
        _, updates = norm.apply(variables, jnp.asarray(x), mutable=["batch_stats"])
        assert {leaf.dtype for leaf in jax.tree.leaves((variables, updates))} == {
            np.dtype(np.float32)
        }
