"""Sources of rendered hands."""

import dataclasses
import functools
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from peclr_jax import specs
from peclr_jax.devices.mesh import make_mesh
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.assembly import make_partners, stored
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
from peclr_jax.input_pipeline.spec import DataSpec, RenderedSpec
from peclr_jax.input_pipeline.split import Split
from peclr_jax.input_pipeline.subset import SubsetStore, choose

# Fields of `spec.rendered` that no hand depends on.
_NOT_OF_THE_HANDS = ("count", "held_out", "chunk", "cache_dir")
# What stands for the names of TFDS splits where hands are rendered.
_RENDERED_SPLITS = {"train": TRAIN, "held_out": HELD_OUT}


def make_source(
    spec: DataSpec,
    train: bool,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    process: tuple[int, int],
) -> Source:
    """Opens rendered hands: endless new ones, or a pool that is held in memory.

    Args:
      spec: The data.
      train: whether to serve the images to train on, or the held-out ones.
      batch_size: rows of a batch, over all processes.
      seed: orders the images.
      mesh: the devices.
      process: number of this process, and how many there are.

    Raises:
      UserError: fewer images than a batch takes, no versions to pair.
      OutOfMemoryError: the cache does not fit.
    """
    fields = spec.rendered
    renderer = make_renderer(spec, mesh)
    held_out = held_out_hands(spec, renderer)
    if train and not fields.count:
        return EndlessSource(renderer, batch_size, seed, HeldOut((held_out,)))
    # Hands that are not trained on need not be rendered.
    kept = choose(np.arange(fields.count), spec.label_fraction, spec.label_seed)
    order = Order(
        sizes=(len(kept) * fields.versions if train else fields.held_out,),
        batch_size=batch_size,
        seed=seed,
        names=("--config.data.rendered.count" if train else "--config.data.rendered.held_out",),
    )
    if train:
        order.check()
    store = pool(spec, renderer, TRAIN, kept) if train else held_out
    partners = None
    if train and spec.is_paired:
        partners = make_partners(identities(kept, fields.versions), order)
    held = HeldOut((held_out,))
    return stored(store, order, placement(spec), mesh, held, process, partners)


def open_split(spec: DataSpec, split: str, batch_size: int, label_subset: bool) -> Split:
    """Opens hands for a single pass, through version 0 of each.

    Args:
      spec: The data.
      split: "train" or "held_out".
      batch_size: rows of a batch.
      label_subset: whether to keep to `spec.label_fraction`.

    Raises:
      UserError: no such split, or hands without end.
    """
    store = _split_store(spec, split, batch_size)
    if label_subset and spec.label_fraction < 1:
        hands = identities(np.arange(len(store)), versions=1)
        store = SubsetStore(store, hands, spec.label_fraction, spec.label_seed)
    return Split(store, batch_size)


def _split_store(spec: DataSpec, split: str, batch_size: int) -> Any:
    if split not in _RENDERED_SPLITS:
        raise UserError(
            f"rendered hands have no split {split!r}; they have: {', '.join(_RENDERED_SPLITS)}"
        )
    fields = spec.rendered
    count = {"train": fields.count, "held_out": fields.held_out}[split]
    if not count:
        raise UserError(
            "--config.data.rendered.count=0 renders hands for training without end, which cannot "
            "be gone through: choose the split 'held_out' or give a count"
        )
    spec = _first_version(spec)
    renderer = make_renderer(spec, make_mesh())
    if fields.cache_dir:
        return pool(spec, renderer, _RENDERED_SPLITS[split], np.arange(count))
    return RenderedStore(renderer, count, _RENDERED_SPLITS[split], min(fields.chunk, batch_size))


def identities(hands: Int[np.ndarray, " hands"], versions: int) -> Identities:
    """Returns what the images of a pool show, in its order."""
    return Identities(np.tile(hands, versions), np.repeat(np.arange(versions), len(hands)))


def held_out_hands(spec: DataSpec, renderer: Renderer) -> LazyStore:
    """Version 0 of hands that are not trained on."""
    single, count = _first_version(spec), spec.rendered.held_out
    # One program for both, where that is possible.
    alone = renderer if spec.rendered.versions == 1 else make_renderer(single, renderer.mesh)
    return LazyStore(functools.partial(pool, single, alone, HELD_OUT, np.arange(count)), count)


def placement(spec: DataSpec) -> str:
    """Where rendered hands are held: they are not rendered anew for every batch."""
    return "device" if spec.cache == "none" else spec.cache


def pool(spec: DataSpec, renderer: Renderer, purpose: int, indices: np.ndarray) -> MemoryStore:
    """Hands in host memory, from disk if they were kept there."""
    fields = spec.rendered
    identity = {
        **{k: v for k, v in specs.to_dict(fields).items() if k not in _NOT_OF_THE_HANDS},
        "size_and_margin": [spec.source_size, spec.crop_margin],
        "labels": spec.labels,
        "hands": [purpose, indices.tolist()],
    }
    return cached(
        fields.cache_dir,
        identity,
        lambda: renderer.pool(indices, purpose, fields.chunk, f"Rendering {len(indices)} hands"),
    )


def _first_version(spec: DataSpec) -> DataSpec:
    """Returns the spec of the same rendered hands in version 0 alone."""
    background = spec.rendered.backgrounds[0]
    rendered = dataclasses.replace(spec.rendered, versions=1, background=background)
    return dataclasses.replace(spec, rendered=rendered, pairs="image")


def make_renderer(spec: DataSpec, mesh: Mesh) -> Renderer:
    """The renderer of all versions that a config asks for."""
    return Renderer(
        make_render(spec.rendered),
        mesh,
        seed=spec.rendered.seed,
        size=spec.source_size,
        margin=spec.crop_margin,
        versions=spec.rendered.versions,
        labels=spec.labels,
    )


def make_render(fields: RenderedSpec) -> Render:
    """Returns the renderer of `peclr_jax.synthetic` for what a spec asks."""
    from peclr_jax.synthetic import render

    versions = fields.backgrounds
    spec = render.RenderSpec(
        size=fields.size,
        background=versions[0],
        shared_backgrounds=fields.shared_backgrounds,
        held=fields.held,
        occluder=fields.occluder,
        sleeve=fields.sleeve,
        span=fields.span,
        rays_per_block=render.rays_per_block(),
    )
    return lambda key, indices: render.render_versions(key, indices, spec, versions)
