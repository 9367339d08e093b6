"""The fine-tuned network beside the official RN_25D_wMLPref, whose joints are in AIT order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.hands import camera, skeleton
from peclr_jax.models import resnet
from peclr_jax.models.heads import PoseHead, RootDepthRefiner
from peclr_jax.models.pose_network import PoseNetwork, from_pixels, to_pixels
from peclr_jax.models.torch_weights import from_state_dict

SIDE = 224
# Input of the refinement: 21 depths, 21 (x, y), the root's depth.
REFINER_INPUT = np.concatenate(
    [
        skeleton.FROM_AIT,
        21 + (2 * skeleton.FROM_AIT[:, None] + np.arange(2)).ravel(),
        [63],
    ]
)


@pytest.fixture(scope="module")
def reference(parity):
    arrays = parity("refine")
    return {
        name: skeleton.reorder(value, skeleton.FROM_AIT) if value.shape[1:2] == (21,) else value
        for name, value in arrays.items()
    }


@pytest.fixture(scope="module")
def official(parity):
    module = parity.make_state_dict
    return module.make_state_dict(module.load_keys("RN_25D_wMLPref_rn50", parity.path("keys.json")))


def refiner_variables(official):
    def get(name):
        return official[f"zroot_ref.zroot_ref.{name}"]

    params, statistics = {}, {}
    for ours, theirs in (("dense1", 0), ("dense2", 3), ("dense3", 6)):
        params[ours] = {"kernel": get(f"{theirs}.weight").T, "bias": get(f"{theirs}.bias")}
    for ours, theirs in (("bn1", 1), ("bn2", 4)):
        params[ours] = {"scale": get(f"{theirs}.weight"), "bias": get(f"{theirs}.bias")}
        statistics[ours] = {
            "mean": get(f"{theirs}.running_mean"),
            "var": get(f"{theirs}.running_var"),
        }
    params["dense1"]["kernel"] = params["dense1"]["kernel"][REFINER_INPUT]
    return {"params": params, "batch_stats": statistics}


def head_params(official, bias):
    """The official layer gives pixels, ours multiples of half the side from the centre."""
    kernel = official["backend_model.fc.weight"][:63].reshape(21, 3, -1).astype(np.float64)
    bias = bias[:63].reshape(21, 3).astype(np.float64)
    kernel[:, :2] /= SIDE / 2
    bias[:, :2] = (bias[:, :2] - (SIDE - 1) / 2) / (SIDE / 2)
    kernel, bias = kernel[skeleton.FROM_AIT], bias[skeleton.FROM_AIT]
    return {
        "pose": {
            "kernel": kernel.reshape(63, -1).T.astype(np.float32),
            "bias": bias.reshape(63).astype(np.float32),
        }
    }


def test_whole_network_is_the_official_one(parity, reference, official):
    encoder = from_state_dict(
        {
            name.removeprefix("backend_model."): tensor
            for name, tensor in official.items()
            if name.startswith("backend_model.")
        }
    )
    refiner = refiner_variables(official)
    variables = {
        "params": {
            "encoder": encoder["params"],
            "head": head_params(official, reference["fc_bias"]),
            "refiner": refiner["params"],
        },
        "batch_stats": {"encoder": encoder["batch_stats"], "refiner": refiner["batch_stats"]},
    }
    module = parity.make_state_dict
    images = module.normalise(module.make_images())[:1]
    intrinsics = jnp.asarray(reference["K"])
    network = PoseNetwork(resnet.ResNet50(), PoseHead(), RootDepthRefiner())
    output = jax.jit(network.apply)(variables, images, intrinsics)
    # Ten times the noise floors of the reference.
    np.testing.assert_allclose(output.pose[..., :2], reference["kp2d"], atol=1.3e-4)
    np.testing.assert_allclose(output.pose[..., 2:], reference["zrel"], atol=8e-5)
    joints = camera.from_25d(output.pose, intrinsics, z_root=output.root_depth)
    np.testing.assert_allclose(joints, reference["kp3d_f64"], atol=1e-3)


def test_refinement_is_the_official_one(reference, official):
    depths = jnp.asarray(reference["mlp_hands_zrel"][..., 0])
    rays = jnp.asarray(reference["mlp_hands_kp3d_unnorm"][..., :2])
    estimate = jnp.asarray(reference["mlp_hands_zroot_est"])
    correction = RootDepthRefiner().apply(refiner_variables(official), depths, rays, estimate)
    np.testing.assert_allclose(
        estimate + correction, reference["mlp_hands_zroot"].reshape(-1), rtol=5e-6
    )


def tiny(**change) -> PoseNetwork:
    encoder = resnet.ResNet((1, 1, 1, 1), resnet.BasicBlock, width=4, stem="small")
    return PoseNetwork(**({"encoder": encoder, "head": PoseHead()} | change))


INTRINSICS = jnp.broadcast_to(camera.assumed_intrinsics(16), (4, 3, 3))
IMAGES = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))


def test_refinement_starts_as_none():
    network = tiny(refiner=RootDepthRefiner())
    variables = network.init(jax.random.key(1), IMAGES, INTRINSICS)
    output = network.apply(variables, IMAGES, INTRINSICS)
    np.testing.assert_array_equal(output.root_depth, output.root_depth_estimate)
    assert ((output.root_depth >= 4) & (output.root_depth <= 50)).all()
    np.testing.assert_array_equal(output.pose[:, skeleton.WRIST, 2], 0)


def test_frozen_encoder_has_no_gradient_and_keeps_its_statistics():
    network = tiny(head=PoseHead((8,)), frozen_encoder=True, refiner=RootDepthRefiner())
    variables = network.init(jax.random.key(1), IMAGES, INTRINSICS)

    def loss(params):
        output, updates = network.apply(
            {**variables, "params": params},
            IMAGES,
            INTRINSICS,
            train=True,
            mutable=["batch_stats"],
        )
        return jnp.sum(output.pose**2), updates

    gradient, updates = jax.grad(loss, has_aux=True)(variables["params"])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient["encoder"]))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(gradient["head"]))
    after = updates["batch_stats"].get("encoder", variables["batch_stats"]["encoder"])
    jax.tree.map(np.testing.assert_array_equal, after, variables["batch_stats"]["encoder"])


def test_pixels_and_back():
    pose = jax.random.normal(jax.random.key(0), (5, 21, 3))
    np.testing.assert_allclose(from_pixels(to_pixels(pose, 48), 48), pose, atol=1e-5)
    assert to_pixels(jnp.zeros((1, 21, 3)), 48)[0, 0].tolist() == [23.5, 23.5, 0.0]
