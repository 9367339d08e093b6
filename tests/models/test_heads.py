import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.hands.skeleton import WRIST
from peclr_jax.models.heads import HeatmapHead, ProjectionHead
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


def heatmap_head(logits, depths, finest=2):
    """A head of one level whose last layer passes the maps on: 21 heatmaps and 21 depth maps."""
    maps = jnp.concatenate([logits, depths], axis=-1)
    head = HeatmapHead(channels=42, finest=finest)
    variables = head.init(jax.random.key(0), [maps] * (finest + 1))
    # A convolution whose centre is the identity; the maps are not negative, so ReLU leaves them.
    kernel = jnp.zeros((3, 3, 42, 42)).at[1, 1].set(jnp.eye(42))
    identity = {"kernel": jnp.eye(42), "bias": jnp.zeros(42)}
    level = str(finest + 1)
    params = {
        f"lateral{level}": identity,
        f"smooth{level}": {"kernel": kernel, "bias": jnp.zeros(42)},
        "heatmaps": identity,
    }
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, variables["params"])
    return head.apply({"params": params}, [maps] * (finest + 1))


def test_a_peaked_heatmap_says_where_its_cell_is():
    rows, columns = np.arange(21) % 6, (2 * np.arange(21)) % 6
    logits = np.zeros((1, 6, 6, 21), np.float32)
    logits[0, rows, columns, np.arange(21)] = 20.0
    depths = np.ones((1, 6, 6, 21), np.float32)
    depths[0, rows, columns, np.arange(21)] = 3.0
    pose, localisation = heatmap_head(jnp.array(logits), jnp.array(depths))
    # Cells are 1/3 of half a side apart; places are stretched to 1.2 of it.
    expected = 1.2 * (2 * np.stack([columns, rows], -1) + 1 - 6) / 6
    np.testing.assert_allclose(pose[0, :, :2], expected, atol=1e-4)
    np.testing.assert_allclose(np.delete(pose[0, :, 2], WRIST), 3.0, atol=1e-4)
    assert pose[0, WRIST, 2] == 0
    np.testing.assert_allclose(localisation.peak, 1.0, atol=1e-4)
    assert (localisation.spread < 0.01).all()


def test_a_flat_heatmap_says_the_middle_and_spreads_over_all():
    flat = jnp.ones((2, 5, 7, 21))
    pose, localisation = heatmap_head(flat, flat)
    np.testing.assert_allclose(pose[..., :2], 0.0, atol=1e-5)
    np.testing.assert_allclose(localisation.peak, 1 / 35, rtol=1e-4)
    # The variance of n places that are 2 / n apart is (1 - 1 / n^2) / 3.
    variance = 1.2**2 * ((1 - 1 / 5**2) / 3 + (1 - 1 / 7**2) / 3)
    np.testing.assert_allclose(localisation.spread, np.sqrt(variance), rtol=1e-4)


def test_one_cell_alone_has_finite_gradients():
    """Views of the smallest side end in a single cell, whose variance is zero."""
    head = HeatmapHead(channels=4, finest=1)
    maps = [jnp.ones((2, 2, 2, 3)), jnp.ones((2, 1, 1, 3))]
    variables = jax.jit(head.init)(jax.random.key(0), maps)

    @jax.jit
    @jax.grad
    def gradients_of(params):
        return jnp.sum(head.apply({"params": params}, maps)[1].spread)

    gradients = gradients_of(variables["params"])
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("sides", [(12, 6, 3, 2), (24, 12, 6, 3), (8, 4, 2, 1)])
@pytest.mark.parametrize("finest", [0, 2])
def test_pyramids_of_any_side(sides, finest):
    maps = [jnp.zeros((2, side, side, 4 * 2**i)) for i, side in enumerate(sides)]
    head = HeatmapHead(channels=8, finest=finest)
    (pose, localisation), variables = jax.eval_shape(head.init_with_output, jax.random.key(0), maps)
    assert pose.shape == (2, 21, 3)
    assert localisation.spread.shape == localisation.peak.shape == (2, 21)
    assert f"lateral{finest + 1}" in variables["params"]
    assert f"lateral{finest}" not in variables["params"]


def test_the_moments_of_heatmaps_have_all_bits_on_every_device():
    """Their difference is the variance, of which products with few bits would leave nothing."""
    head, maps = HeatmapHead(channels=2), [jnp.ones((1, 4, 4, 3))]
    program = jax.make_jaxpr(lambda maps: head.init_with_output(jax.random.key(0), maps)[0])(maps)
    assert str(program).count("Precision.HIGHEST, Precision.HIGHEST") == 2
