"""Networks that are asked about images: where their answers lie, and who cannot be asked."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.geometry import crop
from peclr_jax.networks.estimator import open_estimator
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
