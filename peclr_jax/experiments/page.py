"""The page of results of an experiment, and a picture in the paper's form."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from peclr_jax import files
from peclr_jax.errors import UserError, printable
from peclr_jax.experiments.metrics import (
    BASELINES,
    METRICS,
    MetricName,
    evaluations_of,
    label,
    mean_of,
)
from peclr_jax.experiments.spec import STEPS
from peclr_jax.hands.averages import COMPARE
from peclr_jax.hands.scores import CONFIDENCE, Interval
from peclr_jax.pages import charts, figures


def write(results: Mapping[str, Any], workdir: Path) -> None:
    """Writes `results.json`, `results.md`, and a picture for each evaluation, `NAME.png`."""
    with files.writing(workdir / "results.json") as file:
        json.dump(results, file, indent=1, allow_nan=False)
    pictures = {}
    for evaluation in evaluations_of(results):
        figure = draw(results, evaluation)
        if figure is not None:
            pictures[evaluation] = f"{evaluation}.png"
            figures.save(figure, workdir / pictures[evaluation])
    with files.writing(workdir / "results.md") as file:
        file.write(markdown(results, pictures))


def draw(results: Mapping[str, Any], evaluation: str) -> Figure | None:
    """Draws the arms, bars or curves; None where there is nothing to draw."""
    finished = [arm for arm in results["arms"].values() if evaluation in arm["mean"]]
    compared = results["compared"]
    measured = [m for m in compared if any(mean_of(arm, evaluation, m) for arm in finished)]
    if not measured or results["figure"] == "none":
        return None
    by = results["labelled_by"].get(evaluation)
    if results["figure"] in ("curves", "steps"):
        return charts.curves(
            {label(m, labelled_by=by): _series(finished, evaluation, m) for m in measured},
            {label(m, labelled_by=by): _levels(results, evaluation, m) for m in measured},
            x_label=results["x_label"],
            doubling=results["figure"] == "steps",
        )
    panels = {}
    for m in measured:
        means = {arm["label"]: mean_of(arm, evaluation, m) for arm in finished}
        panels[label(m, labelled_by=by)] = (
            {label: value for label, value in means.items() if value is not None},
            {
                BASELINES[name]: values[m]
                for name, values in results["nothing"][evaluation].items()
                if m in values
            },
        )
    return charts.bars(panels)


def _series(
    arms: Sequence[Mapping[str, Any]], evaluation: str, metric: str
) -> dict[str, list[charts.CurvePoint]]:
    """Returns the points of each curve."""
    series: dict[str, list[charts.CurvePoint]] = {}
    for arm in sorted(arms, key=lambda arm: arm["x"]):
        mean = mean_of(arm, evaluation, metric)
        if mean is not None and arm["series"]:
            of_seeds = {
                seed: scores[evaluation][metric]
                for seed, scores in arm["seeds"].items()
                if metric in scores.get(evaluation, {})
            }
            point = charts.CurvePoint(arm["x"], mean.value, of_seeds if len(of_seeds) > 1 else {})
            series.setdefault(arm["series"], []).append(point)
    return series


def _levels(results: Mapping[str, Any], evaluation: str, metric: str) -> dict[str, float]:
    """Returns what has one value for all of a curve: arms of none, and the mean pose."""
    arms = (arm for arm in results["arms"].values() if not arm["series"])
    means = {arm["label"]: mean_of(arm, evaluation, metric) for arm in arms}
    levels = {name: mean.value for name, mean in means.items() if mean is not None}
    pose = results["nothing"].get(evaluation, {}).get("mean_pose", {}).get(metric)
    return levels if pose is None else {**levels, BASELINES["mean_pose"]: pose}


def over_steps(
    experiments: Sequence[Mapping[str, Any]], evaluation: str, metric: MetricName = "epe_2d"
) -> Figure:
    """Draws one metric over the steps of pre-training, the arms of several experiments together.

    Args:
      experiments: What `results.json` of each holds, with arms at several steps; a series that two
        of them have is drawn from the first.
      evaluation: Its name.
      metric: Its name.

    Raises:
      UserError: No arm has that metric over steps.
    """
    series: dict[str, Any] = {}
    levels: dict[str, float] = {}
    for results in experiments:
        for name, points in _series([*results["arms"].values()], evaluation, metric).items():
            series.setdefault(name, points)
        for name, value in _levels(results, evaluation, metric).items():
            levels.setdefault(name, value)
    if not series or any(results["x_label"] != STEPS for results in experiments):
        raise UserError(
            f"these results have no {metric} over steps on {evaluation!r}: name those of an "
            "experiment with the variant 'course', and one of its evaluations"
        )
    quantity = label(metric, labelled_by=experiments[0]["labelled_by"].get(evaluation))
    return charts.curves({quantity: series}, {quantity: levels}, x_label=STEPS, doubling=True)


def markdown(results: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Returns the page of results; pictures are named by their evaluation."""
    lines = [
        f"# {results['title']}",
        "",
        f"**Data: {results['data']}.** {results['network']}; seeds "
        f"{', '.join(map(str, results['seeds']))}; recipe `{results['recipe']}`; "
        f"{results['devices']}, jax {results['versions']['jax']}.",
        "",
        *_changed(results.get("changed", {})),
        f"The paper: {results['claim']}",
        *_photographs(results["photographs"]),
    ]
    for evaluation in evaluations_of(results):
        lines += ["", f"## On {evaluation.replace('_', ' ')}", "", *_table(results, evaluation)]
        lines += ["", *_averaged(results, evaluation)]
        if evaluation in pictures:
            lines += ["", f"![{results['title']}]({pictures[evaluation]})"]
        rows = results["comparisons"].get(evaluation, {})
        if rows:
            agreed = evaluation in results["labelled_by"]
            lines += ["", *_comparison_table(rows, results["compared"], agreed)]
    if results["equivariance"]:
        lines += ["", "## Equivariance", "", *_equivariance_table(results["equivariance"])]
    lines += [
        "",
        f"Means over the seeds with {100 * CONFIDENCE:.0f} % intervals by Student's t. The mean "
        "pose and the mean hand are the training labels', without a look at the image.",
    ]
    if results["unfinished"]:
        lines += ["", _unfinished(results["unfinished"], len(results["seeds"]))]
    return "\n".join(lines) + "\n"


def _changed(fields: Mapping[str, Any]) -> list[str]:
    """Returns a paragraph on the fields that flags changed, none if there are none."""
    if not fields:
        return []
    flags = ", ".join(f"`{printable(f'--config.{key}={fields[key]}')}`" for key in fields)
    return [f"Changed from the recipe: {flags}.", ""]


def _unfinished(runs: Sequence[str], seeds: int) -> str:
    """Returns a sentence on runs, "ARM, seed N", that names each arm once."""
    by_arm: dict[str, list[str]] = {}
    for run in runs:
        arm, _, seed = run.partition(", seed ")
        by_arm.setdefault(arm, []).append(seed)
    parts = [
        arm if len(missing) == seeds else f"{arm} (seed {', '.join(missing)})"
        for arm, missing in by_arm.items()
    ]
    return f"Not on this page, left out or not finished: {', '.join(parts)}."


def _table(results: Mapping[str, Any], evaluation: str) -> list[str]:
    shown = [
        name
        for name in results["metrics"]
        if any(mean_of(arm, evaluation, name) for arm in results["arms"].values())
    ]
    rows = []
    for arm in results["arms"].values():
        values = {name: mean_of(arm, evaluation, name) for name in shown}
        if any(values.values()):
            count, total = len(arm["seeds"]), len(results["seeds"])
            fewer = "" if count == total else f" ({count} of {total} seeds)"
            rows.append([arm["label"] + fewer, *(_text(v, n) for n, v in values.items())])
    for predictor, found in results["nothing"].get(evaluation, {}).items():
        only = {name: Interval(value, None, None) for name, value in found.items()}
        rows.append([BASELINES[predictor], *(_text(only.get(name), name) for name in shown)])
    for source, numbers in results["paper"].get(evaluation, {}).items():
        rows.append([source, *(str(numbers.get(name, "")) for name in shown)])
    scaled = results["averaged"][evaluation]["scaled_bone_m"]
    by = results["labelled_by"].get(evaluation)
    lines = _markdown_table(["", *(label(name, scaled, by) for name in shown)], len(shown), rows)
    if by is None:
        return lines
    return [*lines, "", f"Not errors: mean distances from what {by} says, which may be wrong."]


def _photographs(parts: Mapping[str, Any]) -> list[str]:
    """Returns a table of the photographs of each part."""
    if not parts:
        return []
    rows = []
    for part, found in parts.items():
        sets = [
            f"{name} ({one['photographs']:,}; {one['persons']})"
            for name, one in found["sets"].items()
        ]
        hands = "" if found["hands"] is None else f"{found['hands']:,}"
        rows.append([part, f"{found['photographs']:,}", hands, ", ".join(sets)])
    header = ["photographs of", "photographs", "hands found", "sets (photographs; persons)"]
    return ["", *_markdown_table(header, 2, rows)]


def _averaged(results: Mapping[str, Any], evaluation: str) -> list[str]:
    """Returns what the table's numbers are means over, those of the same joints together."""
    said = results["averaged"][evaluation]
    shown: dict[tuple[str, ...], list[str]] = {}
    complete = True
    for metric, over in said["over"].items():
        if metric in results["metrics"]:
            shown.setdefault(tuple(over), []).append(METRICS[metric].label.partition(",")[0])
            complete &= all(over.values())
    lines = [f"Data: {', '.join(said['data'])}."]
    for over, labels in shown.items():
        what = "Means are" if len(shown) == 1 else f"{', '.join(labels)}:"
        lines.append(f"{what} over {' or '.join(over)}.")
    if not complete:
        paper = results["paper"].get(evaluation)
        of_paper = " The paper's numbers may be over all 21." if paper else ""
        lines.append(f"**Not all joints are labelled.** {COMPARE}{of_paper}")
    return [" ".join([*lines, *(f"**Note: {note}.**" for note in said["trained_on"])])]


def _comparison_table(
    rows: Mapping[str, Any], compared: Sequence[MetricName], agreed: bool
) -> list[str]:
    names = [name for name in compared if any(name in row["metrics"] for row in rows.values())]
    labels = [METRICS[name].label.split(",")[0] for name in names]
    header = ["distance less by" if agreed else "error less by", *labels, "paper"]
    lines = []
    for row in rows.values():
        if row["shown"]:
            found = [row["metrics"].get(name) for name in names]
            cells = [f and _percent(f["reduction"], factor=100.0, bold=f["apart"]) for f in found]
            lines.append([f"{row['arm']} than {row['against']}", *cells, row["paper"]])
    told = []
    if lines:
        told = [
            *_markdown_table(header, len(names), lines),
            "",
            "Reductions are taken seed by seed; **bold**: the two arms' own intervals are apart.",
        ]
    if missing := len(rows) - len(lines):
        told += ["", f"Not shown, for an arm was not run: {missing} of {len(rows)} comparisons."]
    return told


def _equivariance_table(improvements: Mapping[str, Mapping[str, Any]]) -> list[str]:
    kinds = ("rotation", "translation")
    rows = [
        [name.replace("_", " "), *(kind in found and _percent(found[kind]) for kind in kinds)]
        for name, found in improvements.items()
    ]
    return _markdown_table(["equivariance error less by", *kinds], len(kinds), rows)


def _markdown_table(header: list[str], numbers: int, rows: list[list[Any]]) -> list[str]:
    """Returns the lines of a table whose second and next columns are `numbers` of numbers."""
    rule = ["---"] + ["---:"] * numbers + ["---"] * (len(header) - numbers - 1)
    return [f"| {' | '.join(cell or '' for cell in row)} |" for row in (header, rule, *rows)]


def _percent(
    interval: Mapping[str, float | None], *, factor: float = 1.0, bold: bool = False
) -> str:
    value, *ends = (None if x is None else f"{factor * x:.1f}" for x in interval.values())
    text = f"{value} %" if None in ends else f"{value} % [{', '.join(map(str, ends))}]"
    return f"**{text}**" if bold else text


def _text(value: Interval | None, metric: MetricName) -> str:
    if value is None:
        return ""
    text = f"{value.value:.{METRICS[metric].digits}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} ± {value.high - value.value:.{METRICS[metric].digits}f}"
