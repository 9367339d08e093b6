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

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from peclr_jax import files, pages
from peclr_jax.errors import UserError
from peclr_jax.geometry import affine
from peclr_jax.geometry.affine import Similarity
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks import estimator as estimators
from peclr_jax.networks import inference
from peclr_jax.networks.estimator import Estimator, canonical_matrix
from peclr_jax.runs import recipe

_DEFINITION = (
    "mean over images and joints of |t^-1 f(t x) - f(x)|, f being the 2D joints, in px of a view "
    "of 128 px; improvement: (baseline - network) / baseline in per cent"
)
SIDE = 128
"""Side in pixels of the view that errors and translations are told in."""
# In px of SIDE: what no transformation at all may come to in float32.
_ROUNDING = 1e-2


@dataclasses.dataclass(frozen=True)
class Equivariance:
    """The errors of one network.

    Attributes:
      images: how many were looked at.
      rotation: one for each angle, px of 128.
      translation: a row for each vertical, a column for each horizontal translation, px of 128.
    """

    images: int
    rotation: Float[np.ndarray, " angles"]
    translation: Float[np.ndarray, "shifts shifts"]


def run(config: ConfigDict, workdir: Path) -> None:
    """Measures the equivariance, and prints what it comes to.

    Writes to `workdir`: `equivariance.json`, `rotation.png`, `translation.png`, and, with a
    baseline, `rotation_improvement.png` and `translation_improvement.png`.

    Raises:
      UserError: an impossible config, or a checkpoint of another task.
      MissingFileError: data or a checkpoint that are not there.
    """
    console = Console()
    result = compare(config, workdir)
    table = Table(title=f"{result['data']}: {result['images']} images", title_justify="left")
    for column in ("", "rotation", "translation"):
        table.add_column(column, justify="right" if column else "left")
    for name in ("checkpoint", "baseline"):
        if result[name] is not None:
            means = (result[name]["mean_rotation"], result[name]["mean_translation"])
            label = f"error of the {'network' if name == 'checkpoint' else name}, px of {SIDE}"
            table.add_row(label, *(f"{mean:.2f}" for mean in means))
    if result["improvement_percent"] is not None:
        gains = (result["improvement_percent"][f"mean_{k}"] for k in ("rotation", "translation"))
        table.add_row("improvement", *("" if gain is None else f"{gain:.1f} %" for gain in gains))
    console.print(table)
    console.print(
        f"Look at {workdir / 'rotation.png'} and {workdir / 'translation.png'}; every number is in "
        f"{workdir / 'equivariance.json'}.",
        highlight=False,
        soft_wrap=True,
    )


def compare(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Measures one network, or two, and writes what `run` promises, without the table.

    Args:
      config: as in configs/equivariance.py.
      workdir: where to write.

    Returns:
      What `equivariance.json` holds.
    """
    check(config)
    angles = _steps(config.rotation_deg, config.rotation_step_deg)
    shifts = _steps(config.translation_px, config.translation_step_px)
    paths = {"network": config.init.torch_checkpoint or config.checkpoint}
    networks = {"network": estimators.open_estimator(config)}
    if config.baseline:
        paths["baseline"] = config.baseline
        networks["baseline"] = estimators.load(config.baseline)
    found: dict[str, Equivariance] = {}
    for name, network in networks.items():
        # Crops are cut as each network was trained.
        data, split_name, split = inference.open_data(
            config.data, config.split, network, "box", config.batch_size
        )
        count = min(config.images or split.num_examples, split.num_examples)
        steps = -(-count // config.batch_size)
        batches = _first(split.batches(), count)
        shown = report(batches, f"Transforming {count} images, {name}", steps)
        found[name] = measure(network, shown, angles, shifts, config.batch_size)
    result: dict[str, Any] = {
        "definition": _DEFINITION,
        "data": inference.describe_data(data, split_name),
        "images": found["network"].images,
        "angles_deg": angles.tolist(),
        "translations_px": shifts.tolist(),
        "pixels_of": SIDE,
        "checkpoint": _as_json(found["network"], paths["network"]),
        "baseline": None,
        "improvement_percent": None,
    }
    if "baseline" in found:
        result["baseline"] = _as_json(found["baseline"], paths["baseline"])
        result["improvement_percent"] = _improvement(found["network"], found["baseline"])
    with files.writing(workdir / "equivariance.json") as file:
        json.dump(result, file, indent=2, allow_nan=False)
    _draw(found, angles, shifts, workdir)
    return result


def check(config: ConfigDict) -> None:
    """Checks the fields before anything is loaded.

    Raises:
      UserError: one sentence that names the field and the remedy.
    """
    recipe.check_positive(config, "batch_size", "rotation_step_deg", "translation_step_px")
    for field in ("images", "rotation_deg", "translation_px"):
        if config[field] < 0:
            raise UserError(f"--config.{field} must be zero or more, got {config[field]}")
    for field in ("rotation", "translation"):
        unit = "deg" if field == "rotation" else "px"
        largest, step = config[f"{field}_{unit}"], config[f"{field}_step_{unit}"]
        if largest % step:
            raise UserError(
                f"--config.{field}_{unit}={largest} is no multiple of --config.{field}_step_{unit}="
                f"{step}, so that no step would leave the image as it is; choose one that is"
            )


def measure(
    estimator: Estimator,
    batches: Iterator[Batch],
    angles_deg: Float[np.ndarray, " angles"],
    translations_px: Float[np.ndarray, " shifts"],
    rows: int,
) -> Equivariance:
    """Measures E(t) of rotations about the view's centre and, apart from them, of translations.

    Args:
      estimator: the network.
      batches: of source crops, with labels, of which only the intrinsics are used.
      angles_deg: positive turns the image clockwise.
      translations_px: along either axis, of a view of `SIDE` px.
      rows: to which batches are filled up, so that one program serves all.
    """
    transforms = _transforms(angles_deg, translations_px)
    totals, images = np.zeros(len(transforms.rotation)), 0
    for batch in batches:
        count, side = batch["image"].shape[:2]
        filled = inference.fill(batch["image"], rows)
        reference = inference.infer(estimator, batch, "box", rows)
        intrinsics = inference.fill(np.asarray(reference.intrinsics), rows)
        unmoved = np.asarray(reference.estimate.pose)[..., :2]
        matrices = affine.compose_matrices(
            canonical_matrix(estimator, side, 1),
            affine.to_matrix(transforms, estimator.view_size),
        )
        # The estimator undoes the matrix it is given, so that all are compared in the source.
        to_view = SIDE * estimator.source_margin / side
        for number, matrix in enumerate(matrices):
            estimate = estimator(filled, jnp.tile(matrix, (rows, 1, 1)), intrinsics)
            distance = np.linalg.norm(np.asarray(estimate.pose)[:count, :, :2] - unmoved, axis=-1)
            totals[number] += to_view * distance.mean(-1, dtype=np.float64).sum()
        images += count
    means, shifts = totals / images, len(translations_px)
    rotation, translation = np.split(means, [len(angles_deg)])
    return Equivariance(images, rotation, translation.reshape(shifts, shifts))


def _transforms(
    angles_deg: Float[np.ndarray, " angles"], translations_px: Float[np.ndarray, " shifts"]
) -> Similarity:
    """All rotations, then all translations, row by row."""
    y, x = np.meshgrid(translations_px, translations_px, indexing="ij")
    shifts = np.stack([x.ravel(), y.ravel()], axis=-1) / SIDE
    total = len(angles_deg) + len(shifts)
    rotation, translation = np.zeros(total), np.zeros((total, 2))
    rotation[: len(angles_deg)] = np.deg2rad(angles_deg)
    translation[len(angles_deg) :] = shifts
    return Similarity(
        jnp.asarray(rotation, jnp.float32),
        jnp.ones(total),
        jnp.asarray(translation, jnp.float32),
    )


def _steps(largest: float, step: float) -> Float[np.ndarray, " steps"]:
    """From minus to plus `largest`, 0 among them."""
    count = round(largest / step)
    return step * np.arange(-count, count + 1, dtype=np.float64)


def _first(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """Cuts the batches off after `count` examples."""
    for batch in batches:
        yield {name: array[:count] for name, array in batch.items()}
        count -= len(batch["image"])
        if count <= 0:
            return


def _as_json(measured: Equivariance, path: str) -> dict[str, Any]:
    return {
        "path": str(path),
        "rotation": measured.rotation.tolist(),
        "translation": measured.translation.tolist(),
        "mean_rotation": _mean_moved(measured.rotation),
        "mean_translation": _mean_moved(measured.translation),
    }


def _mean_moved(errors: Float[np.ndarray, "..."]) -> float:
    """The mean over all transformations but none, whose error is 0 by definition."""
    return float(errors.sum() / max(errors.size - 1, 1))


def improvement(
    errors: Float[np.ndarray, "*shape"], baseline: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Returns by how much per cent errors are smaller; NaN where the baseline has none."""
    measurable = baseline > _ROUNDING
    return np.where(
        measurable, 100 * (baseline - errors) / np.where(measurable, baseline, 1.0), np.nan
    )


def _improvement(network: Equivariance, baseline: Equivariance) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in ("rotation", "translation"):
        errors, others = getattr(network, name), getattr(baseline, name)
        of_means = improvement(np.array([_mean_moved(errors)]), np.array([_mean_moved(others)]))
        result[name] = _without_nan(improvement(errors, others).tolist())
        result[f"mean_{name}"] = _without_nan(of_means.item())
    return result


def _without_nan(value: Any) -> Any:
    """Puts None, which JSON knows, for NaN, which it does not."""
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
    unit = f"px of {SIDE}"
    curves = {name: measured.rotation for name, measured in found.items()}
    label = f"equivariance error ({unit})"
    pages.save(pages.equivariance_curve(angles, curves, label=label), workdir / "rotation.png")
    pages.save(
        pages.equivariance_map(shifts, network.translation, label), workdir / "translation.png"
    )
    if "baseline" not in found:
        return
    baseline = found["baseline"]
    label = "improvement over the baseline (%)"
    gain = improvement(network.rotation, baseline.rotation)
    moved = ~np.isnan(gain)
    pages.save(
        pages.equivariance_curve(angles[moved], {"network": gain[moved]}, label=label),
        workdir / "rotation_improvement.png",
    )
    gain = improvement(network.translation, baseline.translation)
    pages.save(pages.equivariance_map(shifts, gain, label), workdir / "translation_improvement.png")
