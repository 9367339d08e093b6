"""Evaluation of a fine-tuned network on a labelled split, from checkpoint to numbers and pictures.

One pass with constant memory: of every hand only its joints' errors are kept, about a kilobyte, and
the pictures of the best and the worst.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict
from rich import box
from rich.console import Console
from rich.table import Table

from peclr_jax import files, pages
from peclr_jax.errors import UserError
from peclr_jax.hands import scores
from peclr_jax.input_pipeline import Split
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks import estimator as estimators
from peclr_jax.networks import hand_errors, inference
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.extremes import Extremes
from peclr_jax.networks.hand_errors import PREDICTORS
from peclr_jax.runs import recipe

# Kind of error -> how it is called, and the factor to the unit that people read.
_ROWS = {
    "3d": ("3D EPE, cm", 100.0),
    "root_aligned": ("root-aligned, cm", 100.0),
    "scale_aligned": ("scale-aligned, cm", 100.0),
    "pa": ("PA-EPE, cm", 100.0),
    "pa_proper": ("PA, proper, cm", 100.0),
    "2d": ("2D EPE, image px", 1.0),
    "2d_view": ("2D EPE, view px", 1.0),
}
_CURVES = {
    "3D": ("prediction", "3d"),
    "root-aligned": ("prediction", "root_aligned"),
    "PA": ("prediction", "pa"),
    "mean pose, root-aligned": ("mean_pose", "root_aligned"),
    "mean hand, PA": ("mean_hand", "pa"),
}
_CURVES_2D = {"2D": ("prediction", "2d"), "mean pose, 2D": ("mean_pose", "2d")}
# Sample ids of different data sets are kept apart by multiples of this.
_DATA_SET = 2**40


def run(config: ConfigDict, workdir: Path) -> None:
    """Evaluates, and prints a table.

    Writes to `workdir`: `metrics.json`, `pck.png`, `best.png` and `worst.png`.

    Raises:
      UserError: an impossible config, a checkpoint of another task, data without labels.
      MissingFileError: data or a checkpoint that are not there.
    """
    console = Console()
    result = evaluate(config, workdir)
    console.print(_table(result))
    for note in result["notes"]:
        console.print(note, highlight=False, soft_wrap=True)
    pictures = " and ".join(str(workdir / name) for name in ("worst.png", "pck.png"))
    console.print(
        f"Look at {pictures}; every number is in {workdir / 'metrics.json'}.",
        highlight=False,
        soft_wrap=True,
    )


def evaluate(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Evaluates and writes what `run` promises, without the table.

    Args:
      config: as in configs/evaluate.py.
      workdir: where to write.

    Returns:
      What `metrics.json` holds: for each predictor of `PREDICTORS` and each kind of error what
      `Scores.to_dict` returns, in metres or pixels, or None where the labels do not allow it.
    """
    check(config)
    estimator = estimators.open_estimator(config)
    if config.bone_length == "mean" and not estimator.knows("bone_length"):
        raise UserError(
            f"{_name(config)} was trained without 3D labels, or does not tell of them, and knows "
            "no mean bone length: choose --config.bone_length=given"
        )
    data, split_name, split = inference.open_data(
        config.data, config.split, estimator, config.crop, config.batch_size
    )
    name = inference.describe_data(data, split_name)
    errors, valid, details, extremes = _measure_all(config, estimator, split, name)

    def score(predictor: str, kind: str, resamples: int) -> dict[str, Any] | None:
        per_joint, known = errors[predictor, kind.removesuffix("_view")], valid[predictor, kind]
        if not known.any():
            return None
        if kind == "2d_view":
            per_joint = per_joint * details["to_view"][:, None]
        return scores.score(
            per_joint,
            known,
            kind=kind.removesuffix("_view"),
            sample_ids=details["sample"],
            resamples=resamples,
            seed=config.seed,
        ).to_dict()

    for predictor, kind in [key for key in valid if key[1] == "2d"]:
        valid[predictor, "2d_view"] = valid[predictor, kind]
    found: dict[str, dict[str, Any]] = {
        predictor: {
            kind: score(predictor, kind, config.resamples if predictor == "prediction" else 0)
            for kind in _ROWS
            if (predictor, kind) in valid
        }
        for predictor in PREDICTORS
    }
    result = {
        "checkpoint": _name(config),
        "data": name,
        "hands": len(details["sample"]),
        "crop": config.crop,
        "bone_length": config.bone_length,
        "view_size": estimator.view_size,
        **found,
        "relative": _relative(found, estimator.view_size),
        "notes": _notes(config, estimator, valid, details),
    }
    with files.writing(workdir / "metrics.json") as file:
        json.dump(result, file, indent=2, allow_nan=False)
    _draw(found, extremes, workdir)
    return result


def check(config: ConfigDict) -> None:
    """Checks the fields before anything is loaded.

    Raises:
      UserError: one sentence that names the field and the remedy.
    """
    recipe.check_choice("crop", config.crop, inference.CROPS)
    recipe.check_choice("bone_length", config.bone_length, hand_errors.BONE_LENGTHS)
    recipe.check_positive(config, "batch_size")
    for field in ("resamples", "pictures", "seed"):
        if config[field] < 0:
            raise UserError(f"--config.{field} must be zero or more, got {config[field]}")


def _name(config: ConfigDict) -> str:
    """The checkpoint that is evaluated."""
    return str(config.init.torch_checkpoint or config.checkpoint)


def _measure_all(
    config: ConfigDict, estimator: Estimator, split: Split, name: str
) -> tuple[
    dict[tuple[str, str], np.ndarray],
    dict[tuple[str, str], np.ndarray],
    dict[str, np.ndarray],
    Extremes,
]:
    """Goes through the split; hands without any label are passed over."""
    errors: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    valid: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    details: dict[str, list[np.ndarray]] = defaultdict(list)
    extremes = Extremes(config.pictures, estimator.view_size)
    first_of_data_set = np.cumsum(split.store.sizes)
    seen = 0
    steps = -(-split.num_examples // config.batch_size)
    for batch in report(split.batches(), f"Evaluating {split.num_examples} images", steps):
        rows = np.arange(seen, seen + len(batch["image"]))
        data_set = np.searchsorted(first_of_data_set, rows, side="right")
        seen += len(rows)
        labelled = batch["keypoints_2d_valid"].any(1) | batch["keypoints_3d_valid"].any(1)
        if not labelled.any():
            continue
        batch = {field: array[labelled] for field, array in batch.items()}
        seen_by_network = inference.infer(estimator, batch, config.crop, config.batch_size)
        measured = hand_errors.measure(estimator, batch, seen_by_network, config.bone_length)
        for key in measured.errors:
            errors[key].append(measured.errors[key])
            valid[key].append(measured.valid[key])
        details["to_view"].append(measured.to_view)
        details["sample"].append(batch["sample_id"] + _DATA_SET * data_set[labelled])
        details["box"].append(batch["hand_box_valid"])
        extremes.add(batch, seen_by_network, measured)
    if not details:
        raise UserError(
            f"none of the {split.num_examples} images of {name} has a label to compare with: "
            "use configs/submission.py for the FreiHAND challenge, or configs/predict.py for "
            "photographs"
        )

    def join(parts: dict[Any, list[np.ndarray]]) -> dict[Any, np.ndarray]:
        return {key: np.concatenate(arrays) for key, arrays in parts.items()}

    return join(errors), join(valid), join(details), extremes


def _relative(found: dict[str, dict[str, Any]], view_size: int) -> dict[str, float | None]:
    """How the network compares with knowing nothing, as ratios of the means."""

    def ratio(kind: str, of: str) -> float | None:
        network, nothing = found["prediction"][kind], found[of][kind]
        if network is None or nothing is None:
            return None
        return network["mean"]["value"] / nothing["mean"]["value"]

    in_view = found["prediction"]["2d_view"]
    return {
        "2d_view_over_side": in_view and in_view["mean"]["value"] / view_size,
        "2d_over_mean_pose": ratio("2d", "mean_pose"),
        "2d_view_over_mean_pose": ratio("2d_view", "mean_pose"),
        "pa_over_mean_pose": ratio("pa", "mean_pose"),
        "pa_over_mean_hand": ratio("pa", "mean_hand"),
    }


def _notes(
    config: ConfigDict,
    estimator: Estimator,
    valid: dict[tuple[str, str], np.ndarray],
    details: dict[str, Int[np.ndarray, " hands"] | Float[np.ndarray, " hands"]],
) -> list[str]:
    """What a reader must know to read the numbers."""
    count, knows_pose = len(details["sample"]), estimator.knows("mean_pose")
    notes = []
    for kind, lacking in (("2d", "2D labels"), ("3d", "3D labels, intrinsics or bone length")):
        missing = count - int(valid["prediction", kind].any(1).sum())
        if missing:
            notes.append(
                f"{missing} of {count} hands lack {lacking} and do not count for what needs them."
            )
    if config.crop == "two_pass":
        notes.append(
            "No box was given: the network saw the middle of the image, then its own estimate's "
            "surroundings" + ("; the mean pose lies in the middle." if knows_pose else ".")
        )
    elif missing := int((~details["box"]).sum()):
        notes.append(f"{missing} of {count} hands have no box; the middle of the image was taken.")
    if config.bone_length == "mean":
        notes.append(
            "All hands have the size of the training set's mean: a reference bone of "
            f"{100 * estimator.bone_length:.2f} cm."
        )
    return notes


def _draw(found: dict[str, dict[str, Any]], extremes: Extremes, workdir: Path) -> None:
    for curves, unit in ((_CURVES, "m"), (_CURVES_2D, "px")):
        drawn = {
            label: (np.asarray(s["thresholds"]), np.asarray(s["pck"]), s["auc"]["value"])
            for label, (predictor, kind) in curves.items()
            if (s := found[predictor][kind]) is not None
        }
        if drawn:
            pages.save(pages.pck(drawn, unit=unit), workdir / "pck.png")
            break
    for name in ("best", "worst"):
        if panels := getattr(extremes, name):
            pages.save(pages.hand_panels(panels), workdir / f"{name}.png")


def _table(result: dict[str, Any]) -> Table:
    table = Table(
        title=f"{result['data']}: {result['hands']} hands, crop {result['crop']!r}",
        title_justify="left",
        caption="intervals: bootstrap over samples; mean pose, mean hand: the training set's",
        caption_justify="left",
        box=box.SIMPLE_HEAD,  # narrow enough for a terminal of 80 columns
        padding=(0, 1, 0, 0),
    )
    table.add_column("")
    interval = f"{100 * scores.CONFIDENCE:.0f} %"
    for column in ("mean", interval, "median", "AUC", "mean pose", "mean hand"):
        table.add_column(column, justify="right", no_wrap=True)
    for kind, (label, factor) in _ROWS.items():
        measured = result["prediction"][kind]
        if measured is None:
            continue

        def other(predictor: str, kind: str = kind, factor: float = factor) -> str:
            value = result[predictor].get(kind)
            return "" if value is None else _number(factor * value["mean"]["value"])

        table.add_row(
            label,
            _number(factor * measured["mean"]["value"]),
            _interval(measured["mean"], factor),
            _number(factor * measured["median"]),
            f"{measured['auc']['value']:.3f}",
            other("mean_pose"),
            other("mean_hand"),
        )
    return table


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _interval(interval: dict[str, float | None], factor: float) -> str:
    low, high = interval["low"], interval["high"]
    if low is None or high is None:
        return ""
    return f"{_number(factor * low)} to {_number(factor * high)}"
