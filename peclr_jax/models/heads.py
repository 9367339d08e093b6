"""Heads on the encoder's features: projection, pose, and refinement of the root depth."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from peclr_jax.hands.skeleton import NUM_JOINTS, WRIST
from peclr_jax.models.normalization import BatchNorm

_ROOT_DEPTH = np.zeros((NUM_JOINTS, 3), bool)
_ROOT_DEPTH[WRIST, 2] = True


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
        x = nn.Dense(self.hidden, dtype=self.dtype, name="dense1")(features)
        x = BatchNorm(use_running_average=not train, dtype=self.dtype, name="bn1")(x)
        x = nn.relu(x)
        x = nn.Dense(2 * self.num_points, use_bias=False, dtype=self.dtype, name="dense2")(x)
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
