"""The pickles inside of PyTorch's files, read without calling anything that they name.

A pickle can call any function. Here every function and class is replaced: those that make tensors
by our own, those that checkpoints mention besides by stand-ins that do nothing. All others are
refused.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple, cast

import numpy as np
from jax.numpy import bfloat16

from peclr_jax.errors import is_machine_fault

DTYPES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
"""Types of numbers by the name of PyTorch's storage."""

# What checkpoints mention beside their tensors: settings, schedules, callbacks.
_INERT = frozenset(
    (
        *("__main__", "argparse", "collections", "copy_reg", "copyreg", "datetime", "enum"),
        *("_codecs", "functools", "pathlib", "typing"),
        *("lightning", "lightning_fabric", "lightning_utilities", "pl_bolts", "pytorch_lightning"),
        *("easydict", "numpy", "omegaconf", "src", "timm", "yacs"),
        *("torch", "torchmetrics", "torchvision"),
    )
)
_INERT_BUILTINS = (
    *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int"),
    *("list", "long", "object", "range", "set", "slice", "str", "tuple", "unicode"),
)

_MOST_AXES = 32
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")


class Unreadable(ValueError):
    """A file that cannot be read; the message continues a sentence that begins with its name."""


def damaged(problem: str) -> Unreadable:
    """Returns the error of a file that its writer cannot have meant."""
    return Unreadable(f"is damaged: {problem}; download it again")


@contextmanager
def every_error_is_damage() -> Iterator[None]:
    """Turns errors, of which damaged archives and pickles raise every kind, into `Unreadable`."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Unreadable) or is_machine_fault(error):
            raise
        raise Unreadable(f"is truncated or damaged ({error}): download it again") from error


class Storage(NamedTuple):
    """Numbers in a file that tensors are views of; offsets of tensors count from `start`."""

    key: str
    dtype: np.dtype
    size: int
    start: int = 0


class Tensor(NamedTuple):
    """A tensor before it is read; offset and strides count values of the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Unsupported(NamedTuple):
    """A tensor that cannot be read, and the function that PyTorch makes it with."""

    function: str


def _nothing(*_: Any, **__: Any) -> None: ...


class _Mapping(dict):
    """A dictionary that takes no attributes."""

    __setstate__ = _nothing


class _Inert:
    """Replaces a class or function that tensors do not need; does nothing, holds nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    __init__ = __call__ = __setstate__ = __setitem__ = append = extend = add = _nothing


class _Function:
    """Replaces a function of PyTorch; a pickle can call it and cannot alter it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    __setstate__ = _nothing


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Any:
    # The third of the rest marks lazy negation and conjugation.
    if not isinstance(storage, Storage) or (len(rest) > 2 and rest[2]):
        return Unsupported("_rebuild_tensor_v2 of a view")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_from_type(function: Any, _: Any, args: Any, *__: Any) -> Any:
    return function(*args) if isinstance(function, _Function) else Unsupported("a subclass")


def _unchanged(tensor: Any, *_: Any) -> Any:
    return tensor


_REBUILD: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _unchanged,
    "torch._utils._rebuild_parameter_with_state": _unchanged,
    "torch.nn.parameter.Parameter": _unchanged,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
}


class _Unpickler(pickle.Unpickler):
    """Finds tensors in a pickle; calls only what is defined in this file."""

    def __init__(self, file: io.BufferedIOBase, storages: dict[str, Storage]) -> None:
        super().__init__(file, encoding="latin1")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Returns what replaces a global; never the global itself."""
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return type(name, (_Mapping,), {})
        if full in _REBUILD:
            return _Function(_REBUILD[full])
        if module == "torch._utils" and name.startswith("_rebuild"):
            return _Function(lambda *_: Unsupported(full))
        if module in ("torch", "torch.cuda") and name in DTYPES:
            return name
        builtin = module in ("builtins", "__builtin__")
        if name in _INERT_BUILTINS if builtin else module.split(".")[0] in _INERT:
            # A new class every time: a pickle may set attributes of what it gets.
            return type(name, (_Inert,), {})
        raise Unreadable(
            f"refers to {full}, which no weights need; refused, nothing of it was executed: get "
            "the weights from a source that you trust, best as .safetensors"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Returns the storage of ("storage", type, key, device, size, view of older files)."""
        kind, *rest = pid
        if kind == "module":
            return rest[0]
        dtype, key, _, size, *view = rest
        if kind != "storage" or not isinstance(dtype, str):
            return None
        whole = Storage(str(key), DTYPES[dtype], int(size))
        if self._storages.setdefault(whole.key, whole) != whole:
            raise damaged(f"it describes the storage {whole.key!r} twice")
        return whole._replace(start=int(view[0][1])) if view and view[0] else whole


def unpickle(file: io.BufferedIOBase, storages: dict[str, Storage]) -> Any:
    """Reads the pickle at the file's position, and adds the storages it refers to, by key.

    Raises:
      Unreadable: If the pickle is damaged, or refers to what weights do not need.
    """
    start = file.tell()
    with every_error_is_damage():
        for instruction, argument, position in pickletools.genops(cast(IO[bytes], file)):
            # Python makes room for as many values as the largest index says.
            if instruction.name in _PUTS and (argument or 0) > (position or 0) - start:
                raise damaged("it numbers its values wrongly")
        size = file.tell() - start
        file.seek(start)
        return _Unpickler(io.BytesIO(file.read(size)), storages).load()


def view_of(name: str, tensor: Tensor, raw: bytes) -> np.ndarray:
    """Returns the array that a tensor is: its view of a storage.

    Args:
      name: Name of the tensor, for messages.
      tensor: The tensor.
      raw: Bytes of the storage, which the view must not leave.
    """
    storage, offset, shape, strides = tensor
    numbers = (offset, storage.start, *shape, *strides)
    inside = len(shape) == len(strides) <= _MOST_AXES and all(
        type(n) is int and n >= 0 for n in numbers
    )
    if inside:
        first = storage.start + offset
        last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        size = math.prod(shape)
        inside = size == 0 or (last < storage.size and size <= storage.size)
    if not inside:
        raise damaged(
            f"{name!r} is said to have the shape {shape} and strides {strides} from {offset} in a "
            f"storage of {storage.size} values"
        )
    values = np.frombuffer(raw, storage.dtype)
    if size == 0:
        return values[:0].reshape(shape)
    steps = [step * storage.dtype.itemsize for step in strides]
    view = np.lib.stride_tricks.as_strided(values[first:], shape, steps, writeable=False)
    return np.asarray(view, order="C")
