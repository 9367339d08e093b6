"""Rendered hands kept on disk, for runs that begin with the same ones."""

import functools
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from peclr_jax import files, synthetic
from peclr_jax.input_pipeline.memory import MemoryStore

# Bytes that may pile up on a user's disk with every set of hands.
_LARGEST_KEPT = 2**30


def cached(
    folder: str, identity: Mapping[str, Any], make: Callable[[], MemoryStore]
) -> MemoryStore:
    """Reads a pool of hands from `folder`, where it is put when it is first asked for.

    A folder that cannot be written to is no reason to stop: the pool is then not kept, which is
    logged. Neither is one of more than a gibibyte. Several processes render together unless all of
    them find the pool, and the first one keeps it.

    Args:
      folder: Of the files, "~" being the user's own; "" keeps nothing.
      identity: Everything that decides what `make` returns, fit for JSON; the renderer's own code
        is added to it.
      make: Renders the pool.

    Returns:
      The pool.
    """
    if not folder:
        return make()
    name = json.dumps([renderer_fingerprint(), identity], sort_keys=True)
    path = Path(folder).expanduser() / f"hands-{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"
    kept = _read(path)
    if _all(kept is not None) and kept is not None:
        return kept
    store = make()
    too_large = sum(array.nbytes for array in store.arrays.values()) > _LARGEST_KEPT
    if too_large or jax.process_index() > 0:
        return store
    buffer = io.BytesIO()
    np.savez(buffer, **store.arrays)  # type: ignore[arg-type]
    try:
        files.write_bytes(path, buffer.getvalue())
    except OSError as error:
        logging.warning(
            "%s cannot be written (%s): later runs render these hands again", path, error
        )
    return store


def _read(path: Path) -> MemoryStore | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return MemoryStore(dict(arrays))
    # Damaged archives are met with errors of every kind.
    except Exception as error:
        logging.warning("%s is damaged (%s): its hands are rendered again", path, error)
        return None


def _all(here: bool) -> bool:
    """Whether it is so in all processes."""
    if jax.process_count() == 1:
        return here
    return bool(np.all(multihost_utils.process_allgather(np.int32(here))))


@functools.cache
def renderer_fingerprint() -> str:
    """Changes with every edit of the renderer, or of what makes examples of its hands."""
    digest = hashlib.sha256()
    renderer = sorted(Path(synthetic.__path__[0]).glob("*.py"))
    for path in (*renderer, Path(__file__).with_name("rendered.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
