"""Which examples a batch holds: whole epochs, no repeats, shares as asked, no memory."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.input_pipeline.order import (
    Identities,
    Neighbours,
    Order,
    Partners,
    choose_fraction,
    permutation,
    shuffled,
    tell_apart,
)


@given(size=st.integers(1, 300), seed=st.integers(0, 2**40), epoch=st.integers(0, 2**40))
def test_permutation_is_one(size, seed, epoch):
    order = permutation(size, seed, epoch)
    np.testing.assert_array_equal(np.sort(order), np.arange(size))
    np.testing.assert_array_equal(order, permutation(size, seed, epoch))


@pytest.mark.parametrize(
    "draw", [permutation, lambda size, *of: shuffled(np.arange(size), size, *of)]
)
def test_permutation_is_uniform(draw):
    counts = np.zeros((4, 4))
    for epoch in range(2000):
        counts[np.arange(4), draw(4, 0, epoch)] += 1
    assert abs(counts / 2000 - 0.25).max() < 0.05


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**40), epoch=st.integers(0, 2**40))
def test_every_example_has_one_place(size, seed, epoch):
    places = np.arange(size)
    found = shuffled(places, size, seed, epoch)
    np.testing.assert_array_equal(np.sort(found), places)
    np.testing.assert_array_equal(
        found[size // 2 :], shuffled(places[size // 2 :], size, seed, epoch)
    )


@given(size=st.integers(2**20, 2**62), seed=st.integers(0, 2**40), data=st.data())
def test_places_of_any_number_of_examples(size, seed, data):
    """No two share an example, wherever they are: more of them than a computer could hold."""
    places = st.lists(st.integers(0, size - 1), min_size=1, max_size=50, unique=True)
    places = np.array(data.draw(places))
    found = shuffled(places, size, seed)
    assert len(set(found.tolist())) == len(places)
    assert (found >= 0).all()
    assert (found < size).all()


def test_neighbours_and_epochs_have_nothing_to_do_with_each_other():
    """Shares of a hundredth of all, of 100,000 draws each: chi-squared of 99 degrees of freedom."""
    size, places = 10**8, np.arange(100_000)
    first, second = (shuffled(places, size, epoch) for epoch in range(2))
    for values in (first, first % 10**6, np.diff(first) % size, (second - first) % size):
        counts = np.bincount(values * 100 // (values.max() + 1), minlength=100)
        assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 160


@pytest.mark.parametrize("size", [10**8, 10**15])
def test_a_batch_of_very_many_examples_takes_no_memory(size):
    order = Order((size,), 2048, seed=3)
    tracemalloc.start()
    try:
        steps = [0, 1, order.steps_per_epoch - 1, order.steps_per_epoch]
        batches = [order.indices(step) for step in steps]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    seen = np.concatenate(batches[:3])
    assert len(set(seen.tolist())) == 3 * 2048
    assert not np.array_equal(batches[0], batches[3])


def test_the_order_of_very_many_is_the_recorded_one(recorded_draws):
    order = Order((10**8, 37), 8, 7)
    assert [order.indices(step).tolist() for step in (0, 10**9)] == recorded_draws["long_order"]


@given(size=st.integers(4, 100), batch=st.integers(1, 20), seed=st.integers(0, 1000))
def test_an_epoch_sees_every_image_once_but_the_remainder(size, batch, seed):
    if batch > size:
        return
    order = Order((size,), batch, seed)
    assert order.steps_per_epoch == size // batch
    for epoch in range(2):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        seen = np.concatenate([order.indices(step) for step in steps])
        assert len(seen) == len(set(seen.tolist())) == size // batch * batch


def test_epochs_seeds_and_remainders_differ():
    order = Order((50,), 8, seed=0)
    epochs = [np.concatenate([order.indices(6 * e + s) for s in range(6)]) for e in range(3)]
    assert not np.array_equal(epochs[0], epochs[1])
    left_out = [set(range(50)) - set(epoch.tolist()) for epoch in epochs]
    assert left_out[0] != left_out[1]
    assert not np.array_equal(order.indices(0), Order((50,), 8, seed=1).indices(0))


@given(
    sizes=st.lists(st.integers(40, 90), min_size=2, max_size=4),
    batch=st.integers(2, 37),
    step=st.integers(0, 10**12),
)
def test_mixed_batches_hold_no_image_twice_and_equal_shares(sizes, batch, step):
    order = Order(tuple(sizes), batch, seed=0)
    indices = order.indices(step)
    assert len(set(indices.tolist())) == batch
    counts = np.histogram(indices, np.cumsum([0, *sizes]))[0]
    assert (abs(counts - batch / len(sizes)) < 1).all()


@pytest.mark.parametrize(
    ("weights", "shares"), [((), [1 / 3] * 3), ((1.0, 2.0, 7.0), [0.1, 0.2, 0.7])]
)
def test_shares_are_exact_in_expectation(weights, shares):
    """Sizes differ by 40, batches of 16 divide neither by 3 nor by 10."""
    order = Order((4000, 100, 50), 16, seed=5, weights=weights)
    drawn = np.concatenate([order.indices(step) for step in range(3000)])
    counts = np.histogram(drawn, [0, 4000, 4100, 4150])[0]
    np.testing.assert_allclose(counts / len(drawn), shares, atol=0.004)


def test_a_small_set_in_a_mixture_is_still_seen_evenly():
    order = Order((1000, 30), 20, seed=0)
    drawn = np.concatenate([order.indices(step) for step in range(300)])
    counts = np.bincount(drawn[drawn >= 1000] - 1000, minlength=30)
    np.testing.assert_array_equal(counts, 100)


def test_too_few_images_for_a_batch():
    with pytest.raises(
        ValueError, match=r"hands has 30 images, .* takes 32 .*batch_size of at most 60"
    ):
        Order((1000, 30), 64, seed=0, names=("many", "hands")).check()
    Order((1000, 30), 60, seed=0).check()


def test_the_order_is_the_recorded_one(recorded_draws):
    order = Order((100, 37, 64), 16, 7, (1.0, 2.0, 1.0))
    assert [order.indices(step).tolist() for step in (0, 1, 5, 1000)] == recorded_draws["order"]


@given(
    hands=st.integers(1, 60),
    versions=st.integers(1, 4),
    seed=st.integers(0, 5),
    fractions=st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)),
)
def test_smaller_fractions_are_parts_of_larger_ones(hands, versions, seed, fractions):
    sample_ids = 7 * np.tile(np.arange(hands), versions)
    smaller, larger = (choose_fraction(sample_ids, f, seed) for f in sorted(fractions))
    assert set(smaller) <= set(larger)
    for fraction, rows in zip(sorted(fractions), (smaller, larger), strict=True):
        kept, counts = np.unique(sample_ids[rows], return_counts=True)
        assert (counts == versions).all()
        assert -1e-6 < len(kept) - fraction * hands < 1
        assert (np.diff(rows) > 0).all()


def test_the_seed_picks_the_hands():
    sample_ids = np.arange(100)
    first, again, other = (choose_fraction(sample_ids, 0.2, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(first) == len(other) == 20
    assert set(first) != set(other)


def test_a_tenth_of_thirty_hands_is_three():
    assert len(choose_fraction(np.arange(30), 0.1, 0)) == 3


def test_the_subsets_are_the_recorded_ones(recorded_draws):
    chosen = {str(f): choose_fraction(np.arange(50), f, 3).tolist() for f in (0.1, 0.25, 0.5)}
    assert chosen == recorded_draws["subset"]


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


def test_hands_of_one_photo_are_not_versions_of_each_other():
    partners = Partners(Identities(np.array([0, 0, 1]), np.zeros(3, int)), (3,), seed=0)
    assert not partners.exist
    np.testing.assert_array_equal(partners.indices(np.arange(3), 0), np.arange(3))


def test_the_partners_are_the_recorded_ones(recorded_draws):
    partners = Partners(tiled(np.arange(10), 4), (40,), 3)
    found = [partners.indices(np.arange(0, 40, 3), step).tolist() for step in (0, 1, 99)]
    assert found == recorded_draws["partners"]


def test_photos_and_hands_are_told_apart():
    """Two hands of a photo, two versions of a hand, and another data set of the same numbers."""
    shown = tell_apart(Identities(np.array([4, 4, 7, 7, 4]), np.array([0, 0, 0, 1, 0])), (4, 1))
    photos, hands = shown.photos.tolist(), shown.hands.tolist()
    assert photos[0] == photos[1]
    assert photos[2] == photos[3]
    assert len(set(photos)) == 3
    assert hands[2] == hands[3]
    assert len(set(hands)) == 4
    assert [hands[first] for first in shown.first] == list(range(4))


@given(
    data=st.lists(
        st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 2**31),
    step=st.integers(0, 10**6),
)
def test_a_neighbour_is_of_another_photo_and_of_no_other_pair(data, seed, step):
    sizes = tuple(map(len, data))
    shown = tell_apart(Identities(*np.array([*itertools.chain(*data)]).T), sizes)
    random = np.random.default_rng(seed)
    hands = len(shown.first)
    known = np.stack([random.permutation(hands) for _ in range(hands)])[:, :3]
    of_photos = shown.photos[shown.first]
    known = np.where(of_photos[known] == of_photos[:, None], -1, known)
    neighbours = Neighbours(shown, known, seed)
    _, batch = np.unique(shown.photos, return_index=True)
    batch = batch[: max(1, len(batch) // 2)]
    found = neighbours.indices(batch, step)
    np.testing.assert_array_equal(found, neighbours.indices(batch, step))
    others = found[found != batch]
    photos = [*shown.photos[batch], *shown.photos[others]]
    assert len(set(photos)) == len(photos)
    for example, partner in zip(batch, found, strict=True):
        nearest = known[shown.hands[example]].tolist()
        if partner != example:
            assert shown.hands[partner] in nearest
        else:  # none was free
            free = [n for n in nearest if n >= 0 and of_photos[n] not in photos]
            assert not free


def test_the_nearest_is_taken_in_any_of_its_versions():
    shown = tell_apart(tiled(np.arange(4), 3), (12,))
    neighbours = Neighbours(shown, np.array([[2, 1], [3, 0], [0, 1], [1, -1]]), seed=0)
    drawn = np.stack([neighbours.indices(np.array([4, 1]), step) for step in range(600)])
    # Example 4 shows hand 0, whose nearest is hand 2; example 1 shows hand 1.
    for column, hand in ((0, 2), (1, 3)):
        found, counts = np.unique(drawn[:, column], return_counts=True)
        assert found.tolist() == [hand, hand + 4, hand + 8]
        assert counts.min() > 150
    # Where the nearest is in the batch, the next one; where there is none, the hand itself.
    assert neighbours.indices(np.array([0, 2]), 0)[0] % 4 == 1
    assert neighbours.indices(np.array([3, 1]), 0)[0] == 3
