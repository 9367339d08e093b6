"""Joints from the vertices of MANO's mesh, as far as the user has MANO."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse

from data import pickles
from peclr_jax.errors import UserError, is_machine_fault
from peclr_jax.geometry import camera
from peclr_jax.hands import skeleton
from peclr_jax.models import torch_file
from peclr_jax.reading import bounded

NUM_VERTICES = 778
NUM_REGRESSED = 16
# Of thumb, index, middle, ring and little finger: these need no licence.
TIP_VERTICES = (744, 320, 443, 555, 672)
BONE_LENGTH = 0.03
"""Metres that the reference bone of every hand in space is given: meshes are in pixels and have no
size. FreiHAND's have 3 cm, too, give or take."""
# Of the mesh's extent: thinner meshes are flat, shorter bones are points.
_LEAST = 0.01
# MANO's own model, its regressor alone as an array, and the one in the official PeCLR code.
FILES = ("MANO_RIGHT.pkl", "mano/MANO_RIGHT.pkl", "J_regressor.npy", "mano_mesh_to_joints_mat.pth")
_REMEDY = f"replace or remove it; without any of {', '.join(FILES)} only fingertips are read"

Regressor = Float[np.ndarray, "16 778"]


def read_regressor(folders: Sequence[Path]) -> Regressor | None:
    """Returns the matrix from vertices to MANO's 16 joints, from the first of `FILES` in folders.

    It is `None` if there is none of them.
    """
    paths = (folder / name for folder in folders for name in FILES)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    matrix = _READERS[path.suffix](path)
    expected = (NUM_REGRESSED, NUM_VERTICES)
    if matrix.shape != expected or matrix.dtype.kind not in "fiu":
        raise UserError(
            f"{path} has a joint regressor of shape {matrix.shape}, type {matrix.dtype}; expected "
            f"{expected} numbers: {_REMEDY}"
        )
    # A joint is a weighted mean of vertices, so that it moves along with them.
    if not np.allclose(matrix.sum(1), 1, atol=1e-2):
        raise UserError(f"{path}: the weights of a joint do not add up to 1: {_REMEDY}")
    return matrix.astype(np.float64)


def joints(
    vertices: Float[np.ndarray, "778 axes"], regressor: Regressor | None
) -> Float[np.ndarray, "21 axes"]:
    """Returns the joints in FreiHAND's order; zero where `valid_joints` says that there is none."""
    tips = vertices[list(TIP_VERTICES)]
    none = np.zeros((NUM_REGRESSED, vertices.shape[1]))
    others = none if regressor is None else regressor @ vertices
    return skeleton.reorder(np.concatenate([others, tips]), skeleton.FROM_MANO)


def joints_in_space(
    vertices: Float[np.ndarray, "778 3"], regressor: Regressor | None
) -> Float[np.ndarray, "21 3"] | None:
    """Returns the joints of a mesh from its wrist on, at the size of `BONE_LENGTH`, metres.

    They are as the mesh but for a similarity: good for errors after a Procrustes alignment, and for
    nothing else. None without a regressor, or of a mesh that is flat or has no such bone.

    Args:
      vertices: Of the mesh; x right, y down and z in the same unit, whatever it is.
      regressor: As `read_regressor` returns it.
    """
    if regressor is None:
        return None
    found = joints(vertices, regressor)
    bone = camera.bone_length(found)
    extent = np.ptp(vertices, axis=0)
    if min(bone, extent[2]) <= _LEAST * extent.max():
        return None
    return (found - found[skeleton.WRIST]) * (BONE_LENGTH / bone)


def valid_joints(regressor: Regressor | None) -> Bool[np.ndarray, "21"]:
    """Returns which joints are known: all with a regressor, else the fingertips."""
    return np.full(skeleton.NUM_JOINTS, regressor is not None) | np.isin(
        np.arange(skeleton.NUM_JOINTS), skeleton.FINGERTIPS
    )


def _from_pickle(path: Path) -> np.ndarray:
    model = pickles.load(path, inert=("chumpy", "scipy"))
    matrix = model.get("J_regressor") if isinstance(model, dict) else None
    try:
        if isinstance(getattr(matrix, "state", None), dict):
            return _dense(matrix.state)  # type: ignore[union-attr]
        return pickles.as_numbers(matrix, NUM_REGRESSED * NUM_VERTICES)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, IndexError) as error:
        raise UserError(f"{path} holds no J_regressor as MANO has it ({error}): {_REMEDY}") from (
            error
        )


def _dense(state: dict[str, Any]) -> np.ndarray:
    """Rebuilds a matrix that SciPy has pickled column by column."""
    values, *places = (
        pickles.as_numbers(state[name], NUM_REGRESSED * NUM_VERTICES)
        for name in ("data", "indices", "indptr")
    )
    parts = (values, *(numbers.astype(np.int64) for numbers in places))
    shape = state["_shape"] if "_shape" in state else state["shape"]
    if shape != (NUM_REGRESSED, NUM_VERTICES):
        raise UserError(f"its shape is not {(NUM_REGRESSED, NUM_VERTICES)}")
    matrix = sparse.csc_matrix(parts, shape=shape)
    matrix.check_format(full_check=True)
    return matrix.toarray()


def _from_array(path: Path) -> np.ndarray:
    try:
        # A header may declare more numbers than the file and the memory hold.
        content = bounded.content(path, bounded.TEXT, _REMEDY)
        matrix = np.load(io.BytesIO(content), allow_pickle=False)
    except UserError:
        raise
    # NumPy raises errors of every kind over damaged headers.
    except Exception as error:
        if is_machine_fault(error):
            raise
        raise UserError(f"{path} is not an array of NumPy ({error}): {_REMEDY}") from error
    if not isinstance(matrix, np.ndarray):
        raise UserError(f"{path} holds several arrays, expected one: {_REMEDY}")
    return matrix


def _from_torch(path: Path) -> np.ndarray:
    tensors = torch_file.read(path)
    if len(tensors) != 1:
        raise UserError(f"{path} holds {len(tensors)} tensors, expected one: {_REMEDY}")
    return next(iter(tensors.values()))


_READERS = {".pkl": _from_pickle, ".npy": _from_array, ".pth": _from_torch}
