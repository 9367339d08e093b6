"""Trees of arrays compared by names, shapes and types, or by all of their content."""

import hashlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Difference(NamedTuple):
    """A tensor in which two trees differ.

    Attributes:
      name: Path of the tensor, for example "params/encoder/conv1/kernel".
      found, wanted: Its shape in each tree, with the type if not floating point; `None` if missing.
    """

    name: str
    found: str | None
    wanted: str | None


def first_difference(found: Any, wanted: Any) -> Difference | None:
    """Compares two trees of arrays by shapes and types; floating-point precision may differ.

    Returns the first tensor that is missing, unknown or other than wanted, parameters first, as
    other tensors often only mirror them; `None` if there is none.
    """
    ours, theirs = _describe(found), _describe(wanted)
    names = sorted(ours.keys() | theirs.keys(), key=lambda n: (not n.startswith("params/"), n))
    for name in names:
        if ours.get(name) != theirs.get(name):
            return Difference(name, ours.get(name), theirs.get(name))
    return None


def digest(tree: Any) -> str:
    """Returns the SHA-256 of a tree of arrays: of their names, shapes and numbers."""
    found = hashlib.sha256()
    for name, leaf in jax.tree_util.tree_leaves_with_path(tree):
        found.update(f"{jax.tree_util.keystr(name)} {_describe_leaf(leaf)}".encode())
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


def _describe(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): _describe_leaf(leaf)
        for path, leaf in leaves
    }


def _describe_leaf(leaf: Any) -> str:
    if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
        return f"no array but {type(leaf).__name__}"
    shape = tuple(leaf.shape)
    return f"{shape}" if jnp.issubdtype(leaf.dtype, jnp.floating) else f"{shape} of {leaf.dtype}"
