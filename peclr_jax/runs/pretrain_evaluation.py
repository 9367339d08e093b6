"""What a person looks at before and after pre-training: pictures and two numbers."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from peclr_jax.models.projector import Projector
from peclr_jax.objectives import diagnostics
from peclr_jax.objectives.spec import ContrastiveLossSpec
from peclr_jax.views.augment import View, augment, denormalize, two_views, warp_onto
from peclr_jax.views.spec import ViewSpec

Variables = dict[str, Any]
Evaluate = Callable[[Variables, Key[Array, ""], UInt8[np.ndarray, "n q q 3"]], dict[str, float]]


def draw_views(
    key: Key[Array, ""], images: UInt8[np.ndarray, "images side side 3"], spec: ViewSpec
) -> Any:
    """Draws pairs of views, and the second view warped back onto the first.

    Args:
      key: PRNG key of the augmentation.
      images: Sources.
      spec: The training's views.

    Returns:
      Matplotlib's figure.
    """
    from peclr_jax.pages import figures  # Matplotlib: no first step waits for it

    return figures.view_pairs(images, *map(np.asarray, _pairs(key, images, spec)))


@functools.partial(jax.jit, static_argnums=2)
def _pairs(key: Array, images: Array, spec: ViewSpec) -> tuple[Array, Array, Array]:
    first, second = two_views(key, images, spec)
    onto_first = warp_onto(second, first.transform)
    return denormalize(first.images), denormalize(second.images), onto_first


def make_evaluation(model: Projector, spec: ViewSpec, loss: ContrastiveLossSpec) -> Evaluate:
    """Returns what measures on held-out images what the objective asks for.

    The key draws the views, the same before and after training. "retrieval_top1" is of one training
    view of an image among the other views of all images, as the objective compares them,
    "equivariance_error" of images rotated and translated as in training, otherwise untouched, the
    transformation being undone whatever the objective: see `diagnostics`.

    BatchNorm always takes the statistics of these images: running ones are empty before training,
    which would make all images' points nearly the same, and their error small for no merit.

    Args:
      model: The network.
      spec: The training's views.
      loss: The objective.
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

    def project(variables: Variables, *views: View) -> list[Float[Array, "n points 2"]]:
        images = jnp.concatenate([view.images for view in views])
        points, _ = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return jnp.split(points, len(views))

    @jax.jit
    def measure(variables: Variables, key: Array, images: Array) -> dict[str, Array]:
        views_key, plain_key = jax.random.split(key)
        views = two_views(views_key, images, spec)
        queries, keys = (
            loss.project(points, view.transform)
            for points, view in zip(project(variables, *views), views, strict=True)
        )
        unmoved, moved = augment(plain_key, images, still), augment(plain_key, images, plain)
        reference, found = project(variables, unmoved, moved)
        return {
            "retrieval_top1": diagnostics.retrieval_top1(queries, keys),
            "equivariance_error": diagnostics.equivariance_error(reference, found, moved.transform),
        }

    def evaluate(
        variables: Variables, key: Key[Array, ""], images: UInt8[np.ndarray, "n q q 3"]
    ) -> dict[str, float]:
        # Of numbers that are bound to a device, and of others, two programs would be made.
        here = jax.device_put(variables, jax.local_devices()[0])
        return jax.tree.map(float, measure(here, key, images))

    return evaluate
