import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.normalization import BatchNorm


@pytest.fixture
def official_head(parity):
    """The projection head of the official model: projection_head.0/1/3."""
    module = parity.make_state_dict
    names = module.load_keys("Hybrid2Model_resnet50", parity.path("keys.json"))
    head = [key for key in names if key[0].startswith("projection_head")]
    tensors = module.make_state_dict(head)

    def get(name):
        return tensors[f"projection_head.{name}"]

    return {
        "params": {
            "dense1": {"kernel": get("0.weight").T, "bias": get("0.bias")},
            "bn1": {"scale": get("1.weight"), "bias": get("1.bias")},
            "dense2": {"kernel": get("3.weight").T},
        },
        "batch_stats": {"bn1": {"mean": get("1.running_mean"), "var": get("1.running_var")}},
    }


def test_training_mode_agrees_with_the_official_head(parity, official_head):
    reference = parity("refine")
    points, updates = ProjectionHead().apply(
        official_head, jnp.asarray(reference["head_train_in"]), train=True, mutable=["batch_stats"]
    )
    peak = np.abs(reference["head_train_out"]).max()
    assert np.abs(points.reshape(6, 128) - reference["head_train_out"]).max() < 3e-5 * peak
    statistics = updates["batch_stats"]["bn1"]
    np.testing.assert_allclose(statistics["mean"], reference["head_train_running_mean"], atol=1e-5)
    np.testing.assert_allclose(statistics["var"], reference["head_train_running_var"], rtol=1e-5)


@pytest.mark.parametrize("features", [512, 2048])
def test_any_encoder_width(features):
    init = ProjectionHead(num_points=16).init_with_output
    points, _ = jax.eval_shape(init, jax.random.key(0), jnp.zeros((3, features)))
    assert points.shape == (3, 16, 2)


def test_one_value_a_channel_cannot_be_normalised():
    norm = BatchNorm(use_running_average=False)
    variables = norm.init(jax.random.key(0), jnp.zeros((2, 4)))
    with pytest.raises(ValueError, match="more than one value a channel"):
        norm.apply(variables, jnp.zeros((1, 4)), mutable=["batch_stats"])
