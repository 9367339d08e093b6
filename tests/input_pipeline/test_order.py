"""Which examples a batch holds: whole epochs, no repeats, shares as asked, no memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.input_pipeline.order import Order, permutation, process_rows


@given(size=st.integers(1, 300), seed=st.integers(0, 2**40), epoch=st.integers(0, 2**40))
def test_permutation_is_one(size, seed, epoch):
    order = permutation(size, seed, epoch)
    np.testing.assert_array_equal(np.sort(order), np.arange(size))
    np.testing.assert_array_equal(order, permutation(size, seed, epoch))


def test_permutation_is_uniform():
    counts = np.zeros((4, 4))
    for epoch in range(2000):
        counts[np.arange(4), permutation(4, 0, epoch)] += 1
    assert abs(counts / 2000 - 0.25).max() < 0.05


def test_permutation_is_the_same_everywhere():
    """Fixed numbers: a resume on another machine or NumPy must see the same order."""
    assert permutation(10, 1, 2, 3).tolist() == [1, 8, 2, 4, 6, 5, 0, 9, 7, 3]


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


def test_a_far_step_needs_none_before_it():
    np.testing.assert_array_equal(
        Order((1000,), 64, 3).indices(10**12), Order((1000,), 64, 3).indices(10**12)
    )


@given(
    sizes=st.lists(st.integers(40, 90), min_size=2, max_size=4),
    batch=st.integers(2, 37),
    step=st.integers(0, 10**6),
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


def test_the_papers_mixture_of_unequal_sets_is_even():
    """1,000 against 30,000 images over 20,000 draws; a resume needs nothing of what was before."""
    order = Order((1000, 30_000), 25, seed=3)
    batches = [order.indices(step) for step in range(800)]
    drawn = np.concatenate(batches)
    assert len(drawn) == 20_000
    assert abs((drawn < 1000).mean() - 0.5) < 0.01
    again = Order((1000, 30_000), 25, seed=3)
    for step in (799, 13, 400):
        np.testing.assert_array_equal(again.indices(step), batches[step])


def test_a_small_set_in_a_mixture_is_still_seen_evenly():
    order = Order((1000, 30), 20, seed=0)
    drawn = np.concatenate([order.indices(step) for step in range(300)])
    counts = np.bincount(drawn[drawn >= 1000] - 1000, minlength=30)
    np.testing.assert_array_equal(counts, 100)


def test_processes_share_a_batch_without_gap_or_overlap():
    order = Order((100, 60), 24, seed=1)
    whole = order.indices(7)
    for count in (1, 2, 3, 8):
        parts = [whole[process_rows(24, index, count)] for index in range(count)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    with pytest.raises(ValueError, match="24 does not divide among 5 processes"):
        process_rows(24, 0, 5)


def test_too_few_images_for_a_batch():
    with pytest.raises(
        ValueError, match=r"hands has 30 images, .* takes 32 .* batch size of at most 60"
    ):
        Order((1000, 30), 64, seed=0, names=("many", "hands")).check()
    Order((1000, 30), 60, seed=0).check()


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, float("nan"))])
def test_impossible_weights(weights):
    with pytest.raises(ValueError, match="2 data sets need as many positive weights"):
        Order((10, 10), 4, seed=0, weights=weights)


def test_the_order_is_the_recorded_one(recorded_draws):
    order = Order((100, 37, 64), 16, 7, (1.0, 2.0, 1.0))
    assert [order.indices(step).tolist() for step in (0, 1, 5, 1000)] == recorded_draws["order"]
