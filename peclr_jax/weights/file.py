"""Our file of a network: tensors named by their paths, and a note that says whose they are.

The format is safetensors, which cannot hold code. Parameters are float16 or float32, statistics of
BatchNorm float32; both are float32 once they are read.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import numpy as safetensors_numpy
from safetensors import safe_open

from peclr_jax import files, trees
from peclr_jax.errors import UserError, is_machine_fault

NOTE = "peclr_jax"
"""Key under which files of weights store their network's description."""
_AGAIN = "get the file again from where it was made"
_PARAMS = "params/"
_DTYPES = {"F16": np.float16, "F32": np.float32}
# A ResNet-152 takes a tenth of it.
_LONGEST_HEADER = 2**20
_LENGTH_BYTES = 8


def write(path: Path, variables: dict[str, Any], note: str, *, half: bool = False) -> None:
    """Writes a network, whole or not at all.

    Args:
      path: The file; an older one is replaced.
      variables: "params" and "batch_stats", in float32.
      note: Describes the network.
      half: Whether the parameters are rounded to float16.
    """
    tensors = {}
    for name, tensor in flatten_dict(variables, sep="/").items():
        dtype = np.dtype(np.float16 if half and name.startswith(_PARAMS) else np.float32)
        with np.errstate(over="ignore"):
            tensors[name] = np.asarray(tensor, dtype, order="C")
        if not np.isfinite(tensors[name]).all():
            raise UserError(
                f"{path} was not written, as {name} has values that are no finite {dtype}: "
                + ("write it in float32" if half else "use the checkpoint of another step")
            )
    files.write_bytes(path, safetensors_numpy.save(tensors, {NOTE: note}))


def fits_half(variables: dict[str, Any]) -> bool:
    """Whether no parameter is too large for float16."""
    most = np.finfo(np.float16).max
    return all(np.abs(tensor).max() <= most for tensor in jax.tree.leaves(variables["params"]))


def read_note(path: Path) -> str:
    """Reads what a file says of the network in it."""
    with _opened(path) as file:
        note = (file.metadata() or {}).get(NOTE)
    if note is None:
        raise UserError(
            f"{path} does not say which network it holds, so it is none of ours: weights of "
            "PyTorch are named by --config.init.torch_checkpoint"
        )
    return note


def read(path: Path, wanted: Any) -> dict[str, Any]:
    """Reads the variables of a network as float32.

    Args:
      path: The file.
      wanted: What the network has, a tree of shapes, which names and shapes of the file's tensors
        are compared with before any is read.
    """
    with _opened(path) as file:
        names = list(file.keys())
        found = {name: _shape_of(path, file, name) for name in names}
        if difference := trees.first_difference(found, flatten_dict(wanted, sep="/")):
            raise UserError(
                f"{path} holds {difference.name} as {difference.found}, but the network that it "
                f"describes has {difference.wanted}: {_AGAIN}"
            )
        tensors = {name: file.get_tensor(name).astype(np.float32) for name in names}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise UserError(f"{path} holds {name} with values that are not finite: {_AGAIN}")
    return unflatten_dict(tensors, sep="/")


def _shape_of(path: Path, file: Any, name: str) -> jax.ShapeDtypeStruct:
    view = file.get_slice(name)
    dtype = view.get_dtype()
    if dtype not in _DTYPES or (dtype == "F16" and not name.startswith(_PARAMS)):
        raise UserError(f"{path} holds {name[:60]} as {dtype}, which we do not write: {_AGAIN}")
    return jax.ShapeDtypeStruct(tuple(view.get_shape()), _DTYPES[dtype])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens a file whose header is whole and describes all of its bytes."""
    try:
        with path.open("rb") as raw:
            length = int.from_bytes(raw.read(_LENGTH_BYTES), "little")
            if length > min(_LONGEST_HEADER, os.fstat(raw.fileno()).st_size):
                raise UserError(f"{path} has a header of {length} bytes, no network's: {_AGAIN}")
        with safe_open(path, framework="np") as file:
            yield file
    except UserError:
        raise
    except Exception as error:
        if is_machine_fault(error):
            raise
        raise UserError(f"{path} is damaged ({str(error)[:200]}): {_AGAIN}") from error
