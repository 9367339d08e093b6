"""Caches: the same rows as indexing, however they are laid out, and a refusal when too large."""

import numpy as np
import pytest

from peclr_jax.devices.mesh import data_sharding, make_mesh
from peclr_jax.input_pipeline import memory

ROWS = np.array([3, 41, 0, 12, 12, 7, 40, 8, 9, 20, 33, 1, 2, 5, 6, 30])


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (42, 4, 4, 3), np.uint8),
        "keypoints_2d": rng.normal(size=(42, 21, 2)).astype(np.float32),
        "valid": rng.random(42) < 0.5,
        "sample_id": np.arange(42, dtype=np.int32),
    }


@pytest.mark.parametrize("placement", ["replicated", "sharded"])
def test_device_cache_gathers_the_rows(arrays, mesh, placement):
    batch = memory.DeviceCache(arrays, mesh, placement).take(ROWS)
    for name, array in arrays.items():
        assert batch[name].dtype == array.dtype
        assert batch[name].sharding.is_equivalent_to(data_sharding(mesh), array.ndim)
        np.testing.assert_array_equal(batch[name], array[ROWS])


def test_memory_store_streams_the_rows(arrays):
    (batch,) = memory.MemoryStore(arrays).stream([ROWS])
    for name, array in arrays.items():
        np.testing.assert_array_equal(batch[name], array[ROWS])


def test_load_reads_all_of_a_store_in_order(monkeypatch, arrays):
    monkeypatch.setattr(memory, "_LOAD_AT_ONCE", 10)
    loaded = memory.load(memory.MemoryStore(arrays, (40, 2)))
    assert loaded.sizes == (40, 2)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_joined_stores_lie_one_after_the_other(arrays):
    first = memory.MemoryStore({name: array[:30] for name, array in arrays.items()}, (20, 10))
    second = memory.MemoryStore({name: array[30:] for name, array in arrays.items()})
    joined = memory.join([first, second])
    assert joined.sizes == (20, 10, 12)
    for name, array in arrays.items():
        np.testing.assert_array_equal(joined.arrays[name], array)


def test_placement_follows_the_free_memory():
    mesh = make_mesh()
    gib = 2**30
    assert memory.choose_placement(gib, mesh, free=2 * gib) == "replicated"
    assert memory.choose_placement(6 * gib, mesh, free=2 * gib) == "sharded"
    with pytest.raises(
        MemoryError, match=r"10\.00 GiB, or 1\.25 GiB on each of 8, where 2\.00 GiB .*'host'"
    ):
        memory.choose_placement(10 * gib, mesh, free=2 * gib)


def test_a_cache_that_does_not_fit_the_host_is_refused(monkeypatch, arrays):
    monkeypatch.setattr(memory, "_free_host_memory", lambda: 2000)
    with pytest.raises(MemoryError, match=r"host memory are free.*data.cache='none'"):
        memory.load(memory.MemoryStore(arrays))
