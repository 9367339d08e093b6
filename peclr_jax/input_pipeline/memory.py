"""Data sets held decoded in memory, the host's or the devices'."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int

from peclr_jax.devices.memory import free_device_memory
from peclr_jax.devices.mesh import DATA_AXIS, data_sharding, replicated
from peclr_jax.errors import OutOfMemoryError
from peclr_jax.input_pipeline.reporting import report

Batch = dict[str, np.ndarray]

_LOAD_AT_ONCE = 256
# Part of the free memory a cache may take: the model and its activations need the rest.
_SHARE_OF_FREE = 0.5


@runtime_checkable
class Store(Protocol):
    """A sequence of examples that can be read in any order."""

    sizes: tuple[int, ...]

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the examples of each array of indices."""
        ...


class Identities(NamedTuple):
    """What the examples of a store show.

    Attributes:
      sample_ids: the hand, by its number within its data set.
      versions: which of the images of that hand.
    """

    sample_ids: Int[np.ndarray, " examples"]
    versions: Int[np.ndarray, " examples"]

    def take(self, rows: Int[np.ndarray, " rows"]) -> "Identities":
        """Returns those of some examples."""
        return Identities(self.sample_ids[rows], self.versions[rows])


class IdentifiedStore(Store, Protocol):
    """A store that knows what its examples show."""

    def identities(self) -> Identities:
        """Which hand each example shows, and in which version; may take a while."""
        ...


class MemoryStore:
    """Examples in host memory.

    Args:
      arrays: the examples along the leading axis of each array.
      sizes: number of examples of each data set, which lie one after the other.
    """

    def __init__(self, arrays: Batch, sizes: tuple[int, ...] | None = None):
        self.arrays = arrays
        self.sizes = sizes or (len(next(iter(arrays.values()))),)

    def __len__(self) -> int:
        return sum(self.sizes)

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the examples of each array of indices."""
        for rows in indices:
            yield {name: array[rows] for name, array in self.arrays.items()}


def load(store: Store) -> MemoryStore:
    """Reads all of a store into host memory, showing progress.

    Raises:
      OutOfMemoryError: it would take more than half of the memory that is free.
    """
    count = len(store)
    chunks = [
        np.arange(start, min(start + _LOAD_AT_ONCE, count))
        for start in range(0, count, _LOAD_AT_ONCE)
    ]
    arrays: Batch = {}
    loaded = report(store.stream(chunks), f"Decoding {count} images", len(chunks))
    for rows, batch in zip(chunks, loaded, strict=True):
        if not arrays:
            check_host_memory(count * _example_bytes(batch))
            arrays = {
                name: np.empty((count, *array.shape[1:]), array.dtype)
                for name, array in batch.items()
            }
        for name, array in batch.items():
            arrays[name][rows] = array
    return MemoryStore(arrays, store.sizes)


def join(stores: Sequence[MemoryStore]) -> MemoryStore:
    """Lays the data sets of several stores one after the other.

    Args:
      stores: of examples with the same fields.

    Raises:
      OutOfMemoryError: the copy would take more than half of the memory that is free.
    """
    check_host_memory(sum(array.nbytes for store in stores for array in store.arrays.values()))
    arrays = {
        name: np.concatenate([store.arrays[name] for store in stores]) for name in stores[0].arrays
    }
    return MemoryStore(arrays, tuple(size for store in stores for size in store.sizes))


def _example_bytes(batch: Batch) -> int:
    return sum(array[0].nbytes for array in batch.values())


def check_host_memory(needed: int) -> None:
    """Checks that a cache leaves room for everything else.

    Raises:
      OutOfMemoryError: with the numbers and what to do instead.
    """
    free = _free_host_memory()
    if free is not None and needed > _SHARE_OF_FREE * free:
        raise OutOfMemoryError(
            f"holding the decoded images takes {_gib(needed)}, but {_gib(free)} of host memory are "
            "free, of which at most half is used: set --config.data.cache='none' (records alone), "
            "a smaller --config.data.source_size or, if hands are rendered, a smaller "
            "--config.data.rendered.count"
        )


def _free_host_memory() -> int | None:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not told on this system
        return None


def _gib(count: int | float) -> str:
    return f"{count / 2**30:.2f} GiB"


def choose_placement(needed: int, mesh: Mesh, free: int | None = None) -> str:
    """Decides how to lay a cache out over the devices.

    Args:
      needed: bytes of the whole cache.
      mesh: the devices.
      free: bytes free on each device; asked of the device by default.

    Returns:
      "replicated", a copy per device, whenever that fits; else "sharded", a part per device, at the
      price of one exchange between the devices for every batch.

    Raises:
      OutOfMemoryError: not even a part fits; with the numbers and what to do instead.
    """
    free = _agree(_free_device_memory(mesh)) if free is None else free
    if free is None or needed <= _SHARE_OF_FREE * free:
        return "replicated"
    if needed <= _SHARE_OF_FREE * free * mesh.size:
        return "sharded"
    raise OutOfMemoryError(
        f"holding the decoded images on the device takes {_gib(needed)}, or "
        f"{_gib(needed / mesh.size)} on each of {mesh.size}, where {_gib(free)} are free, of which "
        "at most half is used: set --config.data.cache='host' or 'none', or a smaller "
        "--config.data.source_size"
    )


def _free_device_memory(mesh: Mesh) -> int | None:
    device = mesh.local_devices[0]
    if device.platform == "cpu":  # devices of one host share its memory
        host = _free_host_memory()
        return None if host is None else host // len(mesh.local_devices)
    return free_device_memory(device)


def _agree(free: int | None) -> int | None:
    """The least that any process has free: all of them must come to the same decision."""
    if jax.process_count() == 1:
        return free
    mebibytes = np.int32(-1 if free is None else free // 2**20)
    least = int(np.min(multihost_utils.process_allgather(mebibytes)))
    return None if least < 0 else least * 2**20


class DeviceCache:
    """Examples in device memory; batches are gathered there, only their indices cross the bus.

    Args:
      arrays: all examples, the same on every process.
      mesh: the devices.
      placement: "replicated" or "sharded"; chosen by size by default.

    Raises:
      OutOfMemoryError: they do not fit.
    """

    def __init__(self, arrays: Batch, mesh: Mesh, placement: str | None = None):
        needed = sum(array.nbytes for array in arrays.values())
        placement = placement or choose_placement(needed, mesh)
        logging.info("Caching %s on the device, %s", _gib(needed), placement)
        if placement == "sharded":
            sharding, gather = data_sharding(mesh), _gather_sharded(mesh)
            # Parts must be equal; the indices never reach the padding.
            arrays = {name: _pad(array, mesh.size) for name, array in arrays.items()}
        else:
            sharding, gather = replicated(mesh), _gather_replicated(mesh)

        def place(array: np.ndarray) -> Array:
            return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at])

        self._arrays = {name: place(array) for name, array in arrays.items()}
        self._gather = gather
        self._replicated = replicated(mesh)

    def take(self, indices: Int[np.ndarray, " batch"]) -> dict[str, Array]:
        """Returns the examples at the indices (of the global batch), split over the devices."""
        rows = indices.astype(np.int32)
        return self._gather(
            self._arrays,
            jax.make_array_from_callback(rows.shape, self._replicated, lambda at: rows[at]),
        )


def _pad(array: np.ndarray, multiple: int) -> np.ndarray:
    missing = -len(array) % multiple
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


def _gather_replicated(mesh: Mesh) -> Callable[..., Any]:
    """Every device takes its rows of the batch from its own copy."""

    @jax.jit
    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec()),
        out_specs=PartitionSpec(DATA_AXIS),
    )
    def gather(arrays: dict[str, Array], indices: Array) -> dict[str, Array]:
        count = len(indices) // mesh.size
        start = jax.lax.axis_index(DATA_AXIS) * count
        own = jax.lax.dynamic_slice_in_dim(indices, start, count)
        return {name: array[own] for name, array in arrays.items()}

    return gather


def _gather_sharded(mesh: Mesh) -> Callable[..., Any]:
    """Every device takes what it holds of the whole batch; the sum over them is the batch."""

    @jax.jit
    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(PartitionSpec(DATA_AXIS), PartitionSpec()),
        out_specs=PartitionSpec(DATA_AXIS),
    )
    def gather(arrays: dict[str, Array], indices: Array) -> dict[str, Array]:
        def exchange(array: Array) -> Array:
            position = indices - jax.lax.axis_index(DATA_AXIS) * len(array)
            held = (position >= 0) & (position < len(array))
            summed = array.astype(jnp.uint8) if array.dtype == bool else array
            rows = summed[jnp.where(held, position, 0)]
            rows = jnp.where(held.reshape(-1, *[1] * (rows.ndim - 1)), rows, 0)
            rows = jax.lax.psum_scatter(rows, DATA_AXIS, scatter_dimension=0, tiled=True)
            return rows.astype(array.dtype)

        return {name: exchange(array) for name, array in arrays.items()}

    return gather
