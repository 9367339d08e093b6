"""Stores: sequences of examples that can be read in any order, in host memory or elsewhere."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from peclr_jax.devices.memory import free_host_memory
from peclr_jax.errors import OutOfMemoryError
from peclr_jax.input_pipeline.order import Identities, choose_fraction
from peclr_jax.input_pipeline.reporting import report

Batch = dict[str, np.ndarray]
"""Examples on the host, along the leading axis of each array."""
LARGEST_SHARE = 0.5
"""Part of the free memory that a cache may take: the model and its activations need the rest."""
IMAGES = ("image", "to_source")
"""What an example has that is no label."""
_LOAD_AT_ONCE = 256


@runtime_checkable
class Store(Protocol):
    """Examples of one or several data sets, which lie one after the other and have these sizes."""

    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.sizes)

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the examples of each array of rows."""
        ...


@runtime_checkable
class IdentifiedStore(Store, Protocol):
    """A store that knows what its examples show."""

    def identities(self) -> Identities:
        """Returns which hand each example shows, and in which version; may take a while."""
        ...

    def labels(self) -> Batch:
        """Returns what all examples have beside their images, if they have labels; likewise."""
        return {name: array for name, array in load(self).arrays.items() if name not in IMAGES}


class MemoryStore(Store):
    """Examples in host memory, along the leading axis of each array; by default of one data set."""

    def __init__(self, arrays: Batch, sizes: tuple[int, ...] | None = None):
        self.arrays = arrays
        self.sizes = sizes or (len(next(iter(arrays.values()))),)

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the examples of each array of rows."""
        for rows in indices:
            yield {name: array[rows] for name, array in self.arrays.items()}


class LazyStore(IdentifiedStore):
    """One data set in host memory, made when it is first read."""

    def __init__(self, make: Callable[[], MemoryStore], identities: Identities):
        self.sizes = (len(identities.sample_ids),)
        self.in_memory = functools.cache(make)
        self._identities = identities

    def identities(self) -> Identities:
        """Returns which hand each example shows, and in which version."""
        return self._identities

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the examples of each array of rows."""
        return self.in_memory().stream(indices)


class SubsetStore(IdentifiedStore):
    """Some examples of every data set: those that `choose` returns of one, given its number."""

    def __init__(
        self,
        store: IdentifiedStore,
        choose: Callable[[Identities, int], Int[np.ndarray, " kept"]],
    ):
        identities = store.identities()
        starts = np.cumsum([0, *store.sizes])
        parts = [
            start + choose(Identities(*(values[start:stop] for values in identities)), number)
            for number, (start, stop) in enumerate(itertools.pairwise(starts))
        ]
        self.sizes = tuple(len(part) for part in parts)
        self._store, self._rows = store, np.concatenate(parts)
        self._identities = Identities(*(values[self._rows] for values in identities))

    def identities(self) -> Identities:
        """Returns which hand each example shows, and in which version."""
        return self._identities

    def labels(self) -> Batch:
        """Returns what all examples have beside their images."""
        return {name: array[self._rows] for name, array in self._store.labels().items()}

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the examples of each array of rows."""
        return self._store.stream(self._rows[rows] for rows in indices)


def keep_fraction(store: IdentifiedStore, fraction: float, seed: int) -> IdentifiedStore:
    """Returns a fraction of a store; what it shows is only read for less than all of it.

    Args:
      store: All examples.
      fraction: Fraction of the hands of every data set, in (0, 1].
      seed: Seed of the choice.
    """
    if fraction == 1:
        return store
    return SubsetStore(
        store,
        lambda identities, number: choose_fraction(identities.sample_ids, fraction, seed, number),
    )


class Part(NamedTuple):
    """The records, or the rendered hands, of a spec, and the names of their data sets.

    Attributes:
      store, names: The examples to train on, and what they are called.
      held_out, held_out_names: The examples to monitor on, likewise.
      trained_on: Why these are trained on, too; "" if they are not.
      copies: Of which data sets further versions of a hand are the same image again.
    """

    store: IdentifiedStore
    held_out: Store | None
    names: tuple[str, ...]
    held_out_names: tuple[str, ...] = ()
    trained_on: str = ""
    copies: tuple[bool, ...] = ()

    def without_copies(self) -> "Part":
        """Returns the part with each image once, which contrastive losses need."""
        if not any(self.copies):
            return self

        def choose(identities: Identities, number: int) -> Int[np.ndarray, " kept"]:
            kept = (identities.versions == 0) | (not self.copies[number])
            return np.flatnonzero(kept)

        return self._replace(store=SubsetStore(self.store, choose))


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of a split for a single pass; the last batch may have fewer rows."""

    store: Store
    batch_size: int

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.store)

    def batches(self) -> Iterator[Batch]:
        """Yields all examples once, in the store's order, on the host."""
        count, size = self.num_examples, self.batch_size
        return self.store.stream(
            np.arange(start, min(start + size, count)) for start in range(0, count, size)
        )


def load(store: Store) -> MemoryStore:
    """Reads all of a store into host memory, if it is not there yet, showing progress."""
    if isinstance(store, MemoryStore):
        return store
    if isinstance(store, LazyStore):
        return store.in_memory()
    count = len(store)
    chunks = [
        np.arange(start, min(start + _LOAD_AT_ONCE, count))
        for start in range(0, count, _LOAD_AT_ONCE)
    ]
    arrays: Batch = {}
    loaded = report(store.stream(chunks), f"Decoding {count} images", len(chunks))
    for rows, batch in zip(chunks, loaded, strict=True):
        if not arrays:
            check_host_memory(count * sum(array[0].nbytes for array in batch.values()))
            arrays = {
                name: np.empty((count, *array.shape[1:]), array.dtype)
                for name, array in batch.items()
            }
        for name, array in batch.items():
            arrays[name][rows] = array
    return MemoryStore(arrays, store.sizes)


def join(stores: Sequence[MemoryStore]) -> MemoryStore:
    """Lays the data sets of several stores of the same fields one after the other."""
    check_host_memory(sum(array.nbytes for store in stores for array in store.arrays.values()))
    arrays = {
        name: np.concatenate([store.arrays[name] for store in stores]) for name in stores[0].arrays
    }
    return MemoryStore(arrays, tuple(size for store in stores for size in store.sizes))


def check_host_memory(needed: int) -> None:
    """Checks that a cache of so many bytes leaves room for everything else."""
    free = free_host_memory()
    if free is not None and needed > LARGEST_SHARE * free:
        raise OutOfMemoryError(
            f"holding the decoded images takes {as_gib(needed)}, but {as_gib(free)} of host memory "
            "are free, of which at most half is used: set --config.data.cache='none' (records "
            "alone), a smaller --config.data.source_size or, if hands are rendered, a smaller "
            "--config.data.rendered.count"
        )


def as_gib(count: int | float) -> str:
    """Returns a number of bytes for people."""
    return f"{count / 2**30:.2f} GiB"
