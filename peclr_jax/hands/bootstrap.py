"""Bootstrap intervals of the mean error and of the AUC (Efron 1979).

Data sets of as many unique samples are drawn with replacement. The images of one sample (the same
hand before other backgrounds) are drawn together, since they are no independent evidence. NumPy and
float64 throughout; errors are in the unit of the thresholds.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

CONFIDENCE = 0.95
"""Share of the resampled data sets whose value lies within an interval."""

# Draws in one chunk of resamples, which bounds the memory to tens of megabytes.
_DRAWS_AT_ONCE = 2_000_000


class Interval(NamedTuple):
    """A value and its bootstrap interval, whose ends are `None` where there is one sample only."""

    value: float
    low: float | None
    high: float | None


def resample(
    errors: Float[np.ndarray, "hands 21"],
    valid: Bool[np.ndarray, "hands 21"],
    sample: Int[np.ndarray, " hands"],
    thresholds: Float[np.ndarray, " thresholds"],
    resamples: int,
    seed: int,
) -> Float[np.ndarray, "resamples 2"]:
    """Returns mean error and AUC of each resampled data set; none of a single sample.

    Args:
      errors: Errors of every joint.
      valid: Which of them count.
      sample: Number of the sample that each hand belongs to, from 0.
      thresholds: Thresholds of the PCK curve, ascending.
      resamples: Number of data sets to draw.
      seed: Seed of the draws.
    """
    number = sample.max() + 1
    if number < 2:
        return np.empty((0, 2))

    def by_sample(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((number, values.shape[1]))
        np.add.at(sums, sample, np.where(valid, values, 0.0))
        return sums

    credit = auc_credit(errors, thresholds)
    total_error = by_sample(errors).sum(1, keepdims=True)
    table = np.concatenate([total_error, by_sample(credit), by_sample(valid)], axis=1)
    generator = np.random.default_rng(seed)
    results = [np.empty((0, 2))]
    most = max(_DRAWS_AT_ONCE // number, 1)
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        drawn = generator.integers(number, size=(rows, number))
        drawn += np.arange(rows)[:, None] * number
        times = np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number)
        total = times.astype(np.float64) @ table
        error, credits, counts = total[:, 0], total[:, 1:22], total[:, 22:]
        mean = error / counts.sum(1)
        area = (credits / np.maximum(counts, 1)).sum(1) / (counts > 0).sum(1)
        results.append(np.stack([mean, area], axis=1))
    return np.concatenate(results)


def interval(value: float, draws: Float[np.ndarray, " resamples"]) -> Interval:
    """Returns a value with the percentile interval of its resamples, if there are any."""
    if not len(draws):
        return Interval(value, None, None)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def auc_credit(
    errors: Float[np.ndarray, "hands 21"], thresholds: Float[np.ndarray, " thresholds"]
) -> Float[np.ndarray, "hands 21"]:
    """Returns what each joint adds to the area under the PCK curve.

    The area is linear in the joints: the mean credit of a joint is its AUC, so that resamples need
    no curve of their own.
    """
    steps = np.diff(thresholds)
    weights = (np.append(steps, 0) + np.append(0, steps)) / 2 / steps.sum()
    at_least = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    return at_least[np.searchsorted(thresholds, errors, side="left")]
