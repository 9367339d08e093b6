import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.geometry import camera
from peclr_jax.hands.skeleton import BONES
from peclr_jax.models.spec import PoseNetworkSpec
from peclr_jax.networks.estimator import Estimate
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.networks.proportions import in_proportion, known_bones


def test_depths_are_scaled_with_a_distance_that_is_off():
    """The answer is the true hand, as large as the distance is wrong, and at the same pixels."""
    joints = np.random.default_rng(0).uniform(-0.08, 0.08, (1, 21, 3))
    joints[..., 2] += 0.7
    cameras = camera.assumed_intrinsics(224)[None]
    pose, scale = camera.to_25d(jnp.asarray(joints, jnp.float32), cameras)
    ends = (joints[0, [bone[end] for bone in BONES]] for end in (0, 1))
    lengths = np.linalg.norm(np.subtract(*ends), axis=-1) / np.asarray(scale)
    depth = 1.3 * jnp.asarray(joints[:, 0, 2], jnp.float32) / scale
    corrected = in_proportion(pose, depth, cameras, jnp.asarray(lengths, jnp.float32))
    np.testing.assert_array_equal(corrected[..., :2], pose[..., :2])
    lifted = Estimate(corrected, depth).lift(cameras, scale)
    np.testing.assert_allclose(lifted, 1.3 * joints, rtol=1e-3, atol=1e-4)


def test_only_heatmaps_with_a_mean_hand_are_corrected(network):
    assert known_bones(network.module, network.statistics) is None  # a linear layer, as the paper's
    joints = tuple(map(tuple, np.random.default_rng(0).uniform(-0.1, 0.1, (21, 3)).tolist()))
    model = PoseNetworkSpec("resnet18", width=4, stem="small", head="heatmap", channels=8)
    module = model.build(refine_root_depth=False)
    assert known_bones(module, LabelStatistics()) is None
    known = known_bones(module, LabelStatistics(mean_hand=joints))
    assert known.shape == (20,)
    assert known[BONES.index((9, 10))] == pytest.approx(1)
