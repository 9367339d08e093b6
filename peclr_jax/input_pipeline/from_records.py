"""Sources of TFDS records; the modules that bring TensorFlow in are imported where it is needed."""

from typing import Any

from jax.sharding import Mesh

from peclr_jax.input_pipeline.assembly import make_partners, stored
from peclr_jax.input_pipeline.memory import IdentifiedStore
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.sources import HeldOut, Source
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.input_pipeline.split import Split
from peclr_jax.input_pipeline.subset import SubsetStore


def make_source(
    spec: DataSpec,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    """Opens records, streamed or held in memory.

    Args:
      spec: The data.
      train: whether to serve the images to train on, or the held-out ones.
      batch_size: rows of a batch, over all processes.
      seed: orders the images.
      mesh: the devices.
      process: number of this process, and how many there are.

    Raises:
      ValueError: fewer images than a batch takes, no versions to pair, broken raw files.
      FileNotFoundError: no records and no raw files to write them from.
      MemoryError: the cache does not fit.
    """
    from peclr_jax.input_pipeline import datasets

    builders = datasets.open_datasets(spec)
    fallback = datasets.choose_splits(builders, spec.split)
    chosen = (
        fallback if train else datasets.choose_splits(builders, spec.held_out_split, spec.split)
    )
    others = datasets.choose_splits(builders, spec.held_out_split, spec.split)
    held_out = HeldOut((open_records(spec, others),))
    # What is resampled but once, into a view, is left to the accelerator; caches hold crops.
    store = open_records(spec, chosen, canvases=train and spec.cache == "none")
    store = labelled(spec, store) if train else store
    order = Order(
        sizes=store.sizes,
        batch_size=batch_size,
        seed=seed,
        weights=spec.shares if train else (),
        names=tuple(f"{builder.name} ({split})" for builder, split in chosen),
    )
    if train:  # before anything slow; held-out images may be few, for they are sampled
        order.check()
    partners = make_partners(store.identities(), order) if train and spec.is_paired else None
    return stored(store, order, spec.cache, mesh, held_out, process, partners)


def open_split(spec: DataSpec, split: str, batch_size: int, label_subset: bool) -> Split:
    """Opens one split of all data sets, one after the other, for a single pass.

    Args:
      spec: The data.
      split: of TFDS.
      batch_size: rows of a batch.
      label_subset: whether to keep to `spec.label_fraction`.

    Raises:
      ValueError: no such split, broken raw files.
      FileNotFoundError: no records and no raw files to write them from.
    """
    from peclr_jax.input_pipeline import datasets

    records = open_records(spec, datasets.choose_splits(datasets.open_datasets(spec), split))
    return Split(labelled(spec, records) if label_subset else records, batch_size)


def open_records(spec: DataSpec, parts: list[tuple[Any, str]], canvases: bool = False) -> Any:
    """The records of some splits, decoded and cropped when they are read."""
    from peclr_jax.input_pipeline import records

    return records.RecordStore(
        parts,
        size=spec.source_size,
        margin=spec.crop_margin,
        labels=spec.labels,
        canvases=canvases,
        threads=spec.decode_threads,
    )


def labelled(spec: DataSpec, store: IdentifiedStore) -> IdentifiedStore:
    """Keeps to the fraction of the labels; the records are gone through only if need be."""
    if spec.label_fraction == 1:
        return store
    return SubsetStore(store, store.identities(), spec.label_fraction, spec.label_seed)
