from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.devices.mesh import data_sharding, make_mesh
from peclr_jax.objectives import contrastive


@pytest.mark.parametrize("temperature", [1e-3, 10.0])
@pytest.mark.parametrize(("images", "chunk"), [(1, 1), (9, 5), (9, 40)])
def test_chunks_change_nothing_at_any_temperature(images, chunk, temperature):
    z = jax.random.normal(jax.random.key(images), (2 * images, 6))
    results = {
        size: jax.jit(
            jax.value_and_grad(partial(contrastive.nt_xent, temperature=temperature, chunk=size))
        )(z)
        for size in (None, chunk)
    }
    (whole, whole_gradient), (blocks, blocks_gradient) = results[None], results[chunk]
    assert np.isfinite(whole)
    np.testing.assert_allclose(blocks, whole, rtol=1e-5, atol=1e-6)
    scale = np.abs(whole_gradient).max() + 1e-6
    np.testing.assert_allclose(blocks_gradient / scale, whole_gradient / scale, atol=1e-4)


def test_chunks_of_views_that_are_spread_over_devices():
    mesh = make_mesh()
    z = jax.random.normal(jax.random.key(1), (8 * len(jax.devices()), 6))
    loss = jax.jit(jax.value_and_grad(partial(contrastive.nt_xent, temperature=0.5, chunk=24)))
    expected, expected_gradient = loss(z)
    spread = loss(jax.device_put(z, data_sharding(mesh)))
    np.testing.assert_allclose(spread[0], expected, rtol=1e-6)
    np.testing.assert_allclose(spread[1], expected_gradient, atol=1e-7)


def test_chunks_in_a_shard_map():
    z = jax.random.normal(jax.random.key(1), (2, 8, 6))
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.PartitionSpec("batch")

    def losses(z):
        return contrastive.nt_xent(z[0], 0.5, chunk=3)[None]

    spread = jax.jit(jax.shard_map(losses, mesh=mesh, in_specs=split, out_specs=split))
    np.testing.assert_allclose(spread(z), [contrastive.nt_xent(one, 0.5) for one in z], rtol=1e-5)


def test_a_temperature_can_be_learnt_in_chunks():
    z = jax.random.normal(jax.random.key(2), (12, 4))
    whole, chunks = (
        jax.jit(jax.grad(lambda t, size=size: contrastive.nt_xent(z, t, chunk=size)))(0.3)
        for size in (None, 5)
    )
    np.testing.assert_allclose(chunks, whole, rtol=1e-5)


def test_no_square_matrix_is_kept_when_chunked():
    z = jax.ShapeDtypeStruct((2048, 32), jnp.float32)
    peak = {}
    for chunk in (None, 64):
        gradient = jax.jit(jax.grad(partial(contrastive.nt_xent, temperature=0.5, chunk=chunk)))
        peak[chunk] = gradient.lower(z).compile().memory_analysis().temp_size_in_bytes
    assert peak[None] > 2048**2 * 4
    assert peak[64] < 2048**2 * 4 / 4
