"""What an experiment comes to: results.json, results.md and a picture in the paper's form."""

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from peclr_jax import files, plots
from peclr_jax.hands.scores import CONFIDENCE, Interval
from peclr_jax.tasks import seeds
from peclr_jax.tasks.experiment_plan import Run
from peclr_jax.tasks.once import SUMMARY

METRICS_FILE = "metrics.json"
FIGURES = ("bars", "curves", "none")
_PACKAGES = ("jax", "jaxlib", "flax", "optax")


class Metric(NamedTuple):
    """A column of the table.

    Attributes:
      label: for people, with the unit.
      kind: of error, in metrics.json.
      statistic: "mean" or "auc".
      factor: from metres or pixels to the unit of the label.
      digits: after the point.
      error: whether less is better.
    """

    label: str
    kind: str
    statistic: str
    factor: float
    digits: int
    error: bool


METRICS = {
    "epe_2d": Metric("2D EPE, px of the view", "2d_view", "mean", 1.0, 2, True),
    "epe_3d": Metric("3D EPE, cm", "3d", "mean", 100.0, 2, True),
    "root_aligned": Metric("root-aligned EPE, cm", "root_aligned", "mean", 100.0, 2, True),
    "pa_epe": Metric("PA-EPE, cm", "pa", "mean", 100.0, 3, True),
    "auc": Metric("AUC", "3d", "auc", 1.0, 3, False),
    "pa_auc": Metric("PA-AUC", "pa", "auc", 1.0, 3, False),
}
"""By the name in results.json."""
COMPARED = ("epe_2d", "root_aligned", "pa_epe")
"""What arms are compared by; the first is drawn alone where it must be one."""
NOTHING = {"mean_pose": "mean pose", "mean_hand": "mean hand"}
"""Predictors that do not look at the image."""


def collect(
    config: ConfigDict, runs: Sequence[Run], moved: Mapping[str, Mapping[int, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Gathers what the finished runs measured.

    Args:
      config: the experiment's.
      runs: those that are finished.
      moved: by comparison and seed, what the equivariance task measured; may be empty.

    Returns:
      Fit for JSON: what was run and with what; "arms", each with every number of every seed and
      their means with intervals; "nothing", what the training labels' mean pose and mean hand
      score; "comparisons"; and "equivariance", improvements in per cent.
    """
    measured = {(run.arm, run.seed): _measure(run) for run in runs}
    arms: dict[str, Any] = {}
    for name, arm in config.arms.items():
        of_seeds = {seed: measured[name, seed] for seed in config.seeds if (name, seed) in measured}
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
        "experiment": config.name,
        "title": config.title,
        "claim": config.claim,
        "recipe": config.recipe,
        "data": config.data_name,
        "network": _describe_network(config),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "seeds": list(config.seeds),
        "figure": config.figure,
        "x_label": config.x_label,
        "metrics": list(config.metrics),
        "paper": config.paper.to_dict(),
        "arms": arms,
        "unfinished": [
            f"{name}, seed {seed}"
            for seed in config.seeds
            for name in config.arms
            if (name, seed) not in measured
        ],
        "nothing": _knowing_nothing(runs),
        "comparisons": _compare(config, measured),
        "equivariance": _improvements(moved),
    }


def write(results: Mapping[str, Any], workdir: Path) -> None:
    """Writes `results.json`, `results.md`, and a picture for each evaluation, `NAME.png`."""
    with files.writing(workdir / "results.json") as file:
        json.dump(results, file, indent=1, allow_nan=False)
    pictures = {}
    for evaluation in _evaluations(results):
        figure = draw(results, evaluation)
        if figure is not None:
            pictures[evaluation] = f"{evaluation}.png"
            plots.save(figure, workdir / pictures[evaluation])
    with files.writing(workdir / "results.md") as file:
        file.write(markdown(results, pictures))


def draw(results: Mapping[str, Any], evaluation: str) -> Figure | None:
    """Draws the arms in the paper's form: bars beside each other, or curves over a quantity.

    Args:
      results: what `collect` returns.
      evaluation: which of the evaluations.

    Returns:
      The figure; None where there is nothing to draw.
    """
    finished = {
        name: arm for name, arm in results["arms"].items() if evaluation in arm.get("mean", {})
    }
    names = [m for m in COMPARED if any(_value(arm, evaluation, m) for arm in finished.values())]
    if not names or results["figure"] == "none":
        return None
    panels = {}
    nothing = results["nothing"].get(evaluation, {})
    for name in names:
        points = {
            arm["label"]: value
            for arm in finished.values()
            if (value := _value(arm, evaluation, name)) is not None
        }
        panels[METRICS[name].label] = (
            points,
            {NOTHING[key]: values[name] for key, values in nothing.items() if name in values},
        )
    if results["figure"] == "bars":
        return plots.bars(panels)
    curves: dict[str, dict[str, list]] = {}
    for name in names:
        series = curves.setdefault(METRICS[name].label, {})
        for arm in sorted(finished.values(), key=lambda arm: arm["x"]):
            value = _value(arm, evaluation, name)
            if value is not None:
                series.setdefault(arm["series"], []).append((arm["x"], *value))
    return plots.curves(curves, x_label=results["x_label"])


def markdown(results: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Returns the page of results.

    Args:
      results: what `collect` returns.
      pictures: evaluation to the name of its picture beside the page.
    """
    lines = [
        f"# {results['title']}",
        "",
        f"**Data: {results['data']}.** {results['network']}; {len(results['seeds'])} seeds "
        f"({', '.join(map(str, results['seeds']))}); recipe `{results['recipe']}`; "
        f"{results['devices']}, jax {results['versions']['jax']}.",
        "",
        f"The paper: {results['claim']}",
    ]
    for evaluation in _evaluations(results):
        lines += ["", f"## On {evaluation.replace('_', ' ')}", "", *_table(results, evaluation)]
        if evaluation in pictures:
            lines += ["", f"![{results['title']}]({pictures[evaluation]})"]
        rows = results["comparisons"].get(evaluation, {})
        if rows:
            lines += ["", *_comparison_table(rows)]
    if results["equivariance"]:
        lines += ["", "## Equivariance", "", *_equivariance_table(results["equivariance"])]
    lines += [
        "",
        f"Means over the seeds with {100 * CONFIDENCE:.0f} % intervals by Student's t. The mean "
        "pose and the mean hand are the training labels', without a look at the image.",
    ]
    if results["unfinished"]:
        lines += ["", f"Not finished yet: {'; '.join(results['unfinished'])}."]
    return "\n".join(lines) + "\n"


def _measure(run: Run) -> dict[str, dict[str, float]]:
    """Every metric of every evaluation of one run, in the metrics' units."""
    found = {}
    for name, evaluation in run.evaluations.items():
        scores = _read(evaluation.workdir / METRICS_FILE)["prediction"]
        found[name] = _in_units(scores)
    return found


def _in_units(scores: Mapping[str, Any]) -> dict[str, float]:
    values = {}
    for name, metric in METRICS.items():
        kind = scores.get(metric.kind)
        if kind is not None:
            values[name] = metric.factor * kind[metric.statistic]["value"]
    return values


def _knowing_nothing(runs: Sequence[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """What the first run's training labels alone score: evaluation, predictor, metric."""
    if not runs:
        return {}
    return {
        name: {
            predictor: _in_units(_read(evaluation.workdir / METRICS_FILE)[predictor])
            for predictor in NOTHING
        }
        for name, evaluation in runs[0].evaluations.items()
    }


def _over_seeds(
    of_seeds: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Evaluation, then metric, to its mean over the seeds with an interval."""
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
    config: ConfigDict, measured: Mapping[tuple[str, int], Mapping[str, Mapping[str, float]]]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, comparison in config.comparisons.items():
        both = [
            seed
            for seed in config.seeds
            if (comparison.arm, seed) in measured and (comparison.against, seed) in measured
        ]
        if not both:
            continue
        for evaluation, metrics in measured[comparison.arm, both[0]].items():
            ours, theirs = (
                {
                    metric: [measured[arm, seed][evaluation][metric] for seed in both]
                    for metric in COMPARED
                    if metric in metrics
                }
                for arm in (comparison.arm, comparison.against)
            )
            found.setdefault(evaluation, {})[name] = {
                "arm": config.arms[comparison.arm].label,
                "against": config.arms[comparison.against].label,
                "paper": comparison.paper,
                "metrics": {
                    metric: {
                        "reduction": compared.reduction._asdict(),
                        "apart": compared.apart,
                    }
                    for metric in ours
                    if (compared := seeds.compare(ours[metric], theirs[metric]))
                },
            }
    return found


def _improvements(
    moved: Mapping[str, Mapping[int, Mapping[str, Any]]],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Mean improvements in per cent over the seeds, by comparison and kind of transformation."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for name, of_seeds in moved.items():
        found[name] = {
            kind: seeds.mean(
                [measured["improvement_percent"][f"mean_{kind}"] for measured in of_seeds.values()]
            )._asdict()
            for kind in ("rotation", "translation")
        }
    return found


def _table(results: Mapping[str, Any], evaluation: str) -> list[str]:
    shown = [
        name
        for name in results["metrics"]
        if any(_value(arm, evaluation, name) for arm in results["arms"].values())
    ]
    rows = [
        ["", *(METRICS[name].label for name in shown)],
        ["---"] + ["---:"] * len(shown),
    ]
    for arm in results["arms"].values():
        values = [_value(arm, evaluation, name) for name in shown]
        if any(values):
            texts = (_text(value, METRICS[n]) for n, value in zip(shown, values, strict=True))
            rows.append([arm["label"], *texts])
    for predictor, values in results["nothing"].get(evaluation, {}).items():
        cells = [
            f"{values[name]:.{METRICS[name].digits}f}" if name in values else "" for name in shown
        ]
        rows.append([NOTHING[predictor], *cells])
    for source, numbers in results["paper"].items():
        rows.append([source, *(str(numbers.get(name, "")) for name in shown)])
    return [f"| {' | '.join(row)} |" for row in rows]


def _comparison_table(rows: Mapping[str, Any]) -> list[str]:
    names = [name for name in COMPARED if any(name in row["metrics"] for row in rows.values())]
    header = ["error less by", *(METRICS[name].label.split(",")[0] for name in names), "paper"]
    lines = [header, ["---"] + ["---:"] * len(names) + ["---"]]
    for row in rows.values():
        cells = []
        for name in names:
            found = row["metrics"].get(name)
            cells.append("" if found is None else _percent(found["reduction"], found["apart"]))
        lines.append([f"{row['arm']} than {row['against']}", *cells, row["paper"]])
    return [
        *(f"| {' | '.join(line)} |" for line in lines),
        "",
        "Reductions are taken seed by seed; **bold**: the two arms' own intervals are apart.",
    ]


def _equivariance_table(improvements: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [
        "| equivariance error less by | rotation | translation |",
        "| --- | ---: | ---: |",
    ]
    for name, kinds in improvements.items():
        cells = [
            _percent({k: v and v / 100 for k, v in kinds[kind].items()}, apart=False)
            for kind in ("rotation", "translation")
        ]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


def _percent(reduction: Mapping[str, float | None], apart: bool) -> str:
    value, low, high = (
        None if end is None else 100 * end
        for end in (reduction["value"], reduction["low"], reduction["high"])
    )
    text = f"{value:.1f} %"
    if low is not None and high is not None:
        text += f" [{low:.1f}, {high:.1f}]"
    return f"**{text}**" if apart else text


def _text(value: Interval | None, metric: Metric) -> str:
    if value is None:
        return ""
    text = f"{value.value:.{metric.digits}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} ± {value.high - value.value:.{metric.digits}f}"


def _value(arm: Mapping[str, Any], evaluation: str, metric: str) -> Interval | None:
    found = arm["mean"].get(evaluation, {}).get(metric)
    return None if found is None else Interval(**found)


def _evaluations(results: Mapping[str, Any]) -> list[str]:
    """The names of the evaluations that any arm has finished, in order."""
    return list(dict.fromkeys(name for arm in results["arms"].values() for name in arm["mean"]))


def _describe_network(config: ConfigDict) -> str:
    model = config.pretrain.model
    width = "" if model.width == 64 else f" of width {model.width}"
    return f"{model.architecture}{width} at {config.pretrain.views.size} px"


def _seconds(workdir: Path) -> float:
    return _read(workdir / SUMMARY)["seconds"]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
