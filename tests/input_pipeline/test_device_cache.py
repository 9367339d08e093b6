"""Caches on devices: the same rows as indexing, however they are laid out."""

import numpy as np
import pytest

from peclr_jax.devices.mesh import data_sharding
from peclr_jax.input_pipeline.device_cache import DeviceCache, choose_placement

GIB = 2**30


@pytest.mark.parametrize("placement", ["replicated", "sharded"])
def test_rows_are_gathered(mesh, placement):
    rng = np.random.default_rng(0)
    arrays = {
        "image": rng.integers(0, 256, (42, 4, 4, 3), np.uint8),
        "keypoints_2d": rng.normal(size=(42, 21, 2)).astype(np.float32),
        "valid": rng.random(42) < 0.5,
        "sample_id": np.arange(42, dtype=np.int32),
    }
    rows = np.array([3, 41, 0, 12, 12, 7, 40, 8, 9, 20, 33, 1, 2, 5, 6, 30])
    batch = DeviceCache(arrays, mesh, placement).take(rows)
    for name, array in arrays.items():
        assert batch[name].dtype == array.dtype
        assert batch[name].sharding.is_equivalent_to(data_sharding(mesh), array.ndim)
        np.testing.assert_array_equal(batch[name], array[rows])


def test_placement_follows_the_free_memory(mesh):
    assert choose_placement(GIB, mesh, free=2 * GIB) == "replicated"
    assert choose_placement(6 * GIB, mesh, free=2 * GIB) == "sharded"
    with pytest.raises(
        MemoryError, match=r"10\.00 GiB, or 1\.25 GiB on each of 8, where 2\.00 GiB .*'host'"
    ):
        choose_placement(10 * GIB, mesh, free=2 * GIB)
