"""Peers of `benchmarks/gpu.sh`: the PyTorch twins, and the official augmentation."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.gpu.ours import Sizes
from benchmarks.harness import Figures

_MIB = 2**20
_WARM_UP_STEPS = 3


def prepare(
    style: str,
    sizes: Sizes,
    seconds: float,
    device: str = "cuda",
    compiled: bool = False,
    micro_batches: int = 1,
) -> Callable[[], Figures]:
    """Prepares a twin's step, on uint8 sources on the device and on given views.

    Args:
      style: Style of the twin: "official" or "best".
      sizes: Sizes of the batch and the network; the style chooses the type of the activations.
      seconds: Time to measure each of the two for.
      device: "cuda" or "cpu".
      compiled: Whether to use `torch.compile`, for step and augmentation.
      micro_batches: Number of parts of a step.
    """
    import torch

    from benchmarks.peers import torch_twin
    from benchmarks.peers.torch_views import TorchViews

    step = torch_twin.make_step(
        sizes.architecture,
        style=style,
        size=sizes.size,
        device=device,
        width=sizes.width,
        compiled=compiled,
        micro_batches=micro_batches,
    )
    # As the twin's autocast would convert them.
    dtype = torch.bfloat16 if style == "best" else torch.float32
    views = TorchViews(sizes.size, dtype=dtype, compiled=compiled)
    shape = (sizes.pairs, sizes.source_size, sizes.source_size, 3)
    sources = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    given = views(sources)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def whole() -> Any:
        return step(*views(sources))

    def seconds_a_call(function: Callable[[], Any]) -> float:
        wait()
        calls, began = 0, time.perf_counter()
        while not calls or time.perf_counter() - began < seconds:
            function()
            calls += 1
            # As in ours, the host runs ahead, but not without limit.
            if calls % 3 == 0:
                wait()
        wait()
        return (time.perf_counter() - began) / calls

    for _ in range(_WARM_UP_STEPS):
        whole()
    wait()

    def measure() -> Figures:
        taken, alone = seconds_a_call(whole), seconds_a_call(lambda: step(*given))
        peak = torch.cuda.max_memory_allocated() / _MIB if device == "cuda" else 0.0
        return {
            "pairs_per_second": sizes.pairs / taken,
            "step_ms": 1000 * taken,
            "views_given_ms": 1000 * alone,
            **({"device_peak_mib": peak} if peak else {}),
        }

    return measure


def prepare_opencv(sizes: Sizes, seconds: float, cores: int) -> Callable[[], Figures]:
    """Prepares the official augmentation: the rate of this process's one core, times `cores`.

    All cores together reach less, and nothing is decoded: a bound in the peer's favour.
    """
    from benchmarks.peers import opencv_views

    photo_side = round(sizes.source_size * 224 / 192)
    views = opencv_views.prepare("official", 16, photo_side, sizes.size, seconds)
    return lambda: {"pairs_per_second": cores * views()["per_second"] / 2}
