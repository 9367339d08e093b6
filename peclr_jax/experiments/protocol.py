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
from peclr_jax.views.spec import ViewSpec

_WIDTH = 240  # of what is no terminal, where lines that are cut could not be searched
_TRAINING = ("view", "augmentation", "optimizer", "length", "batch")
_APPEARANCE = {
    "color_drop": "colour drop",
    "cutout": "cut-out",
    "blur": "blur",
    "noise": "noise",
    "sobel": "Sobel filter",
}
_CROPS = {"box": "labelled box", "two_pass": "two passes, no label"}


class Sheet(NamedTuple):
    """A table.

    Attributes:
      title, columns, rows: Its title, the names of its columns, and its cells.
      is_of_arms: Whether its rows are arms, of which only what differs is worth a column.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    is_of_arms: bool = False


def sheets(spec: ExperimentSpec) -> list[Sheet]:
    """Returns what is trained, what it is evaluated on, and what the paper has in its place."""
    first = [run for run in plans.plan(spec) if run.seed == spec.seeds[0]]
    runs = [run for run in first if run.arm in spec.chosen]
    trained = [_pretraining(spec, runs), _finetuning(spec, runs)]
    return [*trained, _evaluation(spec), *_equivariance(spec), *_paper(spec)]


def show(spec: ExperimentSpec, console: Console) -> None:
    """Prints the sheets, and what the experiment is to show."""
    if not console.is_terminal:
        console.width = _WIDTH
    seeds = ", ".join(map(str, spec.seeds))
    console.print(f"{spec.title}; seeds {seeds}", highlight=False, markup=False, soft_wrap=True)
    for sheet in sheets(spec):
        _show(sheet, console)
    console.print(f"The paper: {spec.claim}", highlight=False, markup=False, soft_wrap=True)


def _show(sheet: Sheet, console: Console) -> None:
    """Prints a table, and below it what is the same for all arms."""
    columns = dict(zip(sheet.columns, zip(*sheet.rows, strict=True), strict=True))
    # "" where there is nothing to tell, as of a pre-training that an arm does not have.
    shared = {
        name: max(cells)
        for name, cells in columns.items()
        if sheet.is_of_arms and len(sheet.rows) > 1 and len(set(cells) - {""}) == 1
    }
    differing = {name: cells for name, cells in columns.items() if name not in shared}
    table = Table(title=sheet.title, title_justify="left")
    for name in differing:
        table.add_column(name, overflow="fold")
    for row in zip(*differing.values(), strict=True):
        table.add_row(*row)
    console.print(table, markup=False)
    if shared:
        told = "; ".join(f"{name}: {cell}" for name, cell in shared.items())
        console.print(
            f"The same for all arms: {told}\n", highlight=False, markup=False, soft_wrap=True
        )


def _pretraining(spec: ExperimentSpec, runs: Sequence[Run]) -> Sheet:
    rows = []
    for run in runs:
        training = run.trainings[0].spec
        if isinstance(training, PretrainSpec):
            cells = _data(training.data), _network(training), _objective(training)
            rows.append((spec.arms[run.arm].label, *cells, *_training(training)))
        else:
            rows.append((spec.arms[run.arm].label, "none", *[""] * (2 + len(_TRAINING))))
    columns = ("arm", "data (split)", "network", "objective", *_TRAINING)
    return Sheet("Pre-training", columns, rows, is_of_arms=True)


def _finetuning(spec: ExperimentSpec, runs: Sequence[Run]) -> Sheet:
    rows = []
    for run in runs:
        training = run.trainings[-1].spec
        encoder = run.trainings[0].spec
        network = f"{_network(encoder)}, {_trained(training)}"
        labels = f"{100 * training.data.label_fraction:g} %"
        cells = _data(training.data), labels, network
        rows.append((spec.arms[run.arm].label, *cells, *_training(training)))
    columns = ("arm", "data (split)", "labels", "network", *_TRAINING)
    return Sheet("Fine-tuning", columns, rows, is_of_arms=True)


def _evaluation(spec: ExperimentSpec) -> Sheet:
    units = "; ".join(METRICS[name].label for name in spec.metrics)
    rows = [
        (name, _evaluated_on(spec, wanted), _CROPS[wanted.crop], units)
        for name, wanted in spec.evaluations.items()
    ]
    return Sheet("Evaluation", ("name", "data (split)", "crop", "columns"), rows)


def _equivariance(spec: ExperimentSpec) -> list[Sheet]:
    if (wanted := spec.equivariance) is None:
        return []
    images = f"the first {wanted.images} of each" if wanted.images else "all of each"
    turned = _range((-wanted.rotation_deg, wanted.rotation_deg))
    moved = _range((-wanted.translation_px, wanted.translation_px))
    rows = [
        ("rotation", f"{turned} deg, every {wanted.rotation_step_deg:g}", images),
        (
            "translation",
            f"{moved} px of 128 along both axes, every {wanted.translation_step_px:g}",
            images,
        ),
    ]
    return [Sheet("Equivariance, of every comparison", ("", "range", "evaluation's images"), rows)]


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
        if {one.arm, one.against} <= set(spec.chosen)
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


def _training(training: RunSpec) -> tuple[str, ...]:
    """Returns the cells of `_TRAINING`."""
    length = (
        f"{training.num_steps} steps" if training.num_steps else f"{training.num_epochs:g} epochs"
    )
    views, batch = training.views, str(training.batch_size)
    return f"{views.size} px", _augmentation(views), _optimizer(training), length, batch


def _augmentation(views: ViewSpec) -> str:
    least, most = (views.size * share for share in views.translation)
    asked = {
        f"scale {_range(views.scale)}": views.scale != (1, 1),
        f"rotation {_range((-views.rotation_deg, views.rotation_deg))} deg": views.rotation_deg > 0,
        f"translation {_range((least, most))} px": views.translation != (0, 0),
        _jitter(views): views.color_jitter,
        **{label: getattr(views, name) for name, label in _APPEARANCE.items()},
    }
    return ", ".join(text for text, is_asked in asked.items() if is_asked) or "none"


def _jitter(views: ViewSpec) -> str:
    factors = {"hue": views.hue, "saturation": views.saturation, "value": views.value_gain}
    told = ", ".join(f"{name} x {_range(factor)}" for name, factor in factors.items())
    return f"colour jitter ({told} + {_range(views.value_offset)})"


def _range(ends: tuple[float, float]) -> str:
    return "{:g} to {:g}".format(*ends)


def _optimizer(training: RunSpec) -> str:
    optimizer = training.optimizer
    rate = optimizer.learning_rate
    if isinstance(training, PretrainSpec):
        rate = training.peak_learning_rate
    warmup = 100 * optimizer.warmup_epochs / training.num_epochs
    told = f", warm-up {warmup:.2g} %" if warmup else ""
    return f"{optimizer.name} {rate:.2g}{told}"


def _evaluated_on(spec: ExperimentSpec, wanted: EvaluateSpec) -> str:
    data = plans.evaluated_on(wanted.data, spec.finetune.data)
    return describe_data(data, wanted.split or default_split(data))
