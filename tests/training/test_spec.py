import jax.numpy as jnp
import pytest

from peclr_jax.training.optimizer import warmup_cosine
from peclr_jax.training.spec import OptimizerSpec
from tests.training.test_optimizer import BASE, STEPS, assert_trajectory


@pytest.mark.parametrize(
    ("name", "decay", "warmup", "run"),
    [("lars_adam", 1e-6, 4, "wd1e-6"), ("adam", 1e-2, 0, "adam_wd1e-2")],
)
def test_optimizers_follow_the_official_ones(parity, name, decay, warmup, run):
    spec = OptimizerSpec(name=name, weight_decay=decay)
    optimizer = spec.build(warmup_cosine(BASE, warmup, STEPS))
    assert_trajectory(optimizer, parity("lars_adam"), run)


@pytest.mark.parametrize("name", ["lars_adam", "adam", "lamb"])
@pytest.mark.parametrize("mask", ["kernels", "official"])
def test_a_mask_says_what_decays(name, mask):
    params = {"bn1": {"scale": jnp.ones(2)}, "conv1": {"kernel": jnp.ones(2)}}
    gradients = {"bn1": {"scale": jnp.zeros(2)}, "conv1": {"kernel": jnp.full(2, 1e-9)}}
    optimizer = OptimizerSpec(name=name, weight_decay=0.1, decay_mask=mask).build(lambda step: 0.1)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    assert (updates["conv1"]["kernel"] < 0).all()
    decays_scale = mask == "official" and name != "lars_adam"  # LARS leaves zero gradients alone
    assert (updates["bn1"]["scale"] < 0).all() == decays_scale
