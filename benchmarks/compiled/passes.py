"""Passes over the activations in a step of pre-training, with their operations and bytes.

Pure functions of the network's shapes. Every pass counts its operations and the bytes that it must
move, under one of three assumptions about what is fused:

* "separate": convolution, BatchNorm, ReLU, addition and pooling each read what they need and write
  what they make, forward and backward.
* "fused": BatchNorm, ReLU and addition are fused with each other, not into convolutions, which are
  a library's: about what XLA's programs do.
* "ideal": they are fused into the convolutions beside them as well. Statistics are taken as a
  result is written, normalisation and ReLU are redone as it is read, and only the convolutions'
  results and the blocks' outputs ever reach memory.
"""

from typing import NamedTuple

from benchmarks.compiled.network import Layer, Network

RULES = ("separate", "fused", "ideal")

# Bytes a parameter: read by the forward and the backward pass, its gradient written, both read for
# LARS, gradient, parameter and two moments read by Adam, which writes the last three; float32.
_PARAMETER_BYTES = 4 * (2 + 1 + 2 + 4 + 3)


class Pass(NamedTuple):
    """One reading and writing of activations.

    Attributes:
      name: Name of the layer, and what is done to it.
      part: "augmentation", "forward", "loss", "backward" or "optimizer".
      flops: Floating point operations of the whole batch.
      bytes: Bytes read and written.
    """

    name: str
    part: str
    flops: float
    bytes: float


def model_flops(network: Network, pairs: int) -> float:
    """Returns the operations that a step asks for: forward, and twice that backward.

    The first convolution's input has no gradient. What a step recomputes to save memory is not
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
      network: As traced.
      pairs: Images in a batch; each gives two views.
      rule: One of `RULES`.
      itemsize: Bytes of an activation.
      source_size: Side of the uint8 sources in pixels; by default 1.5 views.

    Raises:
      ValueError: If the rule is unknown.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; choose from {', '.join(RULES)}")
    views = 2 * pairs
    per_view = [
        one._replace(flops=one.flops * views, bytes=one.bytes * itemsize * views)
        for one in (*_forward(network, rule), *_backward(network, rule))
    ]
    return [*_augmentation(network, views, source_size), *per_view, *_rest(network, views)]


def _augmentation(network: Network, views: int, source_size: int) -> list[Pass]:
    """Passes from uint8 sources to float32 views, which the network reads and rounds."""
    source = (source_size or 3 * network.size // 2) ** 2 * 3
    view = network.size**2 * 3
    return [
        # A view reads at most its source. Some 150 operations a value: gather, weights, HSV.
        Pass("views", "augmentation", 150.0 * view * views, (source + 4 * view) * views),
        Pass("views, rounded", "augmentation", 0.0, (4 + 2) * view * views),
    ]


def _rest(network: Network, views: int) -> list[Pass]:
    """Passes of the loss, its similarities in blocks that never reach memory, and of the update."""
    similarities = 2.0 * views**2 * network.features
    return [
        Pass("similarities", "loss", 3 * similarities, 4.0 * 6 * views * network.features),
        Pass(
            "LARS and Adam",
            "optimizer",
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
                # also read what that of the shortcut needs.
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
    """Returns the elements read to finish an input's gradient under the rule "ideal"."""
    if _is_shortcut(layer):
        return 0
    if block is not None and layer.name == f"{block.name}/conv1":
        # The gradient by the shortcut, the mask, and the input of the norm's sums.
        return 3 * layer.inputs
    return layer.inputs


def _is_shortcut(layer: Layer) -> bool:
    return "downsample" in layer.name


def _is_stem(layer: Layer) -> bool:
    return layer.name == "encoder/bn1"


def _last_block(network: Network) -> Layer:
    return [layer for layer in network.layers if layer.kind == "block"][-1]
