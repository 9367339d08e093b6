"""One experiment whose seeds or arms were run on several machines, from the results of each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peclr_jax.errors import UserError
from peclr_jax.experiments import summary
from peclr_jax.experiments.spec import ComparisonSpec

# What results that belong together have in common.
_SAME = (
    *("experiment", "title", "data", "network", "metrics", "compared", "figure"),
    *("labelled_by", "photographs"),
)
_ONE_SEED = "one_seed"
# Predictions of nothing depend on the training labels, whose views each seed draws anew, and by a
# camera's absence a little on the network. Of few labels the mean pose is no measure, but the mean
# hand, which turns with the truth.
_TOLERANCES = {"mean_hand": 0.02, "mean_pose": 0.01}
# What earlier versions kept beside the numbers of a seed.
_NO_NUMBERS = ("seconds", "workdirs")


def merge(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the results of all parts together.

    Args:
      parts: By the file for messages, what its `results.json` holds.

    Returns:
      Results as `results.collect` returns them, of all seeds and arms.

    Raises:
      UserError: The parts are of different experiments or data, have different numbers for one
        arm and seed, or hold measurements of equivariance, whose seeds are not kept apart.
    """
    names, found = list(parts), list(parts.values())
    for name, other in parts.items():
        _check_same(names[0], found[0], name, other)
        if other["equivariance"]:
            raise UserError(
                f"{name} has measurements of equivariance, of which only means over the seeds are "
                "kept: run all seeds with one --workdir"
            )
    merged = {
        **found[0],
        "recipe": _without_seeds(found[0]["recipe"]),
        "devices": _each(part["devices"] for part in found),
        "versions": {
            package: _each(part["versions"][package] for part in found)
            for package in found[0]["versions"]
        },
        "seeds": sorted({seed for part in found for seed in part["seeds"]}),
        "paper": {key: value for part in found for key, value in part["paper"].items()},
        "arms": _arms(parts),
        "averaged": _averaged(found),
    }
    return summary.summarize(merged, _comparisons(found), list(merged["averaged"]))


def _check_same(
    name: str, one: Mapping[str, Any], other_name: str, other: Mapping[str, Any]
) -> None:
    differ = [field for field in _SAME if one[field] != other[field]]
    # In which order variants are named makes no difference.
    recipes = [sorted(_without_seeds(part["recipe"]).split("+")) for part in (one, other)]
    if recipes[0] != recipes[1]:
        differ.append("recipe")
    for evaluation in one["nothing"].keys() | other["nothing"].keys():
        errors = [part["nothing"].get(evaluation, {}) for part in (one, other)]
        baseline = "mean_hand" if errors[0].get("mean_hand") else "mean_pose"
        first, second = (error.get(baseline) for error in errors)
        if not (first and second and _are_close(first, second, _TOLERANCES[baseline])):
            differ.append(f"error of the {baseline.replace('_', ' ')} on {evaluation}")
    # Which earlier versions did not keep.
    if one.get("changed", {}) != other.get("changed", {}):
        differ.append("fields that flags changed")
    if differ:
        raise UserError(
            f"{name} and {other_name} differ in their {', '.join(differ)}: only seeds and arms of "
            "one experiment on the same data can be merged"
        )


def _are_close(one: Mapping[str, float], other: Mapping[str, float], tolerance: float) -> bool:
    return all(abs(other.get(key, 0.0) / one[key] - 1) < tolerance for key in one)


def _without_seeds(recipe: str) -> str:
    return "+".join(part for part in recipe.split("+") if part != _ONE_SEED)


def _each(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _arms(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for name, part in parts.items():
        for arm, found in part["arms"].items():
            known = arms.setdefault(arm, {**found, "seeds": {}})
            # Which earlier versions did not keep.
            digests = {one["trainings"] for one in (known, found) if "trainings" in one}
            if len(digests) > 1:
                raise UserError(
                    f"{name} has the arm {arm!r} trained with other fields than a file before it, "
                    "as flags may change them: only seeds of one recipe can be merged"
                )
            for seed, kept in found["seeds"].items():
                numbers = {key: kept[key] for key in kept if key not in _NO_NUMBERS}
                if known["seeds"].setdefault(seed, numbers) != numbers:
                    raise UserError(
                        f"{name} has other numbers for the arm {arm!r} and seed {seed} than a file "
                        "before it: leave one of them out"
                    )
    for arm in arms.values():
        arm["seeds"] = {seed: arm["seeds"][seed] for seed in sorted(arm["seeds"], key=int)}
    return arms


def _averaged(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    averaged: dict[str, Any] = {}
    for part in found:
        for evaluation, said in part["averaged"].items():
            known = averaged.setdefault(evaluation, {**said, "over": {}})
            for field in ("data", "trained_on"):
                known[field] = list(dict.fromkeys([*known[field], *said[field]]))
            for metric, over in said["over"].items():
                known["over"][metric] = known["over"].get(metric, {}) | over
    return averaged


def _comparisons(found: Sequence[Mapping[str, Any]]) -> dict[str, ComparisonSpec]:
    """Returns the comparisons by name; results have the labels of their arms."""
    comparisons: dict[str, ComparisonSpec] = {}
    for part in found:
        arms = {arm["label"]: name for name, arm in part["arms"].items()}
        for rows in part["comparisons"].values():
            for name, row in rows.items():
                sides = (arms[row["arm"]], arms[row["against"]])
                comparisons.setdefault(name, ComparisonSpec(*sides, row["paper"]))
    return comparisons
