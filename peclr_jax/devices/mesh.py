"""Data parallelism over every device of every process: one mesh axis, `data`.

Batches are split over the axis, everything else is replicated. The step is one `jax.jit` over
global arrays, so that a mean over the batch (BatchNorm) or a product of all pairs (the contrastive
loss) spans all devices without a written collective.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from peclr_jax.errors import FieldError

DATA_AXIS = "data"


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh of devices, all by default, along the axis `data`, which XLA splits."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (DATA_AXIS,), (AxisType.Auto,), devices=devices)


def data_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that splits the leading axis over all devices."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that keeps a whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copies every array, the same in all processes, to every device of a mesh."""
    sharding = replicated(mesh)
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    # `device_put` compares the arrays of all processes, one by one.
    def place(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda at: array[at])

    return jax.tree.map(place, tree)


def local_copy(tree: Any) -> Any:
    """Returns replicated arrays on one device, to compute without waiting for other processes."""
    return jax.tree.map(lambda array: array.addressable_data(0), tree)


def gather(tree: Any) -> Any:
    """Copies arrays that are split over devices to the host, whole in every process."""
    return jax.tree.map(
        lambda array: np.asarray(
            array
            if array.is_fully_addressable
            else multihost_utils.process_allgather(array, tiled=True)
        ),
        tree,
    )


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Makes global arrays, split over the leading axis, from this process's part of a batch.

    Process `p` of `P` contributes the rows `p * n` to `(p + 1) * n` of a global batch of `P * n`
    rows. The copies to the devices are asynchronous.
    """
    sharding = data_sharding(mesh)
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(sharding, np.asarray(array)), batch
    )


def check_batch_size(batch_size: int, num_devices: int, num_micro_batches: int = 1) -> None:
    """Checks, before anything is allocated, that a global batch divides without a remainder.

    Args:
      batch_size: Rows of the global batch.
      num_devices: Devices of all processes.
      num_micro_batches: Micro-batches of an optimizer step; each is split over all devices.

    Raises:
      FieldError: It does not; of "batch_size".
    """
    unit = num_devices * num_micro_batches
    if batch_size > 0 and batch_size % unit == 0:
        return
    below, above = batch_size // unit * unit, (batch_size // unit + 1) * unit
    nearest = f"{below} or {above}" if below > 0 else f"{above}"
    raise FieldError(
        "batch_size",
        f"is {batch_size}, which cannot be split over {num_devices} device(s) x "
        f"{num_micro_batches} micro-batch(es): choose a multiple of {unit}, for example {nearest}",
    )
