"""A fine-tuned network for others: calibrated, rounded if that does no harm, in one file."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from peclr_jax import files, specs
from peclr_jax.console import say
from peclr_jax.errors import UserError
from peclr_jax.export.own_file import write_network
from peclr_jax.geometry import affine
from peclr_jax.hands import metrics
from peclr_jax.hands.averages import COMPARE, average_of
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.models.heads import Localisation
from peclr_jax.networks.calibration import fit_calibration, reliability
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.evaluation_data import EvaluationData, open_data
from peclr_jax.networks.looking import look_at_batch
from peclr_jax.networks.opening import Network, open_network
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.pages import charts, figures
from peclr_jax.places import Place
from peclr_jax.specs import Between, Spec
from peclr_jax.versions import version_of
from peclr_jax.weights import RELEASED, SUFFIX
from peclr_jax.weights import file as weights_file

FILE = RELEASED + SUFFIX
NUMBERS = "release.json"
CHART = "reliability.png"
MOST_CHANGE = 0.01
"""By how much float16 may change the mean 2D error, as a fraction of it."""
_PACKAGES = ("peclr_jax", "jax", "jaxlib", "flax", "numpy", "safetensors")
# Sample ids of different data sets are kept apart by multiples of this.
_DATA_SET = 2**40


@dataclasses.dataclass(frozen=True)
class ReleaseSpec(Spec):
    """A fine-tuned network, and held-out hands to calibrate it on.

    Attributes:
      checkpoint: A fine-tuning run's folder, that of one of its steps, or a file of an earlier
        release, which is calibrated anew.
      split: One for all data sets, or one each, separated by commas; "" for "held_out" of rendered
        hands, "validation" of image_folder, "test" of synthetic_hands, youtube_3d_hands and
        dexter_object, else "evaluation".
      batch_size: Images at a time; nothing but speed and memory depends on it.
    """

    task: Literal["release"] = "release"
    checkpoint: Place = "runs/finetune"
    data: EvaluationDataSpec = EvaluationDataSpec()
    split: str = ""
    batch_size: Annotated[int, Between(1, 65536)] = 64


class _Measured(NamedTuple):
    """What a network makes of the labelled hands of a split, each shown by its box.

    Attributes:
      errors: 2D, in halves of the view's side.
      valid: Which joints have labels.
      to_image: Pixels of the original image over pixels of the view.
      samples: Which hands are versions of one sample.
      localisation: None of heads without heatmaps.
    """

    errors: Float[np.ndarray, "hands 21"]
    valid: Bool[np.ndarray, "hands 21"]
    to_image: Float[np.ndarray, " hands"]
    samples: Int[np.ndarray, " hands"]
    localisation: Localisation | None


def run(config: ConfigDict, workdir: Path) -> None:
    """Makes a release, and says what came of it."""
    result = release(specs.from_config(ReleaseSpec, config), workdir)
    say(
        f"{workdir / FILE}: {result['bytes'] / 1e6:.1f} MB, {result['precision']}; mean 2D error "
        f"{result['error_view_px'][result['precision']]:.3f} px of a view of "
        f"{result['view_size']} px over {result['averaged_over']} ({result['data']}).",
        *result["notes"],
        f"Name it by --config.checkpoint={workdir / FILE}; every number is in {workdir / NUMBERS}.",
    )


def release(spec: ReleaseSpec, workdir: Path) -> dict[str, Any]:
    """Writes `released.safetensors`, `release.json` and `reliability.png` to `workdir`.

    Returns:
      What `release.json` holds: the calibration, errors in pixels of the view and of the image,
      before rounding and after, and what each bin of the reliability plot is.

    Raises:
      RuntimeError: The file gives other errors than the network, though nothing was rounded.
    """
    network = open_network(spec.checkpoint, in_float32=True)
    estimator = Estimator.of(network)
    data = open_data(spec.data, spec.split, network.description, "box", spec.batch_size)
    if data.trained_on:
        raise UserError(
            f"{data.trained_on}, on which errors to expect have to be calibrated: name another "
            "--config.split, or other data by --config.data.names"
        )
    measured = _measure(estimator, data, spec.batch_size, "the network")
    found: dict[str, Any] = {"calibration": None, "reliability": None}
    notes = ["Its head has no heatmaps, so that it tells no errors to expect."]
    if measured.localisation is not None:
        network, found, notes = _calibrate(network, measured, measured.localisation)
    with files.scratch(workdir) as folder:
        file = folder / FILE
        errors, precision, more = _write(spec, network, data, measured, file)
        size, over = network.view_size, average_of(measured.valid)
        if not over.is_complete:
            notes.append(COMPARE)
        result = {
            "checkpoint": network.source,
            "data": data.name,
            "hands": len(measured.errors),
            "joints": over.joints,
            "averaged_over": str(over),
            "view_size": size,
            "precision": precision,
            "bytes": file.stat().st_size,
            "sha256": files.digest(file),
            "error_view_px": {name: e * size / 2 for name, e in errors.items()},
            "error_image_px": _mean(measured, measured.to_image * size / 2),
            **found,
            "notes": notes + more,
            "versions": {name: v for name in _PACKAGES if (v := version_of(name))},
        }
        with files.writing(workdir / NUMBERS) as out:
            json.dump(result, out, indent=2, allow_nan=False)
        files.move(file, workdir / FILE)
        (workdir / CHART).unlink(missing_ok=True)
        if found["reliability"] is not None:
            figures.save(_chart(found["reliability"]["bins"]), workdir / CHART)
    return result


def _measure(estimator: Estimator, data: EvaluationData, rows: int, what: str) -> _Measured:
    """Goes through the split; hands without a label in the image are passed over."""
    parts: list[_Measured] = []
    total, seen = data.split.num_examples, 0
    first_of_data_set = np.cumsum(data.split.store.sizes)
    title = f"Measuring {what} on {total} images"
    for batch in report(data.split.batches(), title, -(-total // rows)):
        places = np.arange(seen, seen + len(batch["image"]))
        data_set = np.searchsorted(first_of_data_set, places, side="right")
        seen += len(places)
        labelled = batch["keypoints_2d_valid"].any(1)
        if labelled.any():
            batch = {field: array[labelled] for field, array in batch.items()}
            parts.append(_measure_batch(estimator, batch, data_set[labelled], rows))
    if not parts:
        raise UserError(
            f"none of the {total} images of {data.name} has 2D labels to calibrate on: name other "
            "data by --config.data.names, or another --config.split"
        )
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def _measure_batch(
    estimator: Estimator, batch: Batch, data_set: Int[np.ndarray, " hands"], rows: int
) -> _Measured:
    inference = look_at_batch(estimator, batch, "box", rows)
    zoom = affine.zoom(np.asarray(inference.matrix, np.float64))
    pixels = np.asarray(inference.estimate.pose, np.float64)[..., :2]
    valid = batch["keypoints_2d_valid"]
    target = np.where(valid[..., None], batch["keypoints_2d"], pixels)
    errors = metrics.joint_errors(pixels, target) * zoom[:, None] / (estimator.view_size / 2)
    return _Measured(
        errors,
        valid,
        1 / (zoom * batch["crop_scale"]),
        batch["sample_id"] + _DATA_SET * data_set,
        jax.tree.map(np.asarray, inference.estimate.localisation),
    )


def _calibrate(
    network: Network, measured: _Measured, localisation: Localisation
) -> tuple[Network, dict[str, Any], list[str]]:
    """Calibrates a network on every other sample, and checks it on those between."""
    rank = np.unique(measured.samples, return_inverse=True)[1]
    fitted, held = ({"hands": rank % 2 == half} for half in (0, 1))
    for part in (fitted, held):
        part["valid"] = measured.valid & part["hands"][:, None]
    calibration = fit_calibration(localisation, measured.errors, fitted["valid"])
    half_side = network.view_size / 2
    expected = np.asarray(calibration(localisation))[held["valid"]] * half_side
    errors = measured.errors[held["valid"]] * half_side
    if not len(errors):
        raise UserError("all labels are of one hand, so that none is left to check on: name more")
    bins = [b._asdict() for b in reliability(expected, errors)]
    found = {
        "calibration": specs.to_dict(calibration) | {"hands": int(fitted["hands"].sum())},
        "reliability": {
            "hands": int(held["hands"].sum()),
            "joints": len(errors),
            "expected": float(expected.mean()),
            "measured": float(errors.mean()),
            "bins": bins,
        },
    }
    note = (
        f"Errors to expect: fitted on {calibration.joints} joints of every other hand, checked on "
        f"{len(errors)} of those between, where {expected.mean():.3f} px were expected and "
        f"{errors.mean():.3f} px measured."
    )
    description = dataclasses.replace(network.description, calibration=calibration)
    return dataclasses.replace(network, description=description), found, [note]


def _chart(bins: list[dict[str, Any]]) -> Figure:
    expected, measured = (np.array([b[name] for b in bins]) for name in ("expected", "measured"))
    return charts.reliability(expected, measured, [b["joints"] for b in bins], unit="view px")


def _write(
    spec: ReleaseSpec, network: Network, data: EvaluationData, measured: _Measured, file: Path
) -> tuple[dict[str, float], str, list[str]]:
    """Writes a file that answers as the network does, in float16 if that is as good.

    Returns:
      (errors in halves of the view's side by precision, the file's precision, notes).
    """
    errors = {"float32": _mean(measured)}
    if weights_file.fits_half(network.variables):
        write_network(file, network, half=True)
        errors["float16"] = _mean(_remeasure(spec, data, file))
        change = errors["float16"] / errors["float32"] - 1
        if abs(change) <= MOST_CHANGE:
            return errors, "float16", [f"Rounding to float16 changed the error by {change:+.2%}."]
        notes = [f"float16 would change the error by {change:+.2%}, so it is not used."]
    else:
        notes = ["Some parameters are too large for float16, so it is not used."]
    write_network(file, network)
    again = _mean(_remeasure(spec, data, file))
    if not np.isclose(again, errors["float32"], rtol=1e-4):
        raise RuntimeError(f"the file's error is {again}, the network's {errors['float32']}")
    return errors, "float32", notes


def _remeasure(spec: ReleaseSpec, data: EvaluationData, file: Path) -> _Measured:
    return _measure(Estimator.of(open_network(file)), data, spec.batch_size, "the file")


def _mean(measured: _Measured, unit: Float[np.ndarray, " hands"] | float = 1.0) -> float:
    """Returns the mean error over the labelled joints."""
    unit = np.broadcast_to(np.asarray(unit), len(measured.errors))[:, None]
    return float((measured.errors * unit)[measured.valid].mean())
