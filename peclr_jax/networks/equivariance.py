"""How far a network's keypoints are from following the image (Sec. 11, Figs. 9 and 10)."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from peclr_jax.geometry import affine, crop
from peclr_jax.geometry.affine import Similarity
from peclr_jax.input_pipeline import Batch
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.looking import fill, intrinsics_of

SIDE = 128
"""Side in pixels of the view that errors and translations are told in.

Sec. 11 gives translations of up to 25 without a unit. They are taken for pixels of the views of 128
px that networks are pre-trained on, that is for a fifth of the side at any size.
"""
# In px of SIDE: what no transformation at all may come to in float32.
_ROUNDING = 1e-2


class Equivariance(NamedTuple):
    """The errors of one network, px of `SIDE`; the last axis of `translation` is horizontal."""

    rotation: Float[np.ndarray, "images angles"]
    translation: Float[np.ndarray, "images shifts shifts"]


class Improvement(NamedTuple):
    """What Eq. 12 comes to at each transformation.

    Attributes:
      percent: By how much errors are smaller, mean over the images; NaN where no image counts.
      left_out: How many images do not count, because the baseline does not err there.
    """

    percent: Float[np.ndarray, "*shape"]
    left_out: Int[np.ndarray, "*shape"]


def measure_equivariance(
    estimator: Estimator,
    batches: Iterator[Batch],
    angles_deg: Float[np.ndarray, " angles"],
    translations_px: Float[np.ndarray, " shifts"],
    rows: int,
) -> Equivariance:
    """Measures E(t, x) of rotations about the view's centre and, apart from them, of translations.

    E(t, x) is defined in peclr_jax/tasks/equivariance.py.

    Args:
      estimator: The network.
      batches: Source crops, with labels, of which only the intrinsics are used.
      angles_deg: Positive turns the image clockwise.
      translations_px: Along either axis, of a view of `SIDE` px.
      rows: Batch size that the network is compiled for.
    """
    transforms = _transforms(angles_deg, translations_px)
    parts = []
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
        errors = np.empty((count, len(matrices)), np.float32)
        for number, matrix in enumerate(matrices):
            estimate = estimator(shown, jnp.tile(matrix, (rows, 1, 1)), intrinsics)
            distance = np.linalg.norm(np.asarray(estimate.pose)[:count, :, :2] - unmoved, axis=-1)
            errors[:, number] = to_view * distance.mean(-1, dtype=np.float64)
        parts.append(errors)
    turns, shifts = len(angles_deg), len(translations_px)
    rotation, translation = np.split(np.concatenate(parts), [turns], axis=1)
    return Equivariance(rotation, translation.reshape(-1, shifts, shifts))


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


def mean_moved(values: Float[np.ndarray, "..."], moved: Bool[np.ndarray, "..."]) -> float:
    """Returns the mean over the transformations that move anything; NaN if there is none."""
    known = values[moved & ~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def improvement(
    errors: Float[np.ndarray, "images *shape"], baseline: Float[np.ndarray, "images *shape"]
) -> Improvement:
    """Returns the mean over the images of (baseline - error) / baseline (Eq. 12), in per cent.

    Args:
      errors: Of each image at each transformation, px of `SIDE`.
      baseline: The same of another network.
    """
    counts = baseline > _ROUNDING
    ratios = 100 * (1 - errors / np.where(counts, baseline, 1.0).astype(np.float64))
    number = counts.sum(0)
    mean = ratios.sum(0, where=counts) / np.maximum(number, 1)
    return Improvement(np.where(number > 0, mean, np.nan), len(counts) - number)
