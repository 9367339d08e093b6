"""What a few seeds say of an experiment: means and their intervals, and how two arms compare."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from peclr_jax.errors import UserError
from peclr_jax.hands.scores import CONFIDENCE, Interval


class Comparison(NamedTuple):
    """By how much one arm errs less than another, seed by seed.

    Attributes:
      reduction: 1 - error / error of the other arm, mean over the seeds and its interval.
      apart: whether the intervals of the two arms' own means do not overlap, the arm's being the
        lower one; False with a single seed, which has none.
    """

    reduction: Interval
    apart: bool


def mean(values: Sequence[float]) -> Interval:
    """Returns the mean and its interval by Student's t; a single value has no interval."""
    center = float(np.mean(values))
    if len(values) < 2:
        return Interval(center, None, None)
    error = float(scipy.stats.sem(values))
    if error == 0:  # for which SciPy's interval is NaN
        return Interval(center, center, center)
    low, high = scipy.stats.t.interval(CONFIDENCE, len(values) - 1, center, error)
    return Interval(center, float(low), float(high))


def compare(errors: Sequence[float], others: Sequence[float]) -> Comparison:
    """Compares two arms by an error that should be small.

    Args:
      errors: of the arm, one a seed.
      others: of the arm that it is compared with, of the same seeds in the same order.

    Raises:
      UserError: not the same number of seeds.
    """
    if len(errors) != len(others):
        raise UserError(f"{len(errors)} seeds cannot be compared with {len(others)}")
    reduction = mean((1 - np.asarray(errors) / np.asarray(others)).tolist())
    high, low = mean(errors).high, mean(others).low
    return Comparison(reduction, high is not None and low is not None and high < low)
