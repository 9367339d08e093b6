"""What a person looks at before and after pre-training: pictures and two numbers."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from peclr_jax import files, pages, specs
from peclr_jax.input_pipeline import DataSpec, fingerprint
from peclr_jax.models.projector import Projector
from peclr_jax.objectives import contrastive, diagnostics
from peclr_jax.runs import provenance
from peclr_jax.training.progress import Progress
from peclr_jax.views.augment import augment, denormalize, two_views, warp_onto
from peclr_jax.views.spec import ViewSpec

Variables = dict[str, Any]
Scores = Mapping[str, float | Array]
Evaluation = Callable[[Variables, Key[Array, ""], UInt8[Array, "n q q 3"]], dict[str, Array]]


def draw_views(
    key: Key[Array, ""], images: UInt8[Array, "images side side 3"], spec: ViewSpec
) -> Figure:
    """Draws pairs of views, and the second view warped back onto the first."""
    first, second = jax.jit(two_views, static_argnums=2)(key, images, spec)
    return pages.view_pairs(
        np.asarray(images),
        np.asarray(denormalize(first.images)),
        np.asarray(denormalize(second.images)),
        np.asarray(warp_onto(second, first.transform)),
    )


def make_evaluation(model: Projector, spec: ViewSpec) -> Evaluation:
    """Measures on held-out images what the objective asks for.

    BatchNorm takes the statistics of these images, before training as after it: running ones are
    still empty before, which would make every image's points nearly the same, and their error
    small for no merit.

    Args:
      model: the network.
      spec: the training's views.

    Returns:
      A function of the network's variables, a key that draws the views (the same before and after
      training), and (N, Q, Q, 3) sources, to two scalars, see `diagnostics`: "retrieval_top1", of
      one training view of an image among the other views of all N, and "equivariance_error", of
      images rotated and translated as in training, otherwise untouched.
    """
    plain = dataclasses.replace(
        spec,
        scale=(1.0, 1.0),  # the objective does not undo it
        color_jitter=False,
        color_drop=False,
        blur=False,
        noise=False,
        sobel=False,
        cutout=False,
    )
    still = dataclasses.replace(plain, rotation_deg=0.0, translation=(0.0, 0.0))

    def project(
        variables: Variables, first: Float[Array, "n s s 3"], second: Float[Array, "n s s 3"]
    ) -> list[Float[Array, "n points 2"]]:
        both = jnp.concatenate([first, second])
        points, _ = model.apply(variables, both, train=True, mutable=["batch_stats"])
        return jnp.split(points, 2)

    @jax.jit
    def measure(
        variables: Variables, key: Key[Array, ""], images: UInt8[Array, "n q q 3"]
    ) -> dict[str, Array]:
        views_key, plain_key = jax.random.split(key)
        views = two_views(views_key, images, spec)
        points = project(variables, *(view.images for view in views))
        queries, keys = (
            contrastive.undo_transform(points, view.transform)
            for points, view in zip(points, views, strict=True)
        )
        unmoved, moved = augment(plain_key, images, still), augment(plain_key, images, plain)
        reference, transformed = project(variables, unmoved.images, moved.images)
        return {
            "retrieval_top1": diagnostics.retrieval_top1(queries, keys),
            "equivariance_error": diagnostics.equivariance_error(
                reference, transformed, moved.transform
            ),
        }

    return measure


def keep_provenance(config: ConfigDict, workdir: Path, progress: Progress) -> None:
    """Writes what the run is started with to provenance.jsonl, and atop its log."""
    data = fingerprint(
        specs.from_mapping(DataSpec, config.data.to_dict(), "--config.data")
    )  # for which all processes open the data
    if jax.process_index() > 0:
        return
    described = provenance.describe(config.to_dict(), data)
    progress.log(provenance.keep(workdir, described))


def draw_loss(workdir: Path) -> None:
    """Draws the loss of a run from its metrics.jsonl, as loss.png beside it."""
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    losses = [(record["step"], record["loss"]) for record in records if "loss" in record]
    steps, values = np.asarray(losses, np.float64).T
    pages.save(pages.curve(steps, values, "loss"), workdir / "loss.png")


def write_summary(
    console: Console,
    workdir: Path,
    before: Scores,
    after: Scores,
    num_images: int,
    seconds: float,
) -> None:
    """Prints and writes what the run has learnt, and draws its loss."""
    if jax.process_index() > 0:
        return
    before, after = ({name: float(x) for name, x in scores.items()} for scores in (before, after))
    draw_loss(workdir)
    summary = {"before": before, "after": after, "images": num_images, "seconds": round(seconds, 1)}
    with files.writing(workdir / "summary.json") as file:
        json.dump(summary, file, indent=2)

    table = Table(title=f"On {num_images} held-out images", title_justify="left")
    for column in ("", "before", "after"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row(
        f"top-1 retrieval of the other view (chance {100 / num_images:.1f} %)",
        f"{100 * before['retrieval_top1']:.1f} %",
        f"{100 * after['retrieval_top1']:.1f} %",
    )
    table.add_row(
        "latent equivariance error, of the points' range (Eq. 11)",
        f"{before['equivariance_error']:.3f}",
        f"{after['equivariance_error']:.3f}",
    )
    console.print(table)
    console.print(
        f"{seconds / 60:.1f} minutes. Look at {workdir / 'views.png'} and {workdir / 'loss.png'}; "
        f"the encoder is in {workdir / 'checkpoints'}.",
        highlight=False,
        soft_wrap=True,
    )
