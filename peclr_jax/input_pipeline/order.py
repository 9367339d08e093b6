"""Which examples a batch holds: a pure function of data, seed and step.

No shuffle buffer and no state: a run resumed at step k asks for batch k and gets it at once, and
every process can compute the whole batch and keep its own rows. Of more than a million examples
nothing is held: a place in their order is computed on its own.

An epoch of a data set is `size // slots` steps, `slots` being its share of a batch, rounded up.
Each epoch has its own permutation, whose rest is not seen. So a batch never holds an image twice,
which the contrastive loss would take for a negative pair.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt64

from peclr_jax.errors import UserError

# Keep the draws for different uses apart.
_PERMUTE, _SHARE, _ROWS, _SUBSET, _PARTNER, _VERSION = range(6)
# The largest data set whose permutation is held, in 8 MiB, as it was for all in earlier versions.
_HELD_AT_MOST = 2**20
_ROUNDS = 8


@functools.lru_cache(maxsize=16)
def permutation(size: int, *entropy: int) -> Int[np.ndarray, " size"]:
    """Returns a uniformly random permutation of `range(size)`, read-only, named by numbers >= 0.

    Sorts raw Philox bits, which are the same in every version of NumPy and on every machine;
    NumPy's own `permutation` does not promise that.
    """
    result = np.argsort(random_bits(size, *entropy), kind="stable")
    result.setflags(write=False)
    return result


def shuffled(places: Int[np.ndarray, " n"], size: int, *entropy: int) -> Int[np.ndarray, " n"]:
    """Returns what stands at some places of a permutation of `range(size)`, named by numbers >= 0.

    Takes time and memory of the places alone: a Feistel network over pairs of digits, each of whose
    rounds adds a keyed hash of one digit to the other. A round can be undone, so that no two places
    share a result. There are slightly more pairs than places; what is no place is permuted again
    until it is one (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).

    Args:
      places: In `range(size)`.
      size: At most 2^62.
      *entropy: Names the permutation.
    """
    keys = random_bits(_ROUNDS, *entropy)
    base = np.uint64(math.isqrt(size - 1) + 1)
    result = places.astype(np.uint64)
    beyond = np.ones(result.shape, bool)
    while beyond.any():
        left, right = np.divmod(result[beyond], base)
        for key in keys:
            left, right = right, (left + _hash(right ^ key) % base) % base
        result[beyond] = left * base + right
        beyond = result >= size
    return result.astype(np.int64)


def _hash(values: UInt64[np.ndarray, " values"]) -> UInt64[np.ndarray, " values"]:
    """Mixes the bits of 64-bit integers, modulo 2^64 (the finalizer of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def random_bits(count: int, *entropy: int) -> UInt64[np.ndarray, " count"]:
    """Returns raw Philox bits, uniform on the 64-bit integers, of a draw named by numbers >= 0."""
    return np.random.Philox(np.random.SeedSequence(entropy)).random_raw(count)


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of one or several data sets that lie one after the other.

    Several are mixed within every batch, in equal shares by default (Sec. 8), which are exact in
    expectation (systematic sampling: each count is its expectation rounded up or down).

    Attributes:
      sizes, names: Number of examples of each data set, and its name, for messages.
      batch_size: Rows of a batch, over all processes.
      weights: Relative shares of the data sets; empty for equal shares.
    """

    sizes: tuple[int, ...]
    batch_size: int
    seed: int
    weights: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"the seed must be zero or more, got {self.seed}")

    @property
    def fits(self) -> bool:
        """Whether every data set has enough images for its share of one batch."""
        return all(size >= slots for size, slots in zip(self.sizes, self._slots, strict=True))

    def check(self) -> None:
        """Checks that every data set has enough images for its share of one batch."""
        names = self.names or tuple(f"data set {i}" for i in range(len(self.sizes)))
        for name, size, slots in zip(names, self.sizes, self._slots, strict=True):
            if size < slots:
                raise UserError(
                    f"{name} has {size} images, but each batch of {self.batch_size} takes {slots} "
                    f"different ones of it: choose a --config.batch_size of "
                    f"at most {self.batch_size * size // slots}, or provide more images"
                )

    @functools.cached_property
    def _edges(self) -> Float[np.ndarray, " bounds"]:
        """Expected number of rows taken by the data sets before each."""
        weights = np.asarray(self.weights or (1.0,) * len(self.sizes))
        cumulative = np.concatenate([[0.0], np.cumsum(weights / weights.sum())])
        cumulative[-1] = 1.0
        # Without the rounding, 64 * (0.1 + 0.2) would exceed 64 * 0.3.
        return np.round(self.batch_size * cumulative, 9)

    @functools.cached_property
    def _slots(self) -> tuple[int, ...]:
        return tuple(int(n) for n in np.ceil(np.round(np.diff(self._edges), 9)))

    @property
    def num_examples(self) -> int:
        """Number of examples of all data sets together."""
        return sum(self.sizes)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many examples are drawn as there are, rounded down."""
        return self.num_examples // self.batch_size

    def indices(self, step: int) -> Int[np.ndarray, " batch"]:
        """Returns the examples of one step's batch, as indices into the concatenated data sets."""
        self.check()
        offset = random_bits(1, self.seed, _SHARE, step)[0] / 2.0**64
        counts = np.diff(np.floor(self._edges + min(offset, 1 - 2.0**-30))).astype(int)
        parts, start = [], 0
        for number, (size, slots) in enumerate(zip(self.sizes, self._slots, strict=True)):
            epoch, slot = divmod(step, size // slots)
            places = slot * slots + np.arange(counts[number])
            entropy = self.seed, _PERMUTE, number, epoch
            if size <= _HELD_AT_MOST:
                parts.append(start + permutation(size, *entropy)[places])
            else:
                parts.append(start + shuffled(places, size, *entropy))
            start += size
        batch = np.concatenate(parts)
        if len(parts) > 1:  # so that every process and micro-batch gets of every data set
            drawn = random_bits(len(batch), self.seed, _ROWS, step)
            batch = batch[np.argsort(drawn, kind="stable")]
        return batch


class Identities(NamedTuple):
    """Which hand (its number in its data set) each example shows, and in which version."""

    sample_ids: Int[np.ndarray, " examples"]
    versions: Int[np.ndarray, " examples"]


def choose_fraction(
    sample_ids: Int[np.ndarray, " examples"], fraction: float, seed: int, data_set: int = 0
) -> Int[np.ndarray, " kept"]:
    """Chooses a fraction of the hands of a data set (PeCLR, Sec. 4.5): rows in ascending order.

    The hands are permuted by the seed and the first of them kept, rounded up, so that a smaller
    fraction is a part of a larger one, and several training sizes can be compared.

    Args:
      sample_ids: Which hand each example shows; examples of one hand stay together.
      fraction: Fraction of the hands, in (0, 1].
      seed: Non-negative.
      data_set: Number of the data set, so that two data sets do not keep the same places.
    """
    hands = np.unique(sample_ids)
    # Without the rounding, a tenth of 30 hands would be 4 of them.
    count = math.ceil(round(fraction * len(hands), 9))
    kept = hands[permutation(len(hands), seed, _SUBSET, data_set)[:count]]
    return np.flatnonzero(np.isin(sample_ids, kept))


class Partners:
    """Picks another version of the same hand, uniformly and as a pure function of seed and step.

    FreiHAND has every hand before four backgrounds. Two views of one image share its background,
    which tells that they belong together; two views of different versions do not. A hand of a
    single version is its own partner; so are hands of one photo, which share its number.

    Args:
      identities: Which hand each example shows, and in which version.
      sizes: Number of examples of each data set, within which numbers of hands are unique.
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
        """Returns the partners of the examples of one step's batch, over all processes."""
        start, size = self._hand_start[examples], self._hand_size[examples]
        own_start, own_size = self._version_start[examples], self._version_size[examples]
        others = size - own_size
        bits = random_bits(len(examples), self._seed, _PARTNER, step)
        drawn = (bits % np.maximum(others, 1).astype(np.uint64)).astype(np.int64)
        # Counted on from the end of its own version, around the versions of the hand.
        partners = self._sorted[start + (own_start - start + own_size + drawn) % size]
        return np.where(others > 0, partners, examples)


class Neighbours:
    """Picks another hand in a similar pose (SiMHand, ICLR 2025), in one of its versions.

    It is the most similar one that no other pair of the batch shows, in a version drawn by seed and
    step; a hand whose neighbours are all taken, or that has none, is its own partner.

    Args:
      shown: Which hand each example shows.
      neighbours: Of each hand, other hands, the most similar first; -1 for none.
    """

    def __init__(self, shown: "Shown", neighbours: Int[np.ndarray, "hands count"], seed: int):
        self._hands, self._photos = shown.hands, shown.photos[shown.first]
        self._neighbours, self._seed = neighbours, seed
        self._versions = np.argsort(self._hands, kind="stable")
        self._sizes = np.bincount(self._hands)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def indices(self, examples: Int[np.ndarray, " batch"], step: int) -> Int[np.ndarray, " batch"]:
        """Returns the partners of the examples of one step's batch, over all processes."""
        hands = self._hands[examples]
        taken = set(self._photos[hands].tolist())
        drawn = random_bits(len(examples), self._seed, _VERSION, step)
        partners = examples.copy()
        for place, neighbours in enumerate(self._neighbours[hands].tolist()):
            free = (n for n in neighbours if n >= 0 and self._photos[n] not in taken)
            if (neighbour := next(free, None)) is not None:
                taken.add(self._photos[neighbour])
                version = int(drawn[place]) % int(self._sizes[neighbour])
                partners[place] = self._versions[self._starts[neighbour] + version]
        return partners


Pairing = Partners | Neighbours
"""What the second view of each example's pair is of."""


class Shown(NamedTuple):
    """Photo and hand of each example, numbered over all data sets; each hand's first example."""

    photos: Int[np.ndarray, " examples"]
    hands: Int[np.ndarray, " examples"]
    first: Int[np.ndarray, " hands"]


def tell_apart(identities: Identities, sizes: tuple[int, ...]) -> Shown:
    """Numbers photos and hands: versions of a hand are one photo, and several hands may be on one.

    Args:
      identities: Which hand, or photo, each example shows, and in which version.
      sizes: Number of examples of each data set, within which numbers of hands are unique.
    """
    photos = _number(np.repeat(np.arange(len(sizes)), sizes), identities.sample_ids)
    versions = _number(photos, identities.versions)
    # Hands of one photo share its number and its version, so each is one for itself.
    several = np.bincount(photos, np.bincount(versions)[versions] > 1) > 0
    hands = _number(photos, np.where(several[photos], np.arange(len(photos)), 0))
    return Shown(photos, hands, np.unique(hands, return_index=True)[1])


def _number(*keys: Int[np.ndarray, " examples"]) -> Int[np.ndarray, " examples"]:
    return np.unique(np.stack(keys), axis=1, return_inverse=True)[1].reshape(-1)


def _runs(keys: Int[np.ndarray, "names examples"]) -> tuple[np.ndarray, np.ndarray]:
    """Returns start and length of the run of equal columns that each column lies in."""
    begins = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(0))
    starts = np.flatnonzero(begins)
    sizes = np.diff(starts, append=keys.shape[1])
    return np.repeat(starts, sizes), np.repeat(sizes, sizes)
