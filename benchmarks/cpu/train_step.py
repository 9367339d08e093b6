"""One step of pre-training: ours, and the same layers, loss and update in PyTorch.

    python -m benchmarks.cpu.train_step [--architectures resnet18 resnet50]

* ours, whole step: as `main.py` takes it, from uint8 sources: augmentation, forward, loss,
  backward, update; the recipe `paper_rn50` in float32 with `--batch` pairs at a time;
* ours, views given: the same without the augmentation, from float32 views;
* pytorch, views given: the twin in benchmarks/peers/torch_twin.py, eager, float32, NCHW;
* pytorch, channels last, views given: the same in our order of axes.

The fair ratios are those of given views. All have huge pages, as main.py has them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks import harness, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column


@dataclass(frozen=True)
class Settings:
    """Sizes in pixels, batches in pairs."""

    architectures: tuple[str, ...] = ("resnet18", "resnet50")
    width: int = 64
    batch: int = 16
    source_size: int = 192
    size: int = 128
    seconds: float = 5.0
    rounds: int = 5


TOY = Settings(("resnet18",), width=4, batch=2, source_size=48, size=32, seconds=0.01, rounds=2)


def prepare_ours(seconds: float, **of_step: Any) -> Callable[[], Figures]:
    import jax

    train_step, state, data, key = make_step(**of_step)

    def step() -> None:
        nonlocal state
        state, metrics = train_step(state, data, key)
        jax.block_until_ready((state, metrics))

    return lambda: harness.timed(step, seconds, units=of_step["batch"])


def make_step(
    architecture: str, width: int, batch: int, source_size: int, size: int, augmented: bool
) -> tuple[Any, ...]:
    """Returns a compiled step of ours and its arguments: the state, which it takes, data, key."""
    import jax
    import optax

    from configs import pretrain as configs
    from peclr_jax import specs
    from peclr_jax.devices.mesh import make_mesh, replicate, shard_batch
    from peclr_jax.runs import initialisation
    from peclr_jax.runs.spec import PretrainSpec
    from peclr_jax.tasks import pretrain
    from peclr_jax.training import trainer

    config = configs.get_config("paper_rn50")
    config.batch_size, config.micro_batches = batch, 1
    config.model.architecture, config.model.width = architecture, width
    config.model.dtype = "float32"
    config.views.size = size
    config.data.source_size = source_size
    mesh = make_mesh(jax.devices()[:1])
    spec = specs.from_config(PretrainSpec, config)
    model, optimizer = spec.model.build(), spec.optimizer.build(optax.constant_schedule(1e-3))
    if augmented:
        gradients = pretrain.make_gradients(spec, model)
        sources = (batch, source_size, source_size, 3)
        data = {"image": jax.random.bits(jax.random.key(1), sources, "uint8")}
    else:
        gradients, data = _of_given_views(spec, model), _views(batch, size)
    variables = pretrain.initialise(spec, model, initialisation.RANDOM)
    state = replicate(trainer.create_state(variables, optimizer), mesh)
    train_step = trainer.make_train_step(gradients, optimizer, mesh=mesh)
    return train_step, state, shard_batch(data, mesh), jax.random.key(0)


def _views(batch: int, size: int) -> dict[str, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    return {
        "views": random.standard_normal((2 * batch, size, size, 3)).astype(np.float32),
        "rotation": random.uniform(-0.8, 0.8, 2 * batch).astype(np.float32),
        "translation": random.uniform(-0.1, 0.1, (2 * batch, 2)).astype(np.float32),
    }


def _of_given_views(spec: Any, model: Any) -> Any:
    """Returns the gradients of `pretrain.make_gradients`, without the augmentation."""
    import jax.numpy as jnp

    from peclr_jax.geometry.affine import Similarity
    from peclr_jax.objectives.contrastive import equivariant_nt_xent
    from peclr_jax.training import accumulation

    def loss(params: Any, batch_stats: Any, batch: Any, key: Any) -> Any:
        del key
        points, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            batch["views"],
            train=True,
            mutable=["batch_stats"],
        )
        scale = jnp.ones_like(batch["rotation"])
        transform = Similarity(batch["rotation"], scale, batch["translation"])
        value = equivariant_nt_xent(points, transform, spec.loss.temperature)
        return value, (updates["batch_stats"], {})

    return accumulation.accumulate_gradients(loss, 1)


def prepare_torch(
    architecture: str, style: str, width: int, batch: int, size: int, seconds: float
) -> Callable[[], Figures]:
    import torch

    from benchmarks.peers import torch_twin

    data = {name: torch.from_numpy(array) for name, array in _views(batch, size).items()}
    views = data["views"].permute(0, 3, 1, 2).contiguous()
    step = torch_twin.make_step(architecture, style=style, size=size, width=width)
    return lambda: harness.timed(
        lambda: step(views, data["rotation"], data["translation"]).item(), seconds, units=batch
    )


def _torch(kwargs: dict[str, Any]) -> Any:
    return harness.missing("torch") or Candidate(prepare_torch, kwargs, environment=ON_CPU)


def measure(settings: Settings) -> Benchmark:
    measured: Benchmark = {}
    pairs = []
    for architecture in settings.architectures:
        kwargs = {
            "architecture": architecture,
            "width": settings.width,
            "batch": settings.batch,
            "size": settings.size,
            "seconds": settings.seconds,
        }
        ours = Candidate(
            prepare_ours,
            {**kwargs, "source_size": settings.source_size, "augmented": False},
            environment=ON_CPU,
        )
        whole = ours._replace(kwargs={**ours.kwargs, "augmented": True})
        candidates = {
            f"{architecture}, ours, whole step": whole,
            f"{architecture}, ours, views given": ours,
            f"{architecture}, pytorch, views given": _torch({**kwargs, "style": "cpu"}),
            f"{architecture}, pytorch, channels last, views given": _torch(
                {**kwargs, "style": "cpu_best"}
            ),
        }
        measured |= harness.measure_in_turn(candidates, settings.rounds)
        mine, given, *theirs = candidates
        pairs += [(our, peer, "per_second") for peer in theirs for our in (given, mine)]
    return harness.with_ratios(measured, pairs, settings)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("per_second", "pairs/s", 2),
        Column("median_ms", "ms a step", 0),
        Column("per_core_second", "pairs/s a core", 2),
        Column("peak_memory_mib", "peak MiB", 0),
    ]
    return report.table("A step of pre-training", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
