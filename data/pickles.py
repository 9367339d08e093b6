"""Reads pickles of arrays and plain values from anywhere; nothing in them is run."""

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from peclr_jax.errors import MissingFileError, UserError, is_machine_fault

_HOLDERS = (str, bytes, bytearray, list, tuple, set, frozenset)
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")


class Inert:
    """Stand-in for an object of a package that is not needed; holds its pickled state."""

    state: Any = None

    def __init__(self, *arguments: Any):
        del arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


def load(path: Path, inert: Sequence[str] = ()) -> Any:
    """Reads a pickle of NumPy arrays, numbers, texts and containers of them.

    Pickles of Python 2 are read as NumPy's manual says, their texts as Latin-1. Arrays hold
    booleans, numbers, texts or what the pickle itself may hold, but no records.

    Args:
      path: The file.
      inert: Packages of which objects may be in it; each is read as an `Inert` one.
    """
    try:
        content = path.read_bytes()
        _check_numbers(content)
        return _Unpickler(io.BytesIO(content), inert).load()
    except FileNotFoundError:
        raise MissingFileError(f"{path} is missing: check the folder") from None
    except _RefusedError as refused:
        raise UserError(
            f"{path} refers to {refused}, which arrays and plain values do not need; nothing of it "
            "was run: fetch the file again from its official source"
        ) from None
    except Exception as error:
        # Reading a broken pickle raises errors of every kind.
        if is_machine_fault(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} is not a pickle, corrupt or truncated ({reason}): fetch the file again"
        ) from error


def as_numbers(value: Any, most: int) -> np.ndarray:
    """Returns what a pickle holds as an array of `most` numbers at most.

    Lists can hold the same list many times, so that a short pickle may stand for more numbers than
    any memory holds.
    """
    if not isinstance(value, np.ndarray):
        _count(value, most)
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"it does not hold numbers ({error})") from error
    if array.size > most:
        raise UserError(f"it holds {array.size} numbers")
    return array


def _count(value: Any, most: int, depth: int = 0) -> int:
    """Returns how many values lists hold; not how many at a depth where no labels are."""
    if not isinstance(value, list | tuple):
        if isinstance(value, int | float | complex | np.number | np.bool_ | np.ndarray):
            return int(np.size(value))
        raise UserError(f"it holds a {type(value).__name__}, no number")
    if depth > 4:
        raise UserError("it is nested too deep")
    count = 0
    for item in value:
        count += _count(item, most, depth + 1)
        if count > most:
            raise UserError(f"it holds more than {most} numbers")
    return count


def _check_numbers(content: bytes) -> None:
    """Refuses pickles that number their values far beyond their count."""
    file = io.BytesIO(content)
    while code := file.read(1):
        instruction = pickletools.code2op.get(code.decode("latin1"))
        if instruction is None or code == pickle.STOP:
            return
        if code == pickle.STRING:  # of Python 2, in which any byte may be
            file.readline()
        elif instruction.arg is not None:
            argument = instruction.arg.reader(file)
            # Room is made for as many values as the largest number says.
            if instruction.name in _PUTS and argument > file.tell():
                raise UserError("it numbers its values wrongly")


class _RefusedError(Exception):
    """The name of something that a pickle asks for and does not get."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, inert: Sequence[str]):
        super().__init__(file, encoding="latin1")
        self._inert = inert

    def find_class(self, module: str, name: str) -> Any:
        """Returns what stands for `module.name` here: all that a pickle can call."""
        module = _PYTHON_2.get(module, module)
        module = module.replace("numpy._core", "numpy.core")  # as NumPy 2 has it
        if module.partition(".")[0] in self._inert:
            return Inert
        if (module, name) not in _KNOWN:
            raise _RefusedError(f"{module}.{name}")
        return _KNOWN[module, name]


class _DataType:
    """Stands for `numpy.dtype`, whose own state could be forged to point anywhere in memory."""

    def __init__(self, code: str, align: bool = False, copy: bool = True):
        del align, copy  # of records, which are refused
        self.dtype = np.dtype(str(code))
        if self.dtype.kind not in "biufcSUO":
            raise _RefusedError(f"arrays of data type {str(code)!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that takes its data type from a `_DataType` alone."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, data_type, _, values = state
        # NumPy makes room for objects before it looks whether they are there.
        if data_type.dtype.kind == "O" and math.prod(shape) != len(values):
            raise UserError(f"an array of shape {shape} with {len(values)} values")
        super().__setstate__(tuple(x.dtype if isinstance(x, _DataType) else x for x in state))  # type: ignore[arg-type]


def _reconstruct(*_: Any) -> np.ndarray:
    return _Array((0,), np.int8)  # the state that follows says everything


def _scalar(data_type: _DataType, data: str | bytes) -> Any:
    return np.frombuffer(_encode(data), data_type.dtype, count=1)[0]


def _frombuffer(buffer: bytes, data_type: _DataType, shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(buffer, data_type.dtype).reshape(shape, order=order)


def _encode(text: str | bytes, _encoding: str = "latin1") -> bytes:
    return text.encode("latin1") if isinstance(text, str) else text


def _sized(kind: type) -> Callable[..., Any]:
    """A type that can be made of values that are there, not of a number of them."""

    def make(*values: Any) -> Any:
        if not all(isinstance(value, _HOLDERS) for value in values):
            raise UserError(f"a {kind.__name__} without its values")
        return kind(*values)

    return make


def _new_object(kind: type, *_: Any) -> Inert:
    if kind is not Inert:
        raise _RefusedError(f"objects of {kind!r}")
    return Inert()


_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_KNOWN: dict[tuple[str, str], Any] = (
    {
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): _DataType,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy.core.numeric", "_frombuffer"): _frombuffer,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): OrderedDict,
        ("copyreg", "_reconstructor"): _new_object,
        ("builtins", "object"): object,
    }
    | {("builtins", kind.__name__): kind for kind in (complex, slice, range)}
    | {("builtins", kind.__name__): _sized(kind) for kind in (bytes, bytearray, set, frozenset)}
)
