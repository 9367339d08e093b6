"""Layouts of PyTorch's state dicts: which tensors, of which shapes, and where we hold them.

Three are known: torchvision's ResNets (timm's names are the same), the official pre-training
network (`Hybrid2Model`, also inside Lightning's checkpoints) and the official fine-tuned one
(`RN_25D_wMLPref`). A layout is a table of slots, which `torch_weights` reads in either direction.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from peclr_jax.errors import UserError
from peclr_jax.hands import skeleton
from peclr_jax.models import resnet
from peclr_jax.models.heads import ProjectionHead, RootDepthRefiner
from peclr_jax.models.released import NUM_OUTPUTS
from peclr_jax.models.resnet import ResNet

DESCRIPTIONS = {
    "torchvision": "a torchvision",
    "hybrid2": "an official pre-training network's (Hybrid2Model)",
    "released": "an official fine-tuned network's (RN_25D_wMLPref)",
}
"""Words for each layout, to be followed by the name of a ResNet."""

# The stem's convolution and normalisation, and the four stages.
_PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_MODULES = {
    "torchvision": _PARTS,
    "hybrid2": tuple(f"encoder.features.{index}" for index in (0, 1, 4, 5, 6, 7)),
    "released": tuple(f"backend_model.{part}" for part in _PARTS),
}

_JOINTS = skeleton.FROM_AIT[:, None]
# Ours from the official order. Outputs: (x, y, depth) of each joint, and the unused one.
_OUTPUT_ORDER = np.append(3 * _JOINTS + np.arange(3), NUM_OUTPUTS - 1)
# Inputs of the refinement: 21 depths, 21 (x, y), the root's depth.
_INPUT_ORDER = np.concatenate([_JOINTS.ravel(), 21 + (2 * _JOINTS + np.arange(2)).ravel(), [63]])


class Slot(NamedTuple):
    """Where a tensor of a file belongs.

    Attributes:
      shape: Shape in PyTorch.
      path: Path in our variables; None if we do not hold it: written as zeros, optional.
      order, axis: Our order from the file's along PyTorch's axis; None where they are the same.
    """

    shape: tuple[int, ...]
    path: tuple[str, ...] | None
    order: np.ndarray | None = None
    axis: int = 0


class HeadSizes(NamedTuple):
    """Widths of a projection head's layers, or of the refinement's hidden ones."""

    hidden: int
    outputs: int = 0


class Network(NamedTuple):
    """A network with a layout.

    Attributes:
      layout: A key of `DESCRIPTIONS`.
      architecture: Name of the encoder, a key of `resnet.BY_NAME`; None if it is none of them.
      encoder: The encoder; a ResNet-152, which has the names of all others, if it is none of them.
    """

    layout: str
    architecture: str | None
    encoder: ResNet
    head: HeadSizes

    def __str__(self) -> str:
        number = "" if self.architecture is None else self.architecture.replace("resnet", "-")
        return f"{DESCRIPTIONS[self.layout]} ResNet{number}"

    def slots(self) -> dict[str, Slot]:
        """Returns the tensors of the network in PyTorch's order."""
        return dict(_slots(self.layout, self.encoder, self.head))


Slots = Iterator[tuple[str, Slot]]


def of_tensors(shapes: Mapping[str, tuple[int, ...]]) -> Network:
    """Tells a network from the names and shapes of its tensors."""
    if any(name.startswith(("backend_model.", "zroot_ref.")) for name in shapes):
        layout = "released"
    elif any(name.startswith(("encoder.features.", "projection_head.")) for name in shapes):
        layout = "hybrid2"
    else:
        layout = "torchvision"
    bottleneck = any(".conv3." in name for name in shapes)
    architecture = _architecture(stage_sizes(layout, shapes), bottleneck)
    stem_shape = shapes.get(first_tensor(layout), ())
    width, stem = _stem(stem_shape[::-1]) if len(stem_shape) == 4 else (64, "imagenet")
    encoder = resnet.BY_NAME[architecture or "resnet152"](width=width, stem=stem)
    head = HeadSizes(RootDepthRefiner().hidden)
    if layout == "hybrid2":
        default = ProjectionHead()
        first = shapes.get("projection_head.0.weight") or (default.hidden,)
        last = shapes.get("projection_head.3.weight") or (2 * default.num_points,)
        head = HeadSizes(first[0], last[0])
    return Network(layout, architecture, encoder, head)


def of_variables(variables: Mapping[str, Any]) -> Network:
    """Tells a `ResNet`, a `Projector` or a `ReleasedPoseNetwork` from its variables."""
    params = variables["params"]
    head = params.get("head", {})
    sizes = HeadSizes(RootDepthRefiner().hidden)
    if "conv1" in params:
        layout, tree = "torchvision", params
    elif "dense2" in head:
        layout, tree = "hybrid2", params["encoder"]
        sizes = HeadSizes(*np.shape(head["dense2"]["kernel"]))
    elif "fc" in head:
        layout, tree = "released", params["encoder"]
    else:
        raise UserError(
            f"variables with the parts {sorted(params)} have no layout in PyTorch: give those of a "
            "ResNet or a Projector, or a PoseNetwork's through released.from_pose_network"
        )
    blocks = {name: block for name, block in tree.items() if name.startswith("layer")}
    stages = tuple(sum(name[5] == stage for name in blocks) for stage in "1234")
    bottleneck = any("conv3" in block for block in blocks.values())
    width, stem = _stem(np.shape(tree["conv1"]["kernel"]))
    block = resnet.Bottleneck if bottleneck else resnet.BasicBlock
    encoder = ResNet(stages, block, width=width, stem=stem)
    return Network(layout, _architecture(stages, bottleneck), encoder, sizes)


def first_tensor(layout: str) -> str:
    """Returns the name of a layout's first tensor."""
    return f"{_MODULES[layout][0]}.weight"


def stage_sizes(layout: str, names: Iterable[str]) -> tuple[int, ...]:
    """Returns the number of residual blocks in every stage."""
    patterns = [rf"{re.escape(module)}\.([0-9]{{1,9}})\." for module in _MODULES[layout][2:]]
    matches = [[re.match(pattern, name) for name in names] for pattern in patterns]
    return tuple(1 + max([int(m[1]) for m in stage if m], default=-1) for stage in matches)


def _architecture(stages: tuple[int, ...], bottleneck: bool) -> str | None:
    known = {
        (tuple(encoder.stage_sizes), encoder.block is resnet.Bottleneck): name
        for name, encoder in ((name, make()) for name, make in resnet.BY_NAME.items())
    }
    return known.get((stages, bottleneck))


def _stem(shape: Sequence[int]) -> tuple[int, str]:
    """Returns the width and kind of a stem from its convolution: (height, width, in, out)."""
    return shape[-1], "small" if shape[0] == 3 else "imagenet"


def _slots(layout: str, encoder: ResNet, sizes: HeadSizes) -> Slots:
    scope = () if layout == "torchvision" else ("encoder",)
    yield from _encoder(encoder, _MODULES[layout], scope)
    features = encoder.width * 8 * encoder.block.expansion
    if layout == "hybrid2":
        hidden, outputs = sizes
        # Left over from supervised training, and never called.
        yield "encoder.final_layer.0.weight", Slot((NUM_OUTPUTS, features), None)
        yield "encoder.final_layer.0.bias", Slot((NUM_OUTPUTS,), None)
        yield from _dense("projection_head.0", ("head", "dense1"), features, hidden)
        yield from _norm("projection_head.1", ("head", "bn1"), hidden)
        kernel = ("params", "head", "dense2", "kernel")
        yield "projection_head.3.weight", Slot((outputs, hidden), kernel)
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
            sizes = encoder.block.sizes
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
) -> tuple[str, Slot]:
    return f"{name}.weight", Slot((outputs, inputs, size, size), ("params", *scope, "kernel"))


def _norm(name: str, scope: tuple[str, ...], features: int) -> Slots:
    yield f"{name}.weight", Slot((features,), ("params", *scope, "scale"))
    yield f"{name}.bias", Slot((features,), ("params", *scope, "bias"))
    yield f"{name}.running_mean", Slot((features,), ("batch_stats", *scope, "mean"))
    yield f"{name}.running_var", Slot((features,), ("batch_stats", *scope, "var"))
    yield f"{name}.num_batches_tracked", Slot((), None)


def _dense(name: str, scope: tuple[str, ...], inputs: int, outputs: int) -> Slots:
    yield f"{name}.weight", Slot((outputs, inputs), ("params", *scope, "kernel"))
    yield f"{name}.bias", Slot((outputs,), ("params", *scope, "bias"))
