"""What an experiment would do, as tables to hold against the paper; nothing is opened for them."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from peclr_jax.experiments import plan as plans
from peclr_jax.experiments.metrics import METRICS
from peclr_jax.experiments.plan import Run
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.networks.evaluation_data import default_split, describe_data
from peclr_jax.networks.spec import EvaluateSpec
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec, RunSpec
from peclr_jax.terminal import Console

_WIDTH = 240  # of what is no terminal, where lines that are cut could not be searched
_CROPS = {"box": "labelled box", "two_pass": "two passes, no label"}


class Sheet(NamedTuple):
    """A table: its title, the names of its columns, and its cells."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def sheets(spec: ExperimentSpec) -> list[Sheet]:
    """Returns what is trained, what it is evaluated on, and what the paper has in its place."""
    first = [run for run in plans.plan(spec) if run.seed == spec.seeds[0]]
    runs = [run for run in first if run.arm in spec.chosen]
    return [_pretraining(spec, runs), _finetuning(spec, runs), _evaluation(spec), *_paper(spec)]


def show(spec: ExperimentSpec, console: Console) -> None:
    """Prints the sheets, and what the experiment is to show."""
    if not console.is_terminal:
        console.width = _WIDTH
    seeds = ", ".join(map(str, spec.seeds))
    console.print(f"{spec.title}; seeds {seeds}", highlight=False, markup=False, soft_wrap=True)
    for sheet in sheets(spec):
        table = Table(title=sheet.title, title_justify="left")
        for column in sheet.columns:
            table.add_column(column, overflow="fold")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table, markup=False)
    console.print(f"The paper: {spec.claim}", highlight=False, markup=False, soft_wrap=True)


def _pretraining(spec: ExperimentSpec, runs: Sequence[Run]) -> Sheet:
    rows = []
    for run in runs:
        training = run.trainings[0].spec
        if isinstance(training, PretrainSpec):
            cells = _data(training.data), _network(training), _objective(training)
            rows.append((spec.arms[run.arm].label, *cells, *_length(training)))
        else:
            rows.append((spec.arms[run.arm].label, "none", "", "", "", "", ""))
    columns = ("arm", "data (split)", "network", "objective", "view", "length", "batch")
    return Sheet("Pre-training", columns, rows)


def _finetuning(spec: ExperimentSpec, runs: Sequence[Run]) -> Sheet:
    rows = []
    for run in runs:
        training = run.trainings[-1].spec
        encoder = run.trainings[0].spec
        network = f"{_network(encoder)}, {_trained(training)}"
        labels = f"{100 * training.data.label_fraction:g} %"
        cells = _data(training.data), labels, network
        rows.append((spec.arms[run.arm].label, *cells, *_length(training)))
    columns = ("arm", "data (split)", "labels", "network", "view", "length", "batch")
    return Sheet("Fine-tuning", columns, rows)


def _evaluation(spec: ExperimentSpec) -> Sheet:
    units = "; ".join(METRICS[name].label for name in spec.metrics)
    rows = [
        (name, _evaluated_on(spec, wanted), _CROPS[wanted.crop], units)
        for name, wanted in spec.evaluations.items()
    ]
    return Sheet("Evaluation", ("name", "data (split)", "crop", "columns"), rows)


def _paper(spec: ExperimentSpec) -> list[Sheet]:
    found = []
    for evaluation, numbers in spec.paper.items():
        shown = [name for name in spec.metrics if any(name in row for row in numbers.values())]
        rows = [
            (label, *(str(row.get(name, "")) for name in shown)) for label, row in numbers.items()
        ]
        columns = ("", *(METRICS[name].label for name in shown))
        found.append(Sheet(f"The paper's numbers, {evaluation}", columns, rows))
    compared = [
        (f"{spec.arms[one.arm].label} than {spec.arms[one.against].label}", one.paper)
        for one in spec.comparisons.values()
    ]
    if compared:
        found.append(Sheet("Comparisons: errors of", ("", "the paper"), compared))
    return found


def _data(data: DataSpec) -> str:
    rendered = f"rendered ({data.rendered.count})"
    if data.source == "rendered":
        return rendered
    sets = [f"{name} ({split})" for name, split in zip(data.record_names, data.splits, strict=True)]
    return ", ".join([*sets, rendered] if data.is_mixed else sets)


def _network(training: PretrainSpec | FinetuneSpec) -> str:
    model = training.model
    return model.architecture if model.width == 64 else f"{model.architecture}, width {model.width}"


def _trained(training: FinetuneSpec) -> str:
    return f"{'frozen, ' if training.model.frozen else ''}{training.model.head} head"


def _objective(training: PretrainSpec) -> str:
    loss, data = training.loss, training.data
    beyond = {
        f"pairs: {data.pairs}": data.is_paired,
        f"moved by {data.rendered.motion_deg:g} degrees": data.rendered.motion_deg > 0,
        f"weights: {loss.weights}": loss.weights != "equal",
        f"maps: {loss.maps:g}": loss.maps > 0,
    }
    asked = [text for text, is_asked in beyond.items() if is_asked]
    return ", ".join([loss.objective, f"temperature {loss.temperature:g}", *asked])


def _length(training: RunSpec) -> tuple[str, str, str]:
    length = (
        f"{training.num_steps} steps" if training.num_steps else f"{training.num_epochs:g} epochs"
    )
    return f"{training.views.size} px", length, str(training.batch_size)


def _evaluated_on(spec: ExperimentSpec, wanted: EvaluateSpec) -> str:
    data = plans.evaluated_on(wanted.data, spec.finetune.data)
    return describe_data(data, wanted.split or default_split(data))
