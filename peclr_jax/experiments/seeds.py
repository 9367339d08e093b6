"""Statistics over seeds: means with their intervals, and comparisons of two arms."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from peclr_jax.hands.scores import CONFIDENCE, Interval


class Comparison(NamedTuple):
    """By how much one arm errs less than another, seed by seed.

    Attributes:
      reduction: Mean of 1 - error / error of the other arm over the seeds, and its interval.
      apart: Whether the two arms' own intervals are apart; False with a single seed.
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
    """Compares the errors of two arms, one a seed, of the same seeds in the same order."""
    reduction = mean([1 - error / other for error, other in zip(errors, others, strict=True)])
    own, other = mean(errors), mean(others)
    if own.low is None or own.high is None or other.low is None or other.high is None:
        return Comparison(reduction, apart=False)
    return Comparison(reduction, own.high < other.low or other.high < own.low)
