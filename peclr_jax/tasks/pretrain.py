"""Contrastive pre-training (PeCLR, Sec. 3 and 4.2), from config to checkpoint."""

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict
from rich.console import Console

from peclr_jax import pages, specs
from peclr_jax.devices.mesh import local_copy, make_mesh, replicate
from peclr_jax.geometry.affine import Similarity
from peclr_jax.input_pipeline import DataSpec, make_source
from peclr_jax.models.projector import Projector
from peclr_jax.objectives import contrastive, diagnostics
from peclr_jax.runs import initialisation, memory_advice, monitor, recipe
from peclr_jax.runs.initialisation import Initialisation
from peclr_jax.training import accumulation, profiling, trainer
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.progress import Progress
from peclr_jax.training.workdir import locked
from peclr_jax.views.augment import two_views
from peclr_jax.views.spec import ViewSpec

Variables = dict[str, Any]

# Uses of the run's seed beside training itself, which folds it by step.
_INITIALISATION, _PICTURE, _EVALUATION = range(3)


def run(config: ConfigDict, workdir: Path) -> None:
    """Pre-trains an encoder and says what it has learnt.

    Writes to `workdir`: `checkpoints/`, `views.png`, `train.log`, `metrics.jsonl`, `tensorboard/`,
    `loss.png`, `provenance.jsonl`, `summary.json`. Started again with the same config it resumes
    where it stopped.

    Raises:
      ValueError: an impossible config, or a workdir that holds a run of another one.
      FileNotFoundError: data that are not there.
      MemoryError: the step does not fit into the device's memory; the message says what would.
      NonFiniteLossError, Preempted, OSError: see `trainer.fit`.
    """
    recipe.check_pretraining(config, jax.device_count())
    with locked(workdir), memory_advice.advising(config):
        recipe.check_resumable(config, workdir)
        train(config, workdir, resolve(config))


def train(config: ConfigDict, workdir: Path, given: Initialisation) -> None:
    """Does what `run` promises, in a directory that nobody else uses.

    Args:
      config: checked.
      workdir: of the run.
      given: the weights to start from.
    """
    began = time.perf_counter()
    console = Console(quiet=jax.process_index() > 0)
    mesh = make_mesh()
    spec = recipe.view_spec(config)

    with Checkpoints(
        workdir,
        config.to_dict(),
        save_every=config.checkpoint.every_steps,
        keep_last=config.checkpoint.keep,
    ) as checkpoints:
        train_source = make_source(
            specs.from_mapping(DataSpec, config.data.to_dict(), "--config.data"),
            train=True,
            batch_size=config.batch_size,
            seed=config.seed,
            mesh=mesh,
        )
        schedule = recipe.make_schedule(
            config, train_source.steps_per_epoch, recipe.sqrt_scaled_peak(config)
        )
        describe(
            config, console, train_source.num_examples, schedule.total_steps, given.source, workdir
        )
        held_out = jnp.asarray(train_source.sample(config.evaluation.images)["image"])
        shown = held_out[: config.log.pairs]
        if jax.process_index() == 0:
            views = monitor.draw_views(recipe.key(config, _PICTURE), shown, spec)
            pages.save(views, workdir / "views.png")

        model = recipe.make_projector(config)
        optimizer = recipe.make_optimizer(config, schedule.learning_rate)
        variables = initialise(recipe.key(config, _INITIALISATION), model, spec.size, given)
        evaluate = monitor.make_evaluation(model, spec)
        before = evaluate(variables, recipe.key(config, _EVALUATION), held_out)
        progress = Progress(
            workdir,
            total_steps=schedule.total_steps,
            images_per_step=config.batch_size,
            log_every=config.log.every_steps,
            console=console,
        )
        monitor.keep_provenance(config, workdir, progress)

        def watch(step: int, state: trainer.TrainState) -> dict[str, float]:
            if jax.process_index() == 0:
                key = jax.random.fold_in(recipe.key(config, _PICTURE), step)
                views = pages.as_image(monitor.draw_views(key, shown, spec))
                progress.images(step, {"views": views})
            scores = evaluate(_variables(state), recipe.key(config, _EVALUATION), held_out)
            return {name: float(score) for name, score in scores.items()}

        state = trainer.fit(
            replicate(trainer.create_state(variables, optimizer), mesh),
            trainer.make_train_step(
                make_gradients(config, model, spec),
                optimizer,
                mesh=mesh,
                learning_rate=schedule.learning_rate,
                skip_nonfinite=config.optimizer.skip_nonfinite > 0,
            ),
            train_source.batches,
            key=jax.random.key(config.seed),
            total_steps=schedule.total_steps,
            checkpoints=checkpoints,
            progress=progress,
            hooks=[trainer.Hook(config.evaluation.every_steps, watch)],
            profile=profiling.parse_steps(config.profile),
            most_skipped=config.optimizer.skip_nonfinite,
        )
        after = evaluate(_variables(state), recipe.key(config, _EVALUATION), held_out)
    seconds = time.perf_counter() - began
    monitor.write_summary(console, workdir, before, after, len(held_out), seconds)


def make_gradients(config: ConfigDict, model: Projector, spec: ViewSpec) -> accumulation.GradientFn:
    """The gradient of the config's objective, negatives within micro-batches or global."""
    project = recipe.OBJECTIVES[config.loss.objective]
    temperature, chunk = config.loss.temperature, config.loss.chunk or None

    def encode(
        params: Any, batch_stats: Any, batch: dict[str, Array], key: Key[Array, ""]
    ) -> tuple[Float[Array, "views points 2"], Similarity, Any]:
        first, second = two_views(
            key,
            batch["image"],
            spec,
            batch.get("to_source"),
            config.data.source_size,
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
            mutable=["batch_stats"],
        )
        points = jnp.concatenate([points[0::2], points[1::2]])
        transform = jax.tree.map(
            lambda *views: jnp.concatenate(views), first.transform, second.transform
        )
        return points, transform, updates["batch_stats"]

    def batch_loss(points: Array, transform: Similarity) -> tuple[Float[Array, ""], dict[str, Any]]:
        projections = project(points, transform)
        loss = contrastive.nt_xent(projections, temperature, chunk=chunk)
        return loss, diagnostics.alignment_and_uniformity(projections, loss, temperature)

    if config.negatives == "global":
        return accumulation.cached_gradients(encode, batch_loss, config.micro_batches)

    def micro_batch_loss(
        params: Any, batch_stats: Any, batch: dict[str, Array], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Any, dict[str, Any]]]:
        points, transform, batch_stats = encode(params, batch_stats, batch, key)
        value, metrics = batch_loss(points, transform)
        return value, (batch_stats, metrics)

    return accumulation.accumulate_gradients(micro_batch_loss, config.micro_batches)


def resolve(config: ConfigDict) -> Initialisation:
    """Reads the weights to start from; the paper is silent, the official code takes ImageNet's.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it does not hold weights of this network.
    """
    if not config.init.torch_checkpoint:
        return initialisation.RANDOM
    return initialisation.from_torch(config, whole="hybrid2")


def initialise(
    key: Key[Array, ""], model: Projector, size: int, given: Initialisation
) -> Variables:
    """Random parameters, and statistics of a standard normal, but for what is given."""
    return initialisation.fill(jax.jit(model.init)(key, jnp.zeros((1, size, size, 3))), given)


def describe(
    config: ConfigDict,
    console: Console,
    num_examples: int | None,
    total_steps: int,
    start: str,
    workdir: Path,
) -> None:
    """Says in three lines what is about to run."""
    console.print(
        f"{config.task}:{config.recipe}: {config.model.architecture} at {config.views.size} px, "
        f"objective {config.loss.objective}, {num_examples or 'endless'} images, {total_steps} "
        f"steps of {config.batch_size} on {jax.device_count()} {jax.default_backend()} device(s)",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"encoder: {start}", highlight=False, soft_wrap=True)
    console.print(f"pictures, logs and checkpoints: {workdir}", highlight=False, soft_wrap=True)


def _variables(state: trainer.TrainState) -> Variables:
    return local_copy({"params": state.params, "batch_stats": state.batch_stats})
