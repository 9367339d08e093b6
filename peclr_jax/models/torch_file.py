"""Files of PyTorch tensors (`.pth`, with a pickle, or `.safetensors`), read without PyTorch."""

import functools
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from jax.numpy import bfloat16
from safetensors import safe_open

from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.models.torch_pickle import (
    Storage,
    Unreadable,
    Unsupported,
    damaged,
    every_error_is_damage,
    state_dict_of,
    unpickle,
    view_of,
)
from peclr_jax.unpickling import MOST_BYTES, shown

# First bytes of a file: a zip archive since PyTorch 1.6, earlier a row of pickles, the first of
# which holds this number.
_ZIP = b"PK\x03\x04"
_STREAM = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# Tensors may be views of the same numbers, but no file has a use for more views than this.
_MOST_VIEWS = 16
# A ResNet-152 takes a hundredth of it.
_LONGEST_HEADER = 2**24
# NumPy has no other kinds of numbers.
_KINDS = frozenset(
    ("BOOL", "U8", "I8", "U16", "I16", "F16", "BF16", "U32", "I32", "F32", "U64", "I64", "F64")
)

# What DataParallel and torch.compile put before every name, perhaps several times.
_WRAPPERS, _MOST_WRAPPERS = ("module.", "_orig_mod."), 4

Fetch = Callable[[Storage], bytes]


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the tensors of a PyTorch or safetensors file; nothing in the file is executed.

    The content tells the format. Of a checkpoint only the entry "state_dict", "model" or
    "model_state_dict" is read, and nothing else, such as the optimiser's state. What PyTorch's
    wrappers add, prefixes of every name ("module.", "_orig_mod.") and a counter, is dropped. Arrays
    are read-only; bfloat16 and float16 become float32. A file that is a single tensor gives it the
    empty name.
    """
    with _opened(path) as file:
        tensors = _read(file)
    for prefix in _WRAPPERS * _MOST_WRAPPERS:
        if len(tensors) > 1:
            tensors.pop("n_averaged", None)  # of AveragedModel
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return {name: _widened(tensor) for name, tensor in tensors.items()}


def read_text(path: str | os.PathLike[str], name: str) -> str | None:
    """Reads a string that our files hold beside the tensors; None from other people's files."""
    with _opened(path) as file:
        start = file.read(len(_STREAM))
        file.seek(0)
        content: Any = None
        if start == _STREAM:
            content, _ = _stream_content(io.BytesIO(file.read(MOST_BYTES)), {})
        elif start.startswith(_ZIP):
            with _zip(file) as (archive, folder):
                content = unpickle(_record(archive, f"{folder}data.pkl"), {})
    text = content.get(name) if isinstance(content, dict) else None
    return text if isinstance(text, str) else None


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
            f"there is no weights file {path}: check the name; docs/weights.md lists sources"
        )
    try:
        with path.open("rb") as file:
            yield file
    except Unreadable as error:
        raise UserError(f"{path} {error}") from error


def _widened(tensor: np.ndarray) -> np.ndarray:
    half = tensor.dtype in (np.dtype(np.float16), np.dtype(bfloat16))
    return tensor.astype(np.float32) if half else tensor


def _read(file: io.BufferedReader) -> dict[str, np.ndarray]:
    start = file.read(len(_STREAM))
    file.seek(0)
    if start.startswith(_ZIP):
        return _read_zip(file)
    if start == _STREAM:
        return _read_stream(file)
    # Eight bytes of length, then a JSON object.
    if start[8:9] == b"{":
        return _read_safetensors(file.name, int.from_bytes(start[:8], "little"))
    if start.startswith(b"\x1f\x8b"):  # gzip
        raise Unreadable("is a compressed archive: unpack it (tar -xzf) and name the file in it")
    raise Unreadable(
        f"is not a weights file: it starts with {start!r}, which neither PyTorch nor safetensors "
        "writes; download it again"
    )


def _read_safetensors(path: str, header: int) -> dict[str, np.ndarray]:
    if header > _LONGEST_HEADER:
        raise damaged(f"its header is said to have {header} bytes")
    with every_error_is_damage(), safe_open(path, framework="np") as file:
        names = list(file.keys())
        for name in names:
            if (kind := file.get_slice(name).get_dtype()) not in _KINDS:
                raise Unreadable(
                    f"holds {shown(name)} as {shown(kind)}, which is not read here: save it as "
                    "float32"
                )
        tensors = {name: file.get_tensor(name) for name in names}
    if not tensors:
        raise Unreadable("holds no tensors")
    return tensors


def _read_zip(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """Reads the format of PyTorch 1.6 and later."""
    with _zip(file) as (archive, folder):
        if f"{folder}byteorder" in archive.namelist():
            _check_order(_record(archive, f"{folder}byteorder").read() == b"little")
        content = unpickle(_record(archive, f"{folder}data.pkl"), {})
        fetch = functools.partial(_fetch_zipped, archive, folder)
        return _tensors(content, fetch, os.fstat(file.fileno()).st_size)


@contextmanager
def _zip(file: io.BufferedIOBase) -> Iterator[tuple[zipfile.ZipFile, str]]:
    """Opens a zip archive; yields it and the folder of its records."""
    with every_error_is_damage(), zipfile.ZipFile(file) as archive:
        yield archive, _folder(archive.namelist())


def _record(archive: zipfile.ZipFile, name: str) -> io.BytesIO:
    # PyTorch compresses nothing; an entry that says so is not bound by the file's size.
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise damaged(f"its entry {shown(name)} is compressed")
    if archive.getinfo(name).file_size > MOST_BYTES:
        raise damaged(f"its entry {shown(name)} has more than {MOST_BYTES} bytes")
    return io.BytesIO(archive.read(name))


def _check_order(little_endian: bool) -> None:
    if not little_endian:
        raise Unreadable("was written on a big-endian machine: save it again on another")


def _folder(names: Iterable[str]) -> str:
    """Returns the folder of an archive's records, with a slash at the end."""
    for name in names:
        if ".." in PureWindowsPath(name).parts or PureWindowsPath(name).anchor:
            raise Unreadable(
                f"holds the entry {name!r}, which would leave its folder; refused, nothing was "
                "unpacked: get the file from a source that you trust"
            )
    records = [PurePosixPath(name) for name in names]
    if any(record.name == "constants.pkl" for record in records):
        raise Unreadable(
            "is a TorchScript program: save its weights by torch.save(model.state_dict(), file)"
        )
    for record in records:
        if record.name == "data.pkl" and len(record.parts) == 2:
            return f"{record.parent}/"
    raise Unreadable("is a zip archive without data.pkl: give one that torch.save wrote")


def _fetch_zipped(archive: zipfile.ZipFile, folder: str, storage: Storage) -> bytes:
    try:
        entry = archive.getinfo(f"{folder}data/{storage.key}")
    except KeyError:
        raise damaged(f"the storage {shown(storage.key)} is not in it") from None
    expected = storage.size * storage.dtype.itemsize
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != expected:
        raise damaged(
            f"the storage {shown(storage.key)} has {entry.file_size} bytes where its tensors need "
            f"{expected}"
        )
    return archive.read(entry)


def _read_stream(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """Reads the format before PyTorch 1.6: pickles, then the storages one after the other."""
    pickles = io.BytesIO(file.read(MOST_BYTES))
    storages: dict[str, Storage] = {}
    content, keys = _stream_content(pickles, storages)
    file.seek(pickles.tell())
    places = _places(file, keys, storages)

    def fetch(storage: Storage) -> bytes:
        if storage.key not in places:
            raise damaged(f"the storage {shown(storage.key)} is not in it")
        file.seek(places[storage.key])
        return file.read(storage.size * storage.dtype.itemsize)

    return _tensors(content, fetch, os.fstat(file.fileno()).st_size)


def _stream_content(pickles: io.BytesIO, storages: dict[str, Storage]) -> tuple[Any, Any]:
    """Returns what a file of the earlier format holds, and the keys of its storages, in order."""
    unpickle(pickles, {})  # the number of the format
    unpickle(pickles, {})  # its version
    system = unpickle(pickles, {})
    _check_order(not isinstance(system, dict) or system.get("little_endian", True) is True)
    return unpickle(pickles, storages), unpickle(pickles, {})


def _places(file: io.BufferedIOBase, keys: Any, storages: Mapping[str, Storage]) -> dict[str, int]:
    """Returns where each storage begins in the file, whose position is at the first."""
    if not isinstance(keys, list):
        raise damaged("the list of its storages is missing")
    position, end = file.tell(), os.fstat(file.fileno()).st_size
    places = {}
    for key in keys:
        file.seek(position)
        size = int.from_bytes(file.read(8), "little")
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or size != storage.size:
            raise damaged(f"the storage {shown(key)} is not the one that its tensors need")
        places[key] = position + 8
        position = places[key] + size * storage.dtype.itemsize
        if position > end:
            raise Unreadable(
                f"is truncated: it ends after {end} bytes, the storage {shown(key)} at {position}; "
                "download it again"
            )
    return places


def _tensors(content: Any, fetch: Fetch, file_size: int) -> dict[str, np.ndarray]:
    """Reads the tensors of an unpickled file's state dict."""
    wanted = state_dict_of(content)
    raw: dict[str, bytes] = {}
    arrays = {}
    values = 0
    for name, tensor in wanted.items():
        if isinstance(tensor, Unsupported):
            raise Unreadable(
                f"holds {shown(name)} in a form that is not read here ({tensor.function}): save it "
                "as a dense tensor"
            )
        key, dtype, size, _ = tensor.storage
        if key not in raw:
            raw[key] = fetch(tensor.storage)
            if len(raw[key]) != size * dtype.itemsize:
                raise Unreadable("is truncated: download it again")
            if sum(map(len, raw.values())) > file_size:
                raise damaged("its storages lie on each other")
        arrays[name] = view_of(name, tensor, raw[key])
        values += arrays[name].nbytes
        if values > _MOST_VIEWS * sum(map(len, raw.values())):
            raise Unreadable("is damaged: its tensors are too many views of the same numbers")
    return arrays
