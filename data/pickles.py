"""Reads pickles of arrays and plain values from anywhere; nothing in them is run."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peclr_jax import unpickling
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.unpickling import Call, RefusedNameError, UnpicklingError, shown

_ARRAY = "numpy.core.multiarray._reconstruct"
_BUFFER = "numpy.core.numeric._frombuffer"
_SCALAR = "numpy.core.multiarray.scalar"
_DATA_TYPE = "numpy.dtype"
_KNOWN = (_ARRAY, _BUFFER, _SCALAR, _DATA_TYPE, "numpy.ndarray")
_OBJECTS = ("copyreg._reconstructor", "builtins.object")
_NUMBERS = re.compile(r"[<>=|]?([biu][1248]|f[248]|\?)")
_MOST_AXES, _DEEPEST = 8, 4


def load(path: Path, inert: Sequence[str] = (), remedy: str = "fetch the file again") -> Any:
    """Reads a pickle of NumPy arrays, numbers, texts and containers of them.

    Pickles of Python 2 are read as NumPy's manual says, their texts as Latin-1. What is an array
    of NumPy, or of its numbers, is a `Call` until `as_numbers` is asked for it.

    Args:
      path: The file.
      inert: Packages of which objects may be in it; each is a `Call` with its `state`.
      remedy: What to do about a file that is missing or broken, to follow a colon.
    """
    if not path.is_file():
        raise MissingFileError(f"{path} is missing: {remedy}")
    with path.open("rb") as file:
        content = io.BytesIO(file.read(unpickling.MOST_BYTES))
        is_cut = bool(file.read(1))

    def is_known(name: str) -> bool:
        return name in _KNOWN or name in _OBJECTS or name.partition(".")[0] in inert

    try:
        return unpickling.read(content, is_known)
    except RefusedNameError as refused:
        raise UserError(
            f"{path} refers to {refused}, which arrays and plain values do not need; nothing of it "
            "was run: fetch the file again from its official source"
        ) from None
    except UnpicklingError as error:
        reason = f"it has more than {unpickling.MOST_BYTES} bytes" if is_cut else error
        raise UserError(
            f"{path} is not a pickle, corrupt or truncated ({reason}): {remedy}"
        ) from error


def as_numbers(value: Any, most: int) -> np.ndarray:
    """Returns what a pickle holds as an array of `most` numbers at most, of float64.

    Lists can hold the same list many times, so that a short pickle may stand for more numbers than
    any memory holds.
    """
    try:
        return np.asarray(_plain(value, [most], 0), np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"it does not hold numbers ({error})") from error


def _plain(value: Any, left: list[int], depth: int) -> Any:
    """Returns numbers as arrays and lists of them; counts them down, before they are made."""
    if isinstance(value, list | tuple):
        if depth > _DEEPEST:
            raise UserError("it is nested too deep")
        if not value:
            raise UserError("it holds an empty list")
        return [_plain(item, left, depth + 1) for item in value]
    shape = _shape(value)
    left[0] -= max(math.prod(shape), 1)
    if left[0] < 0:
        raise UserError("it holds more numbers than any label has")
    return _array(value, shape) if isinstance(value, Call) else value


def _shape(value: Any) -> tuple[int, ...]:
    """Returns the shape that a number or an array says it has."""
    if isinstance(value, int | float | np.ndarray | np.number):
        return np.shape(value)
    shape: Any = None
    if isinstance(value, Call) and value.name == _SCALAR:
        shape = ()
    elif isinstance(value, Call) and value.name == _BUFFER and len(value.args) == 4:
        shape = value.args[2]
    elif isinstance(value, Call) and value.name == _ARRAY and isinstance(value.state, tuple):
        shape = value.state[1] if len(value.state) == 5 else None
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
        raise UserError(f"it holds {shown(value)}, no number")
    if not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise UserError(f"it has an array of shape {shown(shape)}")
    return shape


def _array(call: Call, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an array whose shape is checked; its type and its bytes are here."""
    order: Any
    if call.name == _SCALAR:
        data_type, data, *_ = *call.args, None, None
        order = "C"
    elif call.name == _BUFFER:
        data, data_type, _, order = call.args
    else:
        _, _, data_type, order, data = call.state  # type: ignore[misc]
    dtype = _dtype(data_type)
    if isinstance(data, str):
        data = data.encode("latin1")
    count = math.prod(shape)
    if not isinstance(data, bytes | bytearray) or len(data) != count * dtype.itemsize:
        raise UserError(f"it has an array of shape {shown(shape)} without its values")
    values = np.frombuffer(data, dtype, count) if count else np.zeros(0, dtype)
    return values.reshape(shape, order="F" if order in ("F", True) else "C")


def _dtype(call: Any) -> np.dtype:
    """Returns a type of numbers; NumPy's own state could be forged to point anywhere in memory."""
    if isinstance(call, Call) and call.name == _DATA_TYPE:
        code = call.args[0] if call.args else None
        order = call.state[1] if isinstance(call.state, tuple) and len(call.state) > 1 else "="
        if isinstance(code, str) and _NUMBERS.fullmatch(code) and order in ("<", ">", "=", "|"):
            return np.dtype(code).newbyteorder(order)  # type: ignore[arg-type]
        raise UserError(f"it has an array of data type {shown(code)}")
    raise UserError("it has an array of no data type")
