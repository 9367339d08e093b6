"""Sources of rendered hands mixed with records."""

import numpy as np
from jax.sharding import Mesh

from peclr_jax.input_pipeline import from_records, from_rendered
from peclr_jax.input_pipeline.assembly import make_partners, stored
from peclr_jax.input_pipeline.memory import IdentifiedStore, Identities, join, load
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.rendered import TRAIN
from peclr_jax.input_pipeline.sources import HeldOut, Source
from peclr_jax.input_pipeline.spec import RENDERED, DataSpec
from peclr_jax.input_pipeline.subset import choose


def make_source(
    spec: DataSpec,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    """Opens records and, after them, rendered hands, all held in memory, as rendered hands are.

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
    trained = datasets.choose_splits(builders, spec.split)
    others = datasets.those_with(builders, spec.held_out_split)
    # Where no data set holds records out, the rendered hands alone are held out.
    held_out_records = (from_records.open_records(spec, others),) if others else ()
    renderer = from_rendered.make_renderer(spec, mesh)
    held_out = HeldOut((*held_out_records, from_rendered.held_out_hands(spec, renderer)))
    fields = spec.rendered
    records: tuple[IdentifiedStore, ...]
    if train:
        records = (from_records.labelled(spec, from_records.open_records(spec, trained)),)
        # Hands that are not trained on need not be rendered.
        kept = choose(np.arange(fields.count), spec.label_fraction, spec.label_seed, len(trained))
        versions = fields.versions
    else:
        records, kept, versions = held_out_records, np.arange(fields.held_out), 1
    order = Order(
        sizes=(*(size for store in records for size in store.sizes), len(kept) * versions),
        batch_size=batch_size,
        seed=seed,
        weights=_weights_rendered_last(spec) if train else (),
        names=(
            *(f"{builder.name} ({split})" for builder, split in (trained if train else others)),
            "--config.data.rendered.count" if train else "--config.data.rendered.held_out",
        ),
    )
    if train:
        order.check()
    hands = (
        from_rendered.pool(spec, renderer, TRAIN, kept)
        if train
        else load(from_rendered.held_out_hands(spec, renderer))
    )
    examples = join([*map(load, records), hands])
    partners = None
    if train and spec.is_paired:
        shown = [store.identities() for store in records] + [
            from_rendered.identities(kept, versions)
        ]
        partners = make_partners(Identities(*map(np.concatenate, zip(*shown, strict=True))), order)
    return stored(examples, order, from_rendered.placement(spec), mesh, held_out, process, partners)


def _weights_rendered_last(spec: DataSpec) -> tuple[float, ...]:
    """The data sets' weights, if any, in the order in which a mixture stores them."""
    weights = zip(spec.all_names, spec.shares, strict=False)
    return tuple(weight for _, weight in sorted(weights, key=lambda pair: pair[0] == RENDERED))
