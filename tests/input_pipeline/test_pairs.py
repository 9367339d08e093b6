"""Partners: another version of the same hand, the same wherever and whenever they are drawn."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.input_pipeline.memory import Identities
from peclr_jax.input_pipeline.pairs import Partners


def tiled(hands, versions):
    return Identities(np.tile(hands, versions), np.repeat(np.arange(versions), len(hands)))


@given(
    data=st.lists(
        st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 2**31),
    step=st.integers(0, 10**6),
)
def test_a_partner_is_another_version_of_the_same_hand(data, seed, step):
    """Of any data sets, stored in any order, some images of a version occurring repeatedly."""
    sizes = tuple(map(len, data))
    flat = np.array(list(itertools.chain.from_iterable(data)))
    data_set = np.repeat(np.arange(len(sizes)), sizes)
    partners = Partners(Identities(*flat.T), sizes, seed)
    examples = np.arange(len(flat))
    found = partners.indices(examples, step)
    np.testing.assert_array_equal(found, partners.indices(examples, step))
    alone = 0
    for example, partner in zip(examples, found, strict=True):
        same_hand = (data_set == data_set[example]) & (flat[:, 0] == flat[example, 0])
        others = np.flatnonzero(same_hand & (flat[:, 1] != flat[example, 1]))
        alone += not len(others)
        assert partner in (others if len(others) else [example])
    assert partners.exist == (alone < len(flat))


def test_partners_are_uniform_among_the_others_and_change_with_the_step():
    partners = Partners(tiled(np.array([5, 3, 9]), 4), (12,), seed=1)
    drawn = np.stack([partners.indices(np.arange(12), step) for step in range(3000)])
    for example in range(12):
        found, counts = np.unique(drawn[:, example], return_counts=True)
        expected = [i for i in range(12) if i % 3 == example % 3 and i != example]
        assert found.tolist() == expected
        np.testing.assert_allclose(counts / 3000, 1 / 3, atol=0.04)
    # Neighbours in a batch draw independently.
    same = (drawn[:, 0] // 3 == drawn[:, 1] // 3).mean()
    np.testing.assert_allclose(same, 1 / 3, atol=0.04)


def test_partners_are_the_same_everywhere():
    """Fixed numbers: a resume on another machine or NumPy must see the same pairs."""
    partners = Partners(tiled(np.arange(4), 4), (16,), seed=1)
    assert partners.indices(np.arange(8), 3).tolist() == [8, 5, 6, 11, 0, 1, 14, 15]


def test_hands_of_one_photo_are_not_versions_of_each_other():
    partners = Partners(Identities(np.array([0, 0, 1]), np.zeros(3, int)), (3,), seed=0)
    assert not partners.exist
    np.testing.assert_array_equal(partners.indices(np.arange(3), 0), np.arange(3))


def test_the_partners_are_the_recorded_ones(recorded_draws):
    partners = Partners(tiled(np.arange(10), 4), (40,), 3)
    found = [partners.indices(np.arange(0, 40, 3), step).tolist() for step in (0, 1, 99)]
    assert found == recorded_draws["partners"]
