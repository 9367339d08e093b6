"""From a configuration to batches on the devices: records, memory or rendered hands, one iterator.

Which examples a batch holds is computed from (data, seed, step) alone (see `order`), so a resumed
run starts at its step at once, and any number of processes sees the same batches.
"""

import functools
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from peclr_jax.input_pipeline.config import as_list, check, default_config
from peclr_jax.input_pipeline.memory import DeviceCache, MemoryStore, Store, load
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.rendered import HELD_OUT, TRAIN, LazyStore, Render, Renderer
from peclr_jax.input_pipeline.sources import (
    CachedSource,
    EndlessSource,
    HeldOut,
    Source,
    StreamSource,
    check_mesh,
    this_process,
)

__all__ = ["Source", "default_config", "make_source"]


def make_source(
    config: ConfigDict,
    *,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process_index: int | None = None,
    process_count: int | None = None,
) -> Source:
    """Opens the data that a configuration describes; slow work is done here and shows progress.

    Args:
      config: the fields of `default_config`.
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
      ValueError: impossible fields, broken raw files, fewer images than a batch takes.
      FileNotFoundError: no records and no raw files to write them from.
      MemoryError: the cache does not fit.
    """
    check(config)
    check_mesh(batch_size, mesh)
    process = this_process(process_index, process_count)
    if config.source == "rendered":
        return _rendered_source(config, train, batch_size, seed, mesh, process)
    return _record_source(config, train, batch_size, seed, mesh, process)


def _record_source(
    config: ConfigDict,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    # Imported here because this is what brings TensorFlow in.
    from peclr_jax.input_pipeline import datasets, records

    builders = datasets.open_datasets(config)
    fallback = datasets.choose_splits(builders, config.split)
    chosen = (
        fallback if train else datasets.choose_splits(builders, config.held_out_split, config.split)
    )
    open_store = functools.partial(
        records.RecordStore,
        size=config.source_size,
        margin=config.hand_margin * config.source_margin,
        labels=config.labels,
        threads=config.decode_threads,
    )
    held_out = datasets.choose_splits(builders, config.held_out_split, config.split)
    store = open_store(chosen)
    order = Order(
        sizes=store.sizes,
        batch_size=batch_size,
        seed=seed,
        weights=tuple(map(float, as_list(config.weights))) if train else (),
        names=tuple(f"{builder.name} ({split})" for builder, split in chosen),
    )
    if train:  # before anything slow; held-out images may be few, for they are sampled
        order.check()
    return _stored(store, order, config.cache, mesh, HeldOut(open_store(held_out)), process)


def _rendered_source(
    config: ConfigDict,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    fields = config.rendered
    renderer = Renderer(
        make_render(fields),
        mesh,
        seed=fields.seed,
        size=config.source_size,
        margin=config.hand_margin * config.source_margin,
        labels=config.labels,
    )

    def pool(purpose: int, count: int) -> Any:
        return renderer.pool(count, purpose, fields.chunk, f"Rendering {count} hands")

    held_out = LazyStore(functools.partial(pool, HELD_OUT, fields.held_out), fields.held_out)
    if train and not fields.count:
        return EndlessSource(renderer, batch_size, seed, HeldOut(held_out))
    order = Order(
        sizes=(fields.count if train else fields.held_out,),
        batch_size=batch_size,
        seed=seed,
        names=("data.rendered.count" if train else "data.rendered.held_out",),
    )
    if train:
        order.check()
    store = pool(TRAIN, fields.count) if train else held_out
    cache = "device" if config.cache == "none" else config.cache
    return _stored(store, order, cache, mesh, HeldOut(held_out), process)


def make_render(fields: ConfigDict) -> Render:
    """Returns the renderer of `peclr_jax.synthetic` for the fields of `config.rendered`."""
    from peclr_jax.synthetic import render

    spec = render.RenderSpec(
        size=fields.size,
        background=fields.background,
        shared_backgrounds=fields.shared_backgrounds,
        held=fields.held,
        occluder=fields.occluder,
        sleeve=fields.sleeve,
        span=tuple(fields.span),
        rays_per_block=render.rays_per_block(),
    )
    return lambda key, indices: render.render_indices(key, indices, spec)


def _stored(
    store: Store,
    order: Order,
    cache: str,
    mesh: Mesh,
    held_out: HeldOut,
    process: tuple[int, int],
) -> Source:
    if cache == "none":
        return StreamSource(store, order, mesh, held_out, *process)
    examples = store if isinstance(store, MemoryStore) else load(store)
    if cache == "host":
        return StreamSource(examples, order, mesh, held_out, *process)
    return CachedSource(DeviceCache(examples.arrays, mesh), order, held_out)
