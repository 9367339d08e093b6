"""Stores: the same rows as indexing, fractions of hands, and a refusal when too large."""

import numpy as np
import pytest

from peclr_jax.input_pipeline import Split, stores
from peclr_jax.input_pipeline.order import Identities
from peclr_jax.input_pipeline.stores import LazyStore, MemoryStore
from tests.input_pipeline.conftest import assert_equal, join


class Streamed(stores.IdentifiedStore):
    """A store that is not known to be in memory, of one version of each hand."""

    def __init__(self, arrays, sizes=None):
        store = MemoryStore(arrays, sizes)
        self.sizes, self.stream = store.sizes, store.stream

    def identities(self):
        ids = np.concatenate([np.arange(size) for size in self.sizes])
        return Identities(ids, np.arange(len(ids)))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (42, 4, 4, 3), np.uint8),
        "valid": rng.random(42) < 0.5,
        "sample_id": np.arange(42, dtype=np.int32),
    }


def test_a_lazy_store_is_made_once_when_first_read(arrays):
    made = []
    store = LazyStore(lambda: made.append(1) or MemoryStore(arrays), Streamed(arrays).identities())
    assert (len(store), store.sizes, made) == (42, (42,), [])
    rows = np.array([3, 41, 0, 12, 12])
    (batch,) = store.stream([rows])
    assert_equal(batch, {name: array[rows] for name, array in arrays.items()})
    assert stores.load(store).arrays is arrays
    assert made == [1]


def test_loading_keeps_order_and_data_sets(monkeypatch, arrays):
    monkeypatch.setattr(stores, "_LOAD_AT_ONCE", 10)
    loaded = stores.load(Streamed(arrays, (40, 2)))
    assert loaded.sizes == (40, 2)
    assert_equal(loaded.arrays, arrays)


def test_joined_stores_lie_one_after_the_other(arrays):
    first = MemoryStore({name: array[:30] for name, array in arrays.items()}, (20, 10))
    second = MemoryStore({name: array[30:] for name, array in arrays.items()})
    joined = stores.join([first, second])
    assert joined.sizes == (20, 10, 12)
    assert_equal(joined.arrays, arrays)


def test_what_does_not_fit_the_host_is_refused(monkeypatch, arrays):
    monkeypatch.setattr(stores, "free_host_memory", lambda: 2000)
    for read in (stores.load, lambda store: stores.join([store] * 2)):
        with pytest.raises(MemoryError, match=r"host memory are free.*data\.cache='none'"):
            read(Streamed(arrays) if read is stores.load else MemoryStore(arrays))


def test_every_data_set_gives_its_fraction():
    ids = np.concatenate([np.arange(10), np.arange(40)])
    store = stores.keep_fraction(Streamed({"id": ids}, (10, 40)), 0.2, 0)
    assert store.sizes == (2, 8)
    (kept,) = store.stream([np.arange(10)])
    assert len(set(kept["id"][:2].tolist())) == 2
    np.testing.assert_array_equal(store.identities().sample_ids, kept["id"])
    np.testing.assert_array_equal(ids[store.identities().versions], kept["id"])
    assert_equal(store.labels(), kept)
    (part,) = store.stream([np.array([9, 0])])
    np.testing.assert_array_equal(part["id"], kept["id"][[9, 0]])


def test_labels_are_all_but_the_images(arrays):
    placed = arrays | {"to_source": np.zeros((42, 2, 3))}
    lazy = LazyStore(lambda: MemoryStore(placed), Streamed(arrays).identities())
    for store in (Streamed(placed), lazy):
        assert_equal(store.labels(), {n: a for n, a in arrays.items() if n != "image"})


def test_a_split_is_gone_through_once(arrays):
    split = Split(MemoryStore(arrays), batch_size=20)
    batches = list(split.batches())
    assert [len(batch["image"]) for batch in batches] == [20, 20, 2]
    assert split.num_examples == 42
    assert_equal(join(batches), arrays)
