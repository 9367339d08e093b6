"""Writes the records of one data set: `python -m data.build freihand --manual_dir DIR`."""

import argparse
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peclr_jax.errors import (
    MachineError,
    MissingFileError,
    UserError,
    chain,
    explain_machine_fault,
    is_machine_fault,
    nearest,
)
from peclr_jax.places import argument

DATA_SETS = (
    "freihand",
    "youtube_3d_hands",
    "ho3d",
    "dexter_object",
    "image_folder",
    "synthetic_hands",
)
_AGAIN = "run the same command again"


def make_builder(name: str, data_dir: str | Path | None = None) -> Any:
    """Returns the TFDS builder of a data set.

    Args:
      name: A folder of `data/`, with a configuration after a slash where it has several.
      data_dir: Where records are kept; `None` or "" for `~/tensorflow_datasets`.
    """
    folder, _, config = name.partition("/")
    if folder not in DATA_SETS:
        raise UserError(
            f"unknown data set {folder!r}{nearest(folder, DATA_SETS)}; there are: "
            f"{', '.join(DATA_SETS)}"
        )
    builder = importlib.import_module(f"data.{folder}.{folder}_dataset_builder").Builder
    configs = [known.name for known in builder.BUILDER_CONFIGS]
    if config and config not in configs:
        raise UserError(
            f"{folder} has no configuration {config!r}{nearest(config, configs)}; it has: "
            f"{', '.join(configs) or 'none'}"
        )
    if not (data_dir or os.environ.get("TFDS_DATA_DIR")) and os.path.expanduser("~") == "~":
        raise UserError(
            f"this user has no home folder to keep the records of {folder} in: name a folder by "
            "--config.data.data_dir, or by --data_dir of data.build"
        )
    try:
        opened = builder(data_dir=data_dir or None, config=config or None)
        if opened.info.splits:
            opened.info.metadata.keys()  # reads them
        return opened
    # TFDS raises errors of every kind over broken records.
    except Exception as error:
        if is_machine_fault(error):
            root = data_dir or "~/tensorflow_datasets"
            raise MachineError(explain_machine_fault(error, root, _AGAIN)) from error
        reason = " ".join(str(error).split())
        raise UserError(
            f"the records of {name} in {data_dir or '~/tensorflow_datasets'} cannot be read "
            f"({reason}): delete them and write them again"
        ) from error


def prepare(builder: Any, manual_dir: str | Path | None = None) -> None:
    """Checks the raw files and writes the records, showing progress; nothing if they exist.

    Args:
      builder: As returned by `make_builder`.
      manual_dir: The raw files of a data set that cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    manual_dir = os.path.expanduser(manual_dir or "")
    exists = bool(builder.info.splits)
    with _explained(builder):
        if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and (manual_dir or not exists):
            _check_manual_dir(builder, manual_dir, exists)
        if exists:
            return
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=manual_dir or None, try_download_gcs=False
            )
        )


def _check_manual_dir(builder: Any, manual_dir: str, exists: bool) -> None:
    if not manual_dir:
        problem = "no manual_dir is given"
    elif not os.path.isdir(manual_dir):
        problem = f"{manual_dir} is {'no folder' if os.path.exists(manual_dir) else 'not there'}"
    elif not os.listdir(manual_dir):
        problem = f"{manual_dir} is empty"
    else:
        written = builder.info.metadata.get("manual_dir") if exists else None
        if written and written != builder.identify(Path(manual_dir)):
            raise UserError(
                f"the records in {builder.data_dir} are of other files, {written}: delete them, "
                "or pass another --data_dir"
            )
        return
    raise MissingFileError(
        f"{builder.name} needs its raw files, but {problem}: {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
    )


@contextmanager
def _explained(builder: Any) -> Iterator[None]:
    """Raises what TFDS wraps of our errors as it was, and faults of files as `MachineError`."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError):
            raise
        for cause in chain(error):
            if isinstance(cause, UserError):
                raise cause from None
        root = builder._data_dir_root
        if is_machine_fault(error):
            raise MachineError(explain_machine_fault(error, root, _AGAIN)) from error
        if isinstance(error, OSError):
            raise MachineError(
                f"{error.filename or root} cannot be read or written ({error.strerror or error}): "
                f"check the raw files and the folder of the records, {root}"
            ) from error
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepares the data set that the arguments name and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help=f"one of {', '.join(DATA_SETS)}, or NAME/CONFIG")
    parser.add_argument("--manual_dir", type=argument, help="where the raw files lie")
    parser.add_argument("--data_dir", type=argument, help="where to keep the records")
    flags = parser.parse_args(arguments)
    problem = None
    try:
        builder = make_builder(flags.name, flags.data_dir)
        prepare(builder, flags.manual_dir)
    except UserError as error:
        problem = f"error: {error}"
    if problem:  # here the error is gone, and with its frames the progress bars
        print(problem, file=sys.stderr)
        return 2
    for split, info in builder.info.splits.items():
        print(f"{split}: {info.num_examples} images")
    print(f"Records are in {builder.data_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
