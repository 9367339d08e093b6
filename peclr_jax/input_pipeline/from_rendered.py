"""Opens rendered hands: a pool that is held in memory, new hands without end, or a single pass."""

import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Int, UInt8

from peclr_jax import files, outputs, specs
from peclr_jax.devices.mesh import make_mesh
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.input_pipeline.order import Identities, choose_fraction
from peclr_jax.input_pipeline.rendered import (
    HELD_OUT,
    TEST,
    TRAIN,
    Render,
    RenderedStore,
    Renderer,
    check_pool,
)
from peclr_jax.input_pipeline.spec import DataSpec, RenderedSpec
from peclr_jax.input_pipeline.stores import Batch, LazyStore, MemoryStore, Part, Store
from peclr_jax.reading import bounded
from peclr_jax.synthetic import RENDERER_VERSION

# Of how hands without end follow from a run's seed; 2: whatever it is, they are in no split.
_ENDLESS_VERSION = 2
# Fields of a `RenderedSpec` that no hand depends on.
_NOT_OF_THE_HANDS = ("count", "held_out", "chunk", "cache_dir")
# What stands for the names of TFDS splits where hands are rendered.
_SPLITS = {"train": TRAIN, "held_out": HELD_OUT, "test": TEST}
HELD_OUT_NAMES = ("rendered hands",)
"""What the hands that are not trained on are called."""
# Bytes of the largest set of hands that is kept: each set stays on the user's disk.
_LARGEST_KEPT = 2**30
_LARGEST_FILE = _LARGEST_KEPT + 2**20
# Of the fields of kept hands; 2 added "score", 3 the digest.
_FORMAT = 3
_DIGEST = "sha256"
# Times that a rendered image may be enlarged without a word.
_MOST_ENLARGED = 2


def open_part(spec: DataSpec, mesh: Mesh) -> Part:
    """Opens the hands to train on, and those held out; they are rendered when first read.

    Args:
      spec: The data.
      mesh: The devices.
    """
    renderer = make_renderer(spec, mesh)
    if spec.source_size > _MOST_ENLARGED * spec.rendered.size:
        logging.warning(
            "Rendered hands of %d px are enlarged to crops of %d: set --config.data.rendered.size",
            *(spec.rendered.size, spec.source_size),
        )
    check_pool(spec, math.ceil(spec.rendered.count * spec.label_fraction))
    held_out = open_held_out(spec, renderer)
    # In a mixture, hands come after the records.
    number = len(spec.record_names) if spec.is_mixed else 0
    # Hands that are not trained on need not be rendered.
    hands = choose_fraction(
        np.arange(spec.rendered.count), spec.label_fraction, spec.label_seed, number
    )
    store = _open_pool(spec, renderer, TRAIN, hands)
    return Part(store, held_out, ("--config.data.rendered.count",), HELD_OUT_NAMES)


def open_held_out(spec: DataSpec, renderer: Renderer) -> LazyStore:
    """Opens version 0 of the hands that are not trained on, given the renderer of all versions."""
    single = _first_version(spec)
    check_pool(single, spec.rendered.held_out)
    # One program for both, where that is possible.
    alone = renderer if spec.rendered.versions == 1 else make_renderer(single, renderer.mesh)
    return _open_pool(single, alone, HELD_OUT, np.arange(spec.rendered.held_out))


def check_split(name: str) -> None:
    """Checks that a name is of a split of rendered hands.

    Raises:
      UserError: It is not.
    """
    if name not in _SPLITS:
        raise UserError(f"rendered hands have no split {name!r}; they have: {', '.join(_SPLITS)}")


def open_split(spec: DataSpec, split: str, batch_size: int) -> Store:
    """Opens version 0 of hands for a single pass.

    Args:
      spec: The data.
      split: "train"; "held_out", which training monitors; or "test", which nothing was chosen by.
      batch_size: Rows of a batch.
    """
    check_split(split)
    purpose, fields = _SPLITS[split], spec.rendered
    count = fields.count if purpose == TRAIN else fields.held_out
    if not count:
        raise UserError(
            "--config.data.rendered.count=0 renders hands for training without end, which cannot "
            "be gone through: choose the split 'held_out' or give a count"
        )
    single = _first_version(spec)
    renderer = make_renderer(single, make_mesh())
    if fields.cache_dir:
        check_pool(single, count)
        return _open_pool(single, renderer, purpose, np.arange(count))
    return RenderedStore(renderer, count, purpose, min(fields.chunk, batch_size))


def fingerprint(spec: RenderedSpec) -> list[Any]:
    """Returns what tells rendered hands from others."""
    own = [] if spec.count else [_ENDLESS_VERSION]
    # At its default where no hand depends on it, as in fingerprints from when it was told.
    alike = dataclasses.replace(spec, chunk=RenderedSpec.chunk)
    return [RENDERER_VERSION, _fields(alike, ("cache_dir",)), *own]


def first_hands(spec: DataSpec) -> dict[str, Any]:
    """Returns what decides each hand of a single pass, whatever their number."""
    return _fields(_first_version(spec).rendered, _NOT_OF_THE_HANDS)


def _fields(spec: RenderedSpec, left_out: Sequence[str]) -> dict[str, Any]:
    """Returns fields of a spec; those of hands that do not move are as before there was motion."""
    left_out = [*left_out, *(["motion_deg"] if spec.motion_deg == 0 else [])]
    return {name: value for name, value in specs.to_dict(spec).items() if name not in left_out}


def _open_pool(
    spec: DataSpec, renderer: Renderer, purpose: int, hands: Int[np.ndarray, " hands"]
) -> LazyStore:
    """Opens all versions of hands, version by version; read from disk if they were kept there."""
    fields = spec.rendered
    identity = {
        "format": _FORMAT,
        **_fields(fields, _NOT_OF_THE_HANDS),
        "size_and_margin": [spec.source_size, spec.crop_margin],
        "labels": spec.labels,
        "hands": [purpose, hands.tolist()],
    }

    def render() -> MemoryStore:
        return renderer.pool(hands, purpose, fields.chunk, f"Rendering {len(hands)} hands")

    versions = np.repeat(np.arange(fields.versions), len(hands))
    return LazyStore(
        lambda: cached(fields.cache_dir, identity, render),
        Identities(np.tile(hands, fields.versions), versions),
    )


def _first_version(spec: DataSpec) -> DataSpec:
    background = spec.rendered.backgrounds[0]
    rendered = dataclasses.replace(spec.rendered, versions=1, background=background, motion_deg=0.0)
    return dataclasses.replace(spec, rendered=rendered, pairs="image")


def make_renderer(spec: DataSpec, mesh: Mesh) -> Renderer:
    """Makes the renderer of all versions."""
    return Renderer(make_render(spec.rendered), spec, mesh)


def make_render(spec: RenderedSpec) -> Render:
    """Returns the rendering function of `peclr_jax.synthetic`."""
    from peclr_jax.synthetic import render

    options = render.RenderSpec(
        size=spec.size,
        shared_backgrounds=spec.shared_backgrounds,
        held=spec.held,
        occluder=spec.occluder,
        sleeve=spec.sleeve,
        span=spec.span,
        motion_deg=spec.motion_deg,
        rays_per_block=render.rays_per_block(),
    )
    return lambda key, indices: render.render_versions(key, indices, options, spec.backgrounds)


def cached(
    folder: str, identity: Mapping[str, Any], make: Callable[[], MemoryStore]
) -> MemoryStore:
    """Reads a pool of hands from a folder, or renders it and writes it there.

    It is not kept where it has more than a gibibyte or the folder cannot be written (which is
    logged). Several processes render together unless all find the pool; the first one writes it.

    Args:
      folder: Folder of the files, "~" being the user's own; "" keeps nothing.
      identity: What decides the pool beside the renderer's version, as JSON takes it.
      make: Renders the pool.
    """
    if not folder:
        return make()
    made_of = json.dumps([RENDERER_VERSION, identity], sort_keys=True)
    name = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    path = Path(folder).expanduser() / f"hands-{name}.npz"
    kept = _read(path, made_of)
    found = kept is not None
    if jax.process_count() > 1:
        found = bool(np.all(multihost_utils.process_allgather(np.int32(found))))
    if kept is not None and found:
        return kept
    store = make()
    too_large = sum(array.nbytes for array in store.arrays.values()) > _LARGEST_KEPT
    if too_large or jax.process_index() > 0:
        return store
    buffer = io.BytesIO()
    digest = {_DIGEST: _digest(store.arrays, made_of)}
    np.savez(buffer, **store.arrays, **digest)  # type: ignore[arg-type]
    try:
        # Others write there, too; what they left half written when they were killed is cleared up.
        with outputs.held(path.parent, wanted="rendered hands"):
            files.write_bytes(path, buffer.getvalue())
    except OSError as error:
        logging.warning(
            "%s cannot be written (%s): later runs render these hands again", path, error
        )
    return store


def _read(path: Path, made_of: str) -> MemoryStore | None:
    """Returns the hands in a file, None if there are none, or not those that are wanted."""
    try:
        with (
            bounded.opened(path, _LARGEST_FILE) as file,
            np.load(file, allow_pickle=False) as kept,
        ):
            if sum(member.file_size for member in kept.zip.infolist()) > _LARGEST_FILE:
                raise ValueError("it says that it holds more than is ever kept")
            arrays = dict(kept)
        if (arrays.pop(_DIGEST) != _digest(arrays, made_of)).any():
            raise ValueError("it holds other hands than its name says")
        return MemoryStore(arrays)
    except MissingFileError:
        return None
    # Damaged archives raise errors of every kind.
    except Exception as error:
        logging.warning("%s is damaged (%s): its hands are rendered again", path, error)
        return None


def _digest(arrays: Batch, made_of: str) -> UInt8[np.ndarray, "32"]:
    """Returns what tells these arrays, made of that, from all others."""
    digest = hashlib.sha256(made_of.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), np.uint8)
