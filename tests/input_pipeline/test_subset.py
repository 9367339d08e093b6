"""Fractions of the labels: nested, by hands, and the same wherever they are read."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.input_pipeline import make_source, open_split, subset
from peclr_jax.input_pipeline.memory import Identities, MemoryStore


@given(
    hands=st.integers(1, 60),
    versions=st.integers(1, 4),
    seed=st.integers(0, 5),
    fractions=st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)),
)
def test_smaller_fractions_are_parts_of_larger_ones(hands, versions, seed, fractions):
    sample_ids = 7 * np.tile(np.arange(hands), versions)
    smaller, larger = (subset.choose(sample_ids, f, seed) for f in sorted(fractions))
    assert set(smaller) <= set(larger)
    for fraction, rows in zip(sorted(fractions), (smaller, larger), strict=True):
        kept, counts = np.unique(sample_ids[rows], return_counts=True)
        assert (counts == versions).all()
        assert -1e-6 < len(kept) - fraction * hands < 1
        assert (np.diff(rows) > 0).all()


def test_the_seed_picks_the_hands():
    sample_ids = np.arange(100)
    first, again, other = (subset.choose(sample_ids, 0.2, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(first) == len(other) == 20
    assert set(first) != set(other)


def test_a_tenth_of_thirty_hands_is_three():
    assert len(subset.choose(np.arange(30), 0.1, 0)) == 3


def test_every_data_set_gives_its_fraction():
    ids = np.concatenate([np.arange(10), np.arange(40)])
    identities = Identities(ids, np.arange(50))
    store = subset.SubsetStore(MemoryStore({"id": ids}, (10, 40)), identities, 0.2, 0)
    assert store.sizes == (2, 8)
    (kept,) = store.stream([np.arange(10)])
    assert len(set(kept["id"][:2].tolist())) == 2
    np.testing.assert_array_equal(store.identities().sample_ids, kept["id"])
    np.testing.assert_array_equal(ids[store.identities().versions], kept["id"])
    (part,) = store.stream([np.array([9, 0])])
    np.testing.assert_array_equal(part["id"], kept["id"][[9, 0]])


def sample_ids(source):
    batches = source.batches()
    taken = list(itertools.islice(batches, source.steps_per_epoch))
    batches.close()
    return sorted(np.concatenate([batch["sample_id"] for batch in taken]).tolist())


@pytest.mark.parametrize("cache", ["none", "host"])
def test_records_of_the_kept_hands_only(record_config, mesh, cache):
    record_config.labels, record_config.label_fraction = True, 0.5
    record_config.cache = cache
    source = make_source(record_config, train=True, batch_size=8, seed=0, mesh=mesh)
    assert (source.num_examples, source.steps_per_epoch) == (8, 1)
    ids = sample_ids(source)
    assert len(set(ids)) == 2
    assert ids == sorted(4 * list(set(ids)))
    split = open_split(record_config, record_config.split, batch_size=3, label_subset=True)
    read = np.concatenate([batch["sample_id"] for batch in split.batches()])
    assert split.num_examples == 8
    assert sorted(read.tolist()) == ids
    assert open_split(record_config, record_config.split, batch_size=3).num_examples == 16


def test_rendered_hands_that_are_kept_are_the_same_as_in_the_whole(rendered_config, mesh):
    rendered_config.labels, rendered_config.label_fraction = True, 0.2
    source = make_source(rendered_config, train=True, batch_size=8, seed=0, mesh=mesh)
    assert source.num_examples == 8
    ids = sample_ids(source)
    assert ids == subset.choose(np.arange(40), 0.2, 0).tolist()
    (batch,) = itertools.islice(source.batches(), 1)
    # The stand-in paints every image with its own index.
    np.testing.assert_array_equal(batch["image"].max((1, 2, 3)), batch["sample_id"])
    assert len(source.sample(100)["image"]) == 24


def test_all_versions_of_a_rendered_hand_are_kept_or_none(rendered_config, mesh):
    rendered_config.labels, rendered_config.label_fraction = True, 0.2
    rendered_config.rendered.versions = 3
    source = make_source(rendered_config, train=True, batch_size=8, seed=0, mesh=mesh)
    kept = subset.choose(np.arange(40), 0.2, 0)
    assert sample_ids(source) == np.repeat(kept, 3).tolist()


def test_nothing_is_read_for_all_labels(record_config, mesh, monkeypatch):
    from peclr_jax.input_pipeline import records

    monkeypatch.setattr(records.RecordStore, "identities", lambda self: pytest.fail("read"))
    make_source(record_config, train=True, batch_size=8, seed=0, mesh=mesh)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("label_fraction", 0.0, r"data\.label_fraction must lie in \(0, 1\], got 0\.0"),
        ("label_fraction", 10.0, r"data\.label_fraction must lie in"),
        ("label_seed", -1, r"data\.label_seed must not be negative"),
    ],
)
def test_impossible_fractions(rendered_config, mesh, field, value, message):
    rendered_config[field] = value
    with pytest.raises(ValueError, match=message):
        make_source(rendered_config, train=True, batch_size=8, seed=0, mesh=mesh)


def test_endless_hands_have_no_fraction(rendered_config, mesh):
    rendered_config.rendered.count, rendered_config.label_fraction = 0, 0.5
    with pytest.raises(ValueError, match="without end, which have no fractions: give a count"):
        make_source(rendered_config, train=True, batch_size=8, seed=0, mesh=mesh)


def test_the_subsets_are_the_recorded_ones(recorded_draws):
    chosen = {str(f): subset.choose(np.arange(50), f, 3).tolist() for f in (0.1, 0.25, 0.5)}
    assert chosen == recorded_draws["subset"]
