"""Networks that are asked about images: where their answers lie, and who cannot be asked."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.geometry import camera, crop
from peclr_jax.hands.skeleton import BONES
from peclr_jax.models.spec import PoseNetworkSpec
from peclr_jax.networks.estimator import Estimate, open_estimator
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.networks.proportions import in_proportion, known_bones
from tests.conftest import REFERENCE

BEFORE = REFERENCE / "before_specs"


def test_a_network_from_before_specs_answers_as_it_did():
    estimator = open_estimator(BEFORE / "finetune")
    expected = json.loads((BEFORE / "expected.json").read_text())
    images = (7 * np.arange(2 * 24 * 24 * 3) % 256).astype(np.uint8).reshape(2, 24, 24, 3)
    matrix = np.tile(np.array([[2 / 3, 0, 0], [0, 2 / 3, 0]], np.float32), (2, 1, 1))
    camera = np.array([[100, 0, 11.5], [0, 100, 11.5], [0, 0, 1]], np.float32)
    estimate = estimator(images, matrix, np.tile(camera, (2, 1, 1)))
    np.testing.assert_allclose(estimate.pose, expected["pose"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(estimate.root_depth, expected["root_depth"], rtol=1e-3)


def test_the_mean_pose_is_the_same_in_every_view(network):
    mean = np.asarray(network.statistics.mean_pose)
    matrix = crop.source_to_canonical(24, 16, 1.5)[None]
    pose = np.asarray(network.mean_estimate(matrix))[0]
    # Half a view of 16 px, and as many pixels of the source.
    np.testing.assert_allclose(pose[:, :2], 11.5 + 8 * mean[:, :2], atol=1e-4)
    np.testing.assert_allclose(pose[:, 2], mean[:, 2], atol=1e-6)
    closer = np.asarray(network.mean_estimate(matrix * jnp.array([[2.0, 2, 1], [2, 2, 1]])))[0]
    assert np.ptp(closer[:, 0]) == pytest.approx(np.ptp(pose[:, 0]) / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (BEFORE / "pretrain", "of the task 'pretrain', which knows no poses: name one"),
        ("", r"no checkpoint is named: give --config\.checkpoint"),
    ],
)
def test_who_cannot_be_asked(checkpoint, message):
    with pytest.raises(UserError, match=message):
        open_estimator(checkpoint)


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
