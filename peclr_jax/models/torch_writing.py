"""Files of PyTorch tensors, written without PyTorch."""

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import numpy as safetensors_numpy

from peclr_jax import files
from peclr_jax.errors import UserError
from peclr_jax.models.torch_pickle import DTYPES

_STORAGES = {dtype: name for name, dtype in DTYPES.items()}

# Data begins at multiples of it, so that PyTorch can map a file into memory.
_ALIGNMENT = 64


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Writes a file that `torch.load(path, weights_only=True)` opens, whole or not at all."""
    pickled, storages = _dump(content)
    records = {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, record in records.items():
            _add(archive, buffer, name, record)
        for key, storage in enumerate(storages):
            _add(archive, buffer, f"data/{key}", storage.tobytes())
    files.write_bytes(Path(path), buffer.getvalue())


def write_safetensors(
    path: str | os.PathLike[str], state_dict: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Writes a safetensors file, whole or not at all.

    Args:
      path: The file to write; an older one is replaced.
      state_dict: Tensor name to array.
      metadata: Strings for the file's header.
    """
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in state_dict.items()}
    files.write_bytes(Path(path), safetensors_numpy.save(tensors, dict(metadata)))


def _dump(content: Mapping[str, Any]) -> tuple[bytes, list[np.ndarray]]:
    """Returns a pickle of the content, and the arrays that it refers to as storages "0", "1"."""
    storages: list[np.ndarray] = []
    instructions = _pickled(content, storages)
    return pickle.PROTO + b"\x02" + instructions + pickle.STOP, storages


def _pickled(value: Any, storages: list[np.ndarray]) -> bytes:
    """Returns the instructions that build a value, and appends its arrays to the storages."""
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
    raise UserError(f"cannot write {value!r}: give arrays, strings, integers or dicts of them")


def _pickled_array(array: np.ndarray, storages: list[np.ndarray]) -> bytes:
    if array.dtype not in _STORAGES:
        raise UserError(f"cannot write an array of {array.dtype}: PyTorch does not have this type")
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


def _add(archive: zipfile.ZipFile, buffer: io.BytesIO, name: str, record: bytes) -> None:
    """Adds a record to an archive, aligned by an extra field that readers skip."""
    entry = zipfile.ZipInfo(f"archive/{name}")
    header = 30 + len(entry.filename) + 4
    padding = -(buffer.tell() + header) % _ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(entry, record)
