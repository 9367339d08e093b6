"""The pre-trained network: an encoder and a projection head, which is then dropped."""

from flax import linen as nn
from jaxtyping import Array, Float

from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.resnet import ResNet


class Projector(nn.Module):
    """Projects images to latent points; parameters lie under "encoder" and "head"."""

    encoder: ResNet
    head: ProjectionHead

    def __call__(
        self, images: Float[Array, "batch height width 3"], train: bool = False
    ) -> Float[Array, "batch points 2"]:
        """Projects ImageNet-standardised images to points, not normalised."""
        return self.head(self.encoder(images, train), train)
