"""Weights between PyTorch's layouts and ours.

Three layouts are known: torchvision's ResNets (timm's names are the same), the official
pre-training network (`Hybrid2Model`, also inside Lightning's checkpoints) and the official
fine-tuned one (`RN_25D_wMLPref`). A layout is a table of slots, read in either direction; its
conversions are transpositions and permutations alone, so weights come out bit for bit as they
went in.
"""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from peclr_jax.errors import UserError
from peclr_jax.hands import skeleton
from peclr_jax.models import resnet, torch_file
from peclr_jax.models.heads import ProjectionHead, RootDepthRefiner
from peclr_jax.models.released import NUM_OUTPUTS
from peclr_jax.models.resnet import ResNet

DESCRIPTIONS = {
    "torchvision": "a torchvision",
    "hybrid2": "an official pre-training network's (Hybrid2Model)",
    "released": "an official fine-tuned network's (RN_25D_wMLPref)",
}
"""Of the layouts, each to be followed by the name of a ResNet."""

# The stem's convolution and normalisation, and the four stages.
_PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_MODULES = {
    "torchvision": _PARTS,
    "hybrid2": tuple(f"encoder.features.{index}" for index in (0, 1, 4, 5, 6, 7)),
    "released": tuple(f"backend_model.{part}" for part in _PARTS),
}

_JOINTS = skeleton.FROM_AIT[:, None]
_UNUSED = NUM_OUTPUTS - 1
# Ours from the official order. Outputs: (x, y, depth) of each joint, and the unused one.
_OUTPUT_ORDER = np.append(3 * _JOINTS + np.arange(3), _UNUSED)
# Inputs of the refinement: 21 depths, 21 (x, y), the root's depth.
_INPUT_ORDER = np.concatenate([_JOINTS.ravel(), 21 + (2 * _JOINTS + np.arange(2)).ravel(), [63]])


class TorchWeights(NamedTuple):
    """What a file of weights holds.

    Attributes:
      layout: "torchvision" (the variables are a `ResNet`'s), "hybrid2" (a `Projector`'s) or
        "released" (a `ReleasedPoseNetwork`'s).
      architecture: Of the encoder, a key of `resnet.BY_NAME`.
      width: Of the encoder's stem.
      stem: Of the encoder, one of `resnet.STEMS`.
      variables: {"params", "batch_stats"} of NumPy arrays.
    """

    layout: str
    architecture: str
    width: int
    stem: str
    variables: dict[str, Any]


class _Slot(NamedTuple):
    """Where a tensor of a file belongs.

    Attributes:
      shape: In PyTorch.
      path: In our variables; None for what we do not hold, which is written as zeros and need not
        be there to be read.
      order: Ours from the file's along `axis`, if the two differ.
      axis: Of PyTorch's tensor.
    """

    shape: tuple[int, ...]
    path: tuple[str, ...] | None
    order: np.ndarray | None = None
    axis: int = 0


Slots = Iterator[tuple[str, _Slot]]


def read_weights(path: str | os.PathLike[str]) -> TorchWeights:
    """Reads a file of weights in any of the layouts; nothing in the file is run.

    Args:
      path: `.pth`, `.pt`, `.ckpt` or `.safetensors`.

    Raises:
      MissingFileError: There is no such file.
      UserError: The file cannot be read, or its tensors are not those of a known network.
    """
    tensors = torch_file.read(path)
    try:
        return inspect(tensors)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def load_torch(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a file of weights as `read_weights` does, and returns the variables alone."""
    return read_weights(path).variables


def from_state_dict(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Maps a state dict to the variables of our network.

    Args:
      state_dict: Tensor name to array, as PyTorch lays them out (convolutions: out, in, height,
        width), in any of the layouts. The classifier (`fc`) and `num_batches_tracked` are left out.

    Returns:
      {"params", "batch_stats"} of NumPy arrays (convolutions: height, width, in, out), of a
      `ResNet`, a `Projector` or a `ReleasedPoseNetwork`.

    Raises:
      UserError: Unknown, missing or misshapen tensors, or values that are not finite.

    Example:
      >>> variables = from_state_dict(arrays)                     # doctest: +SKIP
      >>> features = ResNet50().apply(variables, images)          # doctest: +SKIP
    """
    return inspect(state_dict).variables


def inspect(state_dict: Mapping[str, Any]) -> TorchWeights:
    """Maps a state dict to the variables of our network, and says which network that is.

    Raises:
      UserError: As `from_state_dict`.
    """
    layout = _layout(state_dict)
    if layout == "torchvision":
        # The classifier, or what has been put in its place.
        state_dict = {name: t for name, t in state_dict.items() if not name.startswith("fc.")}
    stage_sizes = _stage_sizes(layout, state_dict)
    architecture = _architecture(stage_sizes, any(".conv3." in name for name in state_dict))
    shapes = {name: tuple(np.shape(tensor)) for name, tensor in state_dict.items()}
    stem_shape = shapes.get(f"{_MODULES[layout][0]}.weight", ())
    width, stem = _stem(stem_shape[::-1]) if len(stem_shape) == 4 else (64, "imagenet")
    # ResNet-152 has the names of all the others.
    encoder = resnet.BY_NAME[architecture or "resnet152"](width=width, stem=stem)
    slots = dict(_slots(layout, encoder, _head_sizes(layout, shapes)))
    network = f"{DESCRIPTIONS[layout]} {_title(architecture)}"
    _check_known(state_dict, slots, network)
    if architecture is None:
        raise UserError(
            f"the stages have {stage_sizes} residual blocks, which no ResNet-18, -34, -50, -101 or "
            "-152 has: the file is not whole, or of another network"
        )
    _check_whole(state_dict, slots, network)
    flat = {}
    for name, slot in slots.items():
        if name in state_dict and shapes[name] != slot.shape:
            raise UserError(
                f"{name!r} has the shape {shapes[name]}, in {network} of width {width} it has "
                f"{slot.shape}"
            )
        if slot.path is not None:
            flat[slot.path] = _to_ours(_finite(name, state_dict[name]), slot)
    return TorchWeights(layout, architecture, width, stem, traverse_util.unflatten_dict(flat))


def to_state_dict(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Maps the variables of our network to a state dict: undoes `from_state_dict` bit for bit.

    Args:
      variables: {"params", "batch_stats"} of a `ResNet` (becomes torchvision's layout), a
        `Projector` (the official pre-training network's) or a `ReleasedPoseNetwork` (the official
        fine-tuned network's; `released.from_pose_network` makes one of a `PoseNetwork`).

    Returns:
      Tensor name to array, in PyTorch's order, with all that the network there expects but
      torchvision's classifier; what we do not hold is zero.

    Raises:
      UserError: Variables of none of these networks.
    """
    layout, encoder, sizes = _describe(variables)
    slots = dict(_slots(layout, encoder, sizes))
    flat = traverse_util.flatten_dict({name: variables[name] for name in ("params", "batch_stats")})
    if different := set(flat).symmetric_difference(s.path for s in slots.values() if s.path):
        raise UserError(
            f"not the variables of {DESCRIPTIONS[layout]} ResNet: {'/'.join(min(different))} is "
            f"{'not in' if min(different) in flat else 'missing from'} that layout"
        )
    state_dict = {}
    for name, slot in slots.items():
        state_dict[name] = _zeros(name, slot) if slot.path is None else _to_torch(flat, slot)
        if state_dict[name].shape != slot.shape:
            raise UserError(
                f"{name!r} would have the shape {state_dict[name].shape} instead of {slot.shape}: "
                f"not the variables of {DESCRIPTIONS[layout]} ResNet"
            )
    return state_dict


def _layout(names: Iterable[str]) -> str:
    """Tells a state dict's layout from its names."""
    if any(name.startswith(("backend_model.", "zroot_ref.")) for name in names):
        return "released"
    if any(name.startswith(("encoder.features.", "projection_head.")) for name in names):
        return "hybrid2"
    return "torchvision"


def _stage_sizes(layout: str, names: Iterable[str]) -> tuple[int, ...]:
    """Returns the number of residual blocks in every stage."""
    patterns = [rf"{re.escape(module)}\.(\d+)\." for module in _MODULES[layout][2:]]
    matches = [[re.match(pattern, name) for name in names] for pattern in patterns]
    return tuple(1 + max([int(m[1]) for m in stage if m], default=-1) for stage in matches)


def _architecture(stage_sizes: tuple[int, ...], bottleneck: bool) -> str | None:
    for name, make in resnet.BY_NAME.items():
        encoder = make()
        found = (tuple(encoder.stage_sizes), encoder.block is resnet.Bottleneck)
        if found == (stage_sizes, bottleneck):
            return name
    return None


def _title(architecture: str | None) -> str:
    return f"ResNet-{architecture.removeprefix('resnet')}" if architecture else "ResNet"


def _stem(shape: Sequence[int]) -> tuple[int, str]:
    """Returns the width and kind of a stem from its convolution: (height, width, in, out)."""
    return shape[-1], "small" if shape[0] == 3 else "imagenet"


class _HeadSizes(NamedTuple):
    """Widths of a projection head's layers, or of the refinement's hidden ones."""

    hidden: int
    outputs: int = 0


def _head_sizes(layout: str, shapes: Mapping[str, tuple[int, ...]]) -> _HeadSizes:
    if layout != "hybrid2":
        return _HeadSizes(RootDepthRefiner().hidden)
    head = ProjectionHead()
    first = shapes.get("projection_head.0.weight") or (head.hidden,)
    last = shapes.get("projection_head.3.weight") or (2 * head.num_points,)
    return _HeadSizes(first[0], last[0])


def _describe(variables: Mapping[str, Any]) -> tuple[str, ResNet, _HeadSizes]:
    """Returns layout, encoder and sizes of the head of our variables."""
    params = variables["params"]
    head = params.get("head", {})
    sizes = _HeadSizes(RootDepthRefiner().hidden)
    if "conv1" in params:
        layout, tree = "torchvision", params
    elif "dense2" in head:
        layout, tree = "hybrid2", params["encoder"]
        sizes = _HeadSizes(*np.shape(head["dense2"]["kernel"]))
    elif "fc" in head:
        layout, tree = "released", params["encoder"]
    else:
        raise UserError(
            f"variables with the parts {sorted(params)} have no layout in PyTorch: give those of a "
            "ResNet or a Projector, or a PoseNetwork's through released.from_pose_network"
        )
    blocks = {name: block for name, block in tree.items() if name.startswith("layer")}
    stage_sizes = tuple(sum(name[5] == stage for name in blocks) for stage in "1234")
    bottleneck = any("conv3" in block for block in blocks.values())
    width, stem = _stem(np.shape(tree["conv1"]["kernel"]))
    block = resnet.Bottleneck if bottleneck else resnet.BasicBlock
    return layout, ResNet(stage_sizes, block, width=width, stem=stem), sizes


def _slots(layout: str, encoder: ResNet, sizes: _HeadSizes) -> Slots:
    """Lists the tensors of a network in PyTorch's order."""
    scope = () if layout == "torchvision" else ("encoder",)
    yield from _encoder(encoder, _MODULES[layout], scope)
    features = encoder.width * 8 * encoder.block.expansion
    if layout == "hybrid2":
        hidden, outputs = sizes
        # Left over from supervised training, and never called.
        yield "encoder.final_layer.0.weight", _Slot((NUM_OUTPUTS, features), None)
        yield "encoder.final_layer.0.bias", _Slot((NUM_OUTPUTS,), None)
        yield from _dense("projection_head.0", ("head", "dense1"), features, hidden)
        yield from _norm("projection_head.1", ("head", "bn1"), hidden)
        kernel = ("params", "head", "dense2", "kernel")
        yield "projection_head.3.weight", _Slot((outputs, hidden), kernel)
    elif layout == "released":
        hidden, name = sizes.hidden, "zroot_ref.zroot_ref"
        fc = _dense("backend_model.fc", ("head", "fc"), features, NUM_OUTPUTS)
        yield from ((tensor, slot._replace(order=_OUTPUT_ORDER)) for tensor, slot in fc)
        weight, bias = _dense(f"{name}.0", ("refiner", "dense1"), len(_INPUT_ORDER), hidden)
        yield weight[0], weight[1]._replace(order=_INPUT_ORDER, axis=1)
        yield bias
        yield from _norm(f"{name}.1", ("refiner", "bn1"), hidden)
        yield from _dense(f"{name}.3", ("refiner", "dense2"), hidden, hidden)
        yield from _norm(f"{name}.4", ("refiner", "bn2"), hidden)
        yield from _dense(f"{name}.6", ("refiner", "dense3"), hidden, 1)


def _encoder(encoder: ResNet, modules: Sequence[str], scope: tuple[str, ...]) -> Slots:
    size = 7 if encoder.stem == "imagenet" else 3
    yield _convolution(modules[0], (*scope, "conv1"), 3, encoder.width, size)
    yield from _norm(modules[1], (*scope, "bn1"), encoder.width)
    inputs = encoder.width
    for stage, blocks in enumerate(encoder.stage_sizes):
        features = encoder.width * 2**stage
        outputs = features * encoder.block.expansion
        for index in range(blocks):
            name, block = f"{modules[2 + stage]}.{index}", (*scope, f"layer{stage + 1}_{index}")
            sizes = (3, 3) if encoder.block is resnet.BasicBlock else (1, 3, 1)
            channels = (inputs, *[features] * (len(sizes) - 1), outputs)
            for number, kernel in enumerate(sizes, 1):
                conv, norm, between = f"conv{number}", f"bn{number}", channels[number - 1 :]
                yield _convolution(f"{name}.{conv}", (*block, conv), between[0], between[1], kernel)
                yield from _norm(f"{name}.{norm}", (*block, norm), between[1])
            if index == 0 and (stage > 0 or inputs != outputs):
                shortcut = (*block, "downsample_conv")
                yield _convolution(f"{name}.downsample.0", shortcut, inputs, outputs, 1)
                yield from _norm(f"{name}.downsample.1", (*block, "downsample_bn"), outputs)
            inputs = outputs


def _convolution(
    name: str, scope: tuple[str, ...], inputs: int, outputs: int, size: int
) -> tuple[str, _Slot]:
    return f"{name}.weight", _Slot((outputs, inputs, size, size), ("params", *scope, "kernel"))


def _norm(name: str, scope: tuple[str, ...], features: int) -> Slots:
    yield f"{name}.weight", _Slot((features,), ("params", *scope, "scale"))
    yield f"{name}.bias", _Slot((features,), ("params", *scope, "bias"))
    yield f"{name}.running_mean", _Slot((features,), ("batch_stats", *scope, "mean"))
    yield f"{name}.running_var", _Slot((features,), ("batch_stats", *scope, "var"))
    yield f"{name}.num_batches_tracked", _Slot((), None)


def _dense(name: str, scope: tuple[str, ...], inputs: int, outputs: int) -> Slots:
    yield f"{name}.weight", _Slot((outputs, inputs), ("params", *scope, "kernel"))
    yield f"{name}.bias", _Slot((outputs,), ("params", *scope, "bias"))


def _check_known(names: Iterable[str], slots: Mapping[str, _Slot], network: str) -> None:
    """Raises ValueError for a tensor that the network has not."""
    unknown = [name for name in names if name not in slots]
    if unknown:
        near = difflib.get_close_matches(unknown[0], slots, n=5, cutoff=0.0)
        others = f" (nor are {len(unknown) - 1} others)" if len(unknown) > 1 else ""
        raise UserError(
            f"{unknown[0]!r} is not a tensor of {network}{others}; the nearest of its names are "
            + ", ".join(map(repr, near))
        )


def _check_whole(names: Iterable[str], slots: Mapping[str, _Slot], network: str) -> None:
    """Raises ValueError for a tensor of the network that is missing."""
    missing = [name for name, slot in slots.items() if slot.path and name not in names]
    if missing:
        others = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]!r} of {network} is missing{others}: the file is not whole")


def _finite(name: str, tensor: Any) -> np.ndarray:
    """Returns a tensor as float32.

    Raises:
      UserError: It is not of floating point, or holds a value that is not finite.
    """
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


def _to_ours(tensor: np.ndarray, slot: _Slot) -> np.ndarray:
    if slot.order is not None:
        tensor = tensor.take(slot.order, slot.axis)
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


def _to_torch(flat: Mapping[tuple[str, ...], Any], slot: _Slot) -> np.ndarray:
    assert slot.path is not None
    array = np.asarray(flat[slot.path])
    tensor = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    if slot.order is not None:
        tensor = tensor.take(np.argsort(slot.order), slot.axis)
    return np.asarray(tensor, order="C")


def _zeros(name: str, slot: _Slot) -> np.ndarray:
    counter = name.endswith("num_batches_tracked")
    return np.zeros(slot.shape, np.int64 if counter else np.float32)
