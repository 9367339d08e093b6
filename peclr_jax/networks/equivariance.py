"""How far a network's keypoints are from following the image (Sec. 11, Figs. 9 and 10)."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from peclr_jax.geometry import affine, crop
from peclr_jax.geometry.affine import Similarity
from peclr_jax.input_pipeline import Batch
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.looking import fill, intrinsics_of

SIDE = 128
"""Side in pixels of the view that errors and translations are told in."""
# In px of SIDE: what no transformation at all may come to in float32.
_ROUNDING = 1e-2


class Equivariance(NamedTuple):
    """The errors of one network, px of `SIDE`; rows of `translation` are vertical ones."""

    images: int
    rotation: Float[np.ndarray, " angles"]
    translation: Float[np.ndarray, "shifts shifts"]


def measure_equivariance(
    estimator: Estimator,
    batches: Iterator[Batch],
    angles_deg: Float[np.ndarray, " angles"],
    translations_px: Float[np.ndarray, " shifts"],
    rows: int,
) -> Equivariance:
    """Measures E(t) of rotations about the view's centre and, apart from them, of translations.

    E(t) is defined in peclr_jax/tasks/equivariance.py.

    Args:
      estimator: The network.
      batches: Source crops, with labels, of which only the intrinsics are used.
      angles_deg: Positive turns the image clockwise.
      translations_px: Along either axis, of a view of `SIDE` px.
      rows: Batch size that the network is compiled for.
    """
    transforms = _transforms(angles_deg, translations_px)
    totals, images = np.zeros(len(transforms.rotation)), 0
    for batch in batches:
        count, side = batch["image"].shape[:2]
        matrix = crop.source_to_canonical(side, estimator.view_size, estimator.source_margin)
        canonical = jnp.tile(matrix, (rows, 1, 1))
        shown = fill(batch["image"], rows)
        known = intrinsics_of(batch, estimator.view_size, canonical[:count])
        intrinsics = fill(np.asarray(known), rows)
        unmoved = np.asarray(estimator(shown, canonical, intrinsics).pose)[:count, :, :2]
        # The estimator undoes the matrix it is given, so that all are compared in the source.
        moves = affine.to_matrix(transforms, estimator.view_size)
        matrices = affine.compose_matrices(canonical[:1], moves)
        to_view = SIDE * estimator.source_margin / side
        for number, matrix in enumerate(matrices):
            estimate = estimator(shown, jnp.tile(matrix, (rows, 1, 1)), intrinsics)
            distance = np.linalg.norm(np.asarray(estimate.pose)[:count, :, :2] - unmoved, axis=-1)
            totals[number] += to_view * distance.mean(-1, dtype=np.float64).sum()
        images += count
    means, shifts = totals / images, len(translations_px)
    rotation, translation = np.split(means, [len(angles_deg)])
    return Equivariance(images, rotation, translation.reshape(shifts, shifts))


def _transforms(
    angles_deg: Float[np.ndarray, " angles"], translations_px: Float[np.ndarray, " shifts"]
) -> Similarity:
    """Returns all rotations, then all translations, row by row."""
    y, x = np.meshgrid(translations_px, translations_px, indexing="ij")
    shifts = np.stack([x.ravel(), y.ravel()], axis=-1) / SIDE
    turns = len(angles_deg)
    return Similarity(
        jnp.asarray(np.pad(np.deg2rad(angles_deg), (0, len(shifts))), jnp.float32),
        jnp.ones(turns + len(shifts)),
        jnp.asarray(np.pad(shifts, [(turns, 0), (0, 0)]), jnp.float32),
    )


def mean_moved(errors: Float[np.ndarray, "..."]) -> float:
    """Returns the mean over all transformations but none, whose error is 0 by definition."""
    return float(errors.sum() / max(errors.size - 1, 1))


def improvement(
    errors: Float[np.ndarray, "*shape"], baseline: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Returns by how much per cent errors are smaller; NaN where the baseline has none."""
    measurable = baseline > _ROUNDING
    return np.where(
        measurable, 100 * (baseline - errors) / np.where(measurable, baseline, 1.0), np.nan
    )
