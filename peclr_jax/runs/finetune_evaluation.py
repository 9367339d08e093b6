"""What a person looks at during and after fine-tuning: augmented labels and mean errors."""

import functools
from collections import defaultdict
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key

from peclr_jax.geometry import camera
from peclr_jax.hands.averages import Average, average_of
from peclr_jax.input_pipeline import Batch
from peclr_jax.networks import hand_errors
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.looking import look_at_batch
from peclr_jax.objectives import pose as losses
from peclr_jax.views.augment import augment, denormalize, source_to_view
from peclr_jax.views.spec import ViewSpec

_SCORES = {
    "epe_2d_px": ("prediction", "2d"),
    "epe_2d_px_of_mean_pose": ("mean_pose", "2d"),
    "pa_epe_m": ("prediction", "pa"),
    "pa_epe_m_of_mean_pose": ("mean_pose", "pa"),
    "pa_epe_m_of_mean_hand": ("mean_hand", "pa"),
}


class MeanErrors(NamedTuple):
    """Mean errors, and what each is a mean over.

    Attributes:
      errors: Those that the labels allow: "epe_2d_px" in pixels of the view, "pa_epe_m" in metres,
        and what the training set's mean pose and mean hand score.
      averages: Of the same.
    """

    errors: dict[str, float]
    averages: dict[str, Average]


def mean_errors(estimator: Estimator, examples: Batch, batch_size: int) -> MeanErrors:
    """Returns a network's mean errors on examples in their canonical views.

    Args:
      estimator: The network.
      examples: Of the input pipeline, with labels.
      batch_size: Examples at a time.
    """
    totals: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    counted: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for start in range(0, len(examples["image"]), batch_size):
        batch = {name: array[start : start + batch_size] for name, array in examples.items()}
        seen = look_at_batch(estimator, batch, "box", batch_size)
        measured = hand_errors.measure_errors(estimator, batch, seen, "given")
        for key, errors in measured.errors.items():
            in_view = measured.to_view[:, None] if key[1] == "2d" else 1.0
            totals[key].append((errors * in_view)[measured.valid[key]])
            counted[key].append(measured.valid[key])

    found = {name: np.concatenate(totals[key]) for name, key in _SCORES.items()}
    means = {name: float(of_all.mean()) for name, of_all in found.items() if len(of_all)}
    averages = {name: average_of(np.concatenate(counted[_SCORES[name]])) for name in means}
    return MeanErrors(means, averages)


def draw_labels(key: Key[Array, ""], examples: Batch, spec: ViewSpec) -> Any:
    """Draws augmented views with their warped labels: what the network is asked for.

    Args:
      key: PRNG key of the augmentation.
      examples: Of the input pipeline, with labels.
      spec: The training's views.

    Returns:
      Matplotlib's figure.
    """
    from peclr_jax.pages import figures  # Matplotlib: no first step waits for it

    return figures.skeletons(*map(np.asarray, _labelled_views(key, examples, spec)))


@functools.partial(jax.jit, static_argnums=2)
def _labelled_views(
    key: Array, examples: dict[str, Array], spec: ViewSpec
) -> tuple[Array, Array, Array]:
    images = examples["image"]
    view = augment(key, images, spec)
    matrix = source_to_view(view.transform, images.shape[1], spec)
    target, _ = losses.target_in_view(examples, matrix, camera.assumed_intrinsics(spec.size))
    return denormalize(view.images), target.pose[..., :2], target.keypoints_valid
