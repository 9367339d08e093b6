"""The official fine-tuned network, whose joints are in AIT order and whose root is the palm."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.geometry import camera
from peclr_jax.hands import skeleton
from peclr_jax.models import resnet
from peclr_jax.models.heads import PoseHead, RootDepthRefiner
from peclr_jax.models.pose_network import PoseNetwork, PoseOutput
from peclr_jax.models.released import ReleasedPoseNetwork, from_pose_network, palm_to_wrist
from peclr_jax.models.torch_weights import from_state_dict, to_state_dict

# The middle finger's MCP joint in AIT order.
AIT_MIDDLE_MCP = 3


@pytest.fixture(scope="module")
def official(parity):
    """Numbers of the official network, its joints in AIT order, and its variables as ours."""
    module, reference = parity.make_state_dict, parity("refine")
    keys = module.load_keys("RN_25D_wMLPref_rn50", parity.path("keys.json"))
    state_dict = module.make_state_dict(keys)
    state_dict["backend_model.fc.bias"] = reference["fc_bias"]
    return reference, from_state_dict(state_dict)


def in_our_order(joints):
    return skeleton.reorder(joints, skeleton.FROM_AIT)


def by_the_official_rule(kp3d, scale):
    """What the official test code makes of the network's 3D output: metres in FreiHAND's order."""
    kp3d = kp3d.astype(np.float64)
    kp3d[:, 0] = 2 * kp3d[:, 0] - kp3d[:, AIT_MIDDLE_MCP]
    return kp3d[:, skeleton.FROM_AIT] * scale


def test_whole_network_is_the_official_one(parity, official):
    reference, variables = official
    module = parity.make_state_dict
    images = module.normalise(module.make_images())[:1]
    intrinsics = jnp.asarray(reference["K"])
    network = ReleasedPoseNetwork(resnet.ResNet50(), palm_root=False)
    output = jax.jit(network.apply)(variables, images, intrinsics)
    # Ten times the noise floors of the reference.
    np.testing.assert_allclose(output.pose[..., :2], in_our_order(reference["kp2d"]), atol=1.3e-4)
    np.testing.assert_allclose(output.pose[..., 2:], in_our_order(reference["zrel"]), atol=8e-5)
    joints = camera.from_25d(output.pose, intrinsics, z_root=output.root_depth)
    np.testing.assert_allclose(joints, in_our_order(reference["kp3d_f64"]), atol=1e-3)

    scale = 0.031
    wrist_rooted = palm_to_wrist(output, intrinsics)
    metres = camera.from_25d(wrist_rooted.pose, intrinsics, scale, z_root=wrist_rooted.root_depth)
    expected = by_the_official_rule(reference["kp3d_f64"], scale)
    np.testing.assert_allclose(metres, expected, atol=2e-3 * scale)


def test_refinement_is_the_official_one(official):
    reference, variables = official
    refiner = {name: parts["refiner"] for name, parts in variables.items()}
    depths = jnp.asarray(in_our_order(reference["mlp_hands_zrel"])[..., 0])
    rays = jnp.asarray(in_our_order(reference["mlp_hands_kp3d_unnorm"])[..., :2])
    estimate = jnp.asarray(reference["mlp_hands_zroot_est"])
    correction = RootDepthRefiner().apply(refiner, depths, rays, estimate)
    np.testing.assert_allclose(
        estimate + correction, reference["mlp_hands_zroot"].reshape(-1), rtol=5e-6
    )


def test_palm_to_wrist_on_hands(parity):
    """Hands with a palm for a root become the same hands with their wrist."""
    reference = parity("pose25d")
    hands = jnp.asarray(in_our_order(reference["joints3d"]))
    intrinsics = jnp.asarray(reference["K"])
    palm = (hands[:, skeleton.WRIST] + hands[:, skeleton.MIDDLE_MCP]) / 2
    pose, scale = camera.to_25d(hands.at[:, skeleton.WRIST].set(palm), intrinsics)
    depth = palm[:, 2] / scale
    output = palm_to_wrist(PoseOutput(pose, depth), intrinsics)
    expected, _ = camera.to_25d(hands, intrinsics)
    np.testing.assert_allclose(output.pose[..., :2], expected[..., :2], atol=1e-3)
    np.testing.assert_allclose(output.pose[..., 2], expected[..., 2], atol=1e-4)
    np.testing.assert_array_equal(output.pose[:, skeleton.WRIST, 2], 0)
    np.testing.assert_allclose(output.root_depth, hands[:, 0, 2] / scale, rtol=1e-5)


SIDE = 32
ENCODER = resnet.ResNet18(width=4)
IMAGES = jax.random.normal(jax.random.key(0), (2, SIDE, SIDE, 3))
INTRINSICS = jnp.broadcast_to(camera.assumed_intrinsics(SIDE), (2, 3, 3))


def some_variables(network):
    """Away from the initial values, many of which are zero."""
    shapes = jax.eval_shape(network.init, jax.random.key(0), IMAGES, INTRINSICS)
    generator = np.random.default_rng(0)

    def draw(path, leaf):
        variance = path[0].key == "batch_stats"
        draws = generator.uniform if variance else generator.normal
        return draws(*((0.5, 1.5) if variance else (0, 0.1)), leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.mark.parametrize("refiner", [RootDepthRefiner(), None])
def test_our_network_in_the_released_layout(refiner):
    ours = PoseNetwork(ENCODER, PoseHead(), refiner)
    variables = some_variables(ours)
    # By way of PyTorch's layout, where joints have another order.
    state_dict = to_state_dict(from_pose_network(variables, SIDE))
    np.testing.assert_array_equal(state_dict["backend_model.fc.weight"][63], 0)
    np.testing.assert_array_equal(state_dict["backend_model.fc.bias"][63], 0)
    released = from_state_dict(state_dict)

    @jax.jit
    def outputs():
        return (
            ours.apply(variables, IMAGES, INTRINSICS),
            ReleasedPoseNetwork(ENCODER, palm_root=False).apply(released, IMAGES, INTRINSICS),
            ReleasedPoseNetwork(ENCODER).apply(released, IMAGES, INTRINSICS),
        )

    expected, wrist_rooted, palm_rooted = outputs()
    assert np.ptp(expected.pose[..., :2]) > 1
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, wrist_rooted, expected)
    jax.tree.map(close, palm_rooted, palm_to_wrist(wrist_rooted, INTRINSICS))


def test_only_a_linear_head_has_the_layout():
    network = PoseNetwork(ENCODER, PoseHead((8,)))
    variables = some_variables(network)
    with pytest.raises(ValueError, match=r"head holds \['hidden1', 'pose'\], .*model\.head=linear"):
        from_pose_network(variables, SIDE)
