"""Weights from PyTorch's layouts to ours and back, bit for bit: values are only rearranged."""

import difflib
import heapq
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from peclr_jax.errors import UserError
from peclr_jax.models import torch_file, torch_layouts
from peclr_jax.models.torch_layouts import DESCRIPTIONS, Network, Slot
from peclr_jax.unpickling import shown

Shapes = Mapping[str, tuple[int, ...]]

# Comparing longer ones takes long.
_LONGEST_NAME = 80
# Of networks around one that has a layout.
_MOST_PREFIXES = 8


class TorchWeights(NamedTuple):
    """The contents of a file of weights.

    Attributes:
      layout: "torchvision" (the variables are a `ResNet`'s), "hybrid2" (a `Projector`'s) or
        "released" (a `ReleasedPoseNetwork`'s).
      architecture: Name of the encoder, a key of `resnet.BY_NAME`.
      width, stem: Channels and kind of the encoder's stem, one of `resnet.STEMS`.
      variables: {"params", "batch_stats"} of NumPy arrays.
    """

    layout: str
    architecture: str
    width: int
    stem: str
    variables: dict[str, Any]


def read_weights(path: str | os.PathLike[str]) -> TorchWeights:
    """Reads a file of weights in any of the layouts; nothing in the file is executed."""
    tensors = torch_file.read(path)
    try:
        return inspect(tensors)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def load_torch(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a file of weights as `read_weights` does, and returns the variables alone."""
    return read_weights(path).variables


def from_state_dict(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Maps a state dict of any layout to the variables of our network.

    They are NumPy arrays of a `ResNet`, a `Projector` or a `ReleasedPoseNetwork`; convolutions are
    (height, width, in, out). The classifier (`fc`) and `num_batches_tracked` are left out.
    """
    return inspect(state_dict).variables


def inspect(state_dict: Mapping[str, Any]) -> TorchWeights:
    """Maps a state dict as `from_state_dict` does, and says which network it is of."""
    shapes = {name: tuple(np.shape(tensor)) for name, tensor in state_dict.items()}
    network = torch_layouts.of_tensors(shapes)
    if network.layout == "torchvision":
        # The classifier, or what has been put in its place.
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("fc.")}
    slots = network.slots()
    _check_names(shapes, slots, network)
    width, stem = network.encoder.width, network.encoder.stem
    flat = {}
    for name, slot in slots.items():
        if shapes.get(name, slot.shape) != slot.shape:
            raise UserError(
                f"{name!r} has the shape {shapes[name]}, in {network} of width {width} it has "
                f"{slot.shape}"
            )
        if slot.path is not None:
            flat[slot.path] = _to_ours(_finite(name, state_dict[name]), slot)
    variables = traverse_util.unflatten_dict(flat)
    return TorchWeights(network.layout, str(network.architecture), width, stem, variables)


def to_state_dict(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Maps the variables of our network to a state dict: undoes `from_state_dict` bit for bit.

    Those of a `ResNet` become torchvision's layout, a `Projector`'s the official pre-training
    network's, a `ReleasedPoseNetwork`'s (`released.from_pose_network` makes one of a `PoseNetwork`)
    the official fine-tuned network's.

    Returns:
      Tensor name to array, in PyTorch's order: everything that the network there expects, except
      for torchvision's classifier; tensors that we do not hold are zero.
    """
    network = torch_layouts.of_variables(variables)
    slots = network.slots()
    kind = f"{DESCRIPTIONS[network.layout]} ResNet"
    flat = traverse_util.flatten_dict({name: variables[name] for name in ("params", "batch_stats")})
    if different := set(flat).symmetric_difference(s.path for s in slots.values() if s.path):
        raise UserError(
            f"not the variables of {kind}: {'/'.join(min(different))} is "
            f"{'not in' if min(different) in flat else 'missing from'} that layout"
        )
    state_dict = {}
    for name, slot in slots.items():
        state_dict[name] = _zeros(name, slot) if slot.path is None else _to_torch(flat, slot)
        if state_dict[name].shape != slot.shape:
            raise UserError(
                f"{name!r} would have the shape {state_dict[name].shape} instead of {slot.shape}: "
                f"not the variables of {kind}"
            )
    return state_dict


def _check_names(shapes: Shapes, slots: Mapping[str, Slot], network: Network) -> None:
    """Raises a `UserError` for a tensor that the network does not have, or that is missing."""
    names = shapes.keys()
    if unknown := [name for name in names if name not in slots]:
        if len(unknown) == len(names):
            _check_prefix(shapes)
        near = difflib.get_close_matches(unknown[0][:_LONGEST_NAME], slots, n=5, cutoff=0.0)
        others = f" (nor are {len(unknown) - 1} others)" if len(unknown) > 1 else ""
        raise UserError(
            f"{shown(unknown[0])} is not a tensor of {network}{others}; the nearest of its names "
            "are " + ", ".join(map(repr, near))
        )
    if network.architecture is None:
        raise UserError(
            f"the stages have {torch_layouts.stage_sizes(network.layout, names)} residual blocks, "
            "which no ResNet-18, -34, -50, -101 or -152 has: the file is incomplete, or of another "
            "network"
        )
    if missing := [name for name, slot in slots.items() if slot.path and name not in names]:
        others = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]!r} of {network} is missing{others}: the file is incomplete")


def _check_prefix(shapes: Shapes) -> None:
    """Raises a `UserError` that names the prefix, if the tensors are of a network in another."""
    first = [torch_layouts.first_tensor(layout) for layout in DESCRIPTIONS]
    found = {name[: -len(end)] for name in shapes for end in first if name.endswith(f".{end}")}
    # The outermost: the others are its blocks, or its encoder.
    for prefix in heapq.nsmallest(_MOST_PREFIXES, found, key=lambda prefix: (len(prefix), prefix)):
        *parts, _ = prefix.split(".")
        spoken = all(part.isidentifier() or part.isdecimal() for part in parts)
        if not spoken or len(prefix) > _LONGEST_NAME:
            continue
        inner = {
            name.removeprefix(prefix): shape
            for name, shape in shapes.items()
            if name.startswith(prefix) and not name.startswith(f"{prefix}fc.")
        }
        network = torch_layouts.of_tensors(inner)
        if network.architecture is None or not inner.keys() <= network.slots().keys():
            continue
        many = sum(name.startswith(prefix) for name in shapes)
        module = "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in parts)
        raise UserError(
            f"{'all' if many == len(shapes) else many} names begin with {prefix!r}, and without it "
            f"are those of {network}: save that part alone, by "
            f"torch.save(network{module}.state_dict(), file)"
        )


def _finite(name: str, tensor: Any) -> np.ndarray:
    """Returns a tensor as float32, or raises a `UserError` where it holds anything but numbers."""
    array = np.asarray(tensor)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UserError(f"{name!r} holds {array.dtype}, not floating-point numbers")
    array = array.astype(np.float32, copy=False)
    if not (finite := np.isfinite(array)).all():
        raise UserError(
            f"{name!r} holds {np.count_nonzero(~finite)} values that are not finite: the file is "
            "damaged, or its training had diverged"
        )
    return array


def _to_ours(tensor: np.ndarray, slot: Slot) -> np.ndarray:
    if slot.order is not None:
        tensor = tensor.take(slot.order, slot.axis)
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


def _to_torch(flat: Mapping[tuple[str, ...], Any], slot: Slot) -> np.ndarray:
    assert slot.path is not None
    array = np.asarray(flat[slot.path])
    tensor = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    if slot.order is not None:
        tensor = tensor.take(np.argsort(slot.order), slot.axis)
    return np.asarray(tensor, order="C")


def _zeros(name: str, slot: Slot) -> np.ndarray:
    counter = name.endswith("num_batches_tracked")
    return np.zeros(slot.shape, np.int64 if counter else np.float32)
