"""Weights from PyTorch's layout to ours."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

_MODULE = re.compile(r"layer(\d)\.(\d+)\.(conv\d|bn\d|downsample\.[01])")
_DOWNSAMPLE = {"downsample.0": "downsample_conv", "downsample.1": "downsample_bn"}
_LEAVES = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


def _path(name: str) -> tuple[str, ...] | None:
    """Where a tensor of a torchvision ResNet belongs; None for what an encoder does not hold."""
    module, _, leaf = name.rpartition(".")
    if module == "fc" or leaf == "num_batches_tracked":
        return None
    if match := _MODULE.fullmatch(module):
        stage, index, part = match.groups()
        scope: tuple[str, ...] = (f"layer{stage}_{index}", _DOWNSAMPLE.get(part, part))
    elif module in ("conv1", "bn1"):
        scope = (module,)
    else:
        raise ValueError(
            f"{name!r} is not a tensor of a torchvision ResNet; expected names such as "
            "'conv1.weight' and 'layer1.0.bn1.running_mean'"
        )
    if "conv" in scope[-1]:
        return ("params", *scope, "kernel")
    collection, leaf = _LEAVES[leaf]
    return (collection, *scope, leaf)


def from_state_dict(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Maps a torchvision ResNet's state dict to the variables of our encoder.

    Args:
      state_dict: tensor name to array, convolutions (out, in, height, width). The classifier
        (`fc`) and `num_batches_tracked` are left out.

    Returns:
      {"params", "batch_stats"} of NumPy arrays, convolutions (height, width, in, out).

    Raises:
      ValueError: a name that no torchvision ResNet has.

    Example:
      >>> variables = from_state_dict(arrays)                     # doctest: +SKIP
      >>> features = ResNet50().apply(variables, images)          # doctest: +SKIP
    """
    flat = {}
    for name, tensor in state_dict.items():
        path = _path(name)
        if path is None:
            continue
        array = np.asarray(tensor)
        flat[path] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    return traverse_util.unflatten_dict(flat)
