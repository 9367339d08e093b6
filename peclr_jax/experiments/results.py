"""The results of an experiment: every number of its finished runs, means and comparisons."""

import dataclasses
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import MappingProxyType
from typing import Any

import jax

from peclr_jax.experiments import plan as plans
from peclr_jax.experiments import seeds, summary
from peclr_jax.experiments.metrics import BASELINES, averages, in_units
from peclr_jax.experiments.plan import Run
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.files import read_json

METRICS_FILE = "metrics.json"
# Fields that results tell otherwise, or that decide no number.
_TOLD = ("seeds", "only", "photos", "networks_dir")
_PACKAGES = ("jax", "jaxlib", "flax", "optax")


def collect(
    spec: ExperimentSpec,
    runs: Sequence[Run],
    equivariance: Mapping[str, Mapping[int, Mapping[str, Any]]],
    photographs: Mapping[str, Any] | None = None,
    changed: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Returns what the finished runs measured, fit for JSON.

    It holds what was run and with what; "arms", each with every number of every seed and their
    means with intervals; "nothing", the scores of `BASELINES`; "averaged", by evaluation what each
    metric is a mean over, and what else must be known of it; "comparisons"; and "equivariance",
    improvements in per cent.

    Args:
      spec: The experiment.
      runs: Those that are finished.
      equivariance: By comparison and seed, what the equivariance task measured; may be empty.
      photographs: As `photo_parts.describe` returns them; None where there are none, or no parts.
      changed: By dotted names, the fields by which the experiment differs from its recipe.
    """
    measured = {(run.arm, run.seed): _measure(run, "prediction") for run in runs}
    # The first run's training labels stand for all.
    of_labels = {name: _measure(run, name) for run in runs[:1] for name in BASELINES}
    nothing = {
        evaluation: {name: of_labels[name][evaluation] for name in of_labels}
        for run in runs[:1]
        for evaluation in run.evaluations
    }
    planned = plans.plan(dataclasses.replace(spec, seeds=spec.seeds[:1]))
    arms: dict[str, Any] = {}
    for name, arm in spec.arms.items():
        arms[name] = {
            "label": arm.label,
            "series": arm.series,
            "x": arm.x,
            "trainings": plans.recipe_digest(next(run for run in planned if run.arm == name)),
            "seeds": {str(run.seed): measured[name, run.seed] for run in runs if run.arm == name},
        }
    found = {
        "experiment": spec.name,
        "title": spec.title,
        "claim": spec.claim,
        "recipe": spec.recipe,
        "changed": {name: value for name, value in changed.items() if name not in _TOLD},
        "data": spec.data_name,
        "network": _networks(planned),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "seeds": list(spec.seeds),
        "figure": spec.figure,
        "x_label": spec.x_label,
        "metrics": list(spec.metrics),
        "compared": list(spec.compared),
        "paper": spec.paper,
        "labelled_by": spec.labelled_by,
        "photographs": dict(photographs or {}),
        "arms": arms,
        "nothing": nothing,
        "averaged": _averaged(runs),
        "equivariance": _improvements(equivariance),
    }
    return summary.summarize(found, spec.comparisons, list(spec.evaluations))


def _networks(planned: Sequence[Run]) -> str:
    """Returns the encoders of all arms, and the sizes of views: "resnet18 of width 16 at 64 px"."""
    encoders = [run.trainings[0].spec.model for run in planned]
    names = dict.fromkeys(
        model.architecture + ("" if model.width == 64 else f" of width {model.width}")
        for model in encoders
    )
    first, last = (
        dict.fromkeys(run.trainings[end].spec.views.size for run in planned) for end in (0, -1)
    )
    sizes = " and ".join(f"{size} px" for size in last)
    if first.keys() - last.keys():
        before = " and ".join(f"{size} px" for size in first if size not in last)
        sizes = f"{sizes} (pre-training: {before})"
    return f"{' and '.join(names)} at {sizes}"


def _measure(run: Run, predictor: str) -> dict[str, dict[str, float]]:
    """Returns evaluation, then metric, to its value."""
    return {
        name: in_units(read_json(evaluation.workdir / METRICS_FILE)[predictor])
        for name, evaluation in run.evaluations.items()
    }


def _averaged(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Returns by evaluation the data, what its metrics are means over, and who trained on them."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        for name, evaluation in run.evaluations.items():
            measured = read_json(evaluation.workdir / METRICS_FILE)
            empty: dict[str, Any] = {
                "data": [],
                "over": {},
                "trained_on": [],
                "scaled_bone_m": None,
            }
            said = found.setdefault(name, empty)
            said["scaled_bone_m"] = measured.get("scaled_bone_m")
            said["data"] = list(dict.fromkeys([*said["data"], measured["data"]]))
            if trained_on := measured.get("trained_on"):
                said["trained_on"] = list(dict.fromkeys([*said["trained_on"], trained_on]))
            for metric, over in averages(measured["prediction"]).items():
                words = {str(over): over.is_complete}
                said["over"][metric] = said["over"].get(metric, {}) | words
    return found


def _improvements(
    equivariance: Mapping[str, Mapping[int, Mapping[str, Any]]],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns mean improvements in per cent over the seeds, by comparison and transformation."""
    found: dict[str, dict[str, dict[str, float | None]]] = {name: {} for name in equivariance}
    for name, of_seeds in equivariance.items():
        for kind in ("rotation", "translation"):
            gains = [m["improvement_percent"][f"mean_{kind}"] for m in of_seeds.values()]
            # A baseline without any error leaves nothing to improve.
            if None not in gains:
                found[name][kind] = seeds.mean(gains)._asdict()
    return found
