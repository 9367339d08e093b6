"""ResNet encoders, equal to torchvision's (v1.5: the stride sits in the 3x3 convolution).

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. Module names follow
torchvision's (`layer1_0/conv1`), so that weights map one to one: see `torch_weights.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from peclr_jax.devices.convolutions import POINTWISE, implementation
from peclr_jax.devices.float32_sums import cast_on_devices, keep_parameters
from peclr_jax.errors import UserError
from peclr_jax.models.normalization import BatchNorm, finish
from peclr_jax.models.pooling import max_pool

# torchvision's initialisation: He et al. 2015, fan out.
_kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

STEMS = ("imagenet", "small")
REMAT_POLICIES: dict[str, Callable[..., bool] | None] = {
    # Recompute the whole block in the backward pass: least memory, one more forward pass.
    "block": None,
    # Keep what the convolutions computed and redo BatchNorm and ReLU, which cost only bandwidth.
    "norm": jax.checkpoint_policies.save_only_these_names("convolution"),
}


def _convolution(
    features: int, size: int, strides: int, *, name: str, dtype: Any, pointwise: str, use_bias: bool
) -> Callable[[Array], Array]:
    """Returns a convolution, padded as PyTorch pads, whose result is named for remat."""
    convolve = nn.Conv(
        features,
        (size, size),
        strides=(strides, strides),
        padding=(size - 1) // 2,
        use_bias=use_bias,
        kernel_init=_kernel_init,
        dtype=dtype,
        promote_dtype=keep_parameters,
        conv_general_dilated=cast_on_devices(implementation(size, pointwise)),
        name=name,
    )
    return lambda x: checkpoint_name(convolve(x).astype(dtype), "convolution")


def _no_norm(name: str, relu: bool = False) -> Callable[..., Array]:
    del name
    return lambda x, shortcut=None: finish(x, shortcut, relu)


class BasicBlock(nn.Module):
    """A residual block of two 3x3 convolutions (ResNet-18 and -34).

    Attributes:
      features: Channels of every convolution but the last, which has `expansion` times as many.
      strides: Stride of the first 3x3 convolution and of the shortcut.
      conv: `(features, size, strides, name=) -> layer`.
      norm: `(name=, relu=) -> layer`, of activations and of a shortcut to add to them.
    """

    features: int
    strides: int
    conv: Callable[..., Callable[[Array], Array]]
    norm: Callable[..., Callable[..., Array]]
    sizes: ClassVar[tuple[int, ...]] = (3, 3)
    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w c"]) -> Float[Array, "batch h2 w2 c2"]:
        """Returns relu(x + residual(x)), the shortcut projected where the shape changes."""
        y, last = x, len(self.sizes)
        for number, size in enumerate(self.sizes, 1):
            features = self.features * (self.expansion if number == last else 1)
            strides = self.strides if number == self.sizes.index(3) + 1 else 1
            y = self.conv(features, size, strides, name=f"conv{number}")(y)
            if number < last:
                y = self.norm(name=f"bn{number}", relu=True)(y)
        if x.shape != y.shape:
            x = self.conv(y.shape[-1], 1, self.strides, name="downsample_conv")(x)
            x = self.norm(name="downsample_bn")(x)
        return self.norm(name=f"bn{last}", relu=True)(y, shortcut=x)


class Bottleneck(BasicBlock):
    """A residual block of 1x1, 3x3 and 1x1 convolutions (ResNet-50 and deeper)."""

    sizes = (1, 3, 1)
    expansion = 4


class ResNet(nn.Module):
    """A ResNet without its classifier.

    Attributes:
      stage_sizes: Residual blocks in each of the four stages.
      width: Channels of the stem; 64 in every published ResNet.
      stem: "imagenet" (7x7 stride 2, then 3x3 max-pooling: 1/32 of the side at the end) or
        "small" (3x3 stride 2 and no pooling: 1/16), which keeps 4x4 maps at 64 px.
      dtype: Type of the activations; parameters and statistics are float32.
      remat: "none", or a key of `REMAT_POLICIES`: what the backward pass recomputes.
      pointwise: 1x1 convolutions: a "dot" product, a "convolution", or as suits the "platform";
        so are the others then, see `devices/convolutions.py`.
      folded: Whether BatchNorm is part of the convolutions, for inference: `normalization.fold`.
    """

    stage_sizes: Sequence[int]
    block: type[BasicBlock]
    width: int = 64
    stem: str = "imagenet"
    dtype: Any = jnp.float32
    remat: str = "none"
    pointwise: str = "platform"
    folded: bool = False

    def __call__(
        self, images: Float[Array, "batch height width_px 3"], train: bool = False
    ) -> Float[Array, "batch features"]:
        """Encodes ImageNet-standardised images as the average-pooled features of the last stage.

        These are 512 for ResNet-18 and -34, 2,048 for the others (at width 64).
        """
        return jnp.mean(self.maps(images, train)[-1], axis=(1, 2), dtype=jnp.float32)

    @nn.compact
    def maps(
        self, images: Float[Array, "batch height width_px 3"], train: bool = False
    ) -> tuple[Float[Array, "batch _ _ _"], ...]:
        """Returns the feature maps of the four stages, at 1/4 to 1/32 of the images' side.

        With the "small" stem they are at 1/2 to 1/16.
        """
        known = {"stem": STEMS, "remat": ("none", *REMAT_POLICIES), "pointwise": POINTWISE}
        for field, choices in known.items():
            if (value := getattr(self, field)) not in choices:
                raise UserError(f"unknown {field} {value!r}; choose from {list(choices)}")
        if self.folded and train:
            raise UserError(
                "a network with folded BatchNorm cannot be trained: use the network before folding"
            )
        conv = partial(
            _convolution, dtype=self.dtype, pointwise=self.pointwise, use_bias=self.folded
        )
        norm: Callable[..., Any] = _no_norm
        if not self.folded:
            norm = partial(BatchNorm, use_running_average=not train, dtype=self.dtype)
        x = images.astype(self.dtype)
        x = conv(self.width, 7 if self.stem == "imagenet" else 3, 2, name="conv1")(x)
        x = norm(name="bn1", relu=True)(x)
        if self.stem == "imagenet":
            x = max_pool(x)
        block = self.block
        if self.remat != "none":
            block = nn.remat(block, policy=REMAT_POLICIES[self.remat])
        stages = []
        for stage, blocks in enumerate(self.stage_sizes):
            for index in range(blocks):
                x = block(
                    features=self.width * 2**stage,
                    strides=2 if stage > 0 and index == 0 else 1,
                    conv=conv,
                    norm=norm,
                    name=f"layer{stage + 1}_{index}",
                )(x)
            stages.append(x)
            # Kept where "intermediates" are asked for, by the name of the stage.
            self.sow("intermediates", f"stage{stage + 1}", x)
        return tuple(stages)


ResNet18 = partial(ResNet, stage_sizes=(2, 2, 2, 2), block=BasicBlock)
ResNet34 = partial(ResNet, stage_sizes=(3, 4, 6, 3), block=BasicBlock)
ResNet50 = partial(ResNet, stage_sizes=(3, 4, 6, 3), block=Bottleneck)
ResNet101 = partial(ResNet, stage_sizes=(3, 4, 23, 3), block=Bottleneck)
ResNet152 = partial(ResNet, stage_sizes=(3, 8, 36, 3), block=Bottleneck)

BY_NAME: dict[str, Callable[..., ResNet]] = {
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
    "resnet152": ResNet152,
}
