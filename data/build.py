"""Writes the records of one data set: ``python -m data.build freihand --manual_dir DIR``."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from peclr_jax.errors import MissingFileError, UserError

DATA_SETS = (
    "freihand",
    "youtube_3d_hands",
    "ho3d",
    "dexter_object",
    "image_folder",
    "synthetic_hands",
)


def make_builder(name: str, data_dir: str | Path | None = None) -> Any:
    """Returns the TFDS builder of ``name`` or ``name/config``.

    Args:
      name: a folder of ``data/``, with a configuration after a slash where it has several.
      data_dir: where records are kept; ``None`` or "" for ``~/tensorflow_datasets``.

    Raises:
      UserError: there is no such data set or configuration.
    """
    folder, _, config = name.partition("/")
    if folder not in DATA_SETS:
        raise UserError(f"Unknown data set {folder!r}; there are: {', '.join(DATA_SETS)}.")
    module = importlib.import_module(f"data.{folder}.{folder}_dataset_builder")
    configs = [known.name for known in module.Builder.BUILDER_CONFIGS]
    if config and config not in configs:
        raise UserError(
            f"{folder} has no configuration {config!r}; it has: {', '.join(configs) or 'none'}."
        )
    return module.Builder(data_dir=data_dir or None, config=config or None)


def prepare(builder: Any, manual_dir: str | Path | None = None) -> None:
    """Checks the raw files and writes the records, showing progress; nothing if they exist.

    Args:
      builder: as returned by ``make_builder``.
      manual_dir: the raw files of a data set that cannot be downloaded.

    Raises:
      MissingFileError: ``manual_dir`` is needed and not given, or does not exist.
    """
    import tensorflow_datasets as tfds

    manual_dir = manual_dir and Path(manual_dir).expanduser()
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and not (manual_dir and manual_dir.is_dir()):
        raise MissingFileError(
            f"{builder.name} needs its raw files, but manual_dir is {str(manual_dir or '')!r}"
            f"{', which is not a directory' if manual_dir else ''}. "
            f"{builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    if manual_dir and not any(manual_dir.iterdir()):
        raise MissingFileError(
            f"{builder.name} needs its raw files, but manual_dir {manual_dir} is empty. "
            f"{builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=str(manual_dir) if manual_dir else None, try_download_gcs=False
        )
    )


def main() -> int:
    """Reads the command line and prepares one data set; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help=f"one of {', '.join(DATA_SETS)}, or NAME/CONFIG")
    parser.add_argument("--manual_dir", help="where the raw files lie")
    parser.add_argument("--data_dir", help="where to keep the records")
    arguments = parser.parse_args()
    try:
        builder = make_builder(arguments.name, arguments.data_dir)
        prepare(builder, arguments.manual_dir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for split, info in builder.info.splits.items():
        print(f"{split}: {info.num_examples} images")
    print(f"Records are in {builder.data_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
