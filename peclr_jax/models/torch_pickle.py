"""The pickles inside of PyTorch's files, read without calling anything that they name.

Calls that make tensors are understood here; what checkpoints mention besides is left alone. All
else is refused.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from jax.numpy import bfloat16

from peclr_jax import unpickling
from peclr_jax.errors import is_machine_fault
from peclr_jax.unpickling import (
    LONGEST_NAME,
    Call,
    Named,
    RefusedNameError,
    UnpicklingError,
    shown,
)

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

# Where checkpoints hold the weights, beside the state of the training.
_ENTRIES = ("state_dict", "model", "model_state_dict")
_MOST_SHOWN = 8

_MOST_AXES = 32
_LARGEST = 2**62


class Unreadable(UnpicklingError):
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
    offset: Any
    shape: Any
    strides: Any


class Unsupported(NamedTuple):
    """A tensor that cannot be read, and the function that PyTorch makes it with."""

    function: str


def unpickle(file: io.BytesIO, storages: dict[str, Storage]) -> Any:
    """Reads the pickle at the file's position, and adds the storages it refers to, by key.

    Raises:
      Unreadable: If the pickle is damaged, or refers to what weights do not need.
    """

    def storage(pid: Any) -> Any:
        found = _storage(pid)
        if isinstance(found, Storage):
            whole = found._replace(start=0)
            if storages.setdefault(whole.key, whole) != whole:
                raise damaged(f"it describes the storage {shown(whole.key)} twice")
        return found

    with every_error_is_damage():
        try:
            return unpickling.read(file, _is_mentioned, storage)
        except RefusedNameError as refused:
            raise Unreadable(
                f"refers to {refused}, which no weights need; refused, nothing of it was executed: "
                "get the weights from a source that you trust, best as .safetensors"
            ) from None


def _is_mentioned(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return last in _INERT_BUILTINS if module == "builtins" else name.split(".")[0] in _INERT


def _storage(pid: Any) -> Any:
    """Reads ("storage", type, key, device, size, view of older files), None if it is none.

    Before PyTorch 1.6 there was ("module", class, file, source), too.
    """
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        return pid[1] if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module" else None
    _, kind, key, _, size, *view = pid
    module, _, name = kind.name.rpartition(".") if isinstance(kind, Named) else ("", "", "")
    if module not in ("torch", "torch.cuda") or name not in DTYPES:
        return None
    start = view[0][1] if view and isinstance(view[0], tuple) and len(view[0]) > 1 else 0
    is_key = isinstance(key, str) and len(key) <= LONGEST_NAME
    if not is_key or not all(type(n) is int and n < _LARGEST for n in (size, start)):
        raise damaged(f"it describes a storage as {shown((key, size, start))}")
    return Storage(key, DTYPES[name], size, start)


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 <= number < _LARGEST


_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"
_REBUILD = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_PARAMETERS = (
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
)


def as_tensor(value: Any) -> Tensor | Unsupported | None:
    """Returns what a call in a pickle makes, None if it is no tensor."""
    if isinstance(value, Call) and value.name in _PARAMETERS and value.args:
        value = value.args[0]
    if not isinstance(value, Call):
        return None
    name, args = value.name, value.args
    if name == _FROM_TYPE:
        function, _, inner, *_ = *args, None, None, None
        name = function.name if isinstance(function, Named) else ""
        if name not in _REBUILD or not isinstance(inner, tuple):
            return Unsupported("a subclass")
        args = inner
    if name in _REBUILD and len(args) >= 4:
        storage, offset, shape, strides, *rest = args
        # The third of the rest marks lazy negation and conjugation.
        if not isinstance(storage, Storage) or (len(rest) > 2 and rest[2]):
            return Unsupported("_rebuild_tensor_v2 of a view")
        return Tensor(storage, offset, shape, strides)
    return Unsupported(name) if name.startswith("torch._utils._rebuild") else None


def state_dict_of(content: Any) -> dict[str, Tensor | Unsupported]:
    """Returns the tensors that a file's pickle names, or those of the entry with the weights.

    A single tensor has the empty name.
    """
    if isinstance(as_tensor(content), Tensor):
        content = {"": content}
    found = content
    # At most twice: a file that holds itself has no end.
    for _ in range(2):
        if isinstance(found, dict):
            inner = (found.get(entry) for entry in _ENTRIES)
            found = next((part for part in inner if isinstance(part, dict)), found)
    named = found.items() if isinstance(found, dict) else ()
    tensors = {name: tensor for name, value in named if (tensor := as_tensor(value)) is not None}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise _without_tensors(content)
    return tensors


def _without_tensors(content: Any) -> Unreadable:
    """Returns the error of a file that holds no tensors where they are looked for."""
    if not (isinstance(content, dict) and content):
        return Unreadable(
            "holds no tensors under names: save weights by torch.save(model.state_dict(), file), "
            "not the whole model"
        )
    keys = ", ".join(shown(key) for key in list(content)[:_MOST_SHOWN])
    others = f" and {len(content) - _MOST_SHOWN} others" if len(content) > _MOST_SHOWN else ""
    return Unreadable(
        f"holds {keys}{others}, but no tensors under names, neither at the top nor in "
        f"{', '.join(map(repr, _ENTRIES))}: save weights by torch.save(model.state_dict(), file)"
    )


def view_of(name: str, tensor: Tensor, raw: bytes) -> np.ndarray:
    """Returns the array that a tensor is: its view of a storage.

    Args:
      name: Name of the tensor, for messages.
      tensor: The tensor.
      raw: Bytes of the storage, which the view must not leave.
    """
    storage, offset, shape, strides = tensor
    tuples = isinstance(shape, tuple) and isinstance(strides, tuple)
    inside = tuples and len(shape) == len(strides) <= _MOST_AXES
    if inside and (inside := all(map(_is_count, (offset, storage.start, *shape, *strides)))):
        first = storage.start + offset
        last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        size = math.prod(shape)
        inside = size == 0 or (last < storage.size and size <= storage.size)
    if not inside:
        raise damaged(
            f"{shown(name)} is said to have the shape {shown(shape)} and strides {shown(strides)} "
            f"from {shown(offset)} in a storage of {storage.size} values"
        )
    values = np.frombuffer(raw, storage.dtype)
    if size == 0:
        return values[:0].reshape(shape)
    steps = [step * storage.dtype.itemsize for step in strides]
    view = np.lib.stride_tricks.as_strided(values[first:], shape, steps, writeable=False)
    return np.asarray(view, order="C")
