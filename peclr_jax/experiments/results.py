"""The results of an experiment: every number of its finished runs, means and comparisons."""

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from peclr_jax.experiments import seeds
from peclr_jax.experiments.metrics import BASELINES, COMPARED, in_units
from peclr_jax.experiments.plan import Run
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.runs.resuming import SUMMARY

METRICS_FILE = "metrics.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax")


def collect(
    spec: ExperimentSpec,
    runs: Sequence[Run],
    equivariance: Mapping[str, Mapping[int, Mapping[str, Any]]],
) -> dict[str, Any]:
    """Gathers what the finished runs measured.

    Args:
      spec: The experiment.
      runs: Those that are finished.
      equivariance: By comparison and seed, what the equivariance task measured; may be empty.

    Returns:
      Fit for JSON: what was run and with what; "arms", each with every number of every seed and
      their means with intervals; "nothing", the scores of `BASELINES`; "comparisons"; and
      "equivariance", improvements in per cent.
    """
    measured = {(run.arm, run.seed): _measure(run) for run in runs}
    arms: dict[str, Any] = {}
    for name, arm in spec.arms.items():
        of_seeds = {seed: measured[name, seed] for seed in spec.seeds if (name, seed) in measured}
        arms[name] = {
            "label": arm.label,
            "series": arm.series,
            "x": arm.x,
            "seeds": {
                str(run.seed): {
                    **of_seeds[run.seed],
                    "seconds": [_seconds(training.workdir) for training in run.trainings],
                    "workdirs": [str(training.workdir) for training in run.trainings],
                }
                for run in runs
                if run.arm == name
            },
            "mean": _over_seeds(list(of_seeds.values())),
        }
    return {
        "experiment": spec.name,
        "title": spec.title,
        "claim": spec.claim,
        "recipe": spec.recipe,
        "data": spec.data_name,
        "network": _describe_network(spec),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "seeds": list(spec.seeds),
        "figure": spec.figure,
        "x_label": spec.x_label,
        "metrics": list(spec.metrics),
        "paper": spec.paper,
        "arms": arms,
        "unfinished": [
            f"{name}, seed {seed}"
            for seed in spec.seeds
            for name in spec.arms
            if (name, seed) not in measured
        ],
        "nothing": _baselines(runs),
        "comparisons": _compare(spec, measured),
        "equivariance": _improvements(equivariance),
    }


def _measure(run: Run) -> dict[str, dict[str, float]]:
    found = {}
    for name, evaluation in run.evaluations.items():
        scores = _read(evaluation.workdir / METRICS_FILE)["prediction"]
        found[name] = in_units(scores)
    return found


def _baselines(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns what the first run's training labels alone score: evaluation, predictor, metric."""
    if not runs:
        return {}
    return {
        name: {
            predictor: in_units(_read(evaluation.workdir / METRICS_FILE)[predictor])
            for predictor in BASELINES
        }
        for name, evaluation in runs[0].evaluations.items()
    }


def _over_seeds(
    of_seeds: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns evaluation, then metric, to its mean over the seeds with an interval."""
    if not of_seeds:
        return {}
    return {
        evaluation: {
            metric: seeds.mean([values[evaluation][metric] for values in of_seeds])._asdict()
            for metric in metrics
        }
        for evaluation, metrics in of_seeds[0].items()
    }


def _compare(
    spec: ExperimentSpec, measured: Mapping[tuple[str, int], Mapping[str, Mapping[str, float]]]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, comparison in spec.comparisons.items():
        both = [
            seed
            for seed in spec.seeds
            if (comparison.arm, seed) in measured and (comparison.against, seed) in measured
        ]
        if not both:
            continue
        for evaluation, metrics in measured[comparison.arm, both[0]].items():
            compared = {}
            for metric in (metric for metric in COMPARED if metric in metrics):
                ours, theirs = (
                    [measured[arm, seed][evaluation][metric] for seed in both]
                    for arm in (comparison.arm, comparison.against)
                )
                reduction, apart = seeds.compare(ours, theirs)
                compared[metric] = {"reduction": reduction._asdict(), "apart": apart}
            found.setdefault(evaluation, {})[name] = {
                "arm": spec.arms[comparison.arm].label,
                "against": spec.arms[comparison.against].label,
                "paper": comparison.paper,
                "metrics": compared,
            }
    return found


def _improvements(
    equivariance: Mapping[str, Mapping[int, Mapping[str, Any]]],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns mean improvements in per cent over the seeds, by comparison and transformation."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for name, of_seeds in equivariance.items():
        found[name] = {}
        for kind in ("rotation", "translation"):
            gains = [m["improvement_percent"][f"mean_{kind}"] for m in of_seeds.values()]
            # A baseline without any error leaves nothing to improve.
            if None not in gains:
                found[name][kind] = seeds.mean(gains)._asdict()
    return found


def _describe_network(spec: ExperimentSpec) -> str:
    model = spec.pretrain.model
    width = "" if model.width == 64 else f" of width {model.width}"
    return f"{model.architecture}{width} at {spec.pretrain.views.size} px"


def _seconds(workdir: Path) -> float:
    return _read(workdir / SUMMARY)["seconds"]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
