"""What stands on the encoder: the projection head of pre-training."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from peclr_jax.models.normalization import BatchNorm


class ProjectionHead(nn.Module):
    """A two-layer perceptron whose output is read as points in the plane.

    Linear, BatchNorm, ReLU, Linear without bias; the sizes are the official code's, the paper
    gives none. The reading as m points of R^2 is the paper's Sec. 3.2.

    Attributes:
      hidden: width of the hidden layer.
      num_points: m.
      dtype: of the hidden layer's activations.
    """

    hidden: int = 512
    num_points: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch features"], train: bool = False
    ) -> Float[Array, "batch points 2"]:
        """Projects pooled features of any width to points.

        Args:
          features: (B, C), the encoder's output.
          train: use and update the statistics of the batch.

        Returns:
          (B, m, 2) float32, (x, y) interleaved as in the official code; not normalised.
        """
        x = nn.Dense(self.hidden, dtype=self.dtype, name="dense1")(features)
        x = BatchNorm(use_running_average=not train, dtype=self.dtype, name="bn1")(x)
        x = nn.relu(x)
        x = nn.Dense(2 * self.num_points, use_bias=False, dtype=self.dtype, name="dense2")(x)
        return x.astype(jnp.float32).reshape(-1, self.num_points, 2)
