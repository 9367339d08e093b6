"""The fine-tuned network: an encoder, a 2.5D pose head and the refinement of the root depth."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from peclr_jax.geometry import camera
from peclr_jax.models.heads import HeatmapHead, Localisation, PoseHead, RootDepthRefiner
from peclr_jax.models.resnet import ResNet

# Bounds of the root depth before its refinement, in bone lengths, as released: 12 cm to 1.5 m for a
# bone of 3 cm. Depths outside come from poses that no hand can take.
ROOT_DEPTH_BOUNDS = (4.0, 50.0)
_EPSILON = 1e-8


class PoseOutput(NamedTuple):
    """Output of the network for a batch of views.

    Attributes:
      pose: 2.5D: (x px, y px) in the view, root-relative depth in reference bone lengths.
      root_depth: Depth of the wrist in bone lengths, from `pose` (Iqbal et al. 2018), refined.
      localisation: How sharply joints are localised; None of heads without heatmaps.
    """

    pose: Float[Array, "batch 21 3"]
    root_depth: Float[Array, " batch"]
    localisation: Localisation | None = None


class PoseNetwork(nn.Module):
    """Estimates 2.5D poses; parameters lie under "encoder", "head" and "refiner".

    The head's output is normalised, pixels by `to_pixels`, so that it does not depend on the
    view's side and starts near the right size.

    Attributes:
      encoder, head: Images to pooled features or to maps, and these to a normalised pose.
      refiner: Refinement of the root depth; None leaves the estimate as it is.
      frozen_encoder: Whether the encoder stays as it is: fixed statistics, no gradient (Sec. 4.4).
    """

    encoder: ResNet
    head: PoseHead | HeatmapHead
    refiner: RootDepthRefiner | None = None
    frozen_encoder: bool = False

    def __call__(
        self,
        images: Float[Array, "batch side side 3"],
        intrinsics: Float[Array, "batch 3 3"],
        train: bool = False,
    ) -> PoseOutput:
        """Estimates the poses of hands.

        Args:
          images: ImageNet-standardised views.
          intrinsics: Camera matrices of the views, pixels.
          train: Use and update the statistics of the batch (collection "batch_stats").
        """
        pose, localisation = self._localise(images, train and not self.frozen_encoder)
        output = place(to_pixels(pose, images.shape[1]), intrinsics, self.refiner, train)
        return output._replace(localisation=localisation)

    def _localise(
        self, images: Float[Array, "batch side side 3"], train: bool
    ) -> tuple[Float[Array, "batch 21 3"], Localisation | None]:
        stop = jax.lax.stop_gradient if self.frozen_encoder else lambda features: features
        if isinstance(self.head, HeatmapHead):
            return self.head(stop(self.encoder.maps(images, train)))
        return self.head(stop(self.encoder(images, train))), None


def place(
    pose: Float[Array, "batch 21 3"],
    intrinsics: Float[Array, "batch 3 3"],
    refiner: RootDepthRefiner | None,
    train: bool = False,
) -> PoseOutput:
    """Finds the root depths of 2.5D poses.

    Args:
      pose: (x px, y px, root-relative depth in reference bone lengths).
      intrinsics: Camera matrices of the views, pixels.
      refiner: Refinement of the root depth, bound to its parameters; None leaves the estimate.
      train: Use and update the statistics of the batch.
    """
    # The released networks stop the gradient here: the quadratic's derivative is wild where
    # its discriminant or leading coefficient is small.
    estimate = jax.lax.stop_gradient(
        camera.root_depth(pose, intrinsics, epsilon=_EPSILON, bounds=ROOT_DEPTH_BOUNDS)
    )
    if refiner is None:
        return PoseOutput(pose, estimate)
    rays = camera.rays(pose[..., :2], intrinsics)[..., :2]
    correction = refiner(pose[..., 2], rays, estimate, train)
    return PoseOutput(pose, estimate + correction)


def to_pixels(pose: Float[Array, "*batch 21 3"], side: int) -> Float[Array, "*batch 21 3"]:
    """Turns the head's (x, y) into view pixels: 0 is the view's centre, 1 half its side away."""
    center, half = (side - 1) / 2, side / 2
    return pose * jnp.array([half, half, 1.0]) + jnp.array([center, center, 0.0])


def from_pixels(pose: Float[Array, "*batch 21 3"], side: int) -> Float[Array, "*batch 21 3"]:
    """Undoes `to_pixels`."""
    center, half = (side - 1) / 2, side / 2
    return (pose - jnp.array([center, center, 0.0])) / jnp.array([half, half, 1.0])
