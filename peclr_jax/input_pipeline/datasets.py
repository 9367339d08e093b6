"""Finds the records of the data sets that a spec names, or has them written."""

import hashlib
from pathlib import Path
from typing import Any

from absl import logging

from data import build
from peclr_jax.devices.processes import process_zero_first
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.input_pipeline.spec import DataSpec, as_list


def open_datasets(spec: DataSpec) -> list[Any]:
    """Returns a prepared TFDS builder for each name but that of the rendered hands.

    Raises:
      MissingFileError: a data set has no records, and no raw files to write them from.
      UserError: unknown name, broken raw files, or records that cannot be read in any order.
    """
    names = spec.record_names
    manual_dirs = as_list(spec.manual_dir) or [""] * len(names)
    # Which writes them if they are not there.
    with process_zero_first("records opened"):
        return [
            _open(name, spec.data_dir, manual_dir)
            for name, manual_dir in zip(names, manual_dirs, strict=True)
        ]


def _open(name: str, data_dir: str, manual_dir: str) -> Any:
    builder = build.make_builder(name, data_dir)
    if manual_dir:
        builder = _of_these_files(builder, name, Path(manual_dir).expanduser())
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
    if builder.info.file_format.value != "array_record":
        raise UserError(
            f"the records in {builder.data_dir} are stored as {builder.info.file_format.value}, "
            "which cannot be read in random order: delete them and write them again with "
            f"`python -m data.build {name}`"
        )
    return builder


def _of_these_files(builder: Any, name: str, manual_dir: Path) -> Any:
    """The builder if its records are of `manual_dir`, else one with a place of its own."""
    if not builder.info.splits:
        return builder
    wanted = builder.identify(manual_dir)
    if builder.info.metadata.get("manual_dir") == wanted:
        return builder
    fingerprint = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    root = Path(builder._data_dir_root) / f"{manual_dir.resolve().name}-{fingerprint}"
    logging.info(
        "Records in %s are of other files than %s, which get their own in %s",
        *(builder.data_dir, wanted, root),
    )
    return build.make_builder(name, root)


def choose_splits(
    builders: list[Any], split: str, fallback: str | None = None
) -> list[tuple[Any, str]]:
    """Pairs each builder with the split to read.

    Args:
      builders: prepared builders.
      split: the wanted split.
      fallback: split to take where none of the data sets has the wanted one; otherwise those
        that lack it are left out. `None` requires all of them to have it.

    Raises:
      UserError: a data set lacks the split.
    """
    having = those_with(builders, split)
    if fallback is None and len(having) < len(builders):
        lacking = next(builder for builder in builders if not _has(builder, split))
        raise UserError(
            f"{lacking.name} in {lacking.data_dir} has no split {split!r}; it has: "
            f"{', '.join(lacking.info.splits)}"
        )
    if having:
        return having
    logging.warning(
        "No data set has a split %r: images of %r stand in for held-out ones.", split, fallback
    )
    return choose_splits(builders, fallback or split)


def those_with(builders: list[Any], split: str) -> list[tuple[Any, str]]:
    """Pairs those builders with a split that have it."""
    return [(builder, split) for builder in builders if _has(builder, split)]


def _has(builder: Any, split: str) -> bool:
    try:
        return builder.info.splits[split].num_examples > 0
    except (KeyError, ValueError):
        return False
