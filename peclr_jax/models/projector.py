"""The pre-trained network: an encoder and a projection head."""

from flax import linen as nn
from jaxtyping import Array, Float

from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.resnet import ResNet


class Projector(nn.Module):
    """Projects images to latent points; parameters lie under "encoder" and "head".

    Attributes:
      encoder: Images to pooled features; kept after pre-training.
      head: Features to points; dropped after pre-training.
    """

    encoder: ResNet
    head: ProjectionHead

    def __call__(
        self, images: Float[Array, "batch height width 3"], train: bool = False
    ) -> Float[Array, "batch points 2"]:
        """Projects ImageNet-standardised images to points.

        Args:
          images: (B, S, S, 3).
          train: Use and update the statistics of the batch (collection "batch_stats").

        Returns:
          (B, m, 2) float32, not normalised.
        """
        return self.head(self.encoder(images, train), train)
