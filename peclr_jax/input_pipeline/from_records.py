"""Sources of TFDS records; the modules that bring TensorFlow in are imported where it is needed."""

from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from peclr_jax.input_pipeline.assembly import crop_margin, is_paired, make_partners, stored
from peclr_jax.input_pipeline.config import as_list
from peclr_jax.input_pipeline.memory import IdentifiedStore
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.sources import HeldOut, Source
from peclr_jax.input_pipeline.split import Split
from peclr_jax.input_pipeline.subset import SubsetStore


def make_source(
    config: ConfigDict,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    """Opens records, streamed or held in memory.

    Args:
      config: the fields of `default_config`, checked.
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

    builders = datasets.open_datasets(config)
    fallback = datasets.choose_splits(builders, config.split)
    chosen = (
        fallback if train else datasets.choose_splits(builders, config.held_out_split, config.split)
    )
    others = datasets.choose_splits(builders, config.held_out_split, config.split)
    held_out = HeldOut((open_records(config, others),))
    # What is resampled but once, into a view, is left to the accelerator; caches hold crops.
    store = open_records(config, chosen, canvases=train and config.cache == "none")
    store = labelled(config, store) if train else store
    order = Order(
        sizes=store.sizes,
        batch_size=batch_size,
        seed=seed,
        weights=tuple(map(float, as_list(config.weights))) if train else (),
        names=tuple(f"{builder.name} ({split})" for builder, split in chosen),
    )
    if train:  # before anything slow; held-out images may be few, for they are sampled
        order.check()
    partners = (
        make_partners(config, store.identities(), order) if train and is_paired(config) else None
    )
    return stored(store, order, config.cache, mesh, held_out, process, partners)


def open_split(config: ConfigDict, split: str, batch_size: int, label_subset: bool) -> Split:
    """Opens one split of all data sets, one after the other, for a single pass.

    Args:
      config: the fields of `default_config`, checked.
      split: of TFDS.
      batch_size: rows of a batch.
      label_subset: whether to keep to `config.label_fraction`.

    Raises:
      ValueError: no such split, broken raw files.
      FileNotFoundError: no records and no raw files to write them from.
    """
    from peclr_jax.input_pipeline import datasets

    records = open_records(config, datasets.choose_splits(datasets.open_datasets(config), split))
    return Split(labelled(config, records) if label_subset else records, batch_size)


def open_records(config: ConfigDict, parts: list[tuple[Any, str]], canvases: bool = False) -> Any:
    """The records of some splits, decoded and cropped when they are read."""
    from peclr_jax.input_pipeline import records

    return records.RecordStore(
        parts,
        size=config.source_size,
        margin=crop_margin(config),
        labels=config.labels,
        canvases=canvases,
        threads=config.decode_threads,
    )


def labelled(config: ConfigDict, store: IdentifiedStore) -> IdentifiedStore:
    """Keeps to the fraction of the labels; the records are gone through only if need be."""
    if config.label_fraction == 1:
        return store
    return SubsetStore(store, store.identities(), config.label_fraction, config.label_seed)
