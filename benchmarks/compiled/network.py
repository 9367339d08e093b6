"""Shapes and operations of a network, read from an abstract evaluation: nothing is run."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.normalization import BatchNorm
from peclr_jax.models.projector import Projector
from peclr_jax.models.resnet import BY_NAME, BasicBlock, Bottleneck


class Layer(NamedTuple):
    """A layer with parameters, or a residual block, for one view.

    Attributes:
      name: Path of the module.
      kind: "convolution", "dense", "block", "norm" (which a ReLU follows) or "branch norm" (which
        the block's sum follows).
      inputs: Elements read.
      outputs: Elements written.
      flops: Operations of the forward pass, two for every multiplication and addition.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    flops: int


class Network(NamedTuple):
    """Shapes of a network.

    Attributes:
      layers: In the order of the forward pass; a block follows its layers.
      parameters: Their number.
      size: Side of the views in pixels.
      pooled: Whether the stem ends in max-pooling.
      features: Length of a projection.
    """

    layers: tuple[Layer, ...]
    parameters: int
    size: int
    pooled: bool
    features: int


def trace(model: Projector, size: int) -> Network:
    """Reads the shapes of a network from an abstract evaluation, at views of `size` pixels."""
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


def network_of(architecture: str, size: int, **fields: Any) -> Network:
    """Traces the pre-training network of an architecture by name.

    Args:
      architecture: A key of `resnet.BY_NAME`.
      size: Side of the views in pixels.
      **fields: Fields of the `ResNet`.
    """
    return trace(Projector(BY_NAME[architecture](**fields), ProjectionHead()), size)
