"""What follows from the numbers of each seed: means, comparisons, and which runs are missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from peclr_jax.experiments import seeds
from peclr_jax.experiments.spec import ComparisonSpec


def summarize(
    results: Mapping[str, Any],
    comparisons: Mapping[str, ComparisonSpec],
    evaluations: Sequence[str],
) -> dict[str, Any]:
    """Adds to results what follows from the numbers of each seed.

    Args:
      results: As `results.collect` returns them; what follows may be absent, and is replaced.
      comparisons: By name.
      evaluations: Their names.

    Returns:
      The same with the "mean" of each arm, "unfinished" and "comparisons".
    """
    arms = {
        name: {**arm, "mean": _over_seeds([*arm["seeds"].values()], evaluations)}
        for name, arm in results["arms"].items()
    }
    compared = {
        evaluation: {
            name: _compare(results, comparison, evaluation)
            for name, comparison in comparisons.items()
        }
        for evaluation in (evaluations if comparisons else ())
    }
    unfinished = [
        f"{name}, seed {seed}"
        for seed in results["seeds"]
        for name, arm in arms.items()
        if str(seed) not in arm["seeds"]
    ]
    return {**results, "arms": arms, "unfinished": unfinished, "comparisons": compared}


def _over_seeds(
    of_seeds: Sequence[Mapping[str, Any]], evaluations: Sequence[str]
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns evaluation, then metric, to its mean over the seeds with an interval."""
    if not of_seeds:
        return {}
    return {
        evaluation: {
            metric: seeds.mean([values[evaluation][metric] for values in of_seeds])._asdict()
            for metric in of_seeds[0][evaluation]
        }
        for evaluation in evaluations
    }


def _compare(
    results: Mapping[str, Any], comparison: ComparisonSpec, evaluation: str
) -> dict[str, Any]:
    """Returns by how much an arm errs less than another, over the seeds that both have."""
    pair = [results["arms"][name] for name in (comparison.arm, comparison.against)]
    both = [str(seed) for seed in results["seeds"] if all(str(seed) in a["seeds"] for a in pair)]
    metrics = pair[0]["seeds"][both[0]][evaluation] if both else {}
    compared = {}
    for metric in (metric for metric in results["compared"] if metric in metrics):
        errors = ([arm["seeds"][seed][evaluation][metric] for seed in both] for arm in pair)
        reduction, apart = seeds.compare(*errors)
        compared[metric] = {"reduction": reduction._asdict(), "apart": apart}
    return {
        "arm": pair[0]["label"],
        "against": pair[1]["label"],
        "paper": comparison.paper,
        "shown": bool(both),
        "metrics": compared,
    }
