"""The fine-tuned network; beside the official one it stands in `test_released.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.geometry import camera
from peclr_jax.hands import skeleton
from peclr_jax.models import resnet
from peclr_jax.models.heads import HeatmapHead, PoseHead, RootDepthRefiner
from peclr_jax.models.normalization import fold
from peclr_jax.models.pose_network import PoseNetwork, from_pixels, to_pixels

ENCODER = resnet.ResNet((1,), resnet.BasicBlock, width=4, stem="small")
INTRINSICS = jnp.broadcast_to(camera.assumed_intrinsics(16), (4, 3, 3))
IMAGES = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))


def test_refinement_starts_as_none():
    network = PoseNetwork(ENCODER, PoseHead(), RootDepthRefiner())
    variables = jax.jit(network.init)(jax.random.key(1), IMAGES, INTRINSICS)
    output = jax.jit(network.apply)(variables, IMAGES, INTRINSICS)
    without = jax.jit(PoseNetwork(ENCODER, PoseHead()).apply)(variables, IMAGES, INTRINSICS)
    np.testing.assert_allclose(output.root_depth, without.root_depth, rtol=1e-6)
    assert ((output.root_depth >= 4) & (output.root_depth <= 50)).all()
    np.testing.assert_array_equal(output.pose[:, skeleton.WRIST, 2], 0)


@pytest.mark.parametrize("head", [PoseHead((8,)), HeatmapHead(channels=8)], ids=["mlp", "heatmap"])
def test_frozen_encoder_has_no_gradient_and_keeps_its_statistics(head):
    network = PoseNetwork(ENCODER, head, RootDepthRefiner(), frozen_encoder=True)
    variables = jax.jit(network.init)(jax.random.key(1), IMAGES, INTRINSICS)

    def loss(params):
        now = variables | {"params": params}
        output, updates = network.apply(
            now, IMAGES, INTRINSICS, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(output.pose**2), updates

    gradient, updates = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient["encoder"]))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(gradient["head"]))
    after = updates["batch_stats"].get("encoder", variables["batch_stats"]["encoder"])
    jax.tree.map(np.testing.assert_array_equal, after, variables["batch_stats"]["encoder"])


def test_pixels_and_back():
    pose = jax.random.normal(jax.random.key(0), (5, 21, 3))
    np.testing.assert_allclose(from_pixels(to_pixels(pose, 48), 48), pose, atol=1e-5)
    assert to_pixels(jnp.zeros((1, 21, 3)), 48)[0, 0].tolist() == [23.5, 23.5, 0.0]


def test_heatmaps_localise_and_a_linear_layer_does_not():
    for head, localises in ((PoseHead(), False), (HeatmapHead(channels=8), True)):
        network = PoseNetwork(ENCODER, head)
        output, variables = jax.jit(network.init_with_output)(jax.random.key(1), IMAGES, INTRINSICS)
        assert (output.localisation is not None) == localises
        np.testing.assert_array_equal(output.pose[:, skeleton.WRIST, 2], 0)
        # Folding BatchNorm, as inference does, changes nothing.
        folded, of_folded = fold(network, variables)
        answers = jax.jit(folded.apply)(of_folded, IMAGES, INTRINSICS)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), answers, output
        )
