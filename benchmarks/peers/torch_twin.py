"""The pre-training step in PyTorch: the same layers, loss and update as ours, for comparison.

Four styles of the one step:

* "cpu": float32, eager, NCHW.
* "cpu_best": the same with channels last and LARS over all parameters at once.
* "official": as the official PeCLR trains, eager, NCHW, float16 autocast with a loss scale, and
  LARS as a loop over the parameters.
* "best": what PyTorch can do today, channels last, bfloat16 autocast, `torch.compile`, LARS over
  all parameters at once and a fused Adam.

The styles compute the same in different ways: `tests/benchmarks/peers/test_torch_twin.py` compares
loss, gradients and update with ours.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.torch_network import ARCHITECTURES, Projector, encoder

STYLES = ("cpu", "cpu_best", "official", "best")
TEMPERATURE, LEARNING_RATE = 0.5, 1e-3

# images (2N, 3, S, S), rotation (2N,), translation (2N, 2) -> loss, on the device, not waited for
Step = Callable[[Tensor, Tensor, Tensor], Tensor]


def peclr_loss(points: Tensor, rotation: Tensor, translation: Tensor, temperature: float) -> Tensor:
    """Computes our `contrastive.equivariant_nt_xent` in float32.

    Args:
      points: (2N, m, 2); i and i + N are the two views of one image.
      rotation: (2N,) radians, source to view.
      translation: (2N, 2), as a fraction of the view's side.
      temperature: Divides the cosine similarities.
    """
    with torch.autocast(points.device.type, enabled=False):
        views = len(points)
        points = F.normalize(points.float().flatten(1), eps=1e-12).view_as(points)
        extent = (points.amax(1, keepdim=True) - points.amin(1, keepdim=True)).detach()
        points = points - translation[:, None] * extent
        center = points.mean(1, keepdim=True).detach()
        x, y = (points - center).unbind(-1)
        cosine, sine = rotation.cos()[:, None], rotation.sin()[:, None]
        undone = torch.stack([cosine * x + sine * y, cosine * y - sine * x], -1) + center
        z = F.normalize(undone.flatten(1), eps=1e-12)
        logits = z @ z.T / temperature
        rows = torch.arange(views, device=z.device)
        logits = logits.masked_fill(rows[:, None] == rows, float("-inf"))
        return F.cross_entropy(logits, (rows + views // 2) % views)


class LarsAdam:
    """Adam on gradients scaled by LARS, in the arithmetic of our `optimizer.lars_adam`.

    Args:
      parameters: Are updated; those of more than one axis are decayed.
      learning_rate: Constant.
      weight_decay: Added to the gradient before it is scaled.
      at_once: Whether to scale all parameters in a few fused operations; else one after the other,
        as the wrapper from Lightning's bolts in the official code.
      compiled: Whether to use `torch.compile` for the scaling.
    """

    trust_coefficient, epsilon = 0.02, 1e-8

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        learning_rate: float,
        weight_decay: float = 1e-6,
        *,
        at_once: bool = True,
        compiled: bool = False,
    ):
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.decays = [weight_decay if p.ndim > 1 else 0.0 for p in self.parameters]
        fused = at_once and self.parameters[0].is_cuda
        self.adam = torch.optim.Adam(self.parameters, lr=learning_rate, fused=fused, foreach=None)
        scale = self._scale_at_once if at_once else self._scale_one_by_one
        self._scale = torch.compile(scale) if compiled else scale
        self._decay_rates = torch.tensor(self.decays, device=self.parameters[0].device)

    def zero_grad(self) -> None:
        """Clears the gradients."""
        self.adam.zero_grad(set_to_none=True)

    @torch.no_grad()
    def scale_gradients(self) -> None:
        """Adds the decay to the gradients and scales them, in place."""
        self._scale(self.parameters, [p.grad for p in self.parameters])

    def _scale_one_by_one(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        for parameter, gradient, decay in zip(parameters, gradients, self.decays, strict=True):
            norm, gradient_norm = torch.norm(parameter), torch.norm(gradient)
            if norm != 0 and gradient_norm != 0:
                ratio = norm * self.trust_coefficient
                ratio = ratio / (gradient_norm + norm * decay + self.epsilon)
                ratio = torch.clamp(ratio / self.learning_rate, max=1)
                gradient.add_(parameter, alpha=decay).mul_(ratio)

    def _scale_at_once(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        norms = torch.stack(torch._foreach_norm(parameters))
        gradient_norms = torch.stack(torch._foreach_norm(gradients))
        decays = self._decay_rates
        ratio = norms * self.trust_coefficient / (gradient_norms + norms * decays + self.epsilon)
        moves = (norms > 0) & (gradient_norms > 0)
        ratio = torch.where(moves, (ratio / self.learning_rate).clamp(max=1), 1.0)
        decays = torch.where(moves, decays, 0.0)
        torch._foreach_add_(gradients, torch._foreach_mul(parameters, list(decays.unbind())))
        torch._foreach_mul_(gradients, list(ratio.unbind()))


def make_step(
    architecture: str,
    *,
    style: str,
    size: int,
    device: str = "cpu",
    width: int = 64,
    hidden: int = 512,
    num_points: int = 64,
    micro_batches: int = 1,
    compiled: bool | None = None,
) -> Step:
    """Makes one optimizer step in one of the styles.

    The style "best" switches on cuDNN's search for algorithms and TF32 in the whole process.

    Args:
      architecture: A key of `ARCHITECTURES`.
      style: One of `STYLES`.
      size: Side of the views in pixels.
      device: "cpu" or "cuda".
      width: Channels of the stem.
      hidden: Width of the projection head.
      num_points: Number m of projected points.
      micro_batches: Parts of a step, negatives within each, as the official code accumulates.
      compiled: Whether to use `torch.compile`; by default in the style "best".

    Returns:
      A step of (2N, 3, S, S) float standardised images, (2N,) rotations and (2N, 2) translations,
      where i and i + N are the views of one image. It returns the loss and does not wait for it.

    Raises:
      ValueError: If the style or the architecture is unknown.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; choose from {', '.join(STYLES)}")
    if architecture not in ARCHITECTURES:
        raise ValueError(f"unknown network {architecture!r}; choose from {list(ARCHITECTURES)}")
    best = style == "best"
    modern = style in ("best", "cpu_best")
    compiled = best if compiled is None else compiled
    if best:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = True
    layout = torch.channels_last if modern else torch.contiguous_format
    dtype = {"official": torch.float16, "best": torch.bfloat16}.get(style)
    network = Projector(encoder(architecture, width), hidden, num_points)
    network = network.to(device, memory_format=layout)
    optimizer = LarsAdam(
        list(network.parameters()), LEARNING_RATE, at_once=modern, compiled=compiled
    )
    scaler = torch.amp.GradScaler(device, enabled=style == "official")

    def forward(images: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        with torch.autocast(device, dtype, enabled=dtype is not None):
            points = network(images)
        return peclr_loss(points, rotation, translation, TEMPERATURE)

    loss_of = torch.compile(forward, dynamic=False) if compiled else forward

    def step(images: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        optimizer.zero_grad()
        losses = []
        for part in _micro_batches((images, rotation, translation), micro_batches):
            loss = loss_of(part[0].contiguous(memory_format=layout), *part[1:]) / micro_batches
            scaler.scale(loss).backward()
            losses.append(loss.detach())
        scaler.unscale_(optimizer.adam)
        optimizer.scale_gradients()
        scaler.step(optimizer.adam)
        scaler.update()
        return torch.stack(losses).sum()

    step.network = network
    return step


def _micro_batches(arrays: tuple[Tensor, ...], count: int) -> list[tuple[Tensor, ...]]:
    """Splits (2N, ...) arrays so that the two views of an image stay in one part."""
    if count == 1:
        return [arrays]
    halves = [array.view(2, -1, *array.shape[1:]).chunk(count, 1) for array in arrays]
    return [tuple(part.flatten(0, 1) for part in parts) for parts in zip(*halves, strict=True)]
