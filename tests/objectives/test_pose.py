import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.geometry import affine, camera
from peclr_jax.hands import skeleton
from peclr_jax.objectives import pose as losses

SIDE = 64
IDENTITY = jnp.broadcast_to(jnp.eye(2, 3), (3, 2, 3))
INTRINSICS = jnp.array([[80.0, 0.0, 31.5], [0.0, 84.0, 30.0], [0.0, 0.0, 1.0]])


def labels(seed: int = 0, batch: int = 3) -> dict[str, jax.Array]:
    generator = np.random.default_rng(seed)
    joints = generator.uniform(-0.08, 0.08, (batch, 21, 3)) + np.array([0, 0, 0.5])
    joints = jnp.array(joints, jnp.float32)
    per_hand, per_joint = jnp.ones(batch, bool), jnp.ones((batch, 21), bool)
    return {
        "keypoints_3d": joints,
        "keypoints_3d_valid": per_joint,
        "keypoints_2d": camera.project(joints, INTRINSICS),
        "keypoints_2d_valid": per_joint,
        "intrinsics": jnp.broadcast_to(INTRINSICS, (batch, 3, 3)),
        "intrinsics_valid": per_hand,
        "bone_length": camera.bone_length(joints),
        "bone_length_valid": per_hand,
    }


def target_of(batch, matrix=IDENTITY):
    return losses.target_in_view(batch, matrix, camera.assumed_intrinsics(SIDE))


@jax.jit
def lifted_from(batch, transform):
    """Returns the joints that the labels of views lift to."""
    target, intrinsics = target_of(batch, affine.to_matrix(transform, SIDE))
    return camera.from_25d(target.pose, intrinsics, batch["bone_length"], z_root=target.root_depth)


@given(
    seed=st.integers(0, 2**32 - 1),
    angle=st.floats(-1.6, 1.6),
    zoom=st.floats(0.7, 1.3),
    shift=st.floats(-10, 10),
)
def test_labels_of_a_view_lift_to_the_same_hand_rolled(seed, angle, zoom, shift):
    batch = labels(seed)
    transform = affine.Similarity(
        jnp.full(3, angle), jnp.full(3, zoom), jnp.full((3, 2), shift / SIDE)
    )
    lifted = lifted_from(batch, transform)
    np.testing.assert_allclose(lifted[..., 2], batch["keypoints_3d"][..., 2], atol=1e-6)
    expected = camera.bone_length(batch["keypoints_3d"], (4, 20))
    np.testing.assert_allclose(camera.bone_length(lifted, (4, 20)), expected, atol=2e-6)


def test_what_is_not_labelled_is_never_read():
    batch = labels()
    prediction = jax.random.normal(jax.random.key(0), (3, 21, 3))
    depth = jnp.array([10.0, 11.0, 12.0])

    @jax.jit
    def values(batch):
        target, intrinsics = target_of(batch)

        def total(prediction):
            return (
                losses.keypoints_2d(prediction, target, SIDE)
                + losses.relative_depth(prediction, target)
                + losses.root_depth(depth, target)
            )

        return jax.value_and_grad(total)(prediction), intrinsics

    masked, junk = dict(batch), {}
    for name, where, value in (
        ("keypoints_2d", (0, 5), 1e4),
        ("keypoints_3d", (1, 7), -1e4),
        ("bone_length", 2, 0.0),
        ("intrinsics", 0, 0.0),
    ):
        masked[f"{name}_valid"] = batch[f"{name}_valid"].at[where].set(False)
        junk[name] = batch[name].at[where].set(value)
    (value, gradient), _ = values(masked)
    (junk_value, junk_gradient), intrinsics = values(masked | junk)
    assert value == junk_value
    np.testing.assert_array_equal(gradient, junk_gradient)
    assert (gradient[0, 5, :2] == 0).all()
    assert gradient[1, 7, 2] == 0
    assert (gradient[2, :, 2] == 0).all()
    np.testing.assert_array_equal(intrinsics[0], camera.assumed_intrinsics(SIDE))


def test_a_hand_without_its_root_has_no_relative_depths():
    batch = labels()
    hidden = batch["keypoints_3d_valid"].at[1, skeleton.WRIST].set(False)
    target, _ = target_of(batch | {"keypoints_3d_valid": hidden})
    assert not target.depth_valid[1].any()
    assert target.root_depth_valid.tolist() == [True, False, True]


def test_units():
    target, _ = target_of(labels())
    off = target.pose + jnp.array([SIDE / 2, -SIDE / 2, 2.0])
    assert losses.keypoints_2d(off, target, SIDE) == pytest.approx(1.0, rel=1e-5)
    assert losses.relative_depth(off, target) == pytest.approx(2.0, rel=1e-5)
    assert losses.root_depth(target.root_depth + 0.5, target) == pytest.approx(0.5, rel=1e-5)


def test_nothing_labelled_costs_nothing():
    batch = labels()
    empty = {name: jnp.zeros_like(batch[name]) for name in batch if name.endswith("_valid")}
    target, _ = target_of(batch | empty)
    pose = jnp.zeros((3, 21, 3))
    assert losses.keypoints_2d(pose, target, SIDE) == 0
    assert losses.relative_depth(pose, target) == 0
    assert losses.root_depth(jnp.zeros(3), target) == 0


def test_labels_without_a_camera():
    """From any origin: all but the depth of the root is known."""
    batch = labels()
    moved = batch["keypoints_3d"] - batch["keypoints_3d"].mean(1, keepdims=True)
    no_camera = {"intrinsics": jnp.zeros((3, 3, 3)), "intrinsics_valid": jnp.zeros(3, bool)}
    target, _ = target_of(batch | no_camera | {"keypoints_3d": moved})
    expected, _ = target_of(batch)
    assert target.keypoints_valid.all()
    assert target.depth_valid.all()
    assert not target.root_depth_valid.any()
    np.testing.assert_allclose(target.pose, expected.pose, atol=1e-5)
    assert losses.root_depth(jnp.full(3, 7.0), target) == 0


def test_scores_weigh_hands():
    batch = labels()
    target, _ = target_of(batch)
    np.testing.assert_array_equal(target.weight, 1)
    target, _ = target_of(batch | {"score": jnp.array([1.0, 0.5, 0.25])})
    off = target.pose + jnp.array([1.0, 2.0, 4.0])[:, None, None]
    mean = (1 * 1 + 0.5 * 2 + 0.25 * 4) / 1.75
    assert losses.keypoints_2d(off, target, 2) == pytest.approx(mean, rel=1e-4)
    assert losses.relative_depth(off, target) == pytest.approx(mean, rel=1e-4)
    depth = target.root_depth + jnp.array([1.0, 2.0, 4.0])
    assert losses.root_depth(depth, target) == pytest.approx(mean, rel=1e-4)


HANDS = st.sampled_from((1, 4)).flatmap(
    lambda count: st.tuples(
        st.lists(st.floats(0.0625, 1, width=32), min_size=count, max_size=count),
        st.lists(st.lists(st.booleans(), min_size=21, max_size=21), min_size=count, max_size=count),
        st.integers(0, 2**32 - 1),
    )
)


mean_and_gradient = jax.jit(jax.value_and_grad(losses.weighted_mean))


@given(HANDS, st.floats(0.01, 100))
def test_a_weighted_mean(hands, factor):
    weight, valid = np.array(hands[0], np.float32), np.array(hands[1])
    values = np.random.default_rng(hands[2]).uniform(0, 9, valid.shape).astype(np.float32)

    def of(weight):
        return jax.tree.map(
            np.asarray, mean_and_gradient(*map(jnp.asarray, (values, valid, weight)))
        )

    mean, gradient = of(weight)
    assert np.isfinite(gradient).all()
    assert (gradient[~valid] == 0).all()
    if not valid.any():
        assert mean == 0
        return
    plain, _ = of(np.ones_like(weight))
    assert plain == pytest.approx(np.mean(values[valid]), rel=1e-5)
    expected = np.average(values, weights=np.where(valid, weight[:, None], 0))
    assert mean == pytest.approx(expected, rel=1e-5)
    scaled, _ = of(np.float32(factor) * weight)
    assert scaled == pytest.approx(float(mean), rel=1e-5)


def test_nothing_valid_has_no_gradient_even_over_nan():
    values = jnp.array([[jnp.nan, 1.0], [2.0, jnp.inf]])
    for weight in (jnp.ones(2), jnp.array([1e-30, 1.0])):
        mean, gradient = mean_and_gradient(values, jnp.zeros((2, 2), bool), weight)
        assert mean == 0
        np.testing.assert_array_equal(gradient, 0)


def test_hands_without_weight_cost_nothing():
    values, valid = jnp.ones((2, 21)), jnp.ones((2, 21), bool)
    mean, gradient = mean_and_gradient(values, valid, jnp.zeros(2))
    assert mean == 0
    np.testing.assert_array_equal(gradient, 0)
