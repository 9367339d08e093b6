"""Our candidates of `benchmarks/gpu.sh`: the step of pre-training on one card, and its parts.

Each `prepare` function is run in a process of its own. Nothing heavy is imported at the top.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.harness import Figures

_MIB = 2**20
_WARM_UP_STEPS = 3


class Sizes(NamedTuple):
    """Sizes of a step; a width other than 64 is a toy.

    Attributes:
      architecture: A key of `resnet.BY_NAME`.
      pairs: Images in a batch.
      size: Side of the views in pixels.
      source_size: Side of the uint8 sources in pixels.
      width: Channels of the stem.
      dtype: Type of the activations.
    """

    architecture: str
    pairs: int
    size: int = 128
    source_size: int = 192
    width: int = 64
    dtype: str = "bfloat16"


def prepare(sizes: Sizes, fields: Mapping[str, Any], seconds: float) -> Callable[[], Figures]:
    """Prepares the step that `main.py` takes, on batches of a data set cached on the device.

    Every round also measures the same step on one constant batch: the difference of the two is the
    cost of the host.

    Args:
      sizes: Sizes of the batch and the network.
      fields: Changed fields of the config, as {"model.remat": "norm"}.
      seconds: Time to measure each of the two for.
    """
    run = _Run(sizes, fields)
    batches, constant = run.cached_batches(), run.constant_batch()
    run.steps(batches, count=_WARM_UP_STEPS)
    run.steps(_forever(constant), count=_WARM_UP_STEPS)

    def measure() -> Figures:
        step = run.seconds_a_step(batches, seconds)
        alone = run.seconds_a_step(_forever(constant), seconds)
        return {
            "pairs_per_second": sizes.pairs / step,
            "step_ms": 1000 * step,
            "constant_batch_ms": 1000 * alone,
            **run.facts(),
        }

    return measure


def prepare_parts(sizes: Sizes, fields: Mapping[str, Any], seconds: float) -> Callable[[], Figures]:
    """Prepares the parts of a step, each as a program of its own on arrays of the same shapes.

    The backward pass cannot run alone: its time is that of the whole step less the other parts.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from peclr_jax.views.augment import two_views

    run = _Run(sizes, fields)
    batch, spec = run.constant_batch(), run.spec
    run.steps(_forever(batch), count=_WARM_UP_STEPS)
    key, state = jax.random.key(0), run.copy_of_state()
    augment = jax.jit(lambda images: two_views(key, images, spec.views))
    first, second = augment(batch["image"])
    views = jnp.stack([first.images, second.images], axis=1).reshape(-1, *first.images.shape[1:])
    transform = jax.tree.map(lambda *ends: jnp.concatenate(ends), first.transform, second.transform)

    @jax.jit
    def forward(state: Any, views: Any) -> Any:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return run.model.apply(variables, views, train=True, mutable=["batch_stats"])

    points, _ = forward(state, views)
    loss = jax.jit(jax.value_and_grad(lambda points: spec.loss(points, transform)[0]))

    def update(state: Any) -> Any:
        # The values of the gradients do not change the time, so the parameters stand in for them.
        updates, opt_state = run.optimizer.update(state.params, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state.replace(params=params, opt_state=opt_state)

    update = jax.jit(update, donate_argnums=0)

    def updated() -> Any:
        nonlocal state
        state = update(state)
        return state

    parts = {
        "augmentation": lambda: augment(batch["image"]),
        "forward": lambda: forward(state, views),
        "loss": lambda: loss(points),
        "optimizer": updated,
    }

    def measure() -> Figures:
        whole = run.seconds_a_step(_forever(batch), seconds)
        times = {name: _seconds_a_call(part, seconds) for name, part in parts.items()}
        times["backward"] = whole - sum(times.values())
        shares = {f"{name}_percent": 100 * taken / whole for name, taken in times.items()}
        return {"step_ms": 1000 * whole, **shares}

    return measure


class _Run:
    """Step, state and data of a run on the first device, made as in `pretrain.run`."""

    def __init__(self, sizes: Sizes, fields: Mapping[str, Any]):
        import jax

        from benchmarks.compiled import network as shapes
        from benchmarks.compiled import passes
        from configs import pretrain as configs
        from peclr_jax import specs
        from peclr_jax.devices.mesh import make_mesh, replicate
        from peclr_jax.runs import initialisation
        from peclr_jax.runs.spec import PretrainSpec
        from peclr_jax.tasks import pretrain
        from peclr_jax.training import trainer

        config = make_config(configs.get_config("rendered_rn50"), sizes)
        spec = specs.changed(specs.from_config(PretrainSpec, config), fields, "the benchmark")
        self.sizes, self.spec = sizes, spec
        self.mesh = make_mesh(jax.devices()[:1])
        spec.check_devices(self.mesh.size)
        self.model = spec.model.build()
        schedule = spec.schedule(1000, spec.peak_learning_rate)
        self.optimizer = spec.optimizer.build(schedule.learning_rate)
        variables = pretrain.initialise(spec, self.model, initialisation.RANDOM)
        self._state = replicate(trainer.create_state(variables, self.optimizer), self.mesh)
        self._key = replicate(jax.random.key(spec.seed), self.mesh)
        train_step = trainer.make_train_step(
            pretrain.make_gradients(spec, self.model),
            self.optimizer,
            mesh=self.mesh,
            learning_rate=schedule.learning_rate,
        )
        began = time.perf_counter()
        self._step = train_step.lower(self._state, self.constant_batch(), self._key).compile()
        self.compile_seconds = time.perf_counter() - began
        network = shapes.trace(self.model, sizes.size)
        self._counts = {
            "model_tflop": passes.model_flops(network, sizes.pairs) / 1e12,
            **{
                f"{rule}_gb": sum(
                    one.bytes
                    for one in passes.passes(
                        network, sizes.pairs, rule, source_size=sizes.source_size
                    )
                )
                / 1e9
                for rule in passes.RULES
            },
        }

    def images(self, count: int) -> Any:
        import numpy as np

        shape = (count, self.sizes.source_size, self.sizes.source_size, 3)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def constant_batch(self) -> dict[str, Any]:
        from peclr_jax.devices.mesh import shard_batch

        return shard_batch({"image": self.images(self.sizes.pairs)}, self.mesh)

    def cached_batches(self) -> Iterator[dict[str, Any]]:
        """Returns batches as a run reads them from a data set that is cached on the device."""
        from peclr_jax.input_pipeline.device_cache import DeviceCache
        from peclr_jax.input_pipeline.order import Order
        from peclr_jax.input_pipeline.sources import CachedSource, HeldOut
        from peclr_jax.input_pipeline.stores import MemoryStore

        count = 3 * self.sizes.pairs
        arrays = {"image": self.images(count)}
        order = Order(sizes=(count,), batch_size=self.sizes.pairs, seed=0)
        cache = DeviceCache(arrays, self.mesh, "replicated")
        return CachedSource(HeldOut((MemoryStore(arrays),)), order, None, cache).batches()

    def copy_of_state(self) -> Any:
        import jax
        import jax.numpy as jnp

        return jax.tree.map(jnp.copy, self._state)

    def steps(self, batches: Iterator[Any], *, count: int = 0, seconds: float = 0.0) -> int:
        """Takes a number of steps, or as many as fit into the time; returns how many."""
        import jax

        from peclr_jax.training.watch import MAX_STEPS_IN_FLIGHT

        in_flight: list[Any] = []
        taken, began = 0, time.perf_counter()
        for batch in batches:
            self._state, metrics = self._step(self._state, batch, self._key)
            in_flight.append(metrics)
            taken += 1
            # As in `trainer.fit`, the host never runs ahead by more steps.
            if len(in_flight) > MAX_STEPS_IN_FLIGHT:
                jax.block_until_ready(in_flight.pop(0))
            if taken >= count and time.perf_counter() - began >= seconds:
                break
        jax.block_until_ready((self._state, in_flight))
        return taken

    def seconds_a_step(self, batches: Iterator[Any], seconds: float) -> float:
        began = time.perf_counter()
        taken = self.steps(batches, seconds=seconds)
        return (time.perf_counter() - began) / taken

    def facts(self) -> Figures:
        """Returns the figures that are the same in every round."""
        import jax

        memory = self._step.memory_analysis()
        program = (
            memory.temp_size_in_bytes
            + memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            - memory.alias_size_in_bytes
        )
        statistics = jax.devices()[0].memory_stats() or {}
        measured = {"device_peak_mib": statistics.get("peak_bytes_in_use", 0) / _MIB}
        return {
            **{name: value for name, value in measured.items() if value},
            "program_mib": program / _MIB,
            "compile_seconds": self.compile_seconds,
            **self._counts,
        }


def make_config(config: Any, sizes: Sizes) -> Any:
    """Returns a recipe with its sizes set."""
    config.batch_size = sizes.pairs
    config.model.architecture = sizes.architecture
    config.model.width = sizes.width
    config.model.dtype = sizes.dtype
    config.views.size = sizes.size
    config.data.source_size = sizes.source_size
    return config


def _forever(batch: Any) -> Iterator[Any]:
    while True:
        yield batch


def _seconds_a_call(function: Callable[[], Any], seconds: float) -> float:
    """Returns the seconds of a call, among calls that are queued one after the other."""
    import jax

    jax.block_until_ready(function())
    began, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - began < seconds:
        # Short programs are queued by tens, so that gaps between them do not count.
        results = [function() for _ in range(10)]
        jax.block_until_ready(results[-1])
        calls += len(results)
    return (time.perf_counter() - began) / calls
