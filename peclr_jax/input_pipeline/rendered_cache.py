"""Rendered hands kept on disk, for runs that begin with the same ones."""

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

from peclr_jax import files
from peclr_jax.input_pipeline.memory import MemoryStore
from peclr_jax.synthetic import RENDERER_VERSION

# Bytes of the largest set of hands that is kept: each set stays on the user's disk.
_LARGEST_KEPT = 2**30


def cached(
    folder: str, identity: Mapping[str, Any], make: Callable[[], MemoryStore]
) -> MemoryStore:
    """Reads a pool of hands from a folder, or renders it and writes it there.

    The pool is not kept, and the run goes on, where it has more than a gibibyte or the folder
    cannot be written (which is logged). Several processes render together unless all of them find
    the pool; the first one writes it.

    Args:
      folder: Folder of the files, "~" being the user's own; "" keeps nothing.
      identity: Everything that decides what `make` returns, except for the renderer's version, as
        JSON takes it.
      make: Renders the pool.

    Returns:
      The pool.
    """
    if not folder:
        return make()
    name = json.dumps([RENDERER_VERSION, identity], sort_keys=True)
    path = Path(folder).expanduser() / f"hands-{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"
    kept = _read(path)
    if _in_all_processes(kept is not None) and kept is not None:
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
    # Damaged archives raise errors of every kind.
    except Exception as error:
        logging.warning("%s is damaged (%s): its hands are rendered again", path, error)
        return None


def _in_all_processes(condition: bool) -> bool:
    """Returns whether a condition holds in all processes."""
    if jax.process_count() == 1:
        return condition
    return bool(np.all(multihost_utils.process_allgather(np.int32(condition))))
