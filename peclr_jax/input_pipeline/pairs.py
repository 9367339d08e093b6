"""Which other version of its hand is shown beside each image of a batch.

FreiHAND has every hand before four backgrounds. Two views of one image share its background, which
tells that they belong together without a look at the hand; two views of different versions do not.
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from peclr_jax.input_pipeline.memory import Batch, Identities
from peclr_jax.input_pipeline.order import random_bits

Value = TypeVar("Value")

# Keeps these draws apart from those of the order and of the subset.
_PARTNER = 4
# What a batch holds of the partners, by the names that it has of the images themselves.
_OF_PARTNERS = {"image": "partner", "to_source": "partner_to_source"}


class Partners:
    """Picks another version of the same hand, uniformly and as a pure function of seed and step.

    A hand of which there is but one version is its own partner. So are the hands that share a
    photo: they have its number in common, but no two versions.

    Args:
      identities: which hand each example shows, and in which version.
      sizes: number of examples of each data set; numbers of hands mean something within one alone.
      seed: non-negative.
    """

    def __init__(self, identities: Identities, sizes: tuple[int, ...], seed: int):
        data_set = np.repeat(np.arange(len(sizes)), sizes)
        # Examples of a hand side by side, and within it those of a version.
        self._sorted = np.lexsort((identities.versions, identities.sample_ids, data_set))
        keys = np.stack([data_set, identities.sample_ids, identities.versions])[:, self._sorted]
        hands, versions = _runs(keys[:2]), _runs(keys)
        place = np.argsort(self._sorted)
        self._hand_start, self._hand_size = (values[place] for values in hands)
        self._version_start, self._version_size = (values[place] for values in versions)
        self._seed = seed

    @property
    def exist(self) -> bool:
        """Whether any hand has more than one version."""
        return bool((self._hand_size > self._version_size).any())

    def indices(self, examples: Int[np.ndarray, " batch"], step: int) -> Int[np.ndarray, " batch"]:
        """Returns the partners of one batch.

        Args:
          examples: the whole batch, over all processes.
          step: of the run.
        """
        start, size = self._hand_start[examples], self._hand_size[examples]
        own_start, own_size = self._version_start[examples], self._version_size[examples]
        others = size - own_size
        bits = random_bits(len(examples), self._seed, _PARTNER, step)
        drawn = (bits % np.maximum(others, 1).astype(np.uint64)).astype(np.int64)
        # Counted on from the end of its own version, around the versions of the hand.
        partners = self._sorted[start + (own_start - start + own_size + drawn) % size]
        return np.where(others > 0, partners, examples)


def _runs(
    keys: Int[np.ndarray, "names examples"],
) -> tuple[Int[np.ndarray, " examples"], Int[np.ndarray, " examples"]]:
    """Returns start and length of the run of equal columns that each column lies in."""
    begins = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(0))
    starts = np.flatnonzero(begins)
    sizes = np.diff(np.append(starts, keys.shape[1]))
    return np.repeat(starts, sizes), np.repeat(sizes, sizes)


def as_partners(batch: Mapping[str, Value]) -> dict[str, Value]:
    """Names what the second view needs of the partners as it is called beside the images."""
    return {name: batch[own] for own, name in _OF_PARTNERS.items() if own in batch}


def split_pairs(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Lays the second half of each batch, the partners, beside the first."""
    for batch in batches:
        count = len(batch["image"]) // 2
        images = {name: array[:count] for name, array in batch.items()}
        yield images | as_partners({name: array[count:] for name, array in batch.items()})
