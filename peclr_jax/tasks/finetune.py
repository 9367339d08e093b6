"""Fine-tuning to 2.5D hand poses (PeCLR, Sec. 4.2 and Eq. 5), from config to checkpoint."""

import functools
import itertools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from peclr_jax import files, pages, specs
from peclr_jax.devices.mesh import local_copy, make_mesh, replicate, replicated
from peclr_jax.geometry import camera
from peclr_jax.input_pipeline import DataSpec, Source, make_source
from peclr_jax.models.pose_network import PoseNetwork
from peclr_jax.networks import hand_errors, inference
from peclr_jax.networks.estimator import Estimator
from peclr_jax.objectives import pose as losses
from peclr_jax.runs import label_statistics, memory_advice, monitor, pose_recipe, recipe
from peclr_jax.runs.initialisation import Initialisation
from peclr_jax.training import accumulation, profiling, trainer
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.progress import Progress
from peclr_jax.training.workdir import locked
from peclr_jax.views.augment import augment, denormalize, source_to_view
from peclr_jax.views.spec import ViewSpec

Variables = dict[str, Any]

# Uses of the run's seed beside training itself, which folds it by step.
_INITIALISATION, _PICTURE, _STATISTICS = range(3)
# Batches that a random encoder's BatchNorm is measured on, where it is frozen.
_STATISTICS_BATCHES = 20


def run(config: ConfigDict, workdir: Path) -> None:
    """Fine-tunes an encoder, or trains from scratch, and says how well it does.

    Writes to `workdir`: `checkpoints/`, `labels.png` (the augmented views with their labels),
    `train.log`, `metrics.jsonl`, `tensorboard/`, `loss.png`, `provenance.jsonl`, `summary.json`.
    Started again with the same config it resumes where it stopped.

    Raises:
      ValueError: an impossible config, or a workdir that holds a run of another one.
      FileNotFoundError: data or a checkpoint that are not there.
      MemoryError: the step does not fit into the device's memory; the message says what would.
      NonFiniteLossError, Preempted, OSError: see `trainer.fit`.
    """
    config, given = pose_recipe.resolve(config)
    pose_recipe.check_finetuning(config, jax.device_count())
    with locked(workdir), memory_advice.advising(config):
        recipe.check_resumable(config, workdir)
        train(config, workdir, given)


def train(config: ConfigDict, workdir: Path, given: Initialisation) -> None:
    """Does what `run` promises, in a directory that nobody else uses.

    Args:
      config: resolved and checked.
      workdir: of the run.
      given: the weights to start from.
    """
    began = time.perf_counter()
    console = Console(quiet=jax.process_index() > 0)
    mesh = make_mesh()
    spec = recipe.view_spec(config)
    source = make_source(
        specs.from_mapping(DataSpec, config.data.to_dict(), "--config.data"),
        train=True,
        batch_size=config.batch_size,
        seed=config.seed,
        mesh=mesh,
    )
    schedule = recipe.make_schedule(config, source.steps_per_epoch, config.optimizer.learning_rate)
    config.statistics = label_statistics.measure(
        source, config.batch_size, spec, config.data.source_size
    )
    describe(config, console, source.num_examples, schedule.total_steps, given.source, workdir)

    network = pose_recipe.make_pose_network(config)
    optimizer = pose_recipe.make_optimizer(config, schedule.learning_rate)
    variables = pose_recipe.initialise(
        recipe.key(config, _INITIALISATION), network, spec.size, given
    )
    if config.model.frozen and not given.variables:
        variables = measure_batch_statistics(config, network, variables, source, spec, mesh)
    held_out = source.sample(config.evaluation.images)
    draw_labels(config, held_out, spec, workdir)
    with Checkpoints(
        workdir,
        config.to_dict(),
        save_every=config.checkpoint.every_steps,
        keep_last=config.checkpoint.keep,
    ) as checkpoints:
        progress = Progress(
            workdir,
            total_steps=schedule.total_steps,
            images_per_step=config.batch_size,
            log_every=config.log.every_steps,
            console=console,
        )
        monitor.keep_provenance(config, workdir, progress)

        def score(state: trainer.TrainState) -> dict[str, float]:
            trained = local_copy({"params": state.params, "batch_stats": state.batch_stats})
            return quick_scores(Estimator(config, network, trained), held_out, config.batch_size)

        state = trainer.fit(
            replicate(trainer.create_state(variables, optimizer), mesh),
            trainer.make_train_step(
                make_gradients(config, network, spec),
                optimizer,
                mesh=mesh,
                learning_rate=schedule.learning_rate,
                skip_nonfinite=config.optimizer.skip_nonfinite > 0,
            ),
            source.batches,
            key=jax.random.key(config.seed),
            total_steps=schedule.total_steps,
            checkpoints=checkpoints,
            progress=progress,
            hooks=[trainer.Hook(config.evaluation.every_steps, lambda _, state: score(state))],
            profile=profiling.parse_steps(config.profile),
            most_skipped=config.optimizer.skip_nonfinite,
        )
        scores = score(state)
    write_summary(console, workdir, scores, time.perf_counter() - began)


def make_gradients(
    config: ConfigDict, network: PoseNetwork, spec: ViewSpec
) -> accumulation.GradientFn:
    """The gradient of Eq. 5, with the root depth's loss, on augmented views."""
    weights = config.loss.to_dict()
    side = config.data.source_size  # of the crops, which labels are given in

    def loss(
        params: Any, batch_stats: Any, batch: dict[str, Array], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Any, dict[str, Array]]]:
        view = augment(key, batch["image"], spec, batch.get("to_source"), side)
        matrix = source_to_view(view.transform, side, spec)
        target, intrinsics = losses.target_in_view(
            batch, matrix, camera.assumed_intrinsics(spec.size)
        )
        output, updates = network.apply(
            {"params": params, "batch_stats": batch_stats},
            view.images,
            intrinsics,
            train=True,
            mutable=["batch_stats"],
        )
        terms = {
            "keypoints_2d": losses.keypoints_2d(output.pose, target, spec.size),
            "relative_depth": losses.relative_depth(output.pose, target),
            "root_depth": losses.root_depth(output.root_depth, target),
        }
        total = sum(weights[name] * term for name, term in terms.items() if weights[name] > 0)
        metrics = {f"loss_{name}": term for name, term in terms.items()}
        return total, (updates["batch_stats"], metrics)

    return accumulation.accumulate_gradients(loss, 1)


def measure_batch_statistics(
    config: ConfigDict,
    network: PoseNetwork,
    variables: Variables,
    source: Source,
    spec: ViewSpec,
    mesh: Mesh,
) -> Variables:
    """Gives a random encoder that is to be frozen BatchNorm statistics of the training views.

    A trained encoder brings its own. Without any, a random one would hardly tell images apart,
    and what it is compared with would win for no merit.
    """

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def update(
        params: Any, batch_stats: Any, step: Int[Array, ""], images: Array, to_source: Any
    ) -> Any:
        key = jax.random.fold_in(recipe.key(config, _STATISTICS), step)
        view = augment(key, images, spec, to_source, config.data.source_size)
        encoder = {
            "params": params["encoder"],
            "batch_stats": batch_stats["encoder"],
        }
        _, updates = network.encoder.apply(
            encoder, view.images, train=True, mutable=["batch_stats"]
        )
        return {**batch_stats, "encoder": updates["batch_stats"]}

    params, batch_stats = replicate((variables["params"], variables["batch_stats"]), mesh)
    for step, batch in enumerate(itertools.islice(source.batches(0), _STATISTICS_BATCHES)):
        batch_stats = update(
            params, batch_stats, np.int32(step), batch["image"], batch.get("to_source")
        )
    return {**variables, "batch_stats": local_copy(batch_stats)}


def quick_scores(
    estimator: Estimator, examples: dict[str, np.ndarray], batch_size: int
) -> dict[str, float]:
    """Scores a network on held-out examples in their canonical views.

    Args:
      estimator: the network.
      examples: of the input pipeline, with labels.
      batch_size: examples at a time.

    Returns:
      Mean errors, those left out that the labels do not allow: "epe_2d_px" in pixels of the view
      and "pa_epe_m" in metres, and what the training set's mean pose and mean hand score.
    """
    totals: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for start in range(0, len(examples["image"]), batch_size):
        batch = {name: array[start : start + batch_size] for name, array in examples.items()}
        seen = inference.infer(estimator, batch, "box", batch_size)
        measured = hand_errors.measure(estimator, batch, seen, "given")
        for key, errors in measured.errors.items():
            in_view = measured.to_view[:, None] if key[1] == "2d" else 1.0
            totals[key].append((errors * in_view)[measured.valid[key]])

    def mean(predictor: str, kind: str) -> float | None:
        errors = np.concatenate(totals[predictor, kind])
        return float(errors.mean()) if len(errors) else None

    scores = {
        "epe_2d_px": mean("prediction", "2d"),
        "epe_2d_px_of_mean_pose": mean("mean_pose", "2d"),
        "pa_epe_m": mean("prediction", "pa"),
        "pa_epe_m_of_mean_pose": mean("mean_pose", "pa"),
        "pa_epe_m_of_mean_hand": mean("mean_hand", "pa"),
    }
    return {name: value for name, value in scores.items() if value is not None}


def draw_labels(
    config: ConfigDict, examples: dict[str, np.ndarray], spec: ViewSpec, workdir: Path
) -> None:
    """Draws augmented views with their warped labels: what the network is asked for."""
    if jax.process_index() > 0:
        return
    images = jnp.asarray(examples["image"][: config.log.images])
    view = jax.jit(augment, static_argnums=2)(recipe.key(config, _PICTURE), images, spec)
    matrix = source_to_view(view.transform, images.shape[1], spec)
    labels = {name: jnp.asarray(value[: len(images)]) for name, value in examples.items()}
    target, _ = losses.target_in_view(labels, matrix, camera.assumed_intrinsics(spec.size))
    figure = pages.skeletons(
        np.asarray(denormalize(view.images)),
        np.asarray(target.pose[..., :2]),
        np.asarray(target.keypoints_valid),
    )
    pages.save(figure, workdir / "labels.png")


def describe(
    config: ConfigDict,
    console: Console,
    num_examples: int | None,
    total_steps: int,
    initialisation: str,
    workdir: Path,
) -> None:
    """Says in three lines what is about to run."""
    frozen = "frozen " if config.model.frozen else ""
    for line in (
        f"{config.task}:{config.recipe}: {frozen}{config.model.architecture} at "
        f"{config.views.size} px with a {config.model.head} head, {num_examples or 'endless'} "
        f"images, {total_steps} steps of {config.batch_size} on {jax.device_count()} "
        f"{jax.default_backend()} device(s)",
        f"encoder: {initialisation}",
        f"pictures, logs and checkpoints: {workdir}",
    ):
        console.print(line, highlight=False, soft_wrap=True)


def write_summary(
    console: Console, workdir: Path, scores: dict[str, float], seconds: float
) -> None:
    """Prints and writes the scores, and draws the loss."""
    if jax.process_index() > 0:
        return
    monitor.draw_loss(workdir)
    with files.writing(workdir / "summary.json") as file:
        json.dump({**scores, "seconds": round(seconds, 1)}, file, indent=2)
    table = Table(title="On held-out images", title_justify="left")
    for column in ("", "network", "mean pose", "mean hand"):
        table.add_column(column, justify="right" if column else "left")
    for label, name, factor in (
        ("2D EPE, px of the view", "epe_2d_px", 1),
        ("PA-EPE, cm", "pa_epe_m", 100),
    ):
        if name in scores:
            values = (scores.get(name + of) for of in ("", "_of_mean_pose", "_of_mean_hand"))
            table.add_row(label, *("" if v is None else f"{factor * v:.2f}" for v in values))
    console.print(table)
    console.print(
        f"{seconds / 60:.1f} minutes. Look at {workdir / 'labels.png'} and "
        f"{workdir / 'loss.png'}; the whole evaluation: python main.py "
        f"--config=configs/evaluate.py --config.checkpoint={workdir}",
        highlight=False,
        soft_wrap=True,
    )
