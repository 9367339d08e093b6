"""Examples held in the devices' memory, where batches are gathered."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int

from peclr_jax.devices.memory import free_device_memory, free_host_memory
from peclr_jax.devices.mesh import DATA_AXIS, data_sharding, replicated
from peclr_jax.errors import OutOfMemoryError
from peclr_jax.input_pipeline.stores import LARGEST_SHARE, Batch, as_gib


def choose_placement(needed: int, mesh: Mesh, free: int | None = None) -> str:
    """Returns "replicated", a copy per device, where that fits, else "sharded", a part per device.

    What is sharded costs one exchange between the devices for every batch.

    Args:
      needed: Bytes of the whole cache.
      mesh: The devices.
      free: Bytes free on each device; asked of the device by default.
    """
    free = _least_of_all_processes(_free_memory(mesh)) if free is None else free
    if free is None or needed <= LARGEST_SHARE * free:
        return "replicated"
    if needed <= LARGEST_SHARE * free * mesh.size:
        return "sharded"
    raise OutOfMemoryError(
        f"holding the decoded images on the device takes {as_gib(needed)}, or "
        f"{as_gib(needed / mesh.size)} on each of {mesh.size}, where {as_gib(free)} are free, of "
        "which at most half is used: set --config.data.cache='host' or 'none', or a smaller "
        "--config.data.source_size"
    )


def _free_memory(mesh: Mesh) -> int | None:
    device = mesh.local_devices[0]
    if device.platform == "cpu":  # devices of one host share its memory
        host = free_host_memory()
        return None if host is None else host // len(mesh.local_devices)
    return free_device_memory(device)


def _least_of_all_processes(free: int | None) -> int | None:
    """Returns the least that any process has free: all must come to the same decision."""
    if jax.process_count() == 1:
        return free
    mebibytes = np.int32(-1 if free is None else free // 2**20)
    least = int(np.min(multihost_utils.process_allgather(mebibytes)))
    return None if least < 0 else least * 2**20


class DeviceCache:
    """Examples, the same on every process, in device memory; placed as `choose_placement` says."""

    def __init__(self, arrays: Batch, mesh: Mesh, placement: str | None = None):
        needed = sum(array.nbytes for array in arrays.values())
        placement = placement or choose_placement(needed, mesh)
        logging.info("Caching %s on the device, %s", as_gib(needed), placement)
        sharded = placement == "sharded"
        if sharded:  # parts must be equal; the indices never reach the padding
            arrays = {name: _pad(array, mesh.size) for name, array in arrays.items()}
        sharding = data_sharding(mesh) if sharded else replicated(mesh)

        def place(array: np.ndarray) -> Array:
            return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at])

        self._arrays = {name: place(array) for name, array in arrays.items()}
        self._gather = _gather(mesh, sharded)
        self._replicated = replicated(mesh)

    def take(self, indices: Int[np.ndarray, " batch"]) -> dict[str, Array]:
        """Returns a batch of all processes, split over the devices."""
        rows = indices.astype(np.int32)
        return self._gather(
            self._arrays,
            jax.make_array_from_callback(rows.shape, self._replicated, lambda at: rows[at]),
        )


def _pad(array: np.ndarray, multiple: int) -> np.ndarray:
    missing = -len(array) % multiple
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


def _gather(mesh: Mesh, sharded: bool) -> Callable[..., Any]:
    """Makes a gather of rows; if sharded, a batch is the sum of what each device holds."""

    def own_rows(arrays: dict[str, Array], indices: Array) -> dict[str, Array]:
        count = len(indices) // mesh.size
        start = jax.lax.axis_index(DATA_AXIS) * count
        own = jax.lax.dynamic_slice_in_dim(indices, start, count)
        return {name: array[own] for name, array in arrays.items()}

    def exchange(array: Array, indices: Array) -> Array:
        position = indices - jax.lax.axis_index(DATA_AXIS) * len(array)
        held = (position >= 0) & (position < len(array))
        summed = array.astype(jnp.uint8) if array.dtype == bool else array
        rows = summed[jnp.where(held, position, 0)]
        rows = jnp.where(held.reshape(-1, *[1] * (rows.ndim - 1)), rows, 0)
        rows = jax.lax.psum_scatter(rows, DATA_AXIS, scatter_dimension=0, tiled=True)
        return rows.astype(array.dtype)

    def exchanged(arrays: dict[str, Array], indices: Array) -> dict[str, Array]:
        return {name: exchange(array, indices) for name, array in arrays.items()}

    rows, split = PartitionSpec(), PartitionSpec(DATA_AXIS)
    specs = (split if sharded else rows, rows)
    gather = exchanged if sharded else own_rows
    return jax.jit(jax.shard_map(gather, mesh=mesh, in_specs=specs, out_specs=split))
