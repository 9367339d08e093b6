"""The array library that an array belongs to, for functions that serve several."""

import sys
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

AnyArray = Array | np.ndarray

Values = TypeVar("Values", Array, np.ndarray)
"""The result is NumPy's where every argument is, else JAX's."""

_Own = TypeVar("_Own", bound=AnyArray)


def namespace(*arrays: Any) -> ModuleType:
    """Returns the library of some arrays: `tensorflow`, else `jax.numpy`, else `numpy`.

    TensorFlow is never imported here. Code that serves all three keeps to operators and to what has
    one name in all: `stack`, `where`, `maximum`, `minimum`, `zeros_like`.
    """
    roots = {type(array).__module__.partition(".")[0] for array in arrays}
    if "tensorflow" in roots:
        return sys.modules["tensorflow"]
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np


def floating(values: Num[_Own, "*shape"]) -> Float[_Own, "*shape"]:
    """Returns values as floating-point numbers: float32 or wider, in which sums are right."""
    xp = namespace(values)
    return xp.asarray(values, xp.promote_types(xp.result_type(values, 1.0), np.float32))


def norms(vectors: Num[Values, "*batch dim"]) -> Float[Values, "*batch"]:
    """Returns the Euclidean norms of vectors; at a vector of zeros the gradient is zero, not NaN.

    The values are those of `linalg.norm` to the last bit.
    """
    xp = namespace(vectors)
    squares = xp.sum(xp.square(floating(vectors)), axis=-1)
    is_zero = squares == 0
    return xp.where(is_zero, 0, xp.sqrt(xp.where(is_zero, 1, squares)))


def assemble(*rows: tuple[Any, ...]) -> Any:
    """Returns the matrices with the given rows of entries, over the entries' leading axes."""
    xp = namespace(*rows[0])
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)
