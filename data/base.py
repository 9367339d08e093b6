"""What all builders here share: records with random access, in small shards."""

import dataclasses
from typing import Any

import tensorflow_datasets as tfds

# TFDS's own 64 MiB would put most of our data sets into one file.
_SHARD_BYTES = 16 << 20


class HandDatasetBuilder(  # type: ignore[call-arg]
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """A TFDS builder that writes ArrayRecord files unless told otherwise.

    ArrayRecord gives random access, which the input pipeline's stateless shuffle needs.
    """

    def __init__(self, *, file_format: Any = None, **kwargs: Any):
        super().__init__(file_format=file_format, **kwargs)
        if file_format is None and not self.info.splits:  # nothing is written yet
            self.info.set_file_format("array_record", override=True)

    def download_and_prepare(
        self, *, download_config: tfds.download.DownloadConfig | None = None, **kwargs: Any
    ) -> None:
        """Writes the records; as the parent's, with smaller shards."""
        config = download_config or tfds.download.DownloadConfig()
        if config.min_shard_size == tfds.download.DownloadConfig.min_shard_size:
            config = dataclasses.replace(config, min_shard_size=_SHARD_BYTES)
        super().download_and_prepare(download_config=config, **kwargs)
