"""Bones keep their length, joints their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.synthetic import anatomy, kinematics, sampling

HANDS = 256


@pytest.fixture(scope="module")
def sampled():
    def sample(key):
        rows = sampling.table(key, 3)
        shape = kinematics.sample_shape(rows[0])
        pose = kinematics.sample_pose(rows[1])
        return shape, pose, kinematics.forward_kinematics(shape, pose)

    return jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(0), HANDS))


def test_angles_stay_within_their_limits(sampled):
    _, pose, _ = sampled
    for angles, limits in (
        (pose.flexion, anatomy.FLEXION_LIMITS),
        (pose.abduction, anatomy.ABDUCTION_LIMITS),
        (pose.twist, np.array(anatomy.TWIST_LIMITS)),
    ):
        degrees = np.rad2deg(np.asarray(angles))
        assert np.all(degrees >= limits[..., 0] - 1e-3)
        assert np.all(degrees <= limits[..., 1] + 1e-3)


def test_poses_use_the_range_of_the_joints(sampled):
    _, pose, _ = sampled
    used = np.ptp(np.rad2deg(np.asarray(pose.flexion)), axis=0)
    assert np.all(used > 0.6 * np.ptp(anatomy.FLEXION_LIMITS, axis=-1))


def test_bones_have_the_length_of_their_shape(sampled):
    shape, _, skeleton = sampled
    chain = np.asarray(skeleton.joints)[:, 1:].reshape(HANDS, 5, 4, 3)
    length = np.linalg.norm(np.diff(chain, axis=2), axis=-1)
    expected = anatomy.BONE_LENGTH * np.asarray(shape.digit_length)[..., None]
    np.testing.assert_allclose(length, expected * np.asarray(shape.scale)[:, None, None], rtol=1e-4)


def test_shapes_lie_between_small_and_large_hands(sampled):
    shape, _, _ = sampled
    assert np.all((shape.scale >= 0.86) & (shape.scale <= 1.12))
    assert np.all((shape.thickness >= 0.88) & (shape.thickness <= 1.12))
    assert np.all(np.abs(shape.digit_length - 1) < 0.12)


def test_frames_are_rotations_along_their_bones(sampled):
    _, _, skeleton = sampled
    frames = np.asarray(skeleton.frames)
    identity = np.einsum("...ij,...ik->...jk", frames, frames)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(frames), 1.0, atol=1e-5)
    chain = np.asarray(skeleton.joints)[:, 1:].reshape(HANDS, 5, 4, 3)
    bones = np.diff(chain, axis=2)
    bones /= np.linalg.norm(bones, axis=-1, keepdims=True)
    np.testing.assert_allclose(frames[..., 1], bones, atol=1e-4)


def test_flexion_bends_fingers_toward_the_palm():
    shape = kinematics.HandShape(jnp.ones(()), jnp.ones(()), jnp.ones(5))
    straight = kinematics.Pose(jnp.zeros((5, 3)), jnp.zeros(5), jnp.zeros(()))
    bent = straight._replace(flexion=straight.flexion.at[1:].set(jnp.deg2rad(60.0)))
    tips = np.array([8, 12, 16, 20])
    joints = jax.jit(lambda pose: kinematics.forward_kinematics(shape, pose).joints)
    before, after = (np.asarray(joints(pose))[tips, 2] for pose in (straight, bent))
    assert np.all(after > before + 20)


def test_an_open_hand_does_not_penetrate_itself_and_a_crushed_one_does():
    shape = kinematics.HandShape(jnp.ones(()), jnp.ones(()), jnp.ones(5))
    spread = kinematics.Pose(
        jnp.zeros((5, 3)), jnp.deg2rad(jnp.array([0.0, -11.0, -1.0, 7.0, 13.0])), jnp.zeros(())
    )
    open_hand = kinematics.forward_kinematics(shape, spread)
    assert kinematics.self_penetration(shape, open_hand) < 3.0
    crushed = open_hand._replace(joints=open_hand.joints * 0.3)
    assert kinematics.self_penetration(shape, crushed) > 50.0


@pytest.mark.parametrize("most", [0.0, 0.2])
def test_bent_joints_stay_close_and_within_their_limits(sampled, most):
    _, pose, _ = sampled
    numbers = jax.random.uniform(jax.random.key(3), (HANDS, sampling.NUMBERS))
    bent = jax.vmap(lambda u, p: kinematics.bend(u, p, most))(numbers, pose)
    for name, limits in (
        ("flexion", anatomy.FLEXION_LIMITS),
        ("abduction", anatomy.ABDUCTION_LIMITS),
    ):
        before, after = (np.asarray(getattr(p, name)) for p in (pose, bent))
        assert np.abs(after - before).max() <= most + 1e-6
        assert (np.abs(after - before).mean() > 0.25 * most) or most == 0
        degrees = np.rad2deg(after)
        assert np.all((degrees >= limits[..., 0] - 1e-3) & (degrees <= limits[..., 1] + 1e-3))
    np.testing.assert_array_equal(bent.twist, pose.twist)
