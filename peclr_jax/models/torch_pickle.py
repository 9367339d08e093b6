"""The pickles inside of PyTorch's files: read without calling anything they name, and written.

A pickle can call anything. What is not needed to find the tensors is replaced here by stand-ins
that do nothing, and what no weights need is refused.
"""

import io
import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple, cast

import numpy as np
from jax.numpy import bfloat16

from peclr_jax.errors import UserError

_DTYPES = {
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
_STORAGES = {dtype: name for name, dtype in _DTYPES.items()}

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
_INERT_BUILTINS = frozenset(
    (
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int"),
        *("list", "long", "object", "range", "set", "slice", "str", "tuple", "unicode"),
    )
)

_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")


class Unreadable(ValueError):
    """What is wrong with a file, as the rest of a sentence that begins with its name."""


class Storage(NamedTuple):
    """Numbers in a file that tensors are views of.

    Attributes:
      key: Its name in the file.
      dtype: Of the numbers.
      size: How many there are.
      start: Where a tensor's offset counts from.
    """

    key: str
    dtype: np.dtype
    size: int
    start: int = 0


class Tensor(NamedTuple):
    """A tensor that is yet to be read; offset and strides count values of the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Unsupported(NamedTuple):
    """A tensor that cannot be read, and what PyTorch would make it with."""

    function: str


class _Mapping(dict):
    """A dictionary that takes no attributes."""

    def __setstate__(self, *_: Any) -> None: ...


class _Inert:
    """Stands for a class or function that tensors do not need; does nothing, holds nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def __call__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, *_: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...

    def append(self, *_: Any) -> None: ...

    def extend(self, *_: Any) -> None: ...

    def add(self, *_: Any) -> None: ...


class _Function:
    """A function of PyTorch's that a pickle calls, and that it cannot alter."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, *_: Any) -> None: ...


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Any:
    # After requires_grad and hooks come the marks of lazy negation and conjugation.
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
    """Finds tensors in a pickle, and calls nothing that is not in this file."""

    def __init__(self, file: io.BufferedIOBase, storages: dict[str, Storage]) -> None:
        super().__init__(file, encoding="latin1")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Returns what stands for a global; never the global itself."""
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return type(name, (_Mapping,), {})
        if full in _REBUILD:
            return _Function(_REBUILD[full])
        if module == "torch._utils" and name.startswith("_rebuild"):
            return _Function(lambda *_: Unsupported(full))
        if module in ("torch", "torch.cuda") and name in _DTYPES:
            return name
        builtin = module in ("builtins", "__builtin__")
        if name in _INERT_BUILTINS if builtin else module.split(".")[0] in _INERT:
            # Its own every time: a pickle may set attributes of what it gets.
            return type(name, (_Inert,), {})
        raise Unreadable(
            f"refers to {full}, which no weights need; refused, nothing of it was run. Get the "
            "weights from a source that you trust, best as .safetensors"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Returns the storage that a pickle refers to, without reading it."""
        kind, *rest = pid
        if kind == "module":
            return rest[0]
        dtype, key, _, size, *view = rest
        if kind != "storage" or not isinstance(dtype, str):
            return None
        whole = Storage(str(key), _DTYPES[dtype], int(size))
        if self._storages.setdefault(whole.key, whole) != whole:
            raise Unreadable(
                f"is damaged: it says two things of the storage {whole.key!r}; download it again"
            )
        if view and view[0]:
            return whole._replace(start=int(view[0][1]))
        return whole


def unpickle(file: io.BufferedIOBase, storages: dict[str, Storage]) -> Any:
    """Reads one pickle.

    Args:
      file: Stands at its beginning, and afterwards behind it.
      storages: Takes those that it refers to, by key.
    """
    start = file.tell()
    try:
        for instruction, argument, position in pickletools.genops(cast(IO[bytes], file)):
            # Room is made for as many values as the largest index says.
            if instruction.name in _PUTS and (argument or 0) > (position or 0) - start:
                raise Unreadable("is damaged: it numbers its values wrongly; download it again")
        size = file.tell() - start
        file.seek(start)
        return _Unpickler(io.BytesIO(file.read(size)), storages).load()
    except Unreadable:
        raise
    # Nonsense in a pickle can raise nearly anything.
    except Exception as error:
        raise Unreadable(f"is truncated or damaged ({error}): download it again") from error


def dump(content: Mapping[str, Any]) -> tuple[bytes, list[np.ndarray]]:
    """Pickles names and their arrays, strings, integers, or further such mappings.

    Returns:
      The pickle, and the arrays that it refers to as storages "0", "1", ...

    Raises:
      UserError: A value that is none of these, or an array of a type that PyTorch has not.
    """
    storages: list[np.ndarray] = []
    instructions = _pickled(content, storages)
    return pickle.PROTO + b"\x02" + instructions + pickle.STOP, storages


def _pickled(value: Any, storages: list[np.ndarray]) -> bytes:
    """Returns the instructions that make a value, and appends its arrays to the storages."""
    if isinstance(value, Mapping):
        items = b"".join(_pickled(item, storages) for pair in value.items() for item in pair)
        return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
    if isinstance(value, tuple):
        items = b"".join(_pickled(item, storages) for item in value)
        return pickle.MARK + items + pickle.TUPLE
    if isinstance(value, str):
        text = value.encode()
        return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
    if isinstance(value, bool):
        return pickle.NEWTRUE if value else pickle.NEWFALSE
    if isinstance(value, int):
        number = pickle.encode_long(value)
        return pickle.LONG1 + bytes([len(number)]) + number
    if hasattr(value, "__array__"):
        return _pickled_array(np.asarray(value, order="C"), storages)
    raise UserError(f"cannot write {value!r}: only arrays, strings, integers and dicts of them")


def _pickled_array(array: np.ndarray, storages: list[np.ndarray]) -> bytes:
    if array.dtype not in _STORAGES:
        raise UserError(f"cannot write an array of {array.dtype}, which PyTorch has not")
    strides = tuple(step // array.itemsize for step in array.strides)
    storage = b"".join(
        (
            pickle.MARK,
            _pickled("storage", storages),
            _global("torch", _STORAGES[array.dtype]),
            *(_pickled(part, storages) for part in (str(len(storages)), "cpu", array.size)),
            pickle.TUPLE + pickle.BINPERSID,
        )
    )
    storages.append(array)
    hooks = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    view = b"".join(_pickled(part, storages) for part in (0, array.shape, strides, False))
    call = pickle.MARK + storage + view + hooks + pickle.TUPLE + pickle.REDUCE
    return _global("torch._utils", "_rebuild_tensor_v2") + call


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()
