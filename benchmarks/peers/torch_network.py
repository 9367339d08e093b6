"""The pre-trained network in PyTorch, its modules named as torchvision's: encoder and head."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=(size - 1) // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, inputs: int, features: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = _convolution(inputs, features, 3, stride)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = _convolution(features, features, 3)
        self.bn2 = nn.BatchNorm2d(features)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Returns relu(shortcut(x) + residual(x))."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions (ResNet-50 and deeper), the stride in the 3x3."""

    expansion = 4

    def __init__(self, inputs: int, features: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        outputs = features * self.expansion
        self.conv1 = _convolution(inputs, features, 1)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = _convolution(features, features, 3, stride)
        self.bn2 = nn.BatchNorm2d(features)
        self.conv3 = _convolution(features, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Returns relu(shortcut(x) + residual(x))."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class ResNet(nn.Module):
    """A ResNet without its classifier: images to pooled features."""

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], sizes: Sequence[int], width: int = 64
    ):
        super().__init__()
        self.conv1 = _convolution(3, width, 7, 2)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage, blocks in enumerate(sizes):
            features = width * 2**stage
            outputs = features * block.expansion
            layers = []
            for index in range(blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                shortcut = None
                if stride > 1 or inputs != outputs:
                    shortcut = nn.Sequential(
                        _convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
                    )
                layers.append(block(inputs, features, stride, shortcut))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.features = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, S, S) standardised images as (B, features)."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = F.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3))


class Projector(nn.Module):
    """The network that is pre-trained: an encoder and the projection head."""

    def __init__(self, encoder: ResNet, hidden: int = 512, num_points: int = 64):
        super().__init__()
        self.encoder = encoder
        self.projection_head = nn.Sequential(
            nn.Linear(encoder.features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * num_points, bias=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Projects (B, 3, S, S) images to (B, m, 2) points, float32."""
        points = self.projection_head(self.encoder(images)).float()
        return points.view(len(points), -1, 2)


ARCHITECTURES: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}


def encoder(architecture: str, width: int = 64) -> ResNet:
    """Returns a ResNet by name, randomly initialised, in training mode."""
    block, sizes = ARCHITECTURES[architecture]
    return ResNet(block, sizes, width)
