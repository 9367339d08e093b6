"""From a configuration to batches on the devices: records, memory or rendered hands, one iterator.

Which examples a batch holds is computed from (data, seed, step) alone (see `order`), so a resumed
run starts at its step at once, and any number of processes sees the same batches.
"""

import functools
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int
from ml_collections import ConfigDict

from peclr_jax.input_pipeline.config import (
    RENDERED,
    as_list,
    backgrounds,
    check,
    default_config,
    is_mixed,
)
from peclr_jax.input_pipeline.memory import (
    DeviceCache,
    IdentifiedStore,
    Identities,
    MemoryStore,
    Store,
    join,
    load,
)
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.pairs import Partners
from peclr_jax.input_pipeline.rendered import (
    HELD_OUT,
    TRAIN,
    LazyStore,
    Render,
    RenderedStore,
    Renderer,
)
from peclr_jax.input_pipeline.rendered_cache import cached
from peclr_jax.input_pipeline.sources import (
    CachedSource,
    EndlessSource,
    HeldOut,
    Source,
    StreamSource,
    check_mesh,
    this_process,
)
from peclr_jax.input_pipeline.split import Split
from peclr_jax.input_pipeline.subset import SubsetStore, choose
from peclr_jax.training.mesh import make_mesh

__all__ = ["Source", "Split", "default_config", "make_source", "open_split"]

# Fields of `config.rendered` that no hand depends on.
_NOT_OF_THE_HANDS = ("count", "held_out", "chunk", "cache_dir")
# What stands for the names of TFDS splits where hands are rendered.
_RENDERED_SPLITS = {"train": TRAIN, "held_out": HELD_OUT}


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
      ValueError: impossible fields, broken raw files, fewer images than a batch takes, no versions
        to pair.
      FileNotFoundError: no records and no raw files to write them from.
      MemoryError: the cache does not fit.
    """
    check(config)
    check_mesh(batch_size, mesh)
    process = this_process(process_index, process_count)
    if config.source == "rendered":
        return _rendered_source(config, train, batch_size, seed, mesh, process)
    if is_mixed(config):
        return _mixed_source(config, train, batch_size, seed, mesh, process)
    return _record_source(config, train, batch_size, seed, mesh, process)


def open_split(
    config: ConfigDict, split: str, *, batch_size: int, label_subset: bool = False
) -> Split:
    """Opens one split for a single pass; of rendered hands, through version 0 of each.

    Args:
      config: the fields of `default_config`; `weights`, `cache` and the splits named there do not
        matter, and all of `names` are read one after the other.
      split: of TFDS; of rendered hands, "train" or "held_out".
      batch_size: rows of a batch.
      label_subset: whether to keep to `config.label_fraction`, as training does.

    Returns:
      The split, whose batches are NumPy arrays: the image, and the labels if `config.labels`.

    Raises:
      ValueError: impossible fields, no such split, broken raw files.
      FileNotFoundError: no records and no raw files to write them from.
    """
    check(config)
    if batch_size < 1:
        raise ValueError(f"A batch needs at least one image, got a batch size of {batch_size}.")
    store: Store
    if config.source == "rendered":
        store = _rendered_split(config, split, batch_size)
        if label_subset and config.label_fraction < 1:
            hands = _rendered_identities(np.arange(len(store)), versions=1)
            store = SubsetStore(store, hands, config.label_fraction, config.label_seed)
        return Split(store, batch_size)
    if is_mixed(config):
        raise ValueError(
            f"data.names is {config.names!r}, but rendered hands are gone through by themselves: "
            "set data.source='rendered', or leave them out of the names."
        )
    from peclr_jax.input_pipeline import datasets

    chosen = datasets.choose_splits(datasets.open_datasets(config), split)
    records = _open_records(config, chosen)
    return Split(_labelled(config, records) if label_subset else records, batch_size)


def _rendered_split(config: ConfigDict, split: str, batch_size: int) -> Store:
    if split not in _RENDERED_SPLITS:
        raise ValueError(
            f"Rendered hands have no split {split!r}; they have: {', '.join(_RENDERED_SPLITS)}."
        )
    fields = config.rendered
    count = {"train": fields.count, "held_out": fields.held_out}[split]
    if not count:
        raise ValueError(
            "data.rendered.count=0 renders hands for training without end, which cannot be gone "
            "through; choose the split 'held_out' or give a count."
        )
    config = _first_version(config)
    renderer = _make_renderer(config, make_mesh())
    if fields.cache_dir:
        return _pool(config, renderer, _RENDERED_SPLITS[split], np.arange(count))
    return RenderedStore(renderer, count, _RENDERED_SPLITS[split], min(fields.chunk, batch_size))


def _record_source(
    config: ConfigDict,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    # Imported here because this is what brings TensorFlow in.
    from peclr_jax.input_pipeline import datasets

    builders = datasets.open_datasets(config)
    fallback = datasets.choose_splits(builders, config.split)
    chosen = (
        fallback if train else datasets.choose_splits(builders, config.held_out_split, config.split)
    )
    others = datasets.choose_splits(builders, config.held_out_split, config.split)
    held_out = HeldOut((_open_records(config, others),))
    # What is resampled but once, into a view, is left to the accelerator; caches hold crops.
    store = _open_records(config, chosen, canvases=train and config.cache == "none")
    store = _labelled(config, store) if train else store
    order = Order(
        sizes=store.sizes,
        batch_size=batch_size,
        seed=seed,
        weights=tuple(map(float, as_list(config.weights))) if train else (),
        names=tuple(f"{builder.name} ({split})" for builder, split in chosen),
    )
    if train:  # before anything slow; held-out images may be few, for they are sampled
        order.check()
    partners = _partners(config, store.identities(), order) if train and _paired(config) else None
    return _stored(store, order, config.cache, mesh, held_out, process, partners)


def _open_records(config: ConfigDict, parts: list[tuple[Any, str]], canvases: bool = False) -> Any:
    from peclr_jax.input_pipeline import records

    return records.RecordStore(
        parts,
        size=config.source_size,
        margin=_margin(config),
        labels=config.labels,
        canvases=canvases,
        threads=config.decode_threads,
    )


def _labelled(config: ConfigDict, store: IdentifiedStore) -> IdentifiedStore:
    """Keeps to the fraction of the labels; the records are gone through only if need be."""
    if config.label_fraction == 1:
        return store
    return SubsetStore(store, store.identities(), config.label_fraction, config.label_seed)


def _paired(config: ConfigDict) -> bool:
    return config.pairs == "versions"


def _partners(config: ConfigDict, identities: Identities, order: Order) -> Partners:
    partners = Partners(identities, order.sizes, order.seed)
    if not partners.exist:
        raise ValueError(
            "data.pairs='versions' pairs images of one hand, but each hand of "
            f"{', '.join(order.names)} has but one: use 'image'."
        )
    return partners


def _margin(config: ConfigDict) -> float | None:
    return config.hand_margin * config.source_margin if config.crop == "hand" else None


def _rendered_source(
    config: ConfigDict,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    fields = config.rendered
    renderer = _make_renderer(config, mesh)
    held_out = _held_out_hands(config, renderer)
    if train and not fields.count:
        return EndlessSource(renderer, batch_size, seed, HeldOut((held_out,)))
    # Hands that are not trained on need not be rendered.
    kept = choose(np.arange(fields.count), config.label_fraction, config.label_seed)
    order = Order(
        sizes=(len(kept) * fields.versions if train else fields.held_out,),
        batch_size=batch_size,
        seed=seed,
        names=("data.rendered.count" if train else "data.rendered.held_out",),
    )
    if train:
        order.check()
    store = _pool(config, renderer, TRAIN, kept) if train else held_out
    partners = None
    if train and _paired(config):
        partners = _partners(config, _rendered_identities(kept, fields.versions), order)
    held = HeldOut((held_out,))
    return _stored(store, order, _cache(config), mesh, held, process, partners)


def _rendered_identities(hands: Int[np.ndarray, " hands"], versions: int) -> Identities:
    """Returns what the images of a pool show, in its order."""
    return Identities(np.tile(hands, versions), np.repeat(np.arange(versions), len(hands)))


def _mixed_source(
    config: ConfigDict,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    """Records, and after them rendered hands; all in memory, where rendered hands are anyway."""
    from peclr_jax.input_pipeline import datasets

    builders = datasets.open_datasets(config)
    trained = datasets.choose_splits(builders, config.split)
    others = datasets.those_with(builders, config.held_out_split)
    # Where no data set holds records out, the rendered hands alone are held out.
    held_out_records = (_open_records(config, others),) if others else ()
    renderer = _make_renderer(config, mesh)
    held_out = HeldOut((*held_out_records, _held_out_hands(config, renderer)))
    fields = config.rendered
    records: tuple[IdentifiedStore, ...]
    if train:
        records = (_labelled(config, _open_records(config, trained)),)
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
        _pool(config, renderer, TRAIN, kept) if train else load(_held_out_hands(config, renderer))
    )
    examples = join([*map(load, records), hands])
    partners = None
    if train and _paired(config):
        shown = [store.identities() for store in records] + [_rendered_identities(kept, versions)]
        partners = _partners(
            config, Identities(*map(np.concatenate, zip(*shown, strict=True))), order
        )
    return _stored(examples, order, _cache(config), mesh, held_out, process, partners)


def _weights_rendered_last(config: ConfigDict) -> tuple[float, ...]:
    """The data sets' weights, if any, in the order in which a mixture stores them."""
    weights = zip(as_list(config.names), map(float, as_list(config.weights)), strict=False)
    return tuple(weight for _, weight in sorted(weights, key=lambda pair: pair[0] == RENDERED))


def _held_out_hands(config: ConfigDict, renderer: Renderer) -> LazyStore:
    """Version 0 of hands that are not trained on."""
    single, count = _first_version(config), config.rendered.held_out
    # One program for both, where that is possible.
    alone = renderer if config.rendered.versions == 1 else _make_renderer(single, renderer.mesh)
    return LazyStore(functools.partial(_pool, single, alone, HELD_OUT, np.arange(count)), count)


def _cache(config: ConfigDict) -> str:
    """Where rendered hands are held: they are not rendered anew for every batch."""
    return "device" if config.cache == "none" else config.cache


def _pool(config: ConfigDict, renderer: Renderer, purpose: int, indices: np.ndarray) -> MemoryStore:
    """Hands in host memory, from disk if they were kept there."""
    fields = config.rendered
    look = {name: value for name, value in fields.items() if name not in _NOT_OF_THE_HANDS}
    identity = {
        **look,
        "size_and_margin": [config.source_size, _margin(config)],
        "labels": config.labels,
        "hands": [purpose, indices.tolist()],
    }
    return cached(
        fields.cache_dir,
        identity,
        lambda: renderer.pool(indices, purpose, fields.chunk, f"Rendering {len(indices)} hands"),
    )


def _first_version(config: ConfigDict) -> ConfigDict:
    """Returns the configuration of the same rendered hands in version 0 alone."""
    config = ConfigDict(config.to_dict())
    config.rendered.update(versions=1, background=backgrounds(config.rendered)[0])
    return config


def _make_renderer(config: ConfigDict, mesh: Mesh) -> Renderer:
    return Renderer(
        make_render(config.rendered),
        mesh,
        seed=config.rendered.seed,
        size=config.source_size,
        margin=_margin(config),
        versions=config.rendered.versions,
        labels=config.labels,
    )


def make_render(fields: ConfigDict) -> Render:
    """Returns the renderer of `peclr_jax.synthetic` for the fields of `config.rendered`."""
    from peclr_jax.synthetic import render

    versions = backgrounds(fields)
    spec = render.RenderSpec(
        size=fields.size,
        background=versions[0],
        shared_backgrounds=fields.shared_backgrounds,
        held=fields.held,
        occluder=fields.occluder,
        sleeve=fields.sleeve,
        span=tuple(fields.span),
        rays_per_block=render.rays_per_block(),
    )
    return lambda key, indices: render.render_versions(key, indices, spec, versions)


def _stored(
    store: Store,
    order: Order,
    cache: str,
    mesh: Mesh,
    held_out: HeldOut,
    process: tuple[int, int],
    partners: Partners | None,
) -> Source:
    if cache == "none":
        return StreamSource(store, order, mesh, held_out, *process, partners)
    examples = store if isinstance(store, MemoryStore) else load(store)
    if cache == "host":
        return StreamSource(examples, order, mesh, held_out, *process, partners)
    return CachedSource(DeviceCache(examples.arrays, mesh), order, held_out, partners)
