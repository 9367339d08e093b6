"""Specs of the networks: what `config.model` describes, and what it builds."""

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp

from peclr_jax import specs
from peclr_jax.models import resnet
from peclr_jax.models.heads import HeatmapHead, PoseHead, ProjectionHead, RootDepthRefiner
from peclr_jax.models.pose_network import PoseNetwork
from peclr_jax.models.projector import Projector
from peclr_jax.specs import Between, Spec

Architecture = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
Stem = Literal["imagenet", "small"]
Width = Annotated[int, Between(1, 4096)]
OPEN = "auto"
"""In place of an encoder's field: what the checkpoint has."""
ENCODER_FIELDS = ("architecture", "width", "stem")
"""What makes two encoders the same network."""
HeadWidth = Annotated[int, Between(1, 2**16)]

_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
# The last stage must not shrink below one pixel.
_SMALLEST_VIEW = {"imagenet": 32, "small": 16}


@dataclasses.dataclass(frozen=True)
class EncoderSpec(Spec):
    """A ResNet.

    Attributes:
      architecture, width: Depth, and channels of the stem (64 in the published networks).
      stem: "imagenet", as published, or "small", for small views: it ends at 1/16, not 1/32.
      dtype: Of the activations; "bfloat16" is for accelerators.
      remat: What the backward pass recomputes to save memory: "none", BatchNorm ("norm"), or every
        residual block ("block").
      pointwise: 1x1 convolutions: a "dot" product, a "convolution", or as suits the "platform".
    """

    architecture: Architecture = "resnet50"
    width: Width = 64
    stem: Stem = "imagenet"
    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: Literal["none", "norm", "block"] = "none"
    pointwise: Literal["platform", "dot", "convolution"] = "platform"

    @property
    def smallest_view(self) -> int:
        """Side of the smallest view that the encoder takes, pixels."""
        return _SMALLEST_VIEW[self.stem]

    def build_encoder(self) -> resnet.ResNet:
        """Makes the encoder."""
        return resnet.BY_NAME[self.architecture](
            width=self.width,
            stem=self.stem,
            dtype=_DTYPES[self.dtype],
            remat=self.remat,
            pointwise=self.pointwise,
        )


@dataclasses.dataclass(frozen=True)
class ProjectorSpec(EncoderSpec):
    """The network of pre-training: an encoder and a projection head.

    Attributes:
      hidden: Width of the projection head (official code: 512).
      num_points: Points in the plane that the projection is read as (Sec. 3.2).
    """

    hidden: HeadWidth = 512
    num_points: HeadWidth = 64

    def build(self) -> Projector:
        """Makes the network."""
        head = ProjectionHead(self.hidden, self.num_points, _DTYPES[self.dtype])
        return Projector(self.build_encoder(), head)


@dataclasses.dataclass(frozen=True)
class PoseNetworkSpec(EncoderSpec):
    """The network of fine-tuning: an encoder and a head for 2.5D poses.

    Attributes:
      frozen: Whether the head alone is trained (Sec. 4.4).
      head: "linear", "mlp" with a hidden layer, or "heatmap", 2.5D heatmaps on the encoder's maps.
      hidden: Width of the hidden layer, which the paper does not give.
      channels: Of the heatmaps' pyramid.
      finest: Stage of the encoder whose maps the heatmaps are as fine as; 1 is the first.
    """

    frozen: bool = False
    head: Literal["linear", "mlp", "heatmap"] = "linear"
    hidden: HeadWidth = 512
    channels: HeadWidth = 64
    finest: Annotated[int, Between(1, 4)] = 1

    def build(self, *, refine_root_depth: bool) -> PoseNetwork:
        """Makes the network; only a loss that weighs the root's depth trains its refinement."""
        head: PoseHead | HeatmapHead = PoseHead((self.hidden,) if self.head == "mlp" else ())
        if self.head == "heatmap":
            head = HeatmapHead(self.channels, self.finest - 1, _DTYPES[self.dtype])
        return PoseNetwork(
            self.build_encoder(),
            head,
            RootDepthRefiner() if refine_root_depth else None,
            frozen_encoder=self.frozen,
        )


@dataclasses.dataclass(frozen=True)
class PoseModelSpec(PoseNetworkSpec):
    """`PoseNetworkSpec` whose encoder may be left to the checkpoint that training starts from.

    "auto", or 0 for the width, takes the checkpoint's; such a spec builds nothing but `network`.
    """

    architecture: Literal["auto", Architecture] = "auto"  # type: ignore[assignment]
    width: Annotated[int, Between(0, 4096)] = 0
    stem: Literal["auto", Stem] = "auto"  # type: ignore[assignment]

    @property
    def open_fields(self) -> tuple[str, ...]:
        """The encoder's fields that are left to the checkpoint."""
        return tuple(name for name in ENCODER_FIELDS if getattr(self, name) in (OPEN, 0))

    @property
    def network(self) -> PoseNetworkSpec:
        """The network, once no field is open; else a `FieldError`."""
        return PoseNetworkSpec(**specs.to_dict(self))
