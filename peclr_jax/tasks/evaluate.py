"""Evaluation of a fine-tuned network on a labelled split, from checkpoint to numbers and pictures.

One pass, which keeps the errors of every hand's joints, about a kilobyte, and the best and worst.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from ml_collections import ConfigDict

from peclr_jax import files, specs
from peclr_jax.console import say
from peclr_jax.errors import UserError
from peclr_jax.geometry.camera import REFERENCE_BONE
from peclr_jax.hands import scores
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks import hand_errors
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.evaluation_data import EvaluationData, open_data
from peclr_jax.networks.extremes import Extremes
from peclr_jax.networks.hand_errors import PREDICTORS
from peclr_jax.networks.looking import look_at_batch
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EvaluateSpec
from peclr_jax.pages import charts, figures
from peclr_jax.pages.hand_panels import hand_panels
from peclr_jax.pages.scores import ROWS, curve_label, describe_averages, scores_table
from peclr_jax.terminal import Console

_CURVES = {
    "3D": ("prediction", "3d"),
    "root-aligned": ("prediction", "root_aligned"),
    "PA": ("prediction", "pa"),
    "mean pose, root-aligned": ("mean_pose", "root_aligned"),
    "mean hand, PA": ("mean_hand", "pa"),
}
_PICTURES = ("worst.png", "best.png", "pck.png")
_CURVES_2D = {"2D": ("prediction", "2d"), "mean pose, 2D": ("mean_pose", "2d")}
# Side of the crops whose pixels Table 3's 2D EPE is taken to be in: its networks see it (Sec. 4.1).
_PAPERS_CROP = 224
# Sample ids of different data sets are kept apart by multiples of this.
_DATA_SET = 2**40


class _Errors(NamedTuple):
    """The errors of all hands of a split that have labels.

    Attributes:
      errors, valid, to_view: As in `HandErrors`.
      samples: Which hands are versions of one sample.
      boxed, pictured: Which hands have a box, and which intrinsics.
      scaled_bone: Length that labels of a hand of no known size give its reference bone, metres;
        NaN for others.
    """

    errors: dict[tuple[str, str], Float[np.ndarray, "hands 21"]]
    valid: dict[tuple[str, str], Bool[np.ndarray, "hands 21"]]
    to_view: Float[np.ndarray, " hands"]
    samples: Int[np.ndarray, " hands"]
    boxed: Bool[np.ndarray, " hands"]
    pictured: Bool[np.ndarray, " hands"]
    scaled_bone: Float[np.ndarray, " hands"]

    @property
    def unsized(self) -> Float[np.ndarray, " unsized"]:
        """The reference bones, metres, of hands whose labels do not tell their size."""
        return self.scaled_bone[~np.isnan(self.scaled_bone)]


def run(config: ConfigDict, workdir: Path) -> None:
    """Evaluates, and prints a table."""
    spec = specs.from_config(EvaluateSpec, config)
    tell(evaluate(spec, workdir), workdir)


def tell(result: dict[str, Any], workdir: Path) -> None:
    """Prints what `evaluate` returned, and where it lies."""
    Console().print(scores_table(result))
    drawn = [str(path) for name in _PICTURES if (path := workdir / name).exists()]
    say(*result["notes"], f"Every number is in {workdir / 'metrics.json'}.")
    if drawn:
        say(f"Look at {', '.join(drawn)}.")


def evaluate(spec: EvaluateSpec, workdir: Path) -> dict[str, Any]:
    """Writes `metrics.json`, `pck.png`, `best.png` and `worst.png` to `workdir`.

    Returns:
      What `metrics.json` holds: for each predictor of `PREDICTORS` and each kind of error what
      `Scores.to_dict` returns, in metres or pixels, or None where the labels do not allow it.
    """
    name = spec.init.torch_checkpoint or spec.checkpoint
    network = open_network(spec.checkpoint, spec.init.torch_checkpoint)
    estimator = Estimator.of(network)
    if spec.bone_length == "mean" and estimator.statistics.bone_length is None:
        raise UserError(
            f"{name} was trained without 3D labels, or does not tell of them, and knows no mean "
            "bone length: choose --config.bone_length=given"
        )
    data = open_data(spec.data, spec.split, network.description, spec.crop, spec.batch_size)
    measured, extremes = _measure(spec, estimator, data)
    found = _score(spec, measured, estimator.view_size)
    unsized = measured.unsized
    result = {
        "version": scores.VERSION,
        "checkpoint": name,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "hands": len(measured.samples),
        "crop": spec.crop,
        "bone_length": spec.bone_length,
        "view_size": estimator.view_size,
        "scaled_bone_m": float(unsized.mean(dtype=np.float64)) if len(unsized) else None,
        **found,
        "relative": _relative(measured, estimator.view_size),
        "trained_on": data.trained_on,
        "notes": _notes(spec, estimator, data, measured, found),
    }
    for picture in _PICTURES:  # of an earlier evaluation
        (workdir / picture).unlink(missing_ok=True)
    with files.writing(workdir / "metrics.json") as file:
        json.dump(result, file, indent=2, allow_nan=False)
    _draw(found, extremes, workdir)
    return result


def _measure(
    spec: EvaluateSpec, estimator: Estimator, data: EvaluationData
) -> tuple[_Errors, Extremes]:
    """Goes through the split; hands without any label are passed over."""
    parts: list[_Errors] = []
    extremes = Extremes(spec.pictures, estimator.view_size)
    total, seen = data.split.num_examples, 0
    first_of_data_set = np.cumsum(data.split.store.sizes)
    steps = -(-total // spec.batch_size)
    for batch in report(data.split.batches(), f"Evaluating {total} images", steps):
        rows = np.arange(seen, seen + len(batch["image"]))
        data_set = np.searchsorted(first_of_data_set, rows, side="right")
        seen += len(rows)
        labelled = batch["keypoints_2d_valid"].any(1) | batch["keypoints_3d_valid"].any(1)
        if not labelled.any():
            continue
        batch = {field: array[labelled] for field, array in batch.items()}
        inference = look_at_batch(estimator, batch, spec.crop, spec.batch_size)
        measured = hand_errors.measure_errors(estimator, batch, inference, spec.bone_length)
        samples = batch["sample_id"] + _DATA_SET * data_set[labelled]
        known = batch["hand_box_valid"], batch["intrinsics_valid"], _scaled_bone(batch)
        parts.append(_Errors(*measured[:3], samples, *known))
        extremes.add(batch, inference, measured)
    if not parts:
        raise UserError(
            f"none of the {total} images of {data.name} has a label to compare with: "
            "use configs/submission.py for the FreiHAND challenge, or configs/predict.py for "
            "photographs"
        )
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts), extremes


def _scaled_bone(batch: Batch) -> Float[np.ndarray, " batch"]:
    ends = list(REFERENCE_BONE)
    unsized = batch["keypoints_3d_valid"][:, ends].all(1) & ~batch["bone_length_valid"]
    start, end = np.moveaxis(batch["keypoints_3d"][:, ends], 1, 0)
    return np.where(unsized, np.linalg.norm(start - end, axis=-1), np.nan)


def _score(spec: EvaluateSpec, measured: _Errors, view_size: int) -> dict[str, dict[str, Any]]:
    """Returns the scores of each predictor and kind of error, None where no label allows any."""
    unit = {"2d_view": measured.to_view, "2d_224": measured.to_view * (_PAPERS_CROP / view_size)}

    def score(predictor: str, row: str) -> dict[str, Any] | None:
        kind = _kind(row)
        errors, valid = measured.errors[predictor, kind], measured.valid[predictor, kind]
        if not valid.any():
            return None
        return scores.score(
            errors * unit[row][:, None] if row in unit else errors,
            valid,
            kind=kind,
            sample_ids=measured.samples,
            resamples=spec.resamples if predictor == "prediction" else 0,
            seed=spec.seed,
        ).to_dict()

    return {
        predictor: {row: score(predictor, row) for row in ROWS if _kind(row) in kinds}
        for predictor, kinds in PREDICTORS.items()
    }


def _kind(row: str) -> str:
    return "2d" if row.startswith("2d") else row


def _relative(measured: _Errors, view_size: int) -> dict[str, float | None]:
    """Returns how the network compares with knowing nothing, as ratios of the means.

    Both means are over the joints that count of both.
    """

    def ratio(kind: str, of: str, unit: Float[np.ndarray, " hands"] | None = None) -> float | None:
        counts = measured.valid["prediction", kind] & measured.valid[of, kind]
        if not counts.any():
            return None
        means = (_mean(measured.errors[who, kind], counts, unit) for who in ("prediction", of))
        network, other = means
        return network / other if other else None

    in_view = None
    if (seen := measured.valid["prediction", "2d"]).any():
        in_view = _mean(measured.errors["prediction", "2d"], seen, measured.to_view) / view_size
    return {
        "2d_view_over_side": in_view,
        "2d_over_mean_pose": ratio("2d", "mean_pose"),
        "2d_view_over_mean_pose": ratio("2d", "mean_pose", measured.to_view),
        "pa_over_mean_pose": ratio("pa", "mean_pose"),
        "pa_over_mean_hand": ratio("pa", "mean_hand"),
    }


def _mean(
    errors: Float[np.ndarray, "hands 21"],
    counts: Bool[np.ndarray, "hands 21"],
    unit: Float[np.ndarray, " hands"] | None,
) -> float:
    scaled = errors.astype(np.float64) * (1.0 if unit is None else unit[:, None])
    return float(scaled[counts].mean())


def _notes(
    spec: EvaluateSpec,
    estimator: Estimator,
    data: EvaluationData,
    measured: _Errors,
    found: dict[str, dict[str, Any]],
) -> list[str]:
    count, statistics = len(measured.samples), estimator.statistics
    notes = [f"Note that {data.trained_on}."] if data.trained_on else []
    if unlabelled := data.split.num_examples - count:
        notes.append(
            f"{unlabelled} of {data.split.num_examples} images have no label and do not count."
        )
    notes += describe_averages(found["prediction"])
    for kind, lacking in (("2d", "2D labels"), ("3d", "3D labels, intrinsics or bone length")):
        missing = count - int(measured.valid["prediction", kind].any(1).sum())
        if missing:
            notes.append(
                f"{missing} of {count} hands lack {lacking} and do not count for what needs them."
            )
    in_space = measured.valid["prediction", "pa"].any(1)
    if flat := int((in_space & ~measured.pictured).sum()):
        notes.append(
            f"{flat} of {count} hands have joints in space, but no intrinsics: predicted ones are "
            "lifted by weak perspective, and compared after Procrustes alone."
        )
    if len(unsized := measured.unsized):
        notes.append(
            f"{len(unsized)} of {count} hands have joints in space of no known size: PA-EPE is in "
            f"cm of hands with a reference bone of {100 * unsized.mean():.2f} cm."
        )
    if spec.crop == "two_pass":
        notes.append(
            "No box was given: the network saw the middle of the image, then its own estimate's "
            "surroundings"
            + ("; the mean pose lies in the middle." if statistics.mean_pose else ".")
        )
    elif missing := int((~measured.boxed).sum()):
        notes.append(f"{missing} of {count} hands have no box; the middle of the image was taken.")
    if spec.bone_length == "mean" and statistics.bone_length is not None:
        notes.append(
            "All hands have the size of the training set's mean: a reference bone of "
            f"{100 * statistics.bone_length:.2f} cm."
        )
    return notes


def _draw(found: dict[str, dict[str, Any]], extremes: Extremes, workdir: Path) -> None:
    for curves, unit in ((_CURVES, "m"), (_CURVES_2D, "px")):
        drawn = {
            curve_label(label, s): (
                np.asarray(s["thresholds"]),
                np.asarray(s["pck"]),
                s["auc"]["value"],
            )
            for label, (predictor, kind) in curves.items()
            if (s := found[predictor][kind]) is not None
        }
        if drawn:
            figures.save(charts.pck(drawn, unit=unit), workdir / "pck.png")
            break
    for name in ("best", "worst"):
        if panels := extremes.panels(name):
            figures.save(hand_panels(panels), workdir / f"{name}.png")
