"""The features of images by a ResNet-50: ours, and PyTorch's.

    python -m benchmarks.cpu.inference [--batches 1 32]

* ours: `model.apply`, compiled for the batch;
* ours, folded: the same with BatchNorm folded into the convolutions, as in `predict`;
* pytorch: eager, `inference_mode`, NCHW;
* pytorch, channels last: the same in the other layout.

Each on all cores of the process; images are float32 and standardised.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table

from benchmarks import harness, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column


@dataclass(frozen=True)
class Settings:
    """Sizes in pixels."""

    architecture: str = "resnet50"
    width: int = 64
    size: int = 224
    batches: tuple[int, ...] = (1, 32)
    seconds: float = 3.0
    rounds: int = 7


TOY = Settings("resnet18", width=4, size=32, batches=(1,), seconds=0.01, rounds=2)


def prepare_ours(
    architecture: str, width: int, size: int, batch: int, seconds: float, folded: bool = False
) -> Callable[[], Figures]:
    import jax

    from peclr_jax.models import normalization, resnet
    from peclr_jax.models.heads import ProjectionHead
    from peclr_jax.models.projector import Projector

    network = Projector(resnet.BY_NAME[architecture](width=width), ProjectionHead())
    images = jax.random.normal(jax.random.key(0), (batch, size, size, 3))
    variables = jax.jit(network.init)(jax.random.key(1), images)
    if folded:
        network, variables = normalization.fold(network, variables)
    of_encoder = {name: tree["encoder"] for name, tree in variables.items() if "encoder" in tree}
    program = jax.jit(lambda images: network.encoder.apply(of_encoder, images, train=False))
    return lambda: harness.timed(
        lambda: jax.block_until_ready(program(images)), seconds, units=batch
    )


def prepare_torch(
    architecture: str, width: int, size: int, batch: int, seconds: float, layout: str
) -> Callable[[], Figures]:
    import torch

    from benchmarks.peers import torch_network

    memory_format = getattr(torch, layout)
    model = torch_network.encoder(architecture, width).eval().to(memory_format=memory_format)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=memory_format)

    @torch.inference_mode()
    def infer() -> None:
        model(images)

    return lambda: harness.timed(infer, seconds, units=batch)


def measure(settings: Settings) -> Benchmark:
    measured: Benchmark = {}
    pairs = []
    for batch in settings.batches:
        kwargs = {
            "architecture": settings.architecture,
            "width": settings.width,
            "size": settings.size,
            "batch": batch,
            "seconds": settings.seconds,
        }

        def torch(layout: str, kwargs: dict = kwargs) -> Candidate | str:
            return harness.missing("torch") or Candidate(
                prepare_torch, {**kwargs, "layout": layout}
            )

        candidates = {
            "ours": Candidate(prepare_ours, kwargs, environment=ON_CPU),
            "ours, folded": Candidate(prepare_ours, {**kwargs, "folded": True}, environment=ON_CPU),
            "pytorch": torch("contiguous_format"),
            "pytorch, channels last": torch("channels_last"),
        }
        candidates = {f"{name}, batch {batch}": c for name, c in candidates.items()}
        measured |= harness.measure_in_turn(candidates, settings.rounds)
        ours = [name for name in candidates if name.startswith("ours")]
        peers = [name for name in candidates if name.startswith("pytorch")]
        pairs += [(mine, theirs, "per_second") for mine in ours for theirs in peers]
    return harness.with_ratios(measured, pairs, settings)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("median_ms", "ms a batch", 1),
        Column("per_second", "images/s", 1),
        Column("per_core_second", "images/s a core", 1),
        Column("peak_memory_mib", "peak MiB", 0),
    ]
    return report.table("Inference", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
