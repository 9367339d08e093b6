"""The array library that an array belongs to, for functions that serve several."""

import sys
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

AnyArray = Array | np.ndarray

Values = TypeVar("Values", Array, np.ndarray)
"""The result is NumPy's where every argument is, else JAX's."""


def namespace(*arrays: Any) -> ModuleType:
    """Returns the library of some arrays: `tensorflow`, else `jax.numpy`, else `numpy`.

    TensorFlow is found among what is imported already, never imported. Code that serves all three
    keeps to operators and to what has one name and meaning in all: `stack`, `where`, `maximum`,
    `minimum`, `zeros_like`.
    """
    roots = {type(array).__module__.partition(".")[0] for array in arrays}
    if "tensorflow" in roots:
        return sys.modules["tensorflow"]
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np
