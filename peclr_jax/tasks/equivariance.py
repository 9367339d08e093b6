"""How equivariant a fine-tuned network is to rotation and translation (Sec. 11, Figs. 9 and 10).

An image x is transformed by t, the network's 2D joints f(t x) are moved back by the inverse of t,
and compared with those of the untransformed image:

    E(t, x) = mean over the joints of | t^-1 f(t x) - f(x) |                               (Eq. 11)

in pixels of a view of 128 px, whatever the network's own; rotations and translations keep
distances, so that it does not matter on which side t stands. It is 0 at no transformation, and for
a network that follows the image exactly; it asks for consistency, not for correctness, and a
network that ignores its input errs little where it is asked to move little. The improvement of one
network over another, the baseline (the paper's is SimCLR), is a ratio of each image, then averaged:

    mean over the images of (E_baseline(t, x) - E(t, x)) / E_baseline(t, x)                (Eq. 12)

Images that the baseline errs on by no more than rounding are left out of it and counted. The paper
has the mean over the joints as the norm "as measured for 2D EPE" (captions of Figs. 9 and 10); the
official code does not hold the measure.
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
    Improvement,
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
VERSION = 2
"""Of what it holds and means; 2: the improvement is a ratio of each image, then averaged."""
_KINDS = ("rotation", "translation")
_DEFINITION = (
    "mean over images and joints of |t^-1 f(t x) - f(x)|, f being the 2D joints, in px of a view "
    "of 128 px; improvement: mean over images of (baseline - network) / baseline in per cent, "
    "left_out being the numbers of images without an error of the baseline"
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
    left_out = result["left_out"]
    if left_out is not None and left_out["moved"]:
        say(
            f"{left_out['moved']:,} of {left_out['ratios']:,} ratios of an image at a "
            "transformation are left out, because the baseline does not err there."
        )
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
    moved = {"rotation": angles != 0, "translation": np.hypot(*np.meshgrid(shifts, shifts)) != 0}
    images = len(found["network"].rotation)
    result: dict[str, Any] = {
        "version": VERSION,
        "definition": _DEFINITION,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "images": images,
        "angles_deg": angles.tolist(),
        "translations_px": shifts.tolist(),
        "pixels_of": SIDE,
        "checkpoint": _as_json(
            found["network"], spec.init.torch_checkpoint or spec.checkpoint, moved
        ),
        "baseline": None,
        "improvement_percent": None,
        "left_out": None,
    }
    gains: dict[str, Improvement] = {}
    if "baseline" in found:
        gains = {k: improvement(*(getattr(found[who], k) for who in networks)) for k in _KINDS}
        result["baseline"] = _as_json(found["baseline"], spec.baseline, moved)
        result |= _gains_as_json(gains, moved, images)
    with files.writing(workdir / FILE) as file:
        json.dump(result, file, indent=2, allow_nan=False)
    _draw(found, gains, angles, shifts, workdir)
    return result


def _check_same(opened: list[EvaluationData]) -> None:
    """Checks that both networks are shown the same images, by default those of their trainings."""
    said = [f"{data.name}, {data.split.num_examples} images" for data in opened]
    if len(set(said)) > 1:
        raise UserError(
            f"the network would be asked about {said[0]}, the baseline about {said[1]}: name the "
            "data of both by --config.data.names, or --config.data.source=rendered"
        )
    if any(data.hands != opened[0].hands for data in opened):
        raise UserError(
            f"{opened[0].name}: network and baseline were trained on hands that were rendered "
            "otherwise, and would be asked about different ones: name the data of both by "
            "--config.data.names, or --config.data.rendered.background if that is all"
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


def _as_json(measured: Equivariance, path: str, moved: dict[str, Any]) -> dict[str, Any]:
    means = {kind: getattr(measured, kind).mean(0, dtype=np.float64) for kind in _KINDS}
    return {
        "path": path,
        **{kind: mean.tolist() for kind, mean in means.items()},
        **{
            f"mean_{kind}": _without_nan(mean_moved(mean, moved[kind]))
            for kind, mean in means.items()
        },
    }


def _gains_as_json(
    gains: dict[str, Improvement], moved: dict[str, Any], images: int
) -> dict[str, Any]:
    percent = {kind: gain.percent for kind, gain in gains.items()}
    left_out = {kind: gain.left_out for kind, gain in gains.items()}
    means = {f"mean_{kind}": mean_moved(percent[kind], moved[kind]) for kind in percent}
    return {
        "improvement_percent": {
            name: _without_nan(value)
            for name, value in ({k: p.tolist() for k, p in percent.items()} | means).items()
        },
        "left_out": {kind: counts.tolist() for kind, counts in left_out.items()}
        | {
            "moved": sum(int(counts[moved[kind]].sum()) for kind, counts in left_out.items()),
            "ratios": images * sum(int(moves.sum()) for moves in moved.values()),
        },
    }


def _without_nan(value: Any) -> Any:
    """Returns the value with None for NaN, which JSON does not know."""
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if math.isnan(value) else value


def _draw(
    found: dict[str, Equivariance],
    gains: dict[str, Improvement],
    angles: Float[np.ndarray, " angles"],
    shifts: Float[np.ndarray, " shifts"],
    workdir: Path,
) -> None:
    label = f"equivariance error (px of {SIDE})"
    curves = {name: measured.rotation.mean(0) for name, measured in found.items()}
    shifted = found["network"].translation.mean(0)
    drawn = {
        "rotation": charts.equivariance_curve(angles, curves, label=label),
        "translation": charts.equivariance_map(shifts, shifted, label),
    }
    if gains:
        label = "improvement over the baseline (%)"
        turned, shifted = (gains[kind].percent for kind in _KINDS)
        known = ~np.isnan(turned)
        if known.any():  # nothing is improved where nothing was moved
            curves = {"network": turned[known]}
            curve = charts.equivariance_curve(angles[known], curves, label=label)
            drawn["rotation_improvement"] = curve
        if not np.isnan(shifted).all():
            drawn["translation_improvement"] = charts.equivariance_map(shifts, shifted, label)
    for kind in _KINDS:  # of an earlier comparison
        (workdir / f"{kind}_improvement.png").unlink(missing_ok=True)
    for name, figure in drawn.items():
        figures.save(figure, workdir / f"{name}.png")
