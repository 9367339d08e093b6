import jax
import numpy as np
import pytest

from peclr_jax.devices.mesh import (
    check_batch_size,
    data_sharding,
    gather,
    local_copy,
    make_mesh,
    replicate,
    replicated,
    shard_batch,
)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_batch_is_split_over_the_devices_in_order(count):
    mesh = make_mesh(jax.devices()[:count])
    host = {"images": np.arange(2 * count * 3).reshape(2 * count, 3), "labels": np.arange(count)}
    batch = shard_batch(host, mesh)
    assert batch["images"].sharding.is_equivalent_to(data_sharding(mesh), 2)
    for index, shard in enumerate(batch["images"].addressable_shards):
        np.testing.assert_array_equal(shard.data, host["images"][2 * index : 2 * index + 2])
    jax.tree.map(np.testing.assert_array_equal, batch, host)


def test_replication_copies_to_every_device():
    mesh = make_mesh()
    tree = replicate({"kernel": np.ones((2, 3))}, mesh)
    assert tree["kernel"].sharding.is_equivalent_to(replicated(mesh), 2)
    assert len(tree["kernel"].addressable_shards) == len(jax.devices())


def test_batch_sizes_are_checked_before_anything_is_allocated():
    check_batch_size(64, num_devices=8, num_micro_batches=2)
    with pytest.raises(ValueError, match=r"multiple of 16, for example 96 or 112$"):
        check_batch_size(100, num_devices=8, num_micro_batches=2)
    with pytest.raises(ValueError, match=r"for example 16$"):
        check_batch_size(0, num_devices=8, num_micro_batches=2)


def test_a_local_copy_is_on_one_device_and_what_is_gathered_is_whole():
    mesh = make_mesh()
    tree = {"kernel": np.arange(6.0).reshape(2, 3)}
    copy = local_copy(replicate(tree, mesh))
    assert len(copy["kernel"].devices()) == 1
    jax.tree.map(np.testing.assert_array_equal, copy, tree)
    rows = {"rows": np.arange(16)}
    jax.tree.map(np.testing.assert_array_equal, gather(shard_batch(rows, mesh)), rows)
