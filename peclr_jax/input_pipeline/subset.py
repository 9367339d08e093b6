"""A fraction of the labels: nested subsets of the hands of each data set (PeCLR, Sec. 4.5)."""

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int

from peclr_jax.input_pipeline.memory import Batch, Identities, Store
from peclr_jax.input_pipeline.order import permutation

# Keeps these draws apart from those of the order.
_SUBSET = 3


def choose(
    sample_ids: Int[np.ndarray, " examples"], fraction: float, seed: int, data_set: int = 0
) -> Int[np.ndarray, " kept"]:
    """Picks a fraction of the hands of a data set.

    The hands are permuted by the seed and the first of them kept, rounded up, so that a smaller
    fraction is a part of a larger one, and several training sizes can be compared.

    Args:
      sample_ids: which hand each example shows; examples of one hand stay together.
      fraction: in (0, 1].
      seed: non-negative.
      data_set: its number, so that two data sets do not keep the same places.

    Returns:
      The examples kept, in ascending order.
    """
    hands = np.unique(sample_ids)
    # Without the rounding, a tenth of 30 hands would be 4 of them.
    count = math.ceil(round(fraction * len(hands), 9))
    kept = hands[permutation(len(hands), seed, _SUBSET, data_set)[:count]]
    return np.flatnonzero(np.isin(sample_ids, kept))


class SubsetStore:
    """Some of the examples of a store.

    Args:
      store: all of them, of one or several data sets one after the other.
      identities: which hand of its data set each shows.
      fraction: in (0, 1], of the hands of every data set.
      seed: non-negative.
    """

    def __init__(
        self,
        store: Store,
        identities: Identities,
        fraction: float,
        seed: int,
    ):
        starts = np.cumsum([0, *store.sizes])
        parts = [
            start + choose(identities.sample_ids[start:stop], fraction, seed, number)
            for number, (start, stop) in enumerate(itertools.pairwise(starts))
        ]
        self.sizes: tuple[int, ...] = tuple(len(part) for part in parts)
        self._store, self._rows = store, np.concatenate(parts)
        self._identities = identities.take(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def identities(self) -> Identities:
        """Which hand each example shows, and in which version."""
        return self._identities

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the examples of each array of indices."""
        return self._store.stream(self._rows[rows] for rows in indices)
