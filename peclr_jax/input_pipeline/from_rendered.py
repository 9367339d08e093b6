"""Sources of rendered hands."""

import functools
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int
from ml_collections import ConfigDict

from peclr_jax.devices.mesh import make_mesh
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.assembly import crop_margin, is_paired, make_partners, stored
from peclr_jax.input_pipeline.config import backgrounds
from peclr_jax.input_pipeline.memory import Identities, MemoryStore
from peclr_jax.input_pipeline.order import Order
from peclr_jax.input_pipeline.rendered import (
    HELD_OUT,
    TRAIN,
    LazyStore,
    Render,
    RenderedStore,
    Renderer,
)
from peclr_jax.input_pipeline.rendered_cache import cached
from peclr_jax.input_pipeline.sources import EndlessSource, HeldOut, Source
from peclr_jax.input_pipeline.split import Split
from peclr_jax.input_pipeline.subset import SubsetStore, choose

# Fields of `config.rendered` that no hand depends on.
_NOT_OF_THE_HANDS = ("count", "held_out", "chunk", "cache_dir")
# What stands for the names of TFDS splits where hands are rendered.
_RENDERED_SPLITS = {"train": TRAIN, "held_out": HELD_OUT}


def make_source(
    config: ConfigDict,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    """Opens rendered hands: endless new ones, or a pool that is held in memory.

    Args:
      config: the fields of `default_config`, checked.
      train: whether to serve the images to train on, or the held-out ones.
      batch_size: rows of a batch, over all processes.
      seed: orders the images.
      mesh: the devices.
      process: number of this process, and how many there are.

    Raises:
      UserError: fewer images than a batch takes, no versions to pair.
      OutOfMemoryError: the cache does not fit.
    """
    fields = config.rendered
    renderer = make_renderer(config, mesh)
    held_out = held_out_hands(config, renderer)
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
    store = pool(config, renderer, TRAIN, kept) if train else held_out
    partners = None
    if train and is_paired(config):
        partners = make_partners(config, identities(kept, fields.versions), order)
    held = HeldOut((held_out,))
    return stored(store, order, placement(config), mesh, held, process, partners)


def open_split(config: ConfigDict, split: str, batch_size: int, label_subset: bool) -> Split:
    """Opens hands for a single pass, through version 0 of each.

    Args:
      config: the fields of `default_config`, checked.
      split: "train" or "held_out".
      batch_size: rows of a batch.
      label_subset: whether to keep to `config.label_fraction`.

    Raises:
      UserError: no such split, or hands without end.
    """
    store = _split_store(config, split, batch_size)
    if label_subset and config.label_fraction < 1:
        hands = identities(np.arange(len(store)), versions=1)
        store = SubsetStore(store, hands, config.label_fraction, config.label_seed)
    return Split(store, batch_size)


def _split_store(config: ConfigDict, split: str, batch_size: int) -> Any:
    if split not in _RENDERED_SPLITS:
        raise UserError(
            f"Rendered hands have no split {split!r}; they have: {', '.join(_RENDERED_SPLITS)}."
        )
    fields = config.rendered
    count = {"train": fields.count, "held_out": fields.held_out}[split]
    if not count:
        raise UserError(
            "data.rendered.count=0 renders hands for training without end, which cannot be gone "
            "through; choose the split 'held_out' or give a count."
        )
    config = _first_version(config)
    renderer = make_renderer(config, make_mesh())
    if fields.cache_dir:
        return pool(config, renderer, _RENDERED_SPLITS[split], np.arange(count))
    return RenderedStore(renderer, count, _RENDERED_SPLITS[split], min(fields.chunk, batch_size))


def identities(hands: Int[np.ndarray, " hands"], versions: int) -> Identities:
    """Returns what the images of a pool show, in its order."""
    return Identities(np.tile(hands, versions), np.repeat(np.arange(versions), len(hands)))


def held_out_hands(config: ConfigDict, renderer: Renderer) -> LazyStore:
    """Version 0 of hands that are not trained on."""
    single, count = _first_version(config), config.rendered.held_out
    # One program for both, where that is possible.
    alone = renderer if config.rendered.versions == 1 else make_renderer(single, renderer.mesh)
    return LazyStore(functools.partial(pool, single, alone, HELD_OUT, np.arange(count)), count)


def placement(config: ConfigDict) -> str:
    """Where rendered hands are held: they are not rendered anew for every batch."""
    return "device" if config.cache == "none" else config.cache


def pool(config: ConfigDict, renderer: Renderer, purpose: int, indices: np.ndarray) -> MemoryStore:
    """Hands in host memory, from disk if they were kept there."""
    fields = config.rendered
    look = {name: value for name, value in fields.items() if name not in _NOT_OF_THE_HANDS}
    identity = {
        **look,
        "size_and_margin": [config.source_size, crop_margin(config)],
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


def make_renderer(config: ConfigDict, mesh: Mesh) -> Renderer:
    """The renderer of all versions that a config asks for."""
    return Renderer(
        make_render(config.rendered),
        mesh,
        seed=config.rendered.seed,
        size=config.source_size,
        margin=crop_margin(config),
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
