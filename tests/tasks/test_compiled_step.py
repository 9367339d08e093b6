"""What the real pre-training step asks of the compiler, for a GPU, without one.

The paper's recipe at a small size and with one block a stage, lowered and not compiled.
"""

import re
from functools import cache

import jax
import jax.numpy as jnp
import pytest

from benchmarks.compiled import stablehlo
from configs import pretrain as recipes
from peclr_jax import specs
from peclr_jax.devices.mesh import make_mesh
from peclr_jax.runs.spec import PretrainSpec
from peclr_jax.tasks import pretrain
from peclr_jax.training import trainer

PAIRS, HIDDEN = 12, 40
NAMES = {"float32": "f32", "bfloat16": "bf16"}


def spec_of(dtype, **change):
    config = recipes.get_config("paper_rn50")
    config.update_from_flattened_dict(
        {
            "batch_size": PAIRS,
            "micro_batches": 1,
            "model.dtype": dtype,
            "model.width": 8,
            "model.hidden": HIDDEN,
            "data.source_size": 48,
            "views.size": 32,
            **change,
        }
    )
    return specs.from_config(PretrainSpec, config)


def make_model(spec):
    model = spec.model.build()
    return model.clone(encoder=model.encoder.clone(stage_sizes=(1, 1, 1, 1)))


def variables_of(model, size):
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), images)


@cache
def lowered(dtype, platform, devices=1, **change):
    spec = spec_of(dtype, **change)
    model, optimizer = make_model(spec), spec.optimizer.build(lambda count: 1e-3)
    state = jax.eval_shape(
        lambda variables: trainer.create_state(variables, optimizer),
        variables_of(model, spec.views.size),
    )
    gradients = pretrain.make_gradients(spec, model)
    mesh = make_mesh(jax.devices()[:devices])
    step = trainer.make_train_step(gradients, optimizer, mesh=mesh)
    side = spec.data.source_size
    batch = {"image": jax.ShapeDtypeStruct((spec.batch_size, side, side, 3), jnp.uint8)}
    return step.trace(state, batch, jax.random.key(0)).lower(lowering_platforms=(platform,))


@pytest.mark.parametrize("platform", ["cuda", "cpu"])
@pytest.mark.parametrize("dtype", NAMES)
def test_the_network_computes_in_the_configs_type(dtype, platform):
    convolutions = stablehlo.convolutions(lowered(dtype, platform))
    # Those of the network, convolutions of size 1 and the head's dense layers, are of matrices (XLA
    # would copy arrays of more axes); those of the loss are of projections alone.
    of_loss = {2 * PAIRS, 2 * PAIRS // 2, 2 * spec_of(dtype).model.num_points}
    products = [
        product
        for product in stablehlo.products(lowered(dtype, platform))
        if all(len(array.shape) == 2 for array in product.operands)
        and not all(set(array.shape) <= of_loss for array in product.operands)
    ]
    # Forward, for the weights and, but for the images, for the input: 17 layers and 2 of the head.
    # On CPUs the gradient of the input has four parts at stride 2, but for maps of 2x2 pixels.
    parts = 3 * 2 if platform == "cpu" else 0
    assert len(convolutions) + len(products) == 3 * (17 + 2) - 1 + parts
    types = {array.dtype for op in convolutions + products for array in (*op.operands, op.result)}
    assert types == {NAMES[dtype]}


@pytest.mark.parametrize("platform", ["cuda", "cpu"])
def test_activations_stay_channels_last(platform):
    """In memory, rows and columns of an activation are its second and third dimension."""
    program = lowered("bfloat16", platform)
    forward, of_input, of_kernel = "b01f_01io->b01f", "b01f_01oi->b01f", "f01b_i01o->01bf"
    assert {c.layout for c in stablehlo.convolutions(program)} == {forward, of_input, of_kernel}
    moved = [t for t in stablehlo.transposes(program) if t.operand.dtype == "bf16"]
    moved = [t for t in moved if 2 * PAIRS in t.operand.shape and len(t.operand.shape) > 2]
    if platform == "cpu":  # but for the images: the stem takes them by blocks of 2x2 pixels
        (blocks,) = moved
        assert blocks.operand.shape == (2 * PAIRS, 16, 2, 16, 2, 3)
        assert blocks.permutation == (0, 1, 3, 2, 4, 5)
    else:
        assert moved == []


@pytest.mark.parametrize("remat", ["none", "norm", "block"])
@pytest.mark.parametrize("dtype", NAMES)
def test_what_the_backward_pass_needs_of_activations_is_kept_in_their_own_type(dtype, remat):
    spec = spec_of(dtype, **{"model.remat": remat})
    model, side = make_model(spec), spec.views.size
    variables = variables_of(model, side)

    def points(params, batch_stats, images):
        state = {"params": params, "batch_stats": batch_stats}
        return model.apply(state, images, train=True, mutable=["batch_stats"])[0]

    images = jax.ShapeDtypeStruct((2 * PAIRS, side, side, 3), jnp.float32)
    kept = stablehlo.residuals(points, variables["params"], variables["batch_stats"], images)
    types = {str(array.dtype) for array in kept if array.ndim == 4 and array.shape[0] == 2 * PAIRS}
    assert dtype in types
    # Beside them at most one byte a value: what a ReLU let through, where a maximum was.
    assert types <= {dtype, "bool", "uint8"}


@pytest.mark.parametrize("platform", ["cuda", "cpu"])
def test_gradients_of_kernels_are_summed_over_devices_in_float32(platform):
    """Every kernel's, once a micro-batch, before anything that would round the sum."""
    text = lowered("bfloat16", platform, devices=8, batch_size=16).as_text()
    ends = re.findall(r'"stablehlo\.all_reduce".*?\}\) : \(tensor<([\dx]+)x(\w+)>\)', text, re.S)
    assert len(ends) == 17 + 2
    assert {dtype for _, dtype in ends} == {"f32"}
    # On one device there is nothing to sum, nor to keep apart.
    alone = lowered("bfloat16", platform).as_text()
    assert "all_reduce" not in alone
    assert "manual_computation" not in alone
