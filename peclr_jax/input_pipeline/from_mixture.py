"""Sources of rendered hands mixed with records."""

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from peclr_jax.input_pipeline import from_records, from_rendered
from peclr_jax.input_pipeline.assembly import is_paired, make_partners, stored
from peclr_jax.input_pipeline.config import RENDERED, as_list
from peclr_jax.input_pipeline.memory import IdentifiedStore, Identities, join, load
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.rendered import TRAIN
from peclr_jax.input_pipeline.sources import HeldOut, Source
from peclr_jax.input_pipeline.subset import choose


def make_source(
    config: ConfigDict,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    """Opens records and, after them, rendered hands, all held in memory, as rendered hands are.

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
    trained = datasets.choose_splits(builders, config.split)
    others = datasets.those_with(builders, config.held_out_split)
    # Where no data set holds records out, the rendered hands alone are held out.
    held_out_records = (from_records.open_records(config, others),) if others else ()
    renderer = from_rendered.make_renderer(config, mesh)
    held_out = HeldOut((*held_out_records, from_rendered.held_out_hands(config, renderer)))
    fields = config.rendered
    records: tuple[IdentifiedStore, ...]
    if train:
        records = (from_records.labelled(config, from_records.open_records(config, trained)),)
        # Hands that are not trained on need not be rendered.
        kept = choose(
            np.arange(fields.count), config.label_fraction, config.label_seed, len(trained)
        )
        versions = fields.versions
    else:
        records, kept, versions = held_out_records, np.arange(fields.held_out), 1
    order = Order(
        sizes=(*(size for store in records for size in store.sizes), len(kept) * versions),
        batch_size=batch_size,
        seed=seed,
        weights=_weights_rendered_last(config) if train else (),
        names=(
            *(f"{builder.name} ({split})" for builder, split in (trained if train else others)),
            "data.rendered.count" if train else "data.rendered.held_out",
        ),
    )
    if train:
        order.check()
    hands = (
        from_rendered.pool(config, renderer, TRAIN, kept)
        if train
        else load(from_rendered.held_out_hands(config, renderer))
    )
    examples = join([*map(load, records), hands])
    partners = None
    if train and is_paired(config):
        shown = [store.identities() for store in records] + [
            from_rendered.identities(kept, versions)
        ]
        partners = make_partners(
            config, Identities(*map(np.concatenate, zip(*shown, strict=True))), order
        )
    return stored(
        examples, order, from_rendered.placement(config), mesh, held_out, process, partners
    )


def _weights_rendered_last(config: ConfigDict) -> tuple[float, ...]:
    """The data sets' weights, if any, in the order in which a mixture stores them."""
    weights = zip(as_list(config.names), map(float, as_list(config.weights)), strict=False)
    return tuple(weight for _, weight in sorted(weights, key=lambda pair: pair[0] == RENDERED))
