"""Means over seeds, and what may be said of two arms."""

import numpy as np
import pytest

from peclr_jax.experiments import seeds


def test_a_mean_has_students_interval():
    value, low, high = seeds.mean([1.0, 2.0, 3.0])
    assert value == 2.0
    # t(0.975, 2 degrees of freedom) = 4.302653, standard error 1 / sqrt(3)
    np.testing.assert_allclose([low, high], [2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5], 1e-6)


def test_one_seed_has_no_interval_and_equal_ones_have_a_point():
    assert seeds.mean([4.0]) == (4.0, None, None)
    assert seeds.mean([4.0, 4.0]) == (4.0, 4.0, 4.0)


def test_reductions_are_taken_seed_by_seed():
    compared = seeds.compare([1.0, 3.0], [2.0, 4.0])
    assert compared.reduction.value == pytest.approx((0.5 + 0.25) / 2)
    assert not compared.apart


def test_intervals_are_apart_for_better_and_for_worse():
    small, large = [1.0, 1.01, 0.99], [2.0, 2.02, 1.98]
    assert seeds.compare(small, large).apart
    assert seeds.compare(large, small).apart
    assert not seeds.compare(small, small).apart
    assert not seeds.compare([1.0], [2.0]).apart  # a single seed says nothing of others


def test_seeds_must_match():
    with pytest.raises(ValueError, match="shorter"):
        seeds.compare([1.0, 2.0], [1.0])
