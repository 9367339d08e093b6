"""BatchNorm folded into the convolutions before it, for inference."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from peclr_jax.models.normalization import BatchNorm

Variables = dict[str, Any]


def fold(network: nn.Module, variables: Variables) -> tuple[nn.Module, Variables]:
    """Folds the running statistics of a network's encoder into its convolutions.

    The outputs are the same up to rounding, at fewer passes over the activations.

    Args:
      network: One with an `encoder`, a `ResNet`.
      variables: Its parameters and running statistics.

    Returns:
      The network without BatchNorm in its encoder, and its variables.
    """
    params, statistics = variables["params"], dict(variables["batch_stats"])
    encoder: Any = network.encoder
    folded = _fold_level(params["encoder"], statistics.pop("encoder"))
    return (
        network.clone(encoder=encoder.clone(folded=True)),
        variables | {"params": params | {"encoder": folded}, "batch_stats": statistics},
    )


def _fold_level(params: Variables, statistics: Variables) -> Variables:
    """Folds the convolutions of one module, "conv1" by "bn1", and of those within."""
    folded = {}
    for name, layer in params.items():
        if "kernel" in layer:
            norm = name.replace("conv", "bn")
            mean, variance = (statistics[norm][key] for key in ("mean", "var"))
            factor = params[norm]["scale"] / jnp.sqrt(variance + BatchNorm.epsilon)
            bias = params[norm]["bias"] - mean * factor
            folded[name] = {"kernel": layer["kernel"] * factor, "bias": bias}
        elif "scale" not in layer:
            folded[name] = _fold_level(layer, statistics[name])
    return folded
