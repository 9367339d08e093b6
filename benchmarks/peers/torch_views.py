"""Our two-view augmentation in PyTorch, written for the accelerator: the recipe of Sec. 8.

The official code augments on the host's cores with OpenCV (`opencv_views.py`). A comparison of
whole steps against that alone would say little about the networks, so the twins use this one,
too: a gather of uint8 pixels and arithmetic, which `torch.compile` fuses into a few kernels.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_TINY = 1e-9


class Draw(NamedTuple):
    """Parameters of a batch of B views; see our `views.spec.ViewSpec`.

    Attributes:
      rotation: (B,) radians, positive from +x toward +y.
      scale: (B,) magnification.
      translation: (B, 2) of the content, as a fraction of the view's side.
      hue, saturation, gain: (B,) factors.
      offset: (B,) grey levels added to the value.
    """

    rotation: Tensor
    scale: Tensor
    translation: Tensor
    hue: Tensor
    saturation: Tensor
    gain: Tensor
    offset: Tensor


def draw(batch: int, device: str) -> Draw:
    """Draws the parameters of (batch,) views from the paper's ranges."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(batch, *shape, device=device).uniform_(low, high)

    angle, shift = math.radians(45), 15 / 128
    return Draw(
        rotation=uniform(-angle, angle),
        scale=uniform(0.6, 2.0),
        translation=uniform(-shift, shift, 2),
        hue=uniform(0.01, 1.0),
        saturation=uniform(0.01, 1.0),
        gain=uniform(0.5, 1.0),
        offset=uniform(5.0, 20.0),
    )


def render(sources: Tensor, draw: Draw, size: int, source_margin: float = 1.5) -> Tensor:
    """Makes a view of every source, bilinear, black outside, with jittered colours.

    Args:
      sources: (B, Q, Q, 3) uint8 RGB.
      draw: The parameters of each view.
      size: Side of the views, S.
      source_margin: Side of the source over that of the canonical view.

    Returns:
      (B, 3, S, S) float32, standardised by ImageNet's mean and deviation; channels last in memory.
    """
    images = _jitter(_resample(sources, draw, size, source_margin), draw)
    mean, deviation = (images.new_tensor(values) for values in (_MEAN, _DEVIATION))
    return ((images / 255 - mean) / deviation).permute(0, 3, 1, 2)


def _resample(sources: Tensor, draw: Draw, size: int, source_margin: float) -> Tensor:
    batch, side = sources.shape[:2]
    rows = torch.arange(size, device=sources.device, dtype=torch.float32) - (size - 1) / 2
    # From the view's centre back to the source's: shift, turn and scale undone in that order.
    shift = draw.translation * size
    x = rows[None, None, :] - shift[:, 0, None, None]
    y = rows[None, :, None] - shift[:, 1, None, None]
    factor = side / (size * source_margin)
    cosine = (draw.rotation.cos() * factor / draw.scale)[:, None, None]
    sine = (draw.rotation.sin() * factor / draw.scale)[:, None, None]
    center = (side - 1) / 2
    column, row = cosine * x + sine * y + center, cosine * y - sine * x + center
    left, top = column.floor(), row.floor()
    right_weight, bottom_weight = column - left, row - top
    image = torch.arange(batch, device=sources.device)[:, None, None]

    def tap(column: Tensor, row: Tensor, weight: Tensor) -> Tensor:
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        column, row = (index.clamp(0, side - 1).long() for index in (column, row))
        return sources[image, row, column].float() * torch.where(inside, weight, 0.0)[..., None]

    return (
        tap(left, top, (1 - right_weight) * (1 - bottom_weight))
        + tap(left + 1, top, right_weight * (1 - bottom_weight))
        + tap(left, top + 1, (1 - right_weight) * bottom_weight)
        + tap(left + 1, top + 1, right_weight * bottom_weight)
    )


def _jitter(images: Tensor, draw: Draw) -> Tensor:
    hue_factor, saturation_factor, gain, offset = (factor[:, None, None] for factor in draw[3:])
    red, green, blue = images.unbind(-1)
    value, low = images.amax(-1), images.amin(-1)
    chroma = value - low
    divisor = chroma + _TINY
    hue = torch.where(
        value == red,
        torch.remainder((green - blue) / divisor, 6.0),
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    saturation = (chroma / (value + _TINY) * saturation_factor).clamp(0, 1)
    value = (value * gain + offset).clamp(0, 255)
    hue, chroma = torch.remainder(hue * hue_factor, 6.0), value * saturation
    return torch.stack(
        [
            value - chroma * (1 - ((hue - 3).abs() - 1).clamp(0, 1)),
            value - chroma * (1 - (2 - (hue - 2).abs()).clamp(0, 1)),
            value - chroma * (1 - (2 - (hue - 4).abs()).clamp(0, 1)),
        ],
        -1,
    )


class TorchViews:
    """Makes two views of every source, and returns their transforms.

    Args:
      size: Side of the views in pixels.
      dtype: Type of the views.
      compiled: Whether to use `torch.compile`.
    """

    def __init__(self, size: int, *, dtype: torch.dtype = torch.float32, compiled: bool = False):
        def views(sources: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            both = draw(2 * len(sources), str(sources.device))
            halves = [Draw(*(part.chunk(2)[half] for part in both)) for half in range(2)]
            images = torch.cat([render(sources, half, size).to(dtype) for half in halves])
            return images, both.rotation, both.translation

        self._views: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]] = (
            torch.compile(views, dynamic=False) if compiled else views
        )

    @torch.no_grad()
    def __call__(self, sources: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (2N, 3, S, S) views of (N, Q, Q, 3) uint8 sources, rotations, translations."""
        return self._views(sources)
