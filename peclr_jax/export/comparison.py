"""Comparison of exported networks with our own, on views of random pictures."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Num

from peclr_jax.errors import UserError
from peclr_jax.export.functions import ViewFunction
from peclr_jax.geometry import camera

# The 2.5D pose's quadratic for the root's depth multiplies rounding errors.
TOLERANCE = {"features": 3e-5, "projection": 3e-5, "keypoints_25d": 3e-5, "root_depth": 1e-3}
"""Largest difference from our own network that an output may have, over its largest value."""

Outputs = dict[str, Num[np.ndarray, "..."]]


def example_views(side: int, count: int) -> dict[str, np.ndarray]:
    """Returns coarse random pictures, the same at each call, and intrinsics that differ."""
    random = np.random.default_rng(0)
    # Unlike noise pixel by pixel, they do not all look alike to a network.
    patches = random.integers(0, 256, (count, 8, 8, 3), np.uint8)
    nearest = np.arange(side) * 8 // side
    intrinsics = np.tile(np.asarray(camera.assumed_intrinsics(side), np.float32), (count, 1, 1))
    intrinsics[:, :2] *= random.uniform(0.8, 1.25, (count, 2, 1)).astype(np.float32)
    return {"images": patches[:, nearest][:, :, nearest], "intrinsics": intrinsics}


def compare(
    ours: ViewFunction, others: Mapping[str, ViewFunction], views: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Compares functions of views with our own.

    Args:
      ours: Our network.
      others: To be compared, by the name of the file that they are from.
      views: By the names of inputs.

    Returns:
      "max_abs_difference" by file and output, "tolerance" and "peak" by output.

    Raises:
      RuntimeError: An output that is missing, not finite, or further off than `TOLERANCE`.
    """
    expected = _answer(ours, views)
    for name, output in expected.items():
        if not np.isfinite(output).all():
            raise UserError(f"the network's {name} are not finite: name another checkpoint")
    if not any(np.ptp(output, axis=0).any() for output in expected.values()):
        raise UserError(
            f"the network's {' and '.join(expected)} are the same for all pictures, so that "
            "nothing can be compared: name the checkpoint of a network that has learnt something"
        )
    peaks = {name: float(np.abs(output).max()) for name, output in expected.items()}
    tolerances = {name: TOLERANCE[name] * peak for name, peak in peaks.items()}
    differences = {
        file: _differences(file, _answer(function, views), expected, tolerances)
        for file, function in others.items()
    }
    return {"max_abs_difference": differences, "tolerance": tolerances, "peak": peaks}


def _differences(
    file: str, answer: Outputs, expected: Outputs, tolerances: Mapping[str, float]
) -> dict[str, float]:
    if _shapes(answer) != _shapes(expected):
        raise RuntimeError(
            f"{file} gives {_shapes(answer)} where our network gives {_shapes(expected)}: a fault "
            "of the export; nothing was kept"
        )
    differences = {name: float(np.abs(answer[name] - expected[name]).max()) for name in expected}
    for name, difference in differences.items():
        if not difference <= tolerances[name]:  # also of NaN
            raise RuntimeError(
                f"the {name} from {file} differ by {difference:.2g} from those of our network, "
                f"more than {tolerances[name]:.2g}: a fault of the export; nothing was kept"
            )
    return differences


def _shapes(outputs: Outputs) -> dict[str, tuple[int, ...]]:
    return {name: outputs[name].shape for name in sorted(outputs)}


def _answer(function: ViewFunction, views: Mapping[str, np.ndarray]) -> Outputs:
    inputs = [views[name] for name in function.inputs]
    with jax.default_matmul_precision("float32"):
        outputs = function.call(*inputs)
    return {name: np.asarray(output) for name, output in outputs.items()}
