"""Contrastive pre-training (PeCLR, Sec. 3 and 4.1), from config to checkpoint.

The way of an image to the loss: `make_source` renders or decodes it and crops it around the hand;
`make_gradients` draws two views and their transforms (views/augment.py), maps the views to latent
points (models/projector.py) and compares the points (`spec.loss`, objectives/spec.py).
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict
from rich.table import Table

from peclr_jax import specs
from peclr_jax.console import say
from peclr_jax.devices.mesh import make_mesh
from peclr_jax.errors import UserError
from peclr_jax.geometry import affine
from peclr_jax.geometry.affine import Similarity
from peclr_jax.input_pipeline import check_read, make_source
from peclr_jax.models.projector import Projector
from peclr_jax.objectives.weighting import Keypoints
from peclr_jax.runs import initialisation
from peclr_jax.runs.fit import Variables, announce, conclude, fit, workdir_of
from peclr_jax.runs.initialisation import Initialisation
from peclr_jax.runs.pretrain_evaluation import draw_views, make_evaluation
from peclr_jax.runs.spec import PretrainSpec
from peclr_jax.terminal import Console, table
from peclr_jax.training import accumulation
from peclr_jax.training.progress import Progress
from peclr_jax.views.augment import source_to_view, two_views

# Uses of the run's seed beside training itself, which folds it by step.
_INITIALISATION, _PICTURE, _EVALUATION = range(3)


def run(config: ConfigDict, workdir: Path) -> None:
    """Pre-trains an encoder, see `pretrain`."""
    spec = specs.from_config(PretrainSpec, config)
    check_read(spec.data.source, spec.data)
    pretrain(spec, workdir)


def pretrain(spec: PretrainSpec, workdir: Path) -> None:
    """Pre-trains an encoder and says what it has learnt.

    Writes to `workdir`: `checkpoints/`, `views.png`, `train.log`, `metrics.jsonl`, `tensorboard/`,
    `loss.png`, `provenance.jsonl`, `summary.json`. Started again with the same spec it resumes
    where it stopped.

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
        model = spec.model.build()
        variables = initialise(spec, model, start)  # weights that do not fit cost no data
        source = make_source(
            spec.data,
            batch_size=spec.batch_size,
            seed=spec.seed,
            mesh=mesh,
            contrastive=True,
        )
        schedule = spec.schedule(source.steps_per_epoch, spec.peak_learning_rate)
        what = f"{spec.model.architecture} at {spec.views.size} px, objective {spec.loss.objective}"
        announce(console, spec, what, source, schedule.total_steps, start, workdir)
        sampled = source.sample(spec.evaluation.images)
        check_keypoints(spec, sampled)
        held_out = sampled["image"]
        shown = held_out[: spec.log.pairs]
        monitored = source.held_out.describe(spec.evaluation.images)
        say(f"monitored on {monitored}", console=console)
        evaluate = make_evaluation(model, spec.views, spec.loss)

        def show() -> None:
            from peclr_jax.pages import figures

            views = draw_views(spec.key(_PICTURE), shown, spec.views)
            figures.save(views, workdir / "views.png")

        def measure(variables: Variables, step: int, progress: Progress) -> dict[str, float]:
            from peclr_jax.pages import figures

            if jax.process_index() == 0:
                views = draw_views(jax.random.fold_in(spec.key(_PICTURE), step), shown, spec.views)
                progress.images(step, {"views": figures.as_image(views)})
            return evaluate(variables, spec.key(_EVALUATION), held_out)

        variables = fit(
            spec,
            workdir,
            console,
            mesh=mesh,
            source=source,
            schedule=schedule,
            variables=variables,
            optimizer=spec.optimizer.build(schedule.learning_rate),
            compute_gradients=make_gradients(spec, model),
            show=show,
            measure=measure,
        )
        # The network to start from is made again: a start need not wait for its evaluation.
        before, after = (
            evaluate(network, spec.key(_EVALUATION), held_out)
            for network in (initialise(spec, model, start), variables)
        )
    if jax.process_index() == 0:
        summary = {
            "before": before,
            "after": after,
            "images": len(held_out),
            "monitored_on": monitored,
        }
        conclude(
            workdir,
            console,
            began,
            summary,
            _table(before, after, len(held_out), monitored),
            f"Look at {workdir / 'views.png'} and {workdir / 'loss.png'}; the encoder is in "
            f"{workdir / 'checkpoints'}.",
        )


def check_keypoints(spec: PretrainSpec, held_out: Mapping[str, Any]) -> None:
    """Refuses to weigh pairs by keypoints that the data do not have; says how many lack some.

    Args:
      spec: Of the run.
      held_out: Examples of its data.

    Raises:
      UserError: No keypoint of any is known.
    """
    if spec.loss.weights != "adaptive":
        return
    labelled = np.asarray(held_out["keypoints_2d_valid"]).max(axis=-1)
    if not labelled.any():
        raise UserError(
            "--config.loss.weights='adaptive' weighs pairs by their 2D keypoints, but none of "
            f"{len(labelled)} held-out images has any: use 'equal'"
        )
    if missing := np.count_nonzero(~labelled):
        logging.warning(
            "%d of %d held-out images lack keypoints: pairs with such images weigh 1",
            *(missing, len(labelled)),
        )


def make_gradients(spec: PretrainSpec, model: Projector) -> accumulation.GradientFn:
    """Returns the gradient of the objective, with negatives within micro-batches or global."""

    def encode(
        params: Any, batch_stats: Any, batch: dict[str, Array], key: Key[Array, ""]
    ) -> tuple[dict[str, Any], dict[str, Any], Any]:
        first, second = two_views(
            key,
            batch["image"],
            spec.views,
            batch.get("to_source"),
            spec.data.source_size,
            batch.get("partner"),
            batch.get("partner_to_source"),
        )
        # Both views of an image stay on the device that holds it: beside each other in the
        # network, and apart, as the loss wants them, only as points.
        images = jnp.stack([first.images, second.images], axis=1).reshape(
            -1, *first.images.shape[1:]
        )
        points, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats", "intermediates"],
        )
        representations: dict[str, Any] = {"points": jnp.concatenate([points[0::2], points[1::2]])}
        if spec.loss.maps:
            (stage,) = updates["intermediates"]["encoder"]["stage3"]
            representations["stage"] = stage[0::2], stage[1::2]
        transform = jax.tree.map(
            lambda *views: jnp.concatenate(views), first.transform, second.transform
        )
        context = {"transform": transform, "keypoints": joints_in_views(spec, batch, transform)}
        return representations, context, updates["batch_stats"]

    def batch_loss(
        representations: dict[str, Any], context: dict[str, Any]
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        return spec.loss(**representations, **context)

    if spec.negatives == "global":
        return accumulation.cached_gradients(encode, batch_loss, spec.micro_batches)

    def micro_batch_loss(
        params: Any, batch_stats: Any, batch: dict[str, Array], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Any, dict[str, Any]]]:
        representations, context, batch_stats = encode(params, batch_stats, batch, key)
        loss, metrics = batch_loss(representations, context)
        return loss, (batch_stats, metrics)

    return accumulation.accumulate_gradients(micro_batch_loss, spec.micro_batches)


def joints_in_views(
    spec: PretrainSpec, batch: Mapping[str, Array], transform: Similarity
) -> Keypoints | None:
    """Returns the joints of all first and then of all second views; None without labels.

    Args:
      spec: Of the run.
      batch: Of images with joints in source pixels, and of partners where there are any.
      transform: Transformations of the views.
    """
    if "keypoints_2d" not in batch:
        return None
    points, valid = (
        jnp.concatenate([batch[name], batch.get(f"partner_{name}", batch[name])])
        for name in ("keypoints_2d", "keypoints_2d_valid")
    )
    matrix = source_to_view(transform, spec.data.source_size, spec.views)
    return Keypoints(affine.apply_to_points(matrix, points), valid)


def initialise(spec: PretrainSpec, model: Projector, start: Initialisation) -> Variables:
    """Returns random parameters but for those that are given, and BatchNorm's initial statistics.

    Args:
      spec: Of the run.
      model: The network.
      start: The weights that are given.
    """
    views = np.zeros((1, spec.views.size, spec.views.size, 3), np.float32)
    return start.fill(jax.jit(model.init)(spec.key(_INITIALISATION), views))


def _table(before: dict[str, float], after: dict[str, float], images: int, monitored: str) -> Table:
    rows = [
        (
            f"top-1 retrieval of the other view (chance {100 / images:.1f} %)",
            *(f"{100 * found['retrieval_top1']:.1f} %" for found in (before, after)),
        ),
        (
            "latent equivariance error, of the points' range (Eq. 11)",
            *(f"{found['equivariance_error']:.3f}" for found in (before, after)),
        ),
    ]
    return table(f"On {monitored}", ("", "before", "after"), rows)
