"""Heads on the encoder's features: projection, pose, and refinement of the root depth."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from peclr_jax.devices.float32_sums import cast_on_devices, keep_parameters
from peclr_jax.hands.skeleton import NUM_JOINTS, WRIST
from peclr_jax.models.normalization import BatchNorm

_ROOT_DEPTH = np.zeros((NUM_JOINTS, 3), bool)
_ROOT_DEPTH[WRIST, 2] = True
# Of the softmax: the larger, the fewer cells a mean is taken over at the same logits.
_SHARPNESS = 4.0
# The outermost cells' places over their true ones: joints beyond the border have one, too.
_REACH = 1.2


def _dense(
    features: int, dtype: Any, name: str, *, use_bias: bool = True
) -> Callable[[Array], Array]:
    layer = nn.Dense(
        features,
        use_bias,
        dtype,
        promote_dtype=keep_parameters,
        dot_general=cast_on_devices(jax.lax.dot_general),
        name=name,
    )

    def apply(x: Array) -> Array:
        # A matrix: see `resnet._as_dot`.
        return layer(x.reshape(-1, x.shape[-1])).astype(dtype).reshape(*x.shape[:-1], features)

    return apply


class ProjectionHead(nn.Module):
    """A two-layer perceptron whose output is read as points in the plane.

    Linear, BatchNorm, ReLU, Linear without bias; the sizes are the official code's, the paper
    gives none. The reading as m points of R^2 is the paper's Sec. 3.2.
    """

    hidden: int = 512
    num_points: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch features"], train: bool = False
    ) -> Float[Array, "batch points 2"]:
        """Projects features to points, interleaved as in the official code, not normalised."""
        x = _dense(self.hidden, self.dtype, "dense1")(features)
        x = BatchNorm(use_running_average=not train, dtype=self.dtype, name="bn1")(x)
        x = nn.relu(x)
        x = _dense(2 * self.num_points, self.dtype, "dense2", use_bias=False)(x)
        return x.astype(jnp.float32).reshape(-1, self.num_points, 2)


class PoseHead(nn.Module):
    """Regresses a 2.5D pose from pooled features.

    Without hidden layers it is the linear layer of fine-tuning, with one the two-layer perceptron
    that probes a frozen encoder (Sec. 4.4; the paper does not give its width).
    """

    hidden: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, features: Float[Array, "batch features"]) -> Float[Array, "batch 21 3"]:
        """Returns (x, y, depth), normalised: see `PoseNetwork`; the wrist's depth is zero."""
        x = features
        for index, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, name=f"hidden{index + 1}")(x))
        pose = nn.Dense(3 * NUM_JOINTS, name="pose")(x).reshape(-1, NUM_JOINTS, 3)
        # Not an update: exported programs would hold a scatter, which few tools can convert.
        return jnp.where(_ROOT_DEPTH, 0.0, pose)


class Localisation(NamedTuple):
    """What heatmaps say of joints beyond their expected place.

    Attributes:
      spread: Standard deviation of the heatmap about its mean, in halves of the view's side.
      peak: Its largest probability; 1 where one cell has all.
    """

    spread: Float[Array, "batch 21"]
    peak: Float[Array, "batch 21"]


class HeatmapHead(nn.Module):
    """Localises joints by 2.5D heatmaps (Iqbal et al. 2018, the paper's [20]) on a small pyramid.

    The encoder's maps are brought to `channels` by 1x1 convolutions and summed upwards, from the
    coarsest to the finest, with a 3x3 convolution and ReLU a level. There a 1x1 convolution gives
    every joint a heatmap and a depth map; a softmax over places turns them into the expected place
    and depth.

    Attributes:
      channels: Of the pyramid.
      finest: Stage of the encoder that the pyramid ends at; 0 is the first.
      dtype: Of the activations; the softmax is taken in float32.
    """

    channels: int = 64
    finest: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, maps: Sequence[Float[Array, "batch _ _ _"]]
    ) -> tuple[Float[Array, "batch 21 3"], Localisation]:
        """Returns (x, y, depth), normalised, and how sharply each joint is localised.

        See `PoseNetwork` for the units; the wrist's depth is zero.

        Args:
          maps: Of the encoder's stages, the finest first.
        """
        x: Any = None
        for stage in reversed(range(self.finest, len(maps))):
            lateral = _dense(self.channels, self.dtype, f"lateral{stage + 1}")
            x = lateral(maps[stage]) if x is None else _upsample(x, lateral(maps[stage]))
            smooth = nn.Conv(
                self.channels,
                (3, 3),
                dtype=self.dtype,
                promote_dtype=keep_parameters,
                conv_general_dilated=cast_on_devices(jax.lax.conv_general_dilated),
                name=f"smooth{stage + 1}",
            )
            x = nn.relu(smooth(x).astype(self.dtype))
        x = _dense(2 * NUM_JOINTS, self.dtype, "heatmaps")(x).astype(jnp.float32)
        batch, height, width, _ = x.shape
        logits, depths = jnp.split(x.reshape(batch, height * width, -1), 2, axis=-1)
        probability = jax.nn.softmax(_SHARPNESS * logits, axis=1)
        places = _places(height, width)
        # The variance is a small difference of large numbers.
        moment = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
        mean = moment("bpj,pk->bjk", probability, places)
        square = moment("bpj,p->bj", probability, (places**2).sum(-1))
        # Rounding makes the variance of a single cell negative, and the root's slope at zero is
        # infinite; half a thousandth of a side is far below a cell.
        variance = jnp.maximum(square - (mean**2).sum(-1), 1e-6)
        depth = jnp.sum(probability * depths, axis=1)
        pose = jnp.concatenate([mean, depth[..., None]], axis=-1)
        return jnp.where(_ROOT_DEPTH, 0.0, pose), Localisation(
            jnp.sqrt(variance), probability.max(1)
        )


def _upsample(
    x: Float[Array, "batch h w c"], finer: Float[Array, "batch h2 w2 c"]
) -> Float[Array, "batch h2 w2 c"]:
    """Adds coarse maps to those of twice the side, or one pixel less, each cell four times."""
    height, width = finer.shape[1:3]
    return jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)[:, :height, :width] + finer


def _places(height: int, width: int) -> Float[np.ndarray, "places 2"]:
    """Returns (x, y) of cells in halves of the view's side, stretched beyond its border."""
    x, y = ((2 * np.arange(count) + 1) / count - 1 for count in (width, height))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return (_REACH * grid).astype(np.float32)


class RootDepthRefiner(nn.Module):
    """Corrects the root depth that follows from a noisy 2.5D pose (Spurr et al. 2020).

    A perceptron, 64-128-128-1, as in the released networks; its output is added to the estimate.
    """

    hidden: int = 128

    @nn.compact
    def __call__(
        self,
        relative_depth: Float[Array, "batch 21"],
        rays: Float[Array, "batch 21 2"],
        root_depth: Float[Array, " batch"],
        train: bool = False,
    ) -> Float[Array, " batch"]:
        """Returns the correction to the root depth, in bone lengths.

        Args:
          relative_depth: Root-relative depth, bone lengths.
          rays: X and y of the joints on the plane at depth one, from pixels and intrinsics.
          root_depth: The estimate to correct, bone lengths.
          train: Use and update the statistics of the batch.
        """
        flat_rays = rays.reshape(-1, 2 * NUM_JOINTS)
        x = jnp.concatenate([relative_depth, flat_rays, root_depth[:, None]], axis=-1)
        for index in (1, 2):
            x = nn.Dense(self.hidden, name=f"dense{index}")(x)
            x = BatchNorm(use_running_average=not train, name=f"bn{index}")(x)
            x = nn.leaky_relu(x, negative_slope=0.01)
        # The first correction is zero: the estimate is good where the pose is.
        return nn.Dense(1, kernel_init=nn.initializers.zeros, name="dense3")(x)[:, 0]
