"""A table or a figure of the paper: its arms through the other tasks, then one page of results."""

import json
import time
from pathlib import Path

import jax
from ml_collections import ConfigDict
from rich.console import Console

from peclr_jax import input_pipeline, specs
from peclr_jax.errors import UserError
from peclr_jax.experiments import metrics as experiment_metrics
from peclr_jax.experiments import page as experiment_page
from peclr_jax.experiments import plan as experiment_plan
from peclr_jax.experiments import results as experiment_results
from peclr_jax.experiments.plan import Evaluation, Run
from peclr_jax.networks.spec import EquivarianceSpec, EvaluateSpec
from peclr_jax.runs import pose_recipe, recipe
from peclr_jax.runs.initialisation import ENCODER_FIELDS
from peclr_jax.runs.once import run_once
from peclr_jax.tasks import equivariance, evaluate, finetune, pretrain

_TASKS = {"pretrain": pretrain.run, "finetune": finetune.run}


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains and evaluates the arms that are not finished, and writes what all of them come to.

    Writes to `workdir`: `results.json`, `results.md` and pictures, of the arms that are finished;
    to `config.networks_dir`: a workdir for each training.

    Raises:
      UserError: an impossible config, or a folder that holds a run of another one.
      MissingFileError: data that are not there.
    """
    began = time.perf_counter()
    check(config)
    console = Console()
    runs = experiment_plan.plan(config)
    chosen = experiment_plan.choose(runs, config.only)
    check_trainings(chosen)
    check_data(config)
    for arm in chosen:
        for training in arm.trainings:
            run_once(_TASKS[training.config.task], training.config, training.workdir, console)
        for evaluation in arm.evaluations.values():
            evaluate_once(evaluation)
    finished = [arm for arm in runs if all(map(_done, arm.evaluations.values()))]
    moved = measure_equivariance(config, finished, workdir)
    results = experiment_results.collect(config, finished, moved)
    experiment_page.write(results, workdir)
    console.print(
        f"\n{(time.perf_counter() - began) / 60:.1f} minutes. Look at {workdir / 'results.md'}",
        highlight=False,
        soft_wrap=True,
    )


def check(config: ConfigDict) -> None:
    """Checks the fields that are the experiment's own before anything is trained.

    Raises:
      UserError: one sentence that names the field and the remedy.
    """
    if not config.seeds:
        raise UserError("--config.seeds is empty; give at least one, for example (0,)")
    recipe.check_choice("figure", config.figure, experiment_page.FIGURES)
    for metric in config.metrics:
        recipe.check_choice("metrics", metric, experiment_metrics.METRICS)
    for name, comparison in config.comparisons.items():
        for field in ("arm", "against"):
            recipe.check_choice(f"comparisons.{name}.{field}", comparison[field], config.arms)


def check_trainings(runs: list[Run]) -> None:
    """Checks the trainings of all arms, so that the last one's mistake is not found after days.

    Raises:
      UserError: one sentence that names the field and the remedy.
    """
    for run in runs:
        *pretrainings, tuning = run.trainings
        resolved = ConfigDict(tuning.config.to_dict())
        for pretraining in pretrainings:
            recipe.check_pretraining(pretraining.config, jax.device_count())
            resolved.model.update({name: pretraining.config.model[name] for name in ENCODER_FIELDS})
        pose_recipe.check_finetuning(resolved, jax.device_count())


def check_data(config: ConfigDict) -> None:
    """Opens the data sets that networks will be evaluated on, which may take days to be trained.

    Records that are still to be written from raw files are written here.

    Raises:
      MissingFileError: no records and no raw files.
      UserError: broken raw files.
    """
    for evaluation in config.evaluations.values():
        wanted = evaluation.data
        if not (wanted.names or wanted.manual_dir):
            continue
        # Imported here because this is what brings TensorFlow in.
        from peclr_jax.input_pipeline import datasets

        data = input_pipeline.default_config()
        for name in ("names", "manual_dir", "data_dir"):
            data[name] = wanted[name] or data[name]
        datasets.open_datasets(data)


def evaluate_once(evaluation: Evaluation) -> None:
    """Evaluates a network unless that was done before."""
    if not _done(evaluation):
        spec = specs.from_config(EvaluateSpec, evaluation.config)
        evaluate.evaluate(spec, evaluation.workdir)


def _done(evaluation: Evaluation) -> bool:
    return (evaluation.workdir / experiment_results.METRICS_FILE).exists()


def measure_equivariance(
    config: ConfigDict, finished: list[Run], workdir: Path
) -> dict[str, dict[int, dict]]:
    """Measures how much more equivariant the arms are than those that they are compared with.

    Args:
      config: the experiment's; `config.equivariance` as in configs/equivariance.py, but None
        where the experiment does not ask.
      finished: runs whose networks are trained.
      workdir: in which each measurement has a folder of its own.

    Returns:
      By comparison and seed what `equivariance.json` holds.
    """
    if config.equivariance is None:
        return {}
    networks = {(run.arm, run.seed): run.network for run in finished}
    found: dict[str, dict[int, dict]] = {}
    for name, comparison in config.comparisons.items():
        for seed in config.seeds:
            pair = [networks.get((comparison[side], seed)) for side in ("arm", "against")]
            if None in pair:
                continue
            settings = ConfigDict(config.equivariance.to_dict())
            settings.checkpoint, settings.baseline = map(str, pair)
            experiment_plan.name_places(settings.data, config.finetune.data)
            folder = workdir / f"equivariance-{name}-{seed}-{experiment_plan.digest(settings)}"
            if not (folder / "equivariance.json").exists():
                equivariance.compare(specs.from_config(EquivarianceSpec, settings), folder)
            found.setdefault(name, {})[seed] = json.loads(
                (folder / "equivariance.json").read_text(encoding="utf-8")
            )
    return found
