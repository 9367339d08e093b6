"""Equivariance of feature maps: a cell shows what the same place of the other view shows.

Lee et al., "Soft equivariance regularization for invariant self-supervised learning" (SER), ICLR
2026, ask an intermediate map to follow the image's transformation, which is applied to the map
itself, while the objective stays at the network's end. The choice of a contrast between a map's
cells, which a constant map does not satisfy, and of any similarity instead of quarter turns is our
reading; it is PeCLR's Eq. 3 on a map in place of points.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from peclr_jax.geometry import affine
from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives.blockwise import MASKED
from peclr_jax.objectives.contrastive import Temperature, check_temperature, unit

Maps = Float[Array, "images side side channels"]


def stride_of(view_side: int, map_side: int) -> int:
    """Returns the pixels between two cells of a ResNet's map, a power of two.

    Args:
      view_side: Side of the view, pixels.
      map_side: Side of its map: `view_side` over the stride, rounded up.
    """
    return 2 ** math.ceil(math.log2(view_side / map_side))


def cell_matrix(
    first: Similarity, second: Similarity, view_side: int, stride: int
) -> Float[Array, "images 2 3"]:
    """Returns the matrices from the cells of the first views' maps to those of the second views'.

    Convolutions with the padding of ResNets look at the pixels around `stride` times the cell's
    number: the first cell is centred on the first pixel, not half a stride from the border.

    Args:
      first: Transformations of the first views.
      second: Transformations of the second views of the same images.
      view_side: Side of the views, pixels.
      stride: Pixels between two cells.
    """
    to_canonical = affine.invert_matrix(affine.to_matrix(first, view_side))
    pixels = affine.compose_matrices(to_canonical, affine.to_matrix(second, view_side))
    # Cells are pixels divided by the stride, on both sides.
    return jnp.concatenate([pixels[..., :2], pixels[..., 2:] / stride], axis=-1)


def warp(
    maps: Maps, matrix: Float[Array, "images 2 3"]
) -> tuple[Maps, Bool[Array, "images side side"]]:
    """Resamples maps bilinearly, and says which cells lie within the map that they are taken from.

    Args:
      maps: The maps.
      matrix: Cells of the maps to cells of the result.
    """
    side = maps.shape[1]
    warped = affine.apply_to_images(maps, matrix, side)
    cells = jnp.arange(side, dtype=jnp.float32)
    grid = jnp.stack(jnp.meshgrid(cells, cells), axis=-1).reshape(-1, 2)
    taken = affine.apply_to_points(affine.invert_matrix(matrix), grid[None])
    # Rounding must not cost the border's cells.
    inside = jnp.all((taken > -1e-3) & (taken < side - 1 + 1e-3), axis=-1)
    return warped, inside.reshape(-1, side, side)


def equivariance_loss(
    first: Maps,
    second: Maps,
    transforms: tuple[Similarity, Similarity],
    view_side: int,
    temperature: Temperature,
) -> Float[Array, ""]:
    """Returns the cross-entropy of finding each cell's place in the other view among all places.

    Each view's map is warped into the other's frame. A warped cell and the other map's cell at its
    place are a positive pair, those at other places of the same map its negatives. Cells whose
    place lies beyond the other view are left out; it is 0 if there is no other.

    Args:
      first: Maps of the first views.
      second: Maps of the second views of the same images.
      transforms: Of the first views and of the second.
      view_side: Side of the views, pixels.
      temperature: Divisor of the cosine similarities.
    """
    check_temperature(temperature)
    stride = stride_of(view_side, first.shape[1])
    total, count = jnp.zeros(()), jnp.zeros(())
    for one, other, (source, target) in (
        (first, second, transforms),
        (second, first, transforms[::-1]),
    ):
        matrix = cell_matrix(source, target, view_side, stride)
        warped, inside = warp(one.astype(jnp.float32), matrix)
        found = _cross_entropies(warped, other.astype(jnp.float32), temperature)
        total += jnp.sum(jnp.where(inside.reshape(found.shape), found, 0.0))
        count += jnp.sum(inside)
    return total / jnp.maximum(count, 1.0)


def _cross_entropies(
    queries: Maps, keys: Maps, temperature: Temperature
) -> Float[Array, "images cells"]:
    u, v = (unit(x.reshape(len(x), -1, x.shape[-1])) for x in (queries, keys))
    logits = jnp.matmul(u, v.swapaxes(1, 2), precision=jax.lax.Precision.HIGHEST) / temperature
    positive = jnp.diagonal(logits, axis1=1, axis2=2)
    own = jnp.eye(logits.shape[1], dtype=bool)
    negatives = jax.nn.logsumexp(jnp.where(own, MASKED, logits), axis=-1)
    return jax.nn.softplus(negatives - positive)
