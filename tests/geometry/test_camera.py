import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.geometry import affine, camera
from peclr_jax.hands import camera as importable
from peclr_jax.hands import skeleton

OFFICIAL_BONE = (skeleton.WRIST, skeleton.INDEX_MCP)
INTRINSICS = jnp.array([[500.0, 2.0, 112.0], [0.0, 480.0, 110.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def reference(parity):
    arrays = parity("pose25d")

    def ours(value):
        joints = value.shape[1:] == (21, 3)
        return jnp.array(skeleton.reorder(value, skeleton.FROM_AIT) if joints else value)

    return {name: ours(value) for name, value in arrays.items() if value.dtype == np.float32}


def hand(seed: int, batch: tuple[int, ...] = ()) -> jax.Array:
    """Joints of about a hand's size, half a metre to a metre away."""
    generator = np.random.default_rng(seed)
    joints = generator.uniform(-0.08, 0.08, (*batch, 21, 3))
    joints[..., 2] += generator.uniform(0.5, 1.0, (*batch, 1))
    return jnp.array(joints, jnp.float32)


def test_25d_is_the_official_one(reference):
    pose, scale = camera.to_25d(reference["joints3d"], reference["K"], bone=OFFICIAL_BONE)
    np.testing.assert_allclose(pose[..., :2], reference["joints25d"][..., :2], atol=1e-4)
    np.testing.assert_allclose(pose[..., 2], reference["joints25d"][..., 2], atol=1e-6)
    np.testing.assert_allclose(scale, reference["scale"], rtol=1e-6)


# Ten times the noise floors that come with the reference numbers.
@pytest.mark.parametrize(("prefix", "rtol"), [("", 5.3e-6), ("noisy_", 2.5e-5), ("edge_", 2.5e-5)])
def test_root_depth_and_3d_are_the_official_ones(reference, prefix, rtol):
    edge = "edge_" if prefix == "edge_" else ""
    pose, intrinsics = reference[f"{prefix}joints25d"], reference[f"{edge}K"]
    depth = camera.root_depth(pose, intrinsics, bone=OFFICIAL_BONE)
    np.testing.assert_allclose(depth, reference[f"{prefix}zroot"], rtol=rtol)
    joints = camera.from_25d(pose, intrinsics, reference[f"{edge}scale"], bone=OFFICIAL_BONE)
    for name in ("joints3d", "joints3d_back") if not prefix else (f"{prefix}joints3d",):
        # The clamped edge cases lie fifty metres away.
        np.testing.assert_allclose(joints, reference[name], atol=6e-6, rtol=1e-6)


def test_3d_with_a_given_root_depth_is_the_official_one(reference):
    pose, intrinsics, scale, z_root = map(reference.get, ("noisy_joints25d", "K", "scale", "zroot"))
    recovered = camera.from_25d(pose, intrinsics, scale, z_root=z_root)
    np.testing.assert_allclose(recovered, reference["noisy_joints3d_given_zroot"], atol=6e-6)


def test_root_depth_of_the_released_network(parity):
    reference = parity("refine")
    # Its refinement module takes points of the plane z = 1: pixels of an identity camera.
    points, depths = reference["mlp_hands_kp3d_unnorm"], reference["mlp_hands_zrel"]
    pose = np.concatenate([points[..., :2], depths], -1)
    pose = jnp.array(skeleton.reorder(pose, skeleton.FROM_AIT))
    estimate = camera.root_depth(pose, jnp.eye(3), epsilon=1e-8, bounds=(4.0, 50.0))
    np.testing.assert_allclose(estimate, reference["mlp_hands_zroot_est"], rtol=2.5e-5)
    bounded = camera.root_depth(pose, jnp.eye(3), bounds=(12.0, 20.0))
    np.testing.assert_array_equal(bounded, np.clip(estimate, 12, 20))


@given(st.integers(0, 2**31))
def test_25d_and_back(seed):
    joints = hand(seed)
    for bone in (camera.REFERENCE_BONE, OFFICIAL_BONE):
        pose, scale = camera.to_25d(joints, INTRINSICS, bone=bone)
        z_root = joints[skeleton.WRIST, 2] / scale
        recovered = camera.from_25d(pose, INTRINSICS, scale, z_root=z_root, bone=bone)
        np.testing.assert_allclose(recovered, joints, atol=2e-6)
        # The bone has the length it was divided by, wherever noise puts the root.
        from_pose = camera.from_25d(pose, INTRINSICS, bone=bone)
        if np.isclose(camera.root_depth(pose, INTRINSICS, bone=bone), z_root, rtol=1e-2):
            np.testing.assert_allclose(camera.bone_length(from_pose, bone), 1.0, atol=1e-2)


@given(st.integers(0, 2**31), st.floats(5.0, 100.0), st.floats(100.0, 2000.0))
def test_weak_perspective_is_what_a_far_camera_sees(seed, distance, focal):
    """Exact for what is projected weakly; for a pinhole each joint is off by its share of depth."""
    joints = np.asarray(hand(seed), np.float64)
    joints -= joints[skeleton.WRIST]
    bone = np.linalg.norm(np.subtract(*joints[list(camera.REFERENCE_BONE)]))
    pixel = distance / bone / focal
    relative = jnp.array(joints[:, 2:] / bone, jnp.float32)
    flat = jnp.array(joints[:, :2] / (pixel * bone) + [40.0, 70.0], jnp.float32)
    pose = jnp.concatenate([flat, relative], -1)
    weakly = camera.from_25d_weakly(pose, jnp.float32(pixel), bone)
    np.testing.assert_allclose(weakly, joints, atol=1e-4 * max(1.0, distance / focal))
    share = 1 / (1 + joints[:, 2:] / distance)
    seen = jnp.concatenate([(flat - flat[0]) * share, relative], -1)
    off = np.asarray(camera.from_25d_weakly(seen, jnp.float32(pixel), bone)) - joints
    limit = np.abs((1 - share) * joints[:, :2]) + 1e-4 * max(1.0, distance / focal)
    assert (np.abs(off[:, :2]) <= limit).all()


@given(st.integers(0, 2**31))
def test_projection_and_back(seed):
    joints = hand(seed)
    pixels = camera.project(joints, INTRINSICS)
    homogeneous = np.asarray(joints, np.float64) @ np.asarray(INTRINSICS, np.float64).T
    np.testing.assert_allclose(pixels, homogeneous[:, :2] / homogeneous[:, 2:], atol=1e-3)
    lifted = camera.back_project(pixels, joints[:, 2], INTRINSICS)
    np.testing.assert_allclose(lifted, joints, atol=1e-6)


def test_any_leading_axes_and_one_camera_for_all():
    joints = hand(0, (2, 3))
    together, scales = jax.jit(camera.to_25d)(joints, INTRINSICS)
    assert together.shape == (2, 3, 21, 3)
    one, scale = camera.to_25d(joints[1, 2], INTRINSICS)
    np.testing.assert_allclose(together[1, 2], one, rtol=1e-5)
    np.testing.assert_allclose(scales[1, 2], scale, rtol=1e-6)
    depth = jax.jit(camera.root_depth)(together, jnp.broadcast_to(INTRINSICS, (2, 3, 3, 3)))
    np.testing.assert_allclose(depth[1, 2], camera.root_depth(one, INTRINSICS), rtol=1e-4)
    assert camera.from_25d(together, INTRINSICS, 0.03).shape == joints.shape


def test_root_and_bone_are_the_callers_choice():
    joints = hand(0)
    pose, scale = camera.to_25d(joints, INTRINSICS, root=skeleton.MIDDLE_MCP, bone=(5, 6))
    assert pose[skeleton.MIDDLE_MCP, 2] == 0
    np.testing.assert_allclose(scale, np.linalg.norm(joints[6] - joints[5]), rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "root", "bone"),
    [
        ((5, 3, 21), 0, (9, 10)),
        ((21, 2), 0, (9, 10)),
        ((21, 3), 21, (9, 10)),
        ((10, 3), 0, (9, 10)),
    ],
)
def test_what_has_no_such_joints_is_refused(shape, root, bone):
    with pytest.raises(ValueError, match=r"give an array of \(\.\.\., joints, 3\) that has them"):
        inspect.unwrap(camera.to_25d)(jnp.ones(shape), INTRINSICS, root=root, bone=bone)
    camera.to_25d(jnp.ones((21, 3)), INTRINSICS, root=-1, bone=(-21, 20))


@pytest.mark.parametrize("function", [camera.from_25d, camera.root_depth])
def test_a_pose_without_the_reference_bone_is_refused(function):
    with pytest.raises(ValueError, match=r"the shape \(10, 3\), but .* the joints \(9, 10\)"):
        function(jnp.ones((10, 3)), INTRINSICS)


@pytest.mark.parametrize("name", ["scale", "z_root"])
def test_an_axis_of_its_own_mixes_no_hands(name):
    """A head's depths of shape (5, 1) would make 25 hands of 5."""
    pose, scale = camera.to_25d(hand(0, (5,)), INTRINSICS)
    with pytest.raises(
        ValueError, match=rf"{name} has the shape \(5, 1\) .* of shape \(5, 21, 3\)"
    ):
        inspect.unwrap(camera.from_25d)(pose, INTRINSICS, **{name: scale[:, None]})


def test_the_depth_of_the_root_may_be_a_number():
    pose, scale = camera.to_25d(hand(0), INTRINSICS)
    expected = camera.from_25d(pose, INTRINSICS, scale, z_root=jnp.array(15.0))
    np.testing.assert_array_equal(camera.from_25d(pose, INTRINSICS, scale, z_root=15.0), expected)


def test_gradients_stay_finite_where_the_guards_act():
    pose, _ = camera.to_25d(hand(0), INTRINSICS)
    degenerate = pose.at[skeleton.MIDDLE_PIP].set(pose[skeleton.MIDDLE_MCP])
    gradient = jax.grad(lambda p: camera.root_depth(p, INTRINSICS))(degenerate)
    assert np.isfinite(gradient).all()


def test_reference_bone_is_freihands_scale(shared):
    folder = shared / "fixtures" / "ge_realworld_fhlayout_mini"
    xyz = json.loads((folder / "training_xyz.json").read_text())
    scale = json.loads((folder / "training_scale.json").read_text())
    lengths = camera.bone_length(jnp.array(xyz, jnp.float32))
    np.testing.assert_allclose(lengths, np.ravel(scale), rtol=1e-3)


@given(
    angle=st.floats(-3.1, 3.1),
    zoom=st.floats(0.3, 3.0),
    shift=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_warped_camera_sees_the_rolled_hand_at_the_warped_pixels(angle, zoom, shift, seed):
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    matrix = jnp.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]], jnp.float32)
    joints = hand(seed)
    warped = camera.warp_intrinsics(matrix, INTRINSICS)
    assert warped[0, 0] > 0
    assert warped[1, 1] > 0
    np.testing.assert_array_equal(warped[jnp.array([1, 2, 2]), jnp.array([0, 0, 1])], 0)
    pixels = affine.apply_to_points(matrix, camera.project(joints, INTRINSICS))
    # A roll changes no depth and no length: lifted at the same depths, the same hand comes back.
    rolled = camera.back_project(pixels, joints[:, 2], warped)
    lengths, rolled_lengths = (
        jnp.linalg.norm(points[:, None] - points[None], axis=-1) for points in (joints, rolled)
    )
    np.testing.assert_allclose(rolled_lengths, lengths, atol=2e-6)


def test_intrinsics_warped_by_a_crop_are_shifted_and_scaled():
    matrix = jnp.array([[2.0, 0.0, -30.0], [0.0, 2.0, -50.0]])
    expected = [[1000.0, 4.0, 194.0], [0.0, 960.0, 170.0], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(camera.warp_intrinsics(matrix, INTRINSICS), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["from_25d", "root_depth", "to_25d"])
def test_names_that_others_import_stay(name):
    assert getattr(importable, name) is getattr(camera, name)


@given(st.integers(0, 100))
def test_the_depth_of_all_bones_is_the_true_one(seed):
    joints = hand(seed, (3,))
    pose, scale = camera.to_25d(joints, INTRINSICS)
    for number in range(3):
        bones = joints[number, [a for a, _ in skeleton.BONES]]
        bones = bones - joints[number, [b for _, b in skeleton.BONES]]
        lengths = jnp.linalg.norm(bones, axis=-1) / scale[number]
        true = joints[number, skeleton.WRIST, 2] / scale[number]
        if 3 < true < 66:
            found = camera.root_depth_of_bones(pose[number], INTRINSICS, lengths)
            np.testing.assert_allclose(found, true, rtol=1e-3)
