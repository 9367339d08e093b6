import jax.numpy as jnp
import pytest

from configs import pretrain
from peclr_jax import specs
from peclr_jax.input_pipeline import DataSpec
from peclr_jax.runs import recipe


@pytest.mark.parametrize("name", pretrain.BASES)
def test_every_recipe_is_possible_on_one_and_on_eight_devices(name):
    config = pretrain.get_config(name)
    recipe.check_pretraining(config, num_devices=1)
    recipe.check_pretraining(config, num_devices=8)
    assert config.recipe == name


@pytest.mark.parametrize("base", pretrain.BASES)
def test_versions_are_paired(base):
    config = pretrain.get_config(f"{base}+versions")
    recipe.check_pretraining(config, num_devices=1)
    spec = specs.from_mapping(DataSpec, config.data.to_dict(), "--config.data")
    rendered = config.data.source == "rendered"
    assert config.data.pairs == "versions"
    assert config.data.rendered.versions == (4 if rendered else 1)
    if rendered:
        assert spec.rendered.backgrounds == ("green", "clutter", "clutter", "clutter")


def test_the_papers_recipe():
    """Sec. 4.2 and Sec. 8; the epochs in steps of the 90 % of FreiHAND that are trained on."""
    config = pretrain.get_config("paper_rn50")
    images = 117_216
    steps_per_epoch = images // config.batch_size
    schedule = recipe.make_schedule(config, steps_per_epoch, recipe.sqrt_scaled_peak(config))
    assert config.batch_size == 2048
    assert config.batch_size // config.micro_batches == 128
    assert schedule.total_steps == 100 * steps_per_epoch
    assert float(schedule.learning_rate(10 * steps_per_epoch)) == pytest.approx(4.5e-3, rel=0.01)
    spec = recipe.view_spec(config)
    assert (spec.size, spec.rotation_deg, spec.scale) == (128, 45.0, (0.6, 2.0))
    assert spec.translation == (-15 / 128, 15 / 128)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss.objective": "byol"}, r"loss\.objective='byol' is none of 'peclr', 'simclr'"),
        ({"model.architecture": "resnet20"}, "none of 'resnet18', 'resnet34'"),
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"batch_size": 63}, "choose a multiple of 8"),
        ({"batch_size": 8, "micro_batches": 8}, "cannot be split over 8 device"),
        ({"batch_size": 96, "micro_batches": 8}, "8 device.s. x 8 micro-batch"),
        ({"views.size": 12}, "too small for the stem 'small'"),
        ({"views.scale": (2.0, 1.0)}, "scale must satisfy"),
        ({"optimizer.warmup_epochs": 99.0}, "does not lie within the run"),
        ({"loss.temperature": 0.0}, "temperature must be positive"),
        ({"num_steps": -1}, "num_steps must be zero or positive"),
        ({"negatives": "all"}, "negatives='all' is none of 'micro', 'global'"),
    ],
)
def test_the_impossible_fails_before_anything_is_compiled(change, message):
    config = pretrain.get_config()
    config.update_from_flattened_dict(change)
    with pytest.raises(ValueError, match=message):
        recipe.check_pretraining(config, num_devices=8)


def test_one_image_a_micro_batch_has_no_negatives():
    config = pretrain.get_config()
    config.batch_size = config.micro_batches = 8
    with pytest.raises(ValueError, match="no negatives"):
        recipe.check_pretraining(config, num_devices=1)


def test_endless_data_need_a_number_of_steps():
    config = pretrain.get_config()
    with pytest.raises(ValueError, match="num_steps=10000"):
        recipe.make_schedule(config, None, 1.0)
    config.num_steps = 50
    assert recipe.make_schedule(config, None, 1.0).total_steps == 50


def test_lamb_scales_the_step_of_adam():
    config = pretrain.get_config()
    config.optimizer.name = "lamb"
    params, gradients = {"kernel": jnp.arange(1.0, 5.0)}, {"kernel": jnp.array([0.1, -2, 3, 0.5])}
    updates, _ = recipe.make_optimizer(config, lambda step: 0.1).update(
        gradients, recipe.make_optimizer(config, lambda step: 0.1).init(params), params
    )
    # The step has the length of the tensor, times the learning rate.
    assert jnp.linalg.norm(updates["kernel"]) == pytest.approx(0.1 * 30**0.5, rel=1e-3)


def test_unknown_recipe():
    with pytest.raises(ValueError, match="has no recipe 'papre'"):
        pretrain.get_config("papre")


@pytest.mark.parametrize("steps", ["ten", "20:10", "0:5", "10"])
def test_steps_to_trace_are_checked_before_anything_runs(steps):
    config = pretrain.get_config("quick")
    config.profile = steps
    with pytest.raises(ValueError, match=f"profile='{steps}' names no steps .* example 10:20"):
        recipe.check_pretraining(config, 1)


def test_fields_that_came_later_do_not_keep_an_older_run_from_going_on():
    config = pretrain.get_config("quick")
    older = config.to_dict()
    del older["optimizer"]["skip_nonfinite"], older["profile"]
    assert recipe.identity(config.to_dict()) == recipe.identity(older)
    config.optimizer.skip_nonfinite = 3
    assert recipe.identity(config.to_dict()) != recipe.identity(older)
