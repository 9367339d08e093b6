"""Opens data sets of records; imported only where they are read, for it brings in TensorFlow."""

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

from absl import logging

from data import build, found
from data.raw import origin
from peclr_jax.console import say
from peclr_jax.devices.processes import process_zero_first
from peclr_jax.errors import MissingFileError, UserError, printable
from peclr_jax.input_pipeline.records import RecordStore
from peclr_jax.input_pipeline.spec import DataSpec, as_list
from peclr_jax.input_pipeline.stores import IdentifiedStore, Part, keep_fraction

BuilderSplit = tuple[Any, str]

# Data sets whose configurations hold the same images, in other sizes.
_ALL_ALIKE = ("image_folder",)
_LONGEST_NAME = 255  # bytes


def open_part(spec: DataSpec, builders: list[Any]) -> Part:
    """Opens the records to train on, and those that are held out.

    Args:
      spec: The data.
      builders: As `open_datasets` returns them.
    """
    trained = choose_splits(builders, spec.splits)
    # A batch would compare an image with itself as with another.
    _check_once(
        trained,
        "--config.data.split",
        "; --config.data.weights says how often it is drawn",
    )
    others = [(b, spec.held_out_split) for b in builders if _has(b, spec.held_out_split)]
    trained_on = ""
    if both := [b.name for b, split in trained if overlaps(b, split, spec.held_out_split)]:
        trained_on = (
            f"the splits {spec.split!r} and {spec.held_out_split!r} of {', '.join(both)} overlap"
        )
    if not (others or spec.is_mixed):  # of a mixture, the rendered hands alone are held out
        trained_on = f"no data set has a split {spec.held_out_split!r} to hold out"
        others = trained
    held_out = _open_records(spec, others) if others else None
    # Canvases are resampled once, into the view, by the accelerator; caches hold crops.
    store = _open_records(spec, trained, canvases=spec.cache == "none" and not spec.is_mixed)
    store = keep_fraction(store, spec.label_fraction, spec.label_seed)
    copies = tuple(bool(builder.info.metadata.get("copies")) for builder, _ in trained)
    return Part(store, held_out, _names(trained), _names(others), trained_on, copies)


def open_split(spec: DataSpec, split: str) -> IdentifiedStore:
    """Opens one split of all data sets, one after the other."""
    return _open_records(spec, choose_evaluated(spec, split))


def choose_evaluated(spec: DataSpec, split: str) -> list[BuilderSplit]:
    """Pairs each data set with its split to evaluate on.

    Args:
      spec: The data.
      split: One name, or one for each data set with commas between.

    Raises:
      UserError: There is no such split, or an image is named twice.
    """
    splits = dataclasses.replace(spec, split=split).splits
    parts = choose_splits(open_datasets(spec), splits)
    _check_once(parts, "--config.split", "; errors would count it twice")
    return parts


def _open_records(
    spec: DataSpec, parts: list[BuilderSplit], canvases: bool = False
) -> IdentifiedStore:
    for builder, _ in parts:
        _check_margin(spec, builder)
    return RecordStore(
        parts,
        size=spec.source_size,
        margin=spec.crop_margin,
        labels=spec.labels,
        canvases=canvases,
        threads=spec.decode_threads,
    )


def _check_once(parts: list[BuilderSplit], flag: str, more: str) -> None:
    """Checks that no record is named twice.

    The same photographs in records of two sizes are not told.

    Args:
      parts: Data sets and their splits.
      flag: That which names the splits.
      more: To follow the remedy.
    """
    pieces = [
        ((piece.filename, piece.skip), piece.skip + piece.take, f"{builder.name} ({split})")
        for builder, split in parts
        for piece in builder.info.splits[split].file_instructions
    ]
    for (place, end, name), ((file, begin), _, other) in itertools.pairwise(sorted(pieces)):
        if place[0] == file and begin < end:
            raise UserError(
                f"--config.data.names and {flag} name images of {name} twice (again in {other}): "
                f"name each data set, or part of it, once{more}"
            )


def _check_margin(spec: DataSpec, builder: Any) -> None:
    """Checks that records which hold parts of frames hold what crops are cut from."""
    wanted, stored = spec.crop_margin, (builder.info.metadata or {}).get("crop_margin")
    if wanted and stored and wanted > stored:
        raise UserError(
            f"config.data.hand_margin times config.data.source_margin is {wanted:g}, but the "
            f"records of {builder.name} hold {stored:g} times the hand: make one of them smaller"
        )


def _names(parts: list[BuilderSplit]) -> tuple[str, ...]:
    return tuple(f"{builder.name} ({split})" for builder, split in parts)


def fingerprints(builders: list[Any]) -> list[tuple[str, Any]]:
    """Returns name and version of each data set, and what tells each split from others."""

    def facts(builder: Any, name: str, split: Any) -> Any:
        if digest := builder.info.metadata.get("found", {}).get(name, {}).get("sha256"):
            return digest
        # Of earlier versions; their files are padded, so that sizes alone may be the same.
        files = [(Path(file).name, Path(file).stat().st_size) for file in sorted(split.filepaths)]
        return [split.num_examples, split.num_bytes, files]

    return [
        (
            f"{builder.name} {builder.version}",
            {name: facts(builder, name, split) for name, split in builder.info.splits.items()},
        )
        for builder in builders
    ]


def open_datasets(spec: DataSpec) -> list[Any]:
    """Returns a prepared TFDS builder for each name except that of the rendered hands."""
    names = spec.record_names
    manual_dirs = as_list(spec.manual_dir) or [""] * len(names)
    # Process 0 writes the records if there are none.
    with process_zero_first():
        return [
            _open_dataset(name, spec.data_dir, manual_dir)
            for name, manual_dir in zip(names, manual_dirs, strict=True)
        ]


def _open_dataset(name: str, data_dir: str, manual_dir: str) -> Any:
    builder = build.make_builder(name, data_dir)
    if manual_dir:
        builder = _of_these_files(builder, name, Path(manual_dir).expanduser())
    elif told := build.stale(builder):
        logging.warning("The records in %s are taken as they are%s", builder.data_dir, told)
    if not builder.info.splits:
        if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and not manual_dir:
            raise MissingFileError(
                f"there are no records of {name} in {builder.data_dir}: pass its raw files as "
                "--config.data.manual_dir=DIR, or write the records with "
                f"`python -m data.build {name} --manual_dir DIR"
                f"{f' --data_dir {data_dir}' if data_dir else ''}`"
            )
        logging.info("Writing the records of %s to %s", builder.name, builder.data_dir)
        build.prepare(builder, manual_dir or None)
        builder = build.make_builder(name, builder._data_dir_root)
        say(*(f"{name}, {line}" for line in found.lines(builder.info)))
    if builder.info.file_format.value != "array_record":
        raise UserError(
            f"the records in {builder.data_dir} are stored as {builder.info.file_format.value}, "
            "which cannot be read in random order: delete them and write them again with "
            f"`python -m data.build {name}`"
        )
    builder.check_shards()
    return builder


def _of_these_files(builder: Any, name: str, manual_dir: Path) -> Any:
    """Returns the builder if its records are of `manual_dir`, else one with its own folder."""
    if not (builder.info.splits and builder.MANUAL_DOWNLOAD_INSTRUCTIONS):
        return builder
    metadata, place = builder.info.metadata, manual_dir.resolve()
    if not manual_dir.exists() and metadata.get("manual_dir") == str(place):
        gone = printable(manual_dir)
        logging.warning("%s is gone: its records in %s are taken", gone, builder.data_dir)
        return builder
    build.check_manual_dir(builder, str(manual_dir))
    wanted = builder.describe_raw_files(manual_dir)
    changes = origin.difference(metadata.get("raw_files"), wanted)
    if not changes:
        return builder
    root = Path(builder._data_dir_root) / _own_name(place.name, origin.digest(wanted))
    own = build.make_builder(name, root)
    if not own.info.splits:
        logging.warning(
            "The records in %s are not of the files in %s, which get their own in %s: %s",
            *map(printable, (builder.data_dir, manual_dir, root, changes)),
        )
    return own


def _own_name(folder: str, digest: str) -> str:
    """Returns a name after that of a folder, which libraries take for no pattern."""
    readable = re.sub(r"[*?\ud800-\udfff]", "_", folder)  # the latter are bytes of no text
    short = readable.encode()[: _LONGEST_NAME - len(digest) - 1].decode(errors="ignore")
    return f"{short}-{digest}"


def choose_splits(builders: list[Any], splits: list[str]) -> list[BuilderSplit]:
    """Pairs each builder with its split, which it must have."""
    chosen = list(zip(builders, splits, strict=True))
    for builder, split in chosen:
        if not _has(builder, split):
            raise UserError(
                f"{builder.name} in {builder.data_dir} has no split {split!r}; it has: "
                f"{', '.join(builder.info.splits)}"
            )
    return chosen


def may_be_labelled(builder: Any, split: str) -> bool:
    """Returns whether any joint of a split has a label, as was counted when it was written.

    Args:
      builder: Of the data set.
      split: Name of a split; of those that were not counted, True is returned.
    """
    counts = (builder.info.metadata or {}).get("found", {}).get(split)
    return not counts or any(name in counts["labels"] for name in ("keypoints_2d", "keypoints_3d"))


def is_named(builder: Any, name: str) -> bool:
    """Returns whether a name means the images of a data set.

    Args:
      builder: Of the data set.
      name: Its own, or that of another data set; without a configuration it means the first.
    """
    folder, _, config = name.partition("/")
    if folder != builder.name or folder in _ALL_ALIKE:
        return folder == builder.name
    configs = [known.name for known in builder.BUILDER_CONFIGS]
    return not configs or (config or configs[0]) == builder.builder_config.name


def overlaps(builder: Any, split: str, other: str) -> bool:
    """Returns whether two splits of a data set have images in common; not if either is absent.

    Args:
      builder: Of the data set.
      split: Name of a split.
      other: Name of another one.
    """
    if not (_has(builder, split) and _has(builder, other)):
        return False
    first, second = (builder.info.splits[name].file_instructions for name in (split, other))
    return any(
        a.filename == b.filename and max(a.skip, b.skip) < min(a.skip + a.take, b.skip + b.take)
        for a in first
        for b in second
    )


def _has(builder: Any, split: str) -> bool:
    try:
        return builder.info.splits[split].num_examples > 0
    except (KeyError, ValueError):
        return False
