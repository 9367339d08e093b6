"""Writes the records of one data set: `python -m data.build freihand --manual_dir DIR`."""

from peclr_jax import (  # which imports little; the rest is imported with signals obeyed
    console,
    stopping,
)

PROGRAM = stopping.start(__name__)

import argparse
import contextlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from tqdm import auto as tqdm

from data import found
from data.raw import origin
from peclr_jax import files
from peclr_jax.errors import (
    MissingFileError,
    UserError,
    explaining,
    is_machine_fault,
    nearest,
)
from peclr_jax.places import argument, named

DATA_SETS = (
    "freihand",
    "youtube_3d_hands",
    "ho3d",
    "dexter_object",
    "image_folder",
    "synthetic_hands",
)
_AGAIN = "run the same command again"
# Looking at these takes ten seconds and 300 MB, at every start.
_LOOKED_AT_MOST = 1_000_000


def make_builder(name: str, data_dir: str | Path | None = None) -> Any:
    """Returns the TFDS builder of a data set.

    Args:
      name: A folder of `data/`, with a configuration after a slash where it has several.
      data_dir: Where records are kept; `None` or "" for $TFDS_DATA_DIR, or without one for
        `~/tensorflow_datasets`.
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
    data_dir = data_dir or named("TFDS_DATA_DIR", os.environ.get("TFDS_DATA_DIR", ""))
    if not data_dir and os.path.expanduser("~") == "~":
        raise UserError(
            f"this user has no home folder to keep the records of {folder} in: name a folder by "
            "--config.data.data_dir, or by --data_dir of data.build"
        )
    if data_dir and (reason := files.misread(data_dir, "*?")):
        raise UserError(
            f"records cannot be kept in {data_dir}, because {reason}: choose another data_dir"
        )
    try:
        opened = builder(data_dir=data_dir or None, config=config or None)
        if opened.info.splits:
            opened.info.metadata.keys()  # reads them
        return opened
    # TFDS raises errors of every kind over broken records.
    except Exception as error:
        if is_machine_fault(error):
            raise  # and told by whoever knows where the program writes
        reason = " ".join(str(error).split())
        raise UserError(
            f"the records of {name} in {data_dir or '~/tensorflow_datasets'} cannot be read "
            f"({reason}): delete them and write them again"
        ) from error


class Prepared(NamedTuple):
    """Records that are there now: their builder, and what became of those that were before."""

    builder: Any
    done: str


def prepare(
    builder: Any, manual_dir: str | Path | None = None, *, overwrite: bool = False
) -> Prepared:
    """Checks the raw files and writes the records, showing progress, unless they exist.

    Records of files that have changed since are written anew, and replaced when that is done. While
    another process writes them, this one waits, and says so.

    Args:
      builder: As returned by `make_builder`.
      manual_dir: The raw files of a data set that cannot be downloaded.
      overwrite: Whether to write records anew that are of the same files, or of another folder's.
    """
    manual_dir = os.path.expanduser(manual_dir or "")
    if manual_dir and not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise UserError(
            f"{builder.name} is made of no raw files: leave out the manual_dir, {manual_dir}"
        )
    with explaining(builder._data_dir_root, _AGAIN), builder.alone():
        if not builder.info.splits:  # unless another process has written them meanwhile
            written = _like(builder, builder._data_dir_root)
            builder = written if written.info.splits else builder
        exists = bool(builder.info.splits)
        if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and (manual_dir or overwrite or not exists):
            check_manual_dir(builder, manual_dir)
        if not exists:
            return Prepared(_write(builder, manual_dir), "")
        if overwrite:
            return Prepared(_write(builder, manual_dir), "Written anew")
        if not (manual_dir and builder.MANUAL_DOWNLOAD_INSTRUCTIONS):
            written = builder.info.metadata.get("manual_dir")
            of = f": records of {written}" if written else ""
            builder.check_shards()
            return Prepared(builder, f"Kept{of}" + (stale(builder) or ""))
        if not (changes := compare(builder, manual_dir)):
            builder.check_shards()
            return Prepared(builder, f"Kept: the files in {manual_dir} are the same")
        written = builder.info.metadata.get("manual_dir")
        if written and written != str(Path(manual_dir).resolve()):
            raise UserError(
                f"the records in {builder.data_dir} are of other files, {written}: pass "
                "--overwrite to replace them, or another --data_dir"
            )
        return Prepared(_write(builder, manual_dir), f"Written anew: {changes}")


def compare(builder: Any, manual_dir: str | Path) -> str | None:
    """Returns in what raw files differ from those that records were made of, if they do."""
    now = builder.describe_raw_files(Path(manual_dir))
    return origin.difference(builder.info.metadata.get("raw_files"), now)


def stale(builder: Any) -> str | None:
    """Says that the files that records were made of have changed since, if they are still there."""
    written, raw_files = (builder.info.metadata.get(name) for name in ("manual_dir", "raw_files"))
    if not (written and raw_files and os.path.isdir(written)):
        return None
    if (number := sum(count for count, *_ in raw_files["files"].values())) > _LOOKED_AT_MOST:
        return (
            f"; {number:,} files are too many to see at every start whether they have changed "
            f"since: pass --manual_dir {written} to data.build to do so"
        )
    with contextlib.suppress(UserError, OSError):
        if changes := compare(builder, written):
            return (
                f"; these files have changed since ({changes}): pass --manual_dir {written} to "
                "data.build to write records of them"
            )
    return None


def check(builder: Any, manual_dir: str | Path | None = None) -> list[str]:
    """Checks raw files as far as writing records would, and writes none.

    Args:
      builder: As returned by `make_builder`.
      manual_dir: The raw files.

    Returns:
      A line for each split, and one about records that exist.
    """
    manual_dir = os.path.expanduser(manual_dir or "")
    # Where records would be written there is room, other than in many a /tmp.
    root = Path(builder._data_dir_root)
    nearest_folder = next(folder for folder in (root, *root.parents) if folder.is_dir())
    place = nearest_folder if os.access(nearest_folder, os.W_OK) else None
    with explaining(root, _AGAIN), tempfile.TemporaryDirectory(dir=place) as unpacked:
        if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            raise UserError(f"{builder.name} is made of no raw files: there is nothing to check")
        check_manual_dir(builder, manual_dir)
        fresh = _like(builder, unpacked)
        manager = SimpleNamespace(manual_dir=manual_dir, download_dir=unpacked)
        splits = fresh._split_generators(manager)
        counts = {
            split: SimpleNamespace(num_examples=_count(split, examples))
            for split, examples in splits.items()
        }
        lines = found.lines(SimpleNamespace(metadata=fresh.info.metadata, splits=counts))
        if builder.info.splits:
            changes = compare(builder, manual_dir) or "they are of these files"
            lines.append(f"There are records in {builder.data_dir}: {changes}")
    return lines


def _count(split: str, examples: Iterable[Any]) -> int:
    bar = tqdm.tqdm(examples, desc=f"Checking {split}", unit=" images", leave=False)
    return sum(1 for _ in bar)


def _write(builder: Any, manual_dir: str) -> Any:
    """Writes records; those that are there stay until the new ones are whole."""
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(manual_dir=manual_dir or None, try_download_gcs=False)
    downloads = os.path.join(builder._data_dir_root, "downloads")
    with files.writing_folder(Path(builder.data_dir)) as unfinished:
        fresh = _like(builder, unfinished / "root")
        fresh.download_and_prepare(download_dir=downloads, download_config=config)
        for path in Path(fresh.data_dir).iterdir():
            path.rename(unfinished / path.name)
        shutil.rmtree(unfinished / "root")
    return _like(builder, builder._data_dir_root)


def _like(builder: Any, data_dir: str | Path) -> Any:
    config = builder.builder_config if builder.BUILDER_CONFIGS else None
    return type(builder)(data_dir=data_dir, config=config)


def check_manual_dir(builder: Any, manual_dir: str) -> None:
    """Refuses a directory of raw files that is not there or empty."""
    if not manual_dir:
        problem = "no manual_dir is given"
    elif not os.path.isdir(manual_dir):
        problem = f"{manual_dir} is {'no folder' if os.path.exists(manual_dir) else 'not there'}"
    elif not os.listdir(manual_dir):
        problem = f"{manual_dir} is empty"
    else:
        return
    raise MissingFileError(
        f"{builder.name} needs its raw files, but {problem}: {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepares the data set that the arguments name and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help=f"one of {', '.join(DATA_SETS)}, or NAME/CONFIG")
    parser.add_argument("--manual_dir", type=argument, help="where the raw files lie")
    parser.add_argument("--data_dir", type=argument, help="where to keep the records")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--overwrite", action="store_true", help="write records anew that exist")
    how.add_argument("--check", action="store_true", help="check the raw files and write nothing")
    flags = parser.parse_args(arguments)
    problem, lines = None, []
    console.shorten_logs()
    try:
        with explaining(flags.data_dir or "the records", _AGAIN):
            builder = make_builder(flags.name, flags.data_dir)
            if flags.check:
                lines = [*check(builder, flags.manual_dir), "Nothing was written"]
            else:
                builder, done = prepare(builder, flags.manual_dir, overwrite=flags.overwrite)
                lines = found.lines(builder.info)
                lines += [done] if done else []
                lines.append(f"Records are in {builder.data_dir}")
    except UserError as error:
        problem = f"error: {error}"
    if problem:  # here the error is gone, and with its frames the progress bars
        console.tell(problem)
        return 2
    console.say(*lines)
    return 0


if __name__ == "__main__":
    PROGRAM.end(lambda: sys.exit(PROGRAM.run(main)))
