"""Sums over devices in float32: of a layer's gradient, beside that of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from peclr_jax.devices.float32_sums import cast_on_devices, keep_parameters
from peclr_jax.devices.mesh import data_sharding, make_mesh, replicated

LAYERS = {
    "dense": nn.Dense(
        3,
        dtype=jnp.bfloat16,
        promote_dtype=keep_parameters,
        dot_general=cast_on_devices(jax.lax.dot_general),
    ),
    "convolution": nn.Conv(
        3,
        (3, 3),
        dtype=jnp.bfloat16,
        promote_dtype=keep_parameters,
        conv_general_dilated=cast_on_devices(jax.lax.conv_general_dilated),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_is_the_sum_of_the_devices_own(name):
    """Exactly, though bfloat16 could not hold the sum: of one device 1, of another 2^-10."""
    layer, mesh = LAYERS[name], make_mesh()
    x = jnp.zeros((8, 1, 1, 1)).at[:2, 0, 0, 0].set(jnp.array([1.0, 2.0**-10]))
    params = layer.init(jax.random.key(0), x)

    def loss(params, x):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return jnp.sum(layer.apply(params, x).astype(jnp.float32))

    spread = jax.jit(jax.grad(loss), in_shardings=(replicated(mesh), data_sharding(mesh)))
    gradient = spread(params, x)["params"]
    assert gradient["kernel"].dtype == jnp.float32
    assert float(gradient["kernel"].max()) == 1 + 2.0**-10
    np.testing.assert_array_equal(gradient["bias"], 8.0)


@pytest.mark.parametrize("name", LAYERS)
def test_alone_a_layer_is_flaxs(name):
    layer = LAYERS[name]
    x = jax.random.normal(jax.random.key(0), (8, 4, 4, 5))
    params = layer.init(jax.random.key(1), x)
    flaxs = (
        nn.Dense(3, dtype=jnp.bfloat16) if name == "dense" else nn.Conv(3, (3, 3), dtype="bfloat16")
    )
    mine, theirs = (layer.apply(params, x).astype(jnp.bfloat16) for layer in (layer, flaxs))
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("name", LAYERS)
def test_rows_that_do_not_divide_are_computed_on_every_device(name, rows):
    """As of the one image that a network is initialised with."""
    layer, x = LAYERS[name], jax.random.normal(jax.random.key(0), (rows, 4, 4, 5))
    with jax.sharding.use_abstract_mesh(make_mesh().abstract_mesh):
        params = layer.init(jax.random.key(1), x)
        spread = jax.jit(layer.apply)(params, x)
    np.testing.assert_allclose(spread, layer.apply(params, x), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("axis", ["batch", "data"])
def test_in_meshes_of_others_a_kernel_is_simply_cast(axis):
    layer = LAYERS["dense"]
    x = jax.random.normal(jax.random.key(0), (8, 5))
    params = layer.init(jax.random.key(1), x)
    mesh = jax.make_mesh((2,), (axis,), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.PartitionSpec(axis)
    spread = jax.shard_map(
        lambda x: layer.apply(params, x), mesh=mesh, in_specs=split, out_specs=split
    )
    np.testing.assert_allclose(jax.jit(spread)(x), layer.apply(params, x), rtol=1e-2, atol=1e-2)
