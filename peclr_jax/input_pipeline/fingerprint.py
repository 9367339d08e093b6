"""Says whether two runs see the same data."""

import hashlib
import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from peclr_jax.input_pipeline.config import is_mixed
from peclr_jax.synthetic import RENDERER_VERSION

_DIGITS = 16


def fingerprint(config: ConfigDict) -> str:
    """Digests what the images are made of, or which files they are read from.

    Records are told apart by the names and sizes of their files, not by every byte of them.

    Args:
      config: the fields of `input_pipeline.default_config`.

    Returns:
      The data sets' names and a digest each, for people and for comparison.
    """
    parts = []
    if config.source == "rendered" or is_mixed(config):
        fields = {name: value for name, value in config.rendered.items() if name != "cache_dir"}
        parts.append(_digest("rendered", [RENDERER_VERSION, fields]))
    if config.source == "tfds":
        # Imported here because this is what brings TensorFlow in.
        from peclr_jax.input_pipeline import datasets

        parts += [_of_records(builder) for builder in datasets.open_datasets(config)]
    return ", ".join(parts)


def _of_records(builder: Any) -> str:
    splits = {
        name: [(Path(file).name, Path(file).stat().st_size) for file in sorted(split.filepaths)]
        for name, split in builder.info.splits.items()
    }
    return _digest(f"{builder.name} {builder.version}", splits)


def _digest(name: str, facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True)
    return f"{name} {hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
