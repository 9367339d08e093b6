"""The step of pre-training over several devices: trained for a while, or compiled alone."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Program(NamedTuple):
    """A step to compile; `pairs` are those of a device and micro-batch."""

    platform: str
    devices: int
    pairs: int
    micro_batches: int


def make_config(changes: tuple[str, ...], **fields: Any) -> Any:
    """Returns a recipe of configs/pretrain.py, its name first, changed like "model.width=4"."""
    from configs import pretrain

    recipe, *flags = changes
    config = pretrain.get_config(recipe)
    flat = dict(flag.split("=", 1) for flag in flags)
    config.update_from_flattened_dict(
        {name: type(_field(config, name))(value) for name, value in flat.items()} | fields
    )
    return config


def make_step(config: Any, devices: list[Any]) -> tuple[Any, Callable[[Any], Any], Any]:
    """Returns the step, a function from a key to the first state, and the mesh."""
    import jax.numpy as jnp

    from peclr_jax import specs
    from peclr_jax.devices import mesh
    from peclr_jax.runs.spec import PretrainSpec
    from peclr_jax.tasks import pretrain
    from peclr_jax.training import trainer

    spec = specs.from_config(PretrainSpec, config)
    model, schedule = spec.model.build(), spec.schedule(100, spec.peak_learning_rate)
    optimizer = spec.optimizer.build(schedule.learning_rate)
    gradients = pretrain.make_gradients(spec, model)
    spread = mesh.make_mesh(devices)
    step = trainer.make_train_step(gradients, optimizer, mesh=spread)

    def state(key: Any) -> Any:
        size = spec.views.size
        return trainer.create_state(model.init(key, jnp.zeros((1, size, size, 3))), optimizer)

    return step, state, spread


def train(changes: tuple[str, ...], devices: int, steps: int) -> tuple[list[float], Any, Any]:
    """Returns the losses of the first steps, and the parameters before and after them.

    The bias before BatchNorm is left out: its gradient is zero but for rounding, which Adam scales
    to steps as long as all others.
    """
    import jax
    import numpy as np

    from peclr_jax.devices import mesh

    config = make_config(changes)
    step, start, spread = make_step(config, jax.devices()[:devices])
    state = jax.jit(start)(jax.random.key(0))
    before, state = jax.device_get(state.params), mesh.replicate(state, spread)
    del before["head"]["dense1"]["bias"]
    shape = (config.batch_size, config.data.source_size, config.data.source_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    batch = mesh.shard_batch({"image": images}, spread)
    losses = []
    for _ in range(steps):
        state, metrics = step(state, batch, jax.random.key(0))
        losses.append(float(metrics["loss"]))
    after = jax.device_get(state.params)
    del after["head"]["dense1"]["bias"]
    return losses, before, after


def compile_step(changes: tuple[str, ...], program: Program) -> Any:
    """Compiles a step without allocating what it works on."""
    import jax
    import jax.numpy as jnp

    from benchmarks.compiled import virtual_gpus

    config = make_config(
        changes,
        batch_size=program.devices * program.pairs * program.micro_batches,
        micro_batches=program.micro_batches,
        negatives="global",
    )
    on_gpus = program.platform == "h100"
    devices = virtual_gpus.h100s(program.devices) if on_gpus else jax.devices("cpu")
    step, start, _ = make_step(config, devices[: program.devices])
    shape = (config.batch_size, config.data.source_size, config.data.source_size, 3)
    state, key = jax.eval_shape(start, jax.random.key(0)), jax.eval_shape(jax.random.key, 0)
    return step.lower(state, {"image": jax.ShapeDtypeStruct(shape, jnp.uint8)}, key).compile()


def _field(config: Any, name: str) -> Any:
    for key in name.split("."):
        config = config[key]
    return config
