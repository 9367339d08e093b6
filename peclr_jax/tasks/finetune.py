"""Fine-tuning to 2.5D hand poses (PeCLR, Sec. 4.1 and Eq. 5), from config to checkpoint.

The way of an image to the loss is that of pre-training (see tasks/pretrain.py) up to its view. Its
labels are warped with it (`target_in_view`, objectives/pose.py).
"""

import functools
import itertools
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict
from rich.table import Table

from peclr_jax import specs
from peclr_jax.console import say
from peclr_jax.devices.mesh import local_copy, make_mesh, replicate, replicated
from peclr_jax.geometry import camera
from peclr_jax.hands.averages import COMPARE, Average
from peclr_jax.input_pipeline import Source, check_read, make_source
from peclr_jax.models.normalization import cumulative
from peclr_jax.models.pose_network import PoseNetwork
from peclr_jax.networks import label_statistics
from peclr_jax.networks.description import EARLIER_DATA, LABEL_STATISTICS
from peclr_jax.networks.estimator import Estimator
from peclr_jax.objectives import pose as losses
from peclr_jax.photos.looking import LookingRule
from peclr_jax.runs import initialisation
from peclr_jax.runs.finetune_evaluation import MeanErrors, draw_labels, mean_errors
from peclr_jax.runs.fit import Variables, announce, conclude, fit, workdir_of
from peclr_jax.runs.initialisation import Initialisation
from peclr_jax.runs.spec import FinetuneSpec
from peclr_jax.terminal import Console, table
from peclr_jax.training import accumulation
from peclr_jax.views.augment import augment, source_to_view

# Uses of the run's seed beside training itself, which folds it by step.
_INITIALISATION, _PICTURE, _STATISTICS = range(3)
# Batches that a random encoder's BatchNorm is measured on, where it is frozen.
_STATISTICS_BATCHES = 20


def run(config: ConfigDict, workdir: Path) -> None:
    """Fine-tunes an encoder, see `finetune`."""
    spec = specs.from_config(FinetuneSpec, config)
    check_read(spec.data.source, spec.data)
    finetune(spec, workdir)


def finetune(spec: FinetuneSpec, workdir: Path) -> None:
    """Fine-tunes an encoder, or trains from scratch, and says how well it does.

    Writes to `workdir`: `checkpoints/`, `labels.png` (the augmented views with their labels),
    `train.log`, `metrics.jsonl`, `tensorboard/`, `loss.png`, `provenance.jsonl`, `summary.json`.
    Started again with the same spec it resumes where it stopped.

    Raises:
      OutOfDeviceMemoryError: The step does not fit; the message says what would.
      NonFiniteLossError, Preempted, LostDataError, MachineError: See `trainer.fit`.
    """
    spec.check_devices(jax.device_count())
    spec, start = initialisation.resolve(spec)
    with workdir_of(spec, workdir):
        began = time.perf_counter()
        console = Console(quiet=jax.process_index() > 0)
        mesh = make_mesh()
        network = spec.model.network.build(refine_root_depth=spec.refine_root_depth)
        variables = initialise(spec, network, start)  # weights that do not fit cost no data
        source = make_source(spec.data, batch_size=spec.batch_size, seed=spec.seed, mesh=mesh)
        schedule = spec.schedule(source.steps_per_epoch, spec.optimizer.learning_rate)
        statistics = label_statistics.measure_labels(
            source, spec.batch_size, spec.views, spec.data.source_size
        )
        what = (
            f"{'frozen ' if spec.model.frozen else ''}{spec.model.architecture} at "
            f"{spec.views.size} px with a {spec.model.head} head"
        )
        announce(console, spec, what, source, schedule.total_steps, start, workdir)
        held_out = source.sample(spec.evaluation.images)
        monitored = source.held_out.describe(spec.evaluation.images)
        say(f"monitored on {monitored}", console=console)
        if spec.model.frozen and not start.variables:
            variables = _measure_batch_statistics(spec, network, variables, source, mesh)

        def show() -> None:
            from peclr_jax.pages import figures

            shown = {name: array[: spec.log.images] for name, array in held_out.items()}
            labels = draw_labels(spec.key(_PICTURE), shown, spec.views)
            figures.save(labels, workdir / "labels.png")

        def score(variables: Variables) -> MeanErrors:
            estimator = Estimator(
                network,
                variables,
                spec.views.size,
                spec.data.source_margin,
                LookingRule(spec.data.hand_margin),
                statistics,
            )
            return mean_errors(estimator, held_out, spec.batch_size)

        latest: MeanErrors | None = None

        def measure(variables: Variables, *_: Any) -> dict[str, float]:
            nonlocal latest
            latest = score(variables)
            return latest.errors

        variables = fit(
            spec,
            workdir,
            console,
            mesh=mesh,
            source=source,
            schedule=schedule,
            variables=variables,
            optimizer=make_optimizer(spec, schedule.learning_rate),
            compute_gradients=make_gradients(spec, network),
            show=show,
            measure=measure,
            results={
                LABEL_STATISTICS: specs.to_dict(statistics),
                EARLIER_DATA: [specs.to_dict(data) for data in start.trained_on],
            },
        )
        scores = latest or score(variables)  # the last step was measured, unless before a restart
    if jax.process_index() == 0:
        conclude(
            workdir,
            console,
            began,
            scores.errors | {"averaged_over": _in_words(scores), "monitored_on": monitored},
            _table(scores, monitored),
            f"Look at {workdir / 'labels.png'} and {workdir / 'loss.png'}; the whole evaluation: "
            f"python main.py --config=configs/evaluate.py --config.checkpoint={workdir}",
        )


def make_gradients(spec: FinetuneSpec, network: PoseNetwork) -> accumulation.GradientFn:
    """Returns the gradient of Eq. 5, with the root depth's loss, on augmented views."""
    views, side = spec.views, spec.data.source_size  # labels are given in pixels of the crops

    def loss(
        params: Any, batch_stats: Any, batch: dict[str, Array], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Any, dict[str, Array]]]:
        view = augment(key, batch["image"], views, batch.get("to_source"), side)
        matrix = source_to_view(view.transform, side, views)
        target, intrinsics = losses.target_in_view(
            batch, matrix, camera.assumed_intrinsics(views.size)
        )
        output, updates = network.apply(
            {"params": params, "batch_stats": batch_stats},
            view.images,
            intrinsics,
            train=True,
            mutable=["batch_stats"],
        )
        terms = {
            "keypoints_2d": losses.keypoints_2d(output.pose, target, views.size),
            "relative_depth": losses.relative_depth(output.pose, target),
            "root_depth": losses.root_depth(output.root_depth, target),
        }
        metrics = {f"loss_{name}": term for name, term in terms.items()}
        return spec.loss.total(terms), (updates["batch_stats"], metrics)

    return accumulation.accumulate_gradients(loss, 1)


def make_optimizer(
    spec: FinetuneSpec, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
    """Returns the optimizer; a frozen encoder is left alone and has no state."""
    trained = spec.optimizer.build(learning_rate)
    if not spec.model.frozen:
        return trained

    def label(params: dict[str, Any]) -> dict[str, str]:
        # A label may stand for a whole subtree.
        return {name: "frozen" if name == "encoder" else "trained" for name in params}

    return optax.partition({"trained": trained, "frozen": optax.set_to_zero()}, label)


def initialise(spec: FinetuneSpec, network: PoseNetwork, start: Initialisation) -> Variables:
    """Returns random parameters but for those that are given, and BatchNorm's initial statistics.

    Args:
      spec: Of the run.
      network: The network.
      start: The weights that are given.
    """
    views = np.zeros((1, spec.views.size, spec.views.size, 3), np.float32)
    intrinsics = np.eye(3, dtype=np.float32)[None]
    return start.fill(jax.jit(network.init)(spec.key(_INITIALISATION), views, intrinsics))


def _measure_batch_statistics(
    spec: FinetuneSpec, network: PoseNetwork, variables: Variables, source: Source, mesh: Mesh
) -> Variables:
    """Gives a random encoder that is to be frozen BatchNorm statistics of the training views.

    Without any, it would hardly tell images apart: no fair comparison for a trained encoder. They
    are the mean of the statistics of the run's first batches.
    """

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def update(
        params: Any, batch_stats: Any, step: Int[Array, ""], images: Array, to_source: Any
    ) -> Any:
        key = jax.random.fold_in(spec.key(_STATISTICS), step)
        view = augment(key, images, spec.views, to_source, spec.data.source_size)
        encoder = {"params": params["encoder"], "batch_stats": batch_stats["encoder"]}
        _, updates = network.encoder.apply(
            encoder, view.images, train=True, mutable=["batch_stats"]
        )
        mean = cumulative(encoder["batch_stats"], updates["batch_stats"], step)
        return {**batch_stats, "encoder": mean}

    none = jax.tree.map(np.zeros_like, variables["batch_stats"]["encoder"])
    batch_stats = {**variables["batch_stats"], "encoder": none}
    params, batch_stats = replicate((variables["params"], batch_stats), mesh)
    for step, batch in enumerate(itertools.islice(source.batches(0), _STATISTICS_BATCHES)):
        batch_stats = update(
            params, batch_stats, np.int32(step), batch["image"], batch.get("to_source")
        )
    return {**variables, "batch_stats": local_copy(batch_stats)}


def _in_words(scores: MeanErrors) -> dict[str, str]:
    return {name: str(over) for name, over in scores.averages.items()}


def _table(scores: MeanErrors, monitored: str) -> Table:
    errors, rows, own = scores.errors, [], set[Average]()
    for label, name, factor in (
        ("2D EPE, px of the view", "epe_2d_px", 1),
        ("PA-EPE, cm", "pa_epe_m", 100),
    ):
        if name not in errors:
            continue
        over = scores.averages[name]
        own.add(over)
        cells = []
        for of in ("", "_of_mean_pose", "_of_mean_hand"):
            value = errors.get(name + of)
            mark = "" if scores.averages.get(name + of, over) == over else "*"
            cells.append("" if value is None else f"{factor * value:.2f}{mark}")
        rows.append((label, over.joints_a_hand, *cells))
    marked = any(cell.endswith("*") for row in rows for cell in row)
    return table(
        f"On {monitored}",
        ("", "joints", "network", "mean pose", "mean hand"),
        rows,
        caption=" ".join(
            [
                f"Means over {'; '.join(map(str, own))}." if own else "None of them has a label.",
                *([COMPARE] if not all(over.is_complete for over in own) else []),
                *(["* over other hands or joints than the network's."] if marked else []),
            ]
        ),
        caption_justify="left",
    )
