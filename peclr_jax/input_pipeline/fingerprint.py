"""Says whether two runs see the same data."""

import hashlib
import json
from pathlib import Path
from typing import Any

from peclr_jax import specs
from peclr_jax.input_pipeline.spec import RENDERED, DataSpec
from peclr_jax.synthetic import RENDERER_VERSION

_DIGITS = 16


def fingerprint(spec: DataSpec) -> str:
    """Digests what the images are made of, or which files they are read from.

    Records are told apart by the names and sizes of their files, not by every byte of them.

    Args:
      spec: The data.

    Returns:
      The data sets' names and a digest each, for people and for comparison.
    """
    parts = []
    if spec.source == RENDERED or spec.is_mixed:
        fields = specs.to_dict(spec.rendered)
        del fields["cache_dir"]
        parts.append(_digest("rendered", [RENDERER_VERSION, fields]))
    if spec.source == "tfds":
        # Imported here because this is what brings TensorFlow in.
        from peclr_jax.input_pipeline import datasets

        parts += [_of_records(builder) for builder in datasets.open_datasets(spec)]
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
