"""How equivariant a fine-tuned network is to rotation and translation (Sec. 11, Figs. 9 and 10).

An image x is transformed by t, the network's 2D joints f(t x) are moved back by the inverse of t,
and compared with those of the untransformed image:

    E(t) = mean over images and joints of | t^-1 f(t x) - f(x) |

in pixels of a view of 128 px, whatever the network's own. It is 0 at no transformation, and for a
network that follows the image exactly; it asks for consistency, not for correctness, and a network
that ignores its input errs little where it is asked to move little. The improvement of one network
over another, the baseline, is (E_baseline - E) / E_baseline. This is our reading of Eqs. 11 and 12
in words; the official code does not hold the measure.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from peclr_jax import files, specs
from peclr_jax.console import say
from peclr_jax.errors import UserError
from peclr_jax.hands.skeleton import NUM_JOINTS
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks.equivariance import (
    SIDE,
    Equivariance,
    improvement,
    mean_moved,
    measure_equivariance,
)
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.evaluation_data import EvaluationData, open_data
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EquivarianceSpec
from peclr_jax.pages import charts, figures
from peclr_jax.terminal import Console, table

FILE = "equivariance.json"
_KINDS = ("rotation", "translation")
_DEFINITION = (
    "mean over images and joints of |t^-1 f(t x) - f(x)|, f being the 2D joints, in px of a view "
    "of 128 px; improvement: (baseline - network) / baseline in per cent"
)


def run(config: ConfigDict, workdir: Path) -> None:
    """Measures the equivariance, and prints what it comes to."""
    spec = specs.from_config(EquivarianceSpec, config)
    tell(compare(spec, workdir), workdir)


def tell(result: dict[str, Any], workdir: Path) -> None:
    """Prints what `compare` returned, and where it lies."""

    def row(label: str, found: dict[str, Any], digits: int, unit: str = "") -> tuple[str, ...]:
        means = (found[f"mean_{kind}"] for kind in _KINDS)
        return label, *("" if mean is None else f"{mean:.{digits}f}{unit}" for mean in means)

    rows = [row(f"error of the network, px of {SIDE}", result["checkpoint"], 2)]
    if result["baseline"] is not None:
        rows.append(row(f"error of the baseline, px of {SIDE}", result["baseline"], 2))
        rows.append(row("improvement", result["improvement_percent"], 1, " %"))
    title = f"{result['data']}: all {NUM_JOINTS} joints of {result['images']} images"
    Console().print(table(title, ("", *_KINDS), rows))
    say(
        f"Look at {workdir / 'rotation.png'} and {workdir / 'translation.png'}; every number is in "
        f"{workdir / FILE}."
    )


def compare(spec: EquivarianceSpec, workdir: Path) -> dict[str, Any]:
    """Measures one network, or two, and returns what `equivariance.json` holds.

    Writes to `workdir`: `equivariance.json`, `rotation.png`, `translation.png`, and, with a
    baseline, `rotation_improvement.png` and `translation_improvement.png`.
    """
    angles = _steps(spec.rotation_deg, spec.rotation_step_deg)
    shifts = _steps(spec.translation_px, spec.translation_step_px)
    networks = {"network": open_network(spec.checkpoint, spec.init.torch_checkpoint)}
    if spec.baseline:
        networks["baseline"] = open_network(spec.baseline)
    found: dict[str, Equivariance] = {}
    opened: list[EvaluationData] = []
    for name, network in networks.items():
        # Crops are cut as each network was trained.
        data = open_data(spec.data, spec.split, network.description, "box", spec.batch_size)
        opened.append(data)
        _check_same(opened)
        count = min(spec.images or data.split.num_examples, data.split.num_examples)
        batches = report(
            _first(data.split.batches(), count),
            f"Transforming {count} images, {name}",
            -(-count // spec.batch_size),
        )
        found[name] = measure_equivariance(
            Estimator.of(network), batches, angles, shifts, spec.batch_size
        )
    result: dict[str, Any] = {
        "definition": _DEFINITION,
        "data": data.name,
        "images": found["network"].images,
        "angles_deg": angles.tolist(),
        "translations_px": shifts.tolist(),
        "pixels_of": SIDE,
        "checkpoint": _as_json(found["network"], spec.init.torch_checkpoint or spec.checkpoint),
        "baseline": None,
        "improvement_percent": None,
    }
    if "baseline" in found:
        result["baseline"] = _as_json(found["baseline"], spec.baseline)
        result["improvement_percent"] = _improvement(found["network"], found["baseline"])
    with files.writing(workdir / FILE) as file:
        json.dump(result, file, indent=2, allow_nan=False)
    _draw(found, angles, shifts, workdir)
    return result


def _check_same(opened: list[EvaluationData]) -> None:
    """Checks that both networks are shown the same images, by default those of their trainings."""
    said = [f"{data.name}, {data.split.num_examples} images" for data in opened]
    if len(set(said)) > 1:
        raise UserError(
            f"the network would be asked about {said[0]}, the baseline about {said[1]}: name the "
            "data of both by --config.data.names, or --config.data.source=rendered"
        )


def _steps(largest: float, step: float) -> Float[np.ndarray, " steps"]:
    """Returns the steps from minus to plus `largest`, 0 among them."""
    count = round(largest / step)
    return step * np.arange(-count, count + 1, dtype=np.float64)


def _first(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """Yields the batches, cut off after `count` examples."""
    for batch in batches:
        yield {name: array[:count] for name, array in batch.items()}
        count -= len(batch["image"])
        if count <= 0:
            return


def _as_json(measured: Equivariance, path: str) -> dict[str, Any]:
    return {
        "path": path,
        "rotation": measured.rotation.tolist(),
        "translation": measured.translation.tolist(),
        "mean_rotation": mean_moved(measured.rotation),
        "mean_translation": mean_moved(measured.translation),
    }


def _improvement(network: Equivariance, baseline: Equivariance) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for kind in _KINDS:
        pair = getattr(network, kind), getattr(baseline, kind)
        result[kind] = _without_nan(improvement(*pair).tolist())
        of_means = improvement(*(np.array(mean_moved(errors)) for errors in pair))
        result[f"mean_{kind}"] = _without_nan(of_means.item())
    return result


def _without_nan(value: Any) -> Any:
    """Returns the value with None for NaN, which JSON does not know."""
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if math.isnan(value) else value


def _draw(
    found: dict[str, Equivariance],
    angles: Float[np.ndarray, " angles"],
    shifts: Float[np.ndarray, " shifts"],
    workdir: Path,
) -> None:
    network = found["network"]
    label = f"equivariance error (px of {SIDE})"
    curves = {name: measured.rotation for name, measured in found.items()}
    drawn = {
        "rotation": charts.equivariance_curve(angles, curves, label=label),
        "translation": charts.equivariance_map(shifts, network.translation, label),
    }
    if baseline := found.get("baseline"):
        label = "improvement over the baseline (%)"
        turned, shifted = (improvement(getattr(network, k), getattr(baseline, k)) for k in _KINDS)
        moved = ~np.isnan(turned)
        curves = {"network": turned[moved]}
        drawn |= {
            "rotation_improvement": charts.equivariance_curve(angles[moved], curves, label=label),
            "translation_improvement": charts.equivariance_map(shifts, shifted, label),
        }
    for name, figure in drawn.items():
        figures.save(figure, workdir / f"{name}.png")
