"""From a spec to batches on the devices: records, memory or rendered hands, one iterator."""

import hashlib
import json

import jax
import numpy as np
from jax.sharding import Mesh

from peclr_jax.errors import UserError
from peclr_jax.input_pipeline import from_rendered
from peclr_jax.input_pipeline.device_cache import DeviceCache
from peclr_jax.input_pipeline.order import Identities, Order, Partners
from peclr_jax.input_pipeline.sources import (
    CachedSource,
    EndlessSource,
    HeldOut,
    Source,
    StreamSource,
)
from peclr_jax.input_pipeline.spec import RENDERED, DataSpec, RenderedSpec
from peclr_jax.input_pipeline.stores import (
    Batch,
    IdentifiedStore,
    Part,
    Split,
    Store,
    join,
    keep_fraction,
    load,
)

__all__ = [
    "Batch",
    "DataSpec",
    "RenderedSpec",
    "Source",
    "Split",
    "fingerprint",
    "make_source",
    "open_split",
]

_DIGITS = 16


def make_source(
    spec: DataSpec,
    *,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
) -> Source:
    """Opens the data that a spec describes; slow work is done here and shows progress.

    Args:
      spec: The data.
      train: Whether to serve the images to train on, or the held-out ones.
      batch_size: Rows of a batch, over all processes.
      seed: Seed of the images' order.
      mesh: The devices; batches are split over its `data` axis.
    """
    process = jax.process_index(), jax.process_count()
    if batch_size < 1 or batch_size % mesh.size or batch_size % process[1]:
        raise UserError(
            f"--config.batch_size={batch_size} does not divide among {mesh.size} devices "
            f"(processes: {process[1]}): choose a multiple"
        )
    if train and spec.is_endless:
        renderer = from_rendered.make_renderer(spec, mesh)
        held_out = HeldOut((from_rendered.open_held_out(spec, renderer),))
        return EndlessSource(held_out, renderer, batch_size, seed)
    parts = _open_parts(spec, train, mesh)
    held_out = HeldOut(tuple(part.held_out for part in parts if part.held_out is not None))
    stores = [part.store for part in parts if part.store is not None]
    order = Order(
        sizes=tuple(size for store in stores for size in store.sizes),
        batch_size=batch_size,
        seed=seed,
        weights=spec.shares if train else (),
        names=tuple(name for part in parts for name in part.names),
    )
    if train:  # before anything slow; held-out images may be few, for they are sampled
        order.check()
    partners = _pair(stores, order) if train and spec.is_paired else None
    examples: Store = stores[0] if len(stores) == 1 else join([load(store) for store in stores])
    if spec.kept_on == "device":
        cache = DeviceCache(load(examples).arrays, mesh)
        return CachedSource(held_out, order, partners, cache)
    if spec.kept_on == "host":
        examples = load(examples)
    return StreamSource(held_out, order, partners, examples, mesh, process)


def _open_parts(spec: DataSpec, train: bool, mesh: Mesh) -> list[Part]:
    parts = []
    if spec.source == "tfds":
        # Imported here because this is what brings TensorFlow in.
        from peclr_jax.input_pipeline import from_records

        parts.append(from_records.open_part(spec, train))
    if spec.has_rendered:
        parts.append(from_rendered.open_part(spec, train, mesh))
    return parts


def _pair(stores: list[IdentifiedStore], order: Order) -> Partners:
    shown = zip(*(store.identities() for store in stores), strict=True)
    partners = Partners(Identities(*map(np.concatenate, shown)), order.sizes, order.seed)
    if not partners.exist:
        raise UserError(
            "--config.data.pairs='versions' pairs images of one hand, but each hand of "
            f"{', '.join(order.names)} has only one: use 'image'"
        )
    return partners


def open_split(spec: DataSpec, split: str, *, batch_size: int, label_subset: bool = False) -> Split:
    """Opens one split for a single pass; of rendered hands, through version 0 of each.

    Args:
      spec: The data; `weights`, `cache` and splits do not matter, all `names` are read in turn.
      split: Name of the TFDS split; of rendered hands, "train" or "held_out".
      batch_size: Rows of a batch.
      label_subset: Whether to keep to `spec.label_fraction`, as training does.
    """
    if batch_size < 1:
        raise UserError(f"a batch needs at least one image, got a batch size of {batch_size}")
    if spec.is_mixed:
        raise UserError(
            f"--config.data.names={spec.names!r} mixes rendered hands with records, but they are "
            "gone through by themselves: set --config.data.source='rendered', or leave them out"
        )
    store: IdentifiedStore
    if spec.source == RENDERED:
        store = from_rendered.open_split(spec, split, batch_size)
    else:
        from peclr_jax.input_pipeline import from_records

        store = from_records.open_split(spec, split)
    if label_subset:
        store = keep_fraction(store, spec.label_fraction, spec.label_seed)
    return Split(store, batch_size)


def fingerprint(spec: DataSpec) -> str:
    """Returns the data sets' names with a digest each of what decides their images.

    Records are told apart by the names and sizes of their files, not by every byte of them.
    """
    facts = []
    if spec.has_rendered:
        facts.append((RENDERED, from_rendered.fingerprint(spec.rendered)))
    if spec.source == "tfds":
        from peclr_jax.input_pipeline import from_records

        facts += from_records.fingerprints(spec)
    texts = ((name, json.dumps(of_name, sort_keys=True)) for name, of_name in facts)
    return ", ".join(
        f"{name} {hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}" for name, text in texts
    )
