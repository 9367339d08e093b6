"""From a spec to batches on the devices: records, memory or rendered hands, one iterator.

Which examples a batch holds is computed from (data, seed, step) alone (see `order`), so a resumed
run starts at its step at once, and any number of processes sees the same batches.
"""

from jax.sharding import Mesh

from peclr_jax.errors import UserError
from peclr_jax.input_pipeline import from_mixture, from_records, from_rendered
from peclr_jax.input_pipeline.fingerprint import fingerprint
from peclr_jax.input_pipeline.sources import Source, check_mesh, this_process
from peclr_jax.input_pipeline.spec import RENDERED, DataSpec, RenderedSpec
from peclr_jax.input_pipeline.split import Split

__all__ = [
    "DataSpec",
    "RenderedSpec",
    "Source",
    "Split",
    "fingerprint",
    "make_source",
    "open_split",
]


def make_source(
    spec: DataSpec,
    *,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process_index: int | None = None,
    process_count: int | None = None,
) -> Source:
    """Opens the data that a spec describes; slow work is done here and shows progress.

    Args:
      spec: The data.
      train: whether to serve the images to train on, or the held-out ones. `sample` is of the
        held-out ones either way.
      batch_size: rows of a batch, over all processes.
      seed: orders the images.
      mesh: the devices; batches are split over its `data` axis.
      process_index: number of this process; JAX's by default.
      process_count: number of processes; JAX's by default.

    Returns:
      The source.

    Raises:
      UserError: impossible fields, broken raw files, fewer images than a batch takes, no versions
        to pair.
      MissingFileError: no records and no raw files to write them from.
      OutOfMemoryError: the cache does not fit.
    """
    check_mesh(batch_size, mesh)
    process = this_process(process_index, process_count)
    if spec.source == RENDERED:
        return from_rendered.make_source(spec, train, batch_size, seed, mesh, process)
    opener = from_mixture if spec.is_mixed else from_records
    return opener.make_source(spec, train, batch_size, seed, mesh, process)


def open_split(spec: DataSpec, split: str, *, batch_size: int, label_subset: bool = False) -> Split:
    """Opens one split for a single pass; of rendered hands, through version 0 of each.

    Args:
      spec: The data; its `weights`, `cache` and splits do not matter, and all of its `names` are
        read one after the other.
      split: of TFDS; of rendered hands, "train" or "held_out".
      batch_size: rows of a batch.
      label_subset: whether to keep to `spec.label_fraction`, as training does.

    Returns:
      The split, whose batches are NumPy arrays: the image, and the labels if `spec.labels`.

    Raises:
      UserError: impossible fields, no such split, broken raw files.
      MissingFileError: no records and no raw files to write them from.
    """
    if batch_size < 1:
        raise UserError(f"a batch needs at least one image, got a batch size of {batch_size}")
    if spec.is_mixed:
        raise UserError(
            f"--config.data.names={spec.names!r} mixes rendered hands with records, but they are "
            "gone through by themselves: set --config.data.source='rendered', or leave them out"
        )
    opener = from_rendered if spec.source == RENDERED else from_records
    return opener.open_split(spec, split, batch_size, label_subset)
