"""Fractions of the labels: nested, by hands, and the same wherever they are read."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.input_pipeline import subset
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


def test_the_subsets_are_the_recorded_ones(recorded_draws):
    chosen = {str(f): subset.choose(np.arange(50), f, 3).tolist() for f in (0.1, 0.25, 0.5)}
    assert chosen == recorded_draws["subset"]
