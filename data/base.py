"""The builder that all data sets share: one record schema, random access and small shards."""

import dataclasses
import math
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from array_record.python.array_record_module import ArrayRecordReader

from data import found, schema
from data.images import ahead
from data.raw import origin
from peclr_jax import outputs
from peclr_jax.errors import MachineError, UserError, is_machine_fault

# TFDS's own 64 MiB would put most of our data sets into one file.
_SHARD_BYTES = 16 << 20
# TFDS sorts records by keys of 128 bits, in a thousand buckets of keys.
_KEYS, _BUCKETS = 2**128, 1000
# What TFDS calls a folder of records that are not complete.
_INCOMPLETE = re.compile(r"incomplete\.[A-Z0-9]{6}_")


class HandDatasetBuilder(  # type: ignore[call-arg]
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """A TFDS builder of `schema.Record`s that writes ArrayRecord files unless told otherwise.

    ArrayRecord gives random access, which the input pipeline's stateless shuffle needs.
    """

    HOMEPAGE = ""

    def __init__(self, *, file_format: Any = None, **kwargs: Any):
        super().__init__(file_format=file_format, **kwargs)
        if file_format is None and not self.info.splits:  # nothing is written yet
            self.info.set_file_format("array_record", override=True)

    def _info(self) -> tfds.core.DatasetInfo:
        info = self.dataset_info_from_configs(
            features=schema.features(),
            homepage=self.HOMEPAGE or None,
            # Records lie in the order in which they are generated: training draws its own.
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )
        # Nobody publishes records of these: TFDS would leave an empty folder in /tmp at each start.
        info.initialize_from_bucket = lambda: None
        return info

    def _log_download_bytes(self) -> None:
        """Says nothing of sizes that TFDS does not know."""

    def _log_download_done(self) -> None:
        """Says nothing of a folder that is moved when it is complete."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the folder of the records, waits for who writes there, removes what is unfinished.

        Nobody can be in a folder that cannot be written to, which is for TFDS to say.
        """
        folder = Path(self.data_dir).parent
        with ExitStack() as stack:
            with suppress(MachineError):
                held = outputs.held(folder, "data_dir", f"the records of {self.name}")
                stack.enter_context(held)
                for name in filter(_INCOMPLETE.match, os.listdir(folder)):
                    shutil.rmtree(folder / name)
            yield

    def manual_dir(self, dl_manager: tfds.download.DownloadManager) -> Path:
        """Returns the directory of the raw files and notes them: later runs notice others."""
        manual_dir = Path(dl_manager.manual_dir)
        self.info.metadata["manual_dir"] = str(manual_dir.expanduser().resolve())
        self.info.metadata["raw_files"] = self.describe_raw_files(manual_dir)
        return manual_dir

    def note(self, what: str, *, warn: bool = True) -> None:
        """Notes something about the raw files in the metadata, to be said with what was found.

        Args:
          what: A line.
          warn: Whether to say it as a warning, too, and at once.
        """
        if warn:
            logging.warning("%s", what)
        self.info.metadata.setdefault("notes", []).append(what)

    def describe_raw_files(self, manual_dir: Path) -> origin.Origin:
        """Returns what tells the raw files of a directory from others."""
        manual_dir = manual_dir.expanduser()
        return origin.describe(manual_dir, self.raw_files(manual_dir))

    def raw_files(self, manual_dir: Path) -> Iterable[Path]:
        """Returns the files that records would be made of."""
        raise NotImplementedError

    def counted(self, splits: Mapping[str, Iterator[found.Example]]) -> dict[str, Any]:
        """Returns the splits, whose labels are counted while they are written."""
        counts = self.info.metadata["found"] = {split: {} for split in splits}
        return {split: apart(found.counted(ones, counts[split])) for split, ones in splits.items()}

    @property
    def how_to_write_again(self) -> str:
        """What to do about broken records, to follow a colon."""
        name = f"{self.name}/{self.builder_config.name}" if self.BUILDER_CONFIGS else self.name
        flags = {"data_dir": self._data_dir_root}
        if self.MANUAL_DOWNLOAD_INSTRUCTIONS:
            flags["manual_dir"] = (self.info.metadata or {}).get("manual_dir", "DIR")
        given = " ".join(f"--{flag}={shlex.quote(str(value))}" for flag, value in flags.items())
        return f"write the records again with `python -m data.build {name} --overwrite {given}`"

    def check_shards(self) -> None:
        """Checks that the files of the records are there, whole as far as their ends tell.

        Raises:
          UserError: A file is missing, cut off, or holds another number of records.
        """
        shards = [
            (os.fspath(path), length)
            for split in self.info.splits.values()
            for path, length in zip(split.filepaths, split.shard_lengths, strict=True)
        ]
        is_array_record = self.info.file_format.value == "array_record"
        check = _shard_problem if is_array_record else _absence
        problems = ahead(lambda shard: check(*shard), shards)
        for (path, _), problem in zip(shards, problems, strict=True):
            if problem:
                raise UserError(f"{path} {problem}: {self.how_to_write_again}")

    def leave_out(self, what: str) -> None:
        """Notes in the metadata which raw files are left out, to be said with what was found."""
        self.info.metadata.setdefault("left_out", []).append(what)

    def download_and_prepare(
        self, *, download_config: tfds.download.DownloadConfig | None = None, **kwargs: Any
    ) -> None:
        """Writes the records, in smaller shards than TFDS's own."""
        config = download_config or tfds.download.DownloadConfig()
        if config.min_shard_size == tfds.download.DownloadConfig.min_shard_size:
            config = dataclasses.replace(config, min_shard_size=_SHARD_BYTES)
        super().download_and_prepare(download_config=config, **kwargs)
        for line in found.lines(self.info):
            logging.info("%s, %s", self.name, line)


def apart(examples: Iterable[found.Example]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields examples in order under keys that lie far apart, so that TFDS needs little memory.

    It reads a bucket at a time, and keys that count from zero all lie in the first: a split of 2 GB
    takes as much memory, one of 150 GB cannot be written. Here bucket b holds 200 b + 100 examples:
    of 100,000 examples the fullest holds 6,300, of a hundred million 200,000.

    Args:
      examples: With numbers, in any order, or names, in the order in which they are kept.
    """
    for position, (key, record) in enumerate(examples):
        number = key if isinstance(key, int) else position
        bucket = min(math.isqrt(number // 100), _BUCKETS - 1)
        yield (2 * bucket + 1) * _KEYS // (2 * _BUCKETS) + number, record


def _absence(path: str, _: int) -> str | None:
    return None if os.path.isfile(path) else "is missing"


def _shard_problem(path: str, length: int) -> str | None:
    """Returns what is wrong with a file of so many records, to follow its name."""
    if problem := _absence(path, length):
        return problem
    reader = ArrayRecordReader(
        path, options="readahead_buffer_size:0", file_reader_buffer_size=32768
    )
    found = reader.num_records() if reader.ok() else None
    try:
        reader.close()
    except RuntimeError as error:  # what opening it failed of
        if is_machine_fault(error):
            raise
    if found is None:
        return "is damaged or cut off"
    return None if found == length else f"holds {found:,} records, not {length:,}"
