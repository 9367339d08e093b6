"""From a spec to batches on the devices: records, memory or rendered hands, one iterator."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from peclr_jax.devices.processes import check_alike
from peclr_jax.errors import UserError
from peclr_jax.hands import neighbours
from peclr_jax.input_pipeline import from_rendered
from peclr_jax.input_pipeline.device_cache import DeviceCache
from peclr_jax.input_pipeline.order import (
    Identities,
    Neighbours,
    Order,
    Pairing,
    Partners,
    tell_apart,
)
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
    load,
)

__all__ = [
    "Batch",
    "DataSpec",
    "RenderedSpec",
    "Source",
    "Split",
    "check_read",
    "fingerprint",
    "make_source",
    "open_split",
    "overlapping",
]

_DIGITS = 16
# How many similar hands are known of each: one, and others for batches that show it already.
_NEIGHBOURS = 4


def make_source(
    spec: DataSpec,
    *,
    batch_size: int,
    seed: int,
    mesh: Mesh,
    contrastive: bool = False,
) -> Source:
    """Opens the images to train on; slow work is done here and shows progress.

    Args:
      spec: The data.
      batch_size: Rows of a batch, over all processes.
      seed: Seed of the images' order.
      mesh: The devices; batches are split over its `data` axis.
      contrastive: Whether images are compared with one another, so that none may be there twice.
    """
    process = jax.process_index(), jax.process_count()
    if batch_size < 1 or batch_size % mesh.size or batch_size % process[1]:
        raise UserError(
            f"--config.batch_size={batch_size} does not divide among {mesh.size} devices "
            f"(processes: {process[1]}): choose a multiple"
        )
    builders = _open_records(spec)
    told_apart = _fingerprint(spec, builders)
    check_alike({"the data": told_apart})
    if spec.is_endless:
        renderer = from_rendered.make_renderer(spec, mesh)
        held_out = HeldOut(
            (from_rendered.open_held_out(spec, renderer),), from_rendered.HELD_OUT_NAMES
        )
        return EndlessSource(held_out, renderer, batch_size, seed, fingerprint=told_apart)
    parts = _open_parts(spec, builders, mesh)
    held_out = HeldOut(
        tuple(part.held_out for part in parts if part.held_out is not None),
        tuple(name for part in parts for name in part.held_out_names),
        "; ".join(part.trained_on for part in parts if part.trained_on),
    )

    def make_order(parts: list[Part]) -> Order:
        return Order(
            sizes=tuple(size for part in parts for size in part.store.sizes),
            batch_size=batch_size,
            seed=seed,
            weights=spec.shares,
            names=tuple(name for part in parts for name in part.names),
        )

    order = make_order(parts)
    order.check()  # before anything slow
    if contrastive and any(copy for part in parts for copy in part.copies):
        parts, order = _without_copies(parts, order, make_order)
    stores = [part.store for part in parts]
    partners = _PAIRINGS[spec.pairs](stores, order) if spec.is_paired else None
    examples: Store = stores[0] if len(stores) == 1 else join([load(store) for store in stores])
    if spec.kept_on == "device":
        cache = DeviceCache(load(examples).arrays, mesh)
        return CachedSource(held_out, order, partners, cache, fingerprint=told_apart)
    if spec.kept_on == "host":
        examples = load(examples)
    return StreamSource(held_out, order, partners, examples, mesh, process, fingerprint=told_apart)


def check_read(source: str, given: Any) -> None:
    """Refuses what is of records where hands are rendered, which reads none of them.

    Args:
      source: Of `DataSpec`.
      given: A spec of what the user names, with some of the same fields.
    """
    if source != RENDERED:
        return
    for field in ("names", "weights", "manual_dir", "data_dir"):
        if (value := getattr(given, field, None)) != getattr(type(given), field, None):
            raise UserError(
                f"--config.data.{field}={value} is of records, but data.source='rendered' renders "
                f"hands: set --config.data.source=tfds, or leave {field} out"
            )


def _open_records(spec: DataSpec) -> list[Any]:
    """Returns the builders of all records; these are looked for only once a run."""
    if spec.source != "tfds":
        return []
    # Imported here because this is what brings TensorFlow in.
    from peclr_jax.input_pipeline import from_records

    return from_records.open_datasets(spec)


def _open_parts(spec: DataSpec, builders: list[Any], mesh: Mesh) -> list[Part]:
    parts = []
    if builders:
        from peclr_jax.input_pipeline import from_records

        parts.append(from_records.open_part(spec, builders))
    if spec.has_rendered:
        parts.append(from_rendered.open_part(spec, mesh))
    return parts


def _without_copies(
    parts: list[Part], order: Order, make_order: Callable[[list[Part]], Order]
) -> tuple[list[Part], Order]:
    """Leaves out images that are there more than once, if enough are left for a batch."""
    single = [part.without_copies() for part in parts]
    shorter = make_order(single)
    if shorter.fits:
        left_out = order.num_examples - shorter.num_examples
        logging.warning("%d images are copies of others and left out of pre-training", left_out)
        return single, shorter
    logging.warning(
        "A batch of %d takes more images than the %d different ones: copies of an image will be "
        "compared as if they were of other hands; choose a smaller batch",
        *(order.batch_size, shorter.num_examples),
    )
    return parts, order


def _pair_versions(stores: list[IdentifiedStore], order: Order) -> Pairing:
    partners = Partners(_identities(stores), order.sizes, order.seed)
    if not partners.exist:
        raise UserError(
            "--config.data.pairs='versions' pairs images of one hand, but each hand of "
            f"{', '.join(order.names)} has only one: use 'image'"
        )
    return partners


def _pair_neighbours(stores: list[IdentifiedStore], order: Order) -> Pairing:
    shown = tell_apart(_identities(stores), order.sizes)
    labels = [store.labels() for store in stores]
    keypoints, valid = (
        np.concatenate([part[name] for part in labels])[shown.first]
        for name in ("keypoints_2d", "keypoints_2d_valid")
    )
    labelled = np.flatnonzero(valid.all(1))
    missing = len(valid) - len(labelled)
    if len(labelled) < 2:
        raise UserError(
            "--config.data.pairs='mined' compares the 2D keypoints of hands, but of the "
            f"{len(valid)} hands of {', '.join(order.names)} {len(labelled)} have them: use 'image'"
        )
    if missing:
        logging.warning(
            "%d of %d hands lack keypoints, and are paired with themselves", missing, len(valid)
        )
    features = neighbours.pose_features(keypoints[labelled])
    found = neighbours.nearest(features, shown.photos[shown.first][labelled], _NEIGHBOURS)
    of_all = np.full((len(valid), _NEIGHBOURS), -1)
    of_all[labelled] = np.where(found < 0, -1, labelled[found])
    return Neighbours(shown, of_all, order.seed)


def _identities(stores: list[IdentifiedStore]) -> Identities:
    shown = zip(*(store.identities() for store in stores), strict=True)
    return Identities(*map(np.concatenate, shown))


# By `DataSpec.pairs`, for all but the pairs of one image.
_PAIRINGS: Mapping[str, Callable[[list[IdentifiedStore], Order], Pairing]] = {
    "versions": _pair_versions,
    "mined": _pair_neighbours,
}


def open_split(spec: DataSpec, split: str, *, batch_size: int) -> Split:
    """Opens one split for a single pass; of rendered hands, through version 0 of each.

    Args:
      spec: The data; `weights`, `cache`, `label_fraction` and splits do not matter, all `names` are
        read in turn.
      split: Name of the TFDS split; of rendered hands, "train", "held_out" or "test".
      batch_size: Rows of a batch.
    """
    if batch_size < 1:
        raise UserError(f"a batch needs at least one image, got a batch size of {batch_size}")
    if spec.is_mixed:
        raise UserError(
            f"--config.data.names={spec.names!r} mixes rendered hands with records, but they are "
            "gone through by themselves: set --config.data.source='rendered', or leave them out"
        )
    store: Store
    if spec.source == RENDERED:
        store = from_rendered.open_split(spec, split, batch_size)
    else:
        from peclr_jax.input_pipeline import from_records

        store = from_records.open_split(spec, split)
    return Split(store, batch_size)


def overlapping(spec: DataSpec, trained: DataSpec) -> list[tuple[int, int]]:
    """Returns which data sets of records have images in common with those of a training.

    Args:
      spec: Names the data sets and their splits.
      trained: Those of the training; they are told by their names alone.

    Returns:
      Their places in the `record_names` of both.
    """
    from peclr_jax.input_pipeline import from_records

    asked = zip(from_records.open_datasets(spec), spec.splits, strict=True)
    known = list(zip(trained.record_names, trained.splits, strict=True))
    return [
        (place, other)
        for place, (builder, split) in enumerate(asked)
        for other, (name, of_training) in enumerate(known)
        if from_records.is_named(builder, name)
        and from_records.overlaps(builder, of_training, split)
    ]


def fingerprint(spec: DataSpec) -> str:
    """Returns the data sets' names with a digest each of what decides their images.

    Records are told apart by their content, as it was when they were written; those that are still
    to be written from raw files are written here.

    Args:
      spec: The data.
    """
    return _fingerprint(spec, _open_records(spec))


def _fingerprint(spec: DataSpec, builders: list[Any]) -> str:
    facts = []
    if spec.has_rendered:
        facts.append((RENDERED, from_rendered.fingerprint(spec.rendered)))
    if builders:
        from peclr_jax.input_pipeline import from_records

        facts += from_records.fingerprints(builders)
    texts = ((name, json.dumps(of_name, sort_keys=True)) for name, of_name in facts)
    return ", ".join(
        f"{name} {hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}" for name, text in texts
    )
