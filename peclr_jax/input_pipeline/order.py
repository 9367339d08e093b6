"""Which examples make up the batch of a step: a pure function of sizes, seed and step.

No shuffle buffer and no state: a run resumed at step k asks for batch k and gets it at once, and
every process can compute the whole batch and keep its own rows.

An epoch of a data set is `size // slots` steps, `slots` being its share of a batch, rounded up.
Each epoch has its own permutation; what is left over at its end is not seen in that epoch (another
handful each time). So a batch never holds the same image twice, which the contrastive loss would
take for a negative pair.
"""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float, Int, UInt64

from peclr_jax.errors import UserError

# Keep the draws for different uses apart.
_PERMUTE, _SHARE, _ROWS = range(3)


@functools.lru_cache(maxsize=64)
def permutation(size: int, *entropy: int) -> Int[np.ndarray, " size"]:
    """Returns a uniformly random permutation of `range(size)`, read-only.

    Sorts raw Philox bits, which are the same in every version of NumPy and on every machine;
    NumPy's own `permutation` does not promise that.

    Args:
      size: how many numbers to permute.
      *entropy: non-negative numbers that name the permutation.
    """
    result = np.argsort(random_bits(size, *entropy), kind="stable")
    result.setflags(write=False)
    return result


def random_bits(count: int, *entropy: int) -> UInt64[np.ndarray, " count"]:
    """Returns raw Philox bits, uniform on the 64-bit integers.

    Args:
      count: how many numbers to draw.
      *entropy: non-negative numbers that name the draw.
    """
    return np.random.Philox(np.random.SeedSequence(entropy)).random_raw(count)


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of one or several data sets, stored one after the other.

    Several data sets are mixed within every batch, with shares that are exact in expectation
    whatever the batch size (systematic sampling: each count is its expectation rounded up or down).
    The paper (Sec. 8) mixes in equal shares, whatever the data sets' sizes.

    Attributes:
      sizes: number of examples of each data set.
      batch_size: rows of a batch, over all processes.
      seed: non-negative.
      weights: relative shares of the data sets; empty for equal shares.
      names: for the messages only.
    """

    sizes: tuple[int, ...]
    batch_size: int
    seed: int
    weights: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"the seed must not be negative, got {self.seed}")
        if self.weights and (
            len(self.weights) != len(self.sizes)
            or not all(weight > 0 and math.isfinite(weight) for weight in self.weights)
        ):
            raise UserError(
                f"{len(self.sizes)} data sets need as many positive weights, got {self.weights}; "
                "leave them empty for equal shares"
            )

    def check(self) -> None:
        """Checks that every data set has enough images for its share of one batch.

        Raises:
          UserError: with the numbers and the largest batch that can be made.
        """
        names = self.names or tuple(f"data set {i}" for i in range(len(self.sizes)))
        for name, size, slots in zip(names, self.sizes, self._slots, strict=True):
            if size < slots:
                raise UserError(
                    f"{name} has {size} images, but each batch of {self.batch_size} takes {slots} "
                    f"different ones of it: choose a batch size of at most "
                    f"{self.batch_size * size // slots}, or provide more images"
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
        """Returns the examples of one batch, as indices into the concatenated data sets.

        Raises:
          UserError: as `check`.
        """
        self.check()
        offset = random_bits(1, self.seed, _SHARE, step)[0] / 2.0**64
        counts = np.diff(np.floor(self._edges + min(offset, 1 - 2.0**-30))).astype(int)
        parts, start = [], 0
        for number, (size, slots) in enumerate(zip(self.sizes, self._slots, strict=True)):
            epoch, slot = divmod(step, size // slots)
            order = permutation(size, self.seed, _PERMUTE, number, epoch)
            parts.append(start + order[slot * slots :][: counts[number]])
            start += size
        batch = np.concatenate(parts)
        if len(parts) > 1:  # so that every process and micro-batch gets of every data set
            drawn = random_bits(len(batch), self.seed, _ROWS, step)
            batch = batch[np.argsort(drawn, kind="stable")]
        return batch


def process_rows(batch_size: int, process_index: int, process_count: int) -> slice:
    """Returns the rows of the global batch that one process provides.

    Raises:
      UserError: the batch does not divide evenly among the processes.
    """
    if batch_size % process_count:
        raise UserError(
            f"a batch of {batch_size} does not divide among {process_count} processes: "
            "choose a multiple"
        )
    rows = batch_size // process_count
    return slice(process_index * rows, (process_index + 1) * rows)
