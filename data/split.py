"""Which samples of a data set without an official validation set are held out."""

import collections
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

_VALIDATION_SHARE = 0.1
_VALIDATION_SEED = 5


def validation_samples(num_samples: int) -> Int[np.ndarray, " held_out"]:
    """Returns the tenth of the samples that is held out, as in Sec. 4.4, in ascending order.

    Samples are drawn, not images, so that all images of one fall on the same side, as in the
    official code; which ones the paper held out is not known. A tenth is rounded to the nearest
    whole number, but to at least one of two or more samples; a single sample is trained on and
    nothing is held out.
    """
    if num_samples < 2:
        return np.empty(0, np.int64)
    count = max(1, round(num_samples * _VALIDATION_SHARE))
    # Raw Philox bits are the same in every version of NumPy; its permutations need not be.
    draws = np.random.Philox(np.random.SeedSequence(_VALIDATION_SEED)).random_raw(num_samples)
    return np.sort(np.argsort(draws, kind="stable")[:count])


def whole_group(groups: Sequence[str]) -> Bool[np.ndarray, " samples"]:
    """Returns which samples are held out: those of the group whose share is nearest to a tenth.

    Of groups of one size it is the first by name; a single group is trained on.

    Args:
      groups: Of each sample, such as the film that it is a frame of.
    """
    counts = collections.Counter(groups)
    if len(counts) < 2:
        return np.zeros(len(groups), bool)
    wanted = _VALIDATION_SHARE * len(groups)
    chosen = min(sorted(counts), key=lambda group: abs(counts[group] - wanted))
    return np.array([group == chosen for group in groups])
