"""How fast a step of pre-training could be: its floating point operations and its least bytes.

    python -m benchmarks.roofline --size 128 --pairs 2048 --tflops 989 --bandwidth 3.35

Pure functions of the network's shapes; nothing is run. Every pass over the activations counts its
operations and the bytes that it must move, under one of three assumptions about what is fused:

* "separate": convolution, BatchNorm, ReLU, addition and pooling each read what they need and write
  what they make, forward and backward.
* "fused": BatchNorm, ReLU and addition are fused with each other, not into convolutions, which are
  a library's: about what XLA's programs do.
* "ideal": they are fused into the convolutions beside them as well. Statistics are taken as a
  result is written, normalisation and ReLU are redone as it is read, and only the convolutions'
  results and the blocks' outputs ever reach memory.

A step cannot be faster than all operations at the machine's rate, nor than all bytes at its
bandwidth, nor than the sum over its passes of the larger of the two.
"""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from rich.console import Console
from rich.table import Table

from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.normalization import BatchNorm
from peclr_jax.models.projector import Projector
from peclr_jax.models.resnet import BY_NAME, BasicBlock, Bottleneck

RULES = ("separate", "fused", "ideal")

# Bytes a parameter: read by the forward and the backward pass, its gradient written, both read for
# LARS, gradient, parameter and two moments read by Adam, which writes the last three; float32.
_PARAMETER_BYTES = 4 * (2 + 1 + 2 + 4 + 3)

# TFLOP/s and TB/s by a part of the device's name; the first that fits counts.
_DATASHEETS = (
    ("H100 PCIe", 756.0, 2.0),
    ("H100 NVL", 835.0, 3.9),
    ("H100", 989.4, 3.35),
    ("H200", 989.4, 4.8),
    ("A100-SXM4-80GB", 312.0, 2.039),
    ("A100 80GB PCIe", 312.0, 1.935),
    ("A100", 312.0, 1.555),
)


class Layer(NamedTuple):
    """A layer with parameters, or a residual block, for one view.

    Attributes:
      name: path of the module.
      kind: "convolution", "dense", "block", "norm" (which a ReLU follows) or "branch norm" (which
        the block's sum follows).
      inputs: elements read.
      outputs: elements written.
      flops: of the forward pass: two for every multiplication and addition.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    flops: int


class Network(NamedTuple):
    """What the counts are taken from.

    Attributes:
      layers: in the order of the forward pass; a block follows what it is made of.
      parameters: their number.
      size: side of the views in pixels.
      pooled: whether the stem ends in max-pooling.
      features: numbers of a projection.
    """

    layers: tuple[Layer, ...]
    parameters: int
    size: int
    pooled: bool
    features: int


class Pass(NamedTuple):
    """One reading and writing of activations.

    Attributes:
      name: of the layer, and what is done to it.
      part: "augmentation", "forward", "loss", "backward" or "optimiser".
      flops: floating point operations of the whole batch.
      bytes: read and written.
    """

    name: str
    part: str
    flops: float
    bytes: float


class Machine(NamedTuple):
    """What a processor can do.

    Attributes:
      flops: bfloat16 operations a second.
      bandwidth: bytes a second to and from its memory.
    """

    flops: float
    bandwidth: float


class Bounds(NamedTuple):
    """The least time of a step, in seconds.

    Attributes:
      arithmetic: all operations at the full rate.
      bandwidth: all bytes at the full bandwidth.
      passes: the sum over the passes of the larger of the two.
    """

    arithmetic: float
    bandwidth: float
    passes: float

    @property
    def binding(self) -> str:
        """Which of the first two is larger."""
        return "arithmetic" if self.arithmetic >= self.bandwidth else "bandwidth"


def trace(model: Projector, size: int) -> Network:
    """Reads the shapes of a network off an abstract evaluation."""
    layers: list[Layer] = []
    # A branch of a `BasicBlock` has two convolutions, one of a `Bottleneck` three.
    branch_ends = ("bn3" if model.encoder.block is Bottleneck else "bn2", "downsample_bn")

    def record(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result = call(*args, **kwargs)
        module, kind = context.module, None
        flops = 0
        if context.method_name == "__call__" and args:
            kernel = module.variables.get("params", {}).get("kernel")
            if isinstance(module, nn.Conv):
                kind, flops = "convolution", 2 * result.size * kernel[..., 0].size
            elif isinstance(module, nn.Dense):
                kind, flops = "dense", 2 * kernel.size
            elif isinstance(module, BatchNorm):
                kind = "branch norm" if module.name in branch_ends else "norm"
            elif isinstance(module, BasicBlock | Bottleneck):
                kind = "block"
        if kind:
            layers.append(Layer("/".join(module.path), kind, args[0].size, result.size, flops))
        return result

    def run(images: Any) -> Any:
        variables = model.init(jax.random.key(0), images)
        layers.clear()
        with nn.intercept_methods(record):
            model.apply(variables, images)
        return variables["params"]

    params = jax.eval_shape(run, jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32))
    distinct = {layer.name + layer.kind: layer for layer in layers}
    return Network(
        layers=tuple(distinct.values()),
        parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
        size=size,
        pooled=model.encoder.stem == "imagenet",
        features=2 * model.head.num_points,
    )


def forward_flops(network: Network) -> int:
    """Returns the operations of a view's forward pass."""
    return sum(layer.flops for layer in network.layers)


def model_flops(network: Network, pairs: int) -> float:
    """Returns the operations that a step asks for: forward, and twice that backward.

    The first convolution's input has no gradient. What a step computes anew to save memory is not
    counted: utilisation by these operations is "model FLOP utilisation".
    """
    return sum(
        one.flops for one in passes(network, pairs, "fused") if one.part in ("forward", "backward")
    )


def passes(
    network: Network, pairs: int, rule: str = "fused", *, itemsize: int = 2, source_size: int = 0
) -> list[Pass]:
    """Lists the passes of a training step.

    Args:
      network: from `trace`.
      pairs: images in a batch; each gives two views.
      rule: one of `RULES`.
      itemsize: bytes of an activation.
      source_size: side of the uint8 sources in pixels; by default 1.5 views.

    Raises:
      ValueError: an unknown rule.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; choose from {', '.join(RULES)}")
    views = 2 * pairs
    per_view = [
        one._replace(flops=one.flops * views, bytes=one.bytes * itemsize * views)
        for one in (*_forward(network, rule), *_backward(network, rule))
    ]
    return [*_augmentation(network, views, source_size), *per_view, *_rest(network, views)]


def bounds(all_passes: Iterable[Pass], machine: Machine) -> Bounds:
    """Returns the least seconds of passes on a machine."""
    times = [(one.flops / machine.flops, one.bytes / machine.bandwidth) for one in all_passes]
    arithmetic, bandwidth = (sum(column) for column in zip(*times, strict=True))
    return Bounds(arithmetic, bandwidth, sum(max(pair) for pair in times))


def _augmentation(network: Network, views: int, source_size: int) -> list[Pass]:
    """Of uint8 sources to float32 views, which the network reads and rounds."""
    source = (source_size or 3 * network.size // 2) ** 2 * 3
    view = network.size**2 * 3
    return [
        # A view reads at most its source. Some 150 operations a value: gather, weights, HSV.
        Pass("views", "augmentation", 150.0 * view * views, (source + 4 * view) * views),
        Pass("views, rounded", "augmentation", 0.0, (4 + 2) * view * views),
    ]


def _rest(network: Network, views: int) -> list[Pass]:
    """Similarities of all pairs of views in float32, kept in blocks that never reach memory."""
    similarities = 2.0 * views**2 * network.features
    return [
        Pass("similarities", "loss", 3 * similarities, 4.0 * 6 * views * network.features),
        Pass(
            "LARS and Adam",
            "optimiser",
            20.0 * network.parameters,
            float(_PARAMETER_BYTES * network.parameters),
        ),
    ]


def _forward(network: Network, rule: str) -> list[Pass]:
    result = []

    def add(layer: Layer, what: str, elements: int, flops: float = 0.0) -> None:
        result.append(Pass(f"{layer.name}, {what}", "forward", flops, elements))

    for layer in network.layers:
        n = layer.outputs
        if layer.kind in ("convolution", "dense"):
            add(layer, layer.kind, layer.inputs + n, layer.flops)
        elif layer.kind == "block" and rule == "separate":
            add(layer, "sum", 3 * n)
            add(layer, "relu", 2 * n)
        elif layer.kind == "block":
            add(layer, "norm, sum and relu", 3 * n)
        elif rule == "separate":
            add(layer, "norm", 3 * n)
            add(layer, "relu", 2 * n * (layer.kind == "norm"))
        elif rule == "fused":
            add(layer, "statistics", n)
            add(layer, "norm and relu", 2 * n * (layer.kind == "norm"))
        if _is_stem(layer) and network.pooled:
            add(layer, "pooling", n + n // 4)
    result.append(Pass("mean", "forward", 0.0, _last_block(network).outputs))
    return result


def _backward(network: Network, rule: str) -> list[Pass]:
    result = [Pass("mean", "backward", 0.0, _last_block(network).outputs)]

    def add(layer: Layer, what: str, elements: int, flops: float = 0.0) -> None:
        result.append(Pass(f"{layer.name}, {what}", "backward", flops, elements))

    block: Layer | None = None
    for layer in reversed(network.layers):
        n = layer.outputs
        if layer.kind == "block":
            block = layer
            if rule == "separate":
                add(layer, "relu", 3 * n)
                # The gradients of the two ways out of the block's input.
                add(layer, "sum", 3 * layer.inputs)
            elif rule == "fused":
                # Two gradients, the mask and the last convolution's result; their sum is written.
                add(layer, "sum, relu and reductions", 5 * n)
        elif layer.kind.endswith("norm"):
            if _is_stem(layer) and network.pooled:
                add(layer, "pooling", 2 * n + n // 4)
            if rule == "separate":
                add(layer, "relu", 3 * n * (layer.kind == "norm"))
                add(layer, "norm", 5 * n)
            elif rule == "fused":
                # The block's pass has done the reductions of the norm that its branch ends in; it
                # read what that of the shortcut needs beside.
                reductions = 2 * n if layer.kind == "norm" else n * _is_shortcut(layer)
                add(layer, "norm and relu", reductions + 3 * n)
        elif layer.kind == "dense":
            add(layer, "input's gradient", layer.inputs + n, layer.flops)
            add(layer, "weight's gradient", layer.inputs + n, layer.flops)
        else:
            # Where the gradient by a result is not written, it is made of two tensors when read.
            read = 2 * n if rule == "ideal" else n
            if layer.name != "encoder/conv1":
                epilogue = _epilogue(layer, block) if rule == "ideal" else 0
                add(layer, "input's gradient", read + layer.inputs + epilogue, layer.flops)
            add(layer, "weight's gradient", read + layer.inputs, layer.flops)
    return result


def _epilogue(layer: Layer, block: Layer | None) -> int:
    """Elements read to finish an input's gradient as it is written, under the rule "ideal"."""
    if _is_shortcut(layer):
        return 0
    if block is not None and layer.name == f"{block.name}/conv1":
        # The gradient by the shortcut, the mask, and the result that its norm's sums are of.
        return 3 * layer.inputs
    return layer.inputs


def _is_shortcut(layer: Layer) -> bool:
    return "downsample" in layer.name


def _is_stem(layer: Layer) -> bool:
    return layer.name == "encoder/bn1"


def _last_block(network: Network) -> Layer:
    return [layer for layer in network.layers if layer.kind == "block"][-1]


def network_of(architecture: str, size: int, **fields: Any) -> Network:
    """Traces the pre-training network of an architecture by name.

    Args:
      architecture: a key of `resnet.BY_NAME`.
      size: side of the views in pixels.
      **fields: of the `ResNet`.
    """
    return trace(Projector(BY_NAME[architecture](**fields), ProjectionHead()), size)


def datasheet(device_kind: str) -> Machine | None:
    """Returns what a maker says of its accelerator, dense bfloat16; None of an unknown one."""
    for name, tflops, terabytes in _DATASHEETS:
        if name in device_kind:
            return Machine(tflops * 1e12, terabytes * 1e12)
    return None


def table(networks: Sequence[tuple[str, Network]], pairs: int, machine: Machine) -> Table:
    """Shows the bounds of networks under every rule."""
    result = Table(
        title=f"Bounds of a step of {pairs} pairs at {machine.flops / 1e12:.0f} TFLOP/s and "
        f"{machine.bandwidth / 1e12:.2f} TB/s, in pairs/s (views/s are twice as many)",
        title_justify="left",
    )
    for heading in ("network", "fused", "GFLOP a pair", "MB a pair", "by arithmetic", "by bytes"):
        result.add_column(heading, justify="left" if heading in ("network", "fused") else "right")
    result.add_column("pass by pass", justify="right")
    for name, network in networks:
        for rule in RULES:
            listed = passes(network, pairs, rule)
            seconds = bounds(listed, machine)
            flops, moved = sum(one.flops for one in listed), sum(one.bytes for one in listed)
            result.add_row(
                name,
                rule,
                f"{flops / pairs / 1e9:.1f}",
                f"{moved / pairs / 1e6:.1f}",
                *(f"{pairs / value:,.0f}" for value in seconds),
            )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architectures", nargs="+", default=["resnet50", "resnet152"])
    parser.add_argument("--size", type=int, default=128, help="side of the views in pixels")
    parser.add_argument("--pairs", type=int, default=2048, help="images in a batch")
    parser.add_argument("--tflops", type=float, default=989.0, help="bfloat16, dense")
    parser.add_argument("--bandwidth", type=float, default=3.35, help="TB/s")
    arguments = parser.parse_args()
    machine = Machine(arguments.tflops * 1e12, arguments.bandwidth * 1e12)
    networks = [(name, network_of(name, arguments.size)) for name in arguments.architectures]
    Console().print(table(networks, arguments.pairs, machine))


if __name__ == "__main__":
    main()
