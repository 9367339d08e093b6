"""From heatmaps to the errors to expect: what is fitted, and where it comes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.errors import UserError
from peclr_jax.geometry import crop
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.models.heads import Localisation
from peclr_jax.models.spec import PoseNetworkSpec
from peclr_jax.networks.calibration import Calibration, fit_calibration, reliability
from peclr_jax.networks.description import NetworkDescription, from_json
from peclr_jax.networks.estimator import Estimator


def heatmaps(hands, seed=0):
    generator = np.random.default_rng(seed)
    return Localisation(
        generator.uniform(0.02, 0.5, (hands, 21)), generator.uniform(0.05, 0.9, (hands, 21))
    )


@given(st.floats(-0.5, 1), st.floats(0.2, 1), st.floats(-1, 0.5))
def test_the_law_of_the_errors_is_found(intercept, spread, peak):
    localisation = heatmaps(200)
    true = Calibration(intercept, spread, peak, 1)
    expected = np.asarray(true(Localisation(*map(jnp.asarray, localisation))))
    noise = np.random.default_rng(1).gamma(4, 1 / 4, expected.shape)
    found = fit_calibration(localisation, expected * noise, np.ones_like(expected, bool))
    assert found.joints == expected.size
    for name in ("intercept", "spread", "peak"):
        assert getattr(found, name) == pytest.approx(getattr(true, name), abs=0.15)


def test_errors_are_what_is_expected_in_the_mean():
    """Also where the law is another one; joints without a label count for nothing."""
    localisation = heatmaps(100)
    error = 0.1 + 0.3 * localisation.spread * np.random.default_rng(2).exponential(1, (100, 21))
    valid = np.random.default_rng(3).random((100, 21)) < 0.7
    found = fit_calibration(localisation, np.where(valid, error, np.nan), valid)
    expected = np.asarray(found(Localisation(*map(jnp.asarray, localisation))))
    assert (error / expected)[valid].mean() == pytest.approx(1.0, rel=1e-3)


def test_too_few_joints_are_refused():
    with pytest.raises(UserError, match="42 labelled joints are too few to calibrate on"):
        fit_calibration(heatmaps(2), np.ones((2, 21)), np.ones((2, 21), bool))


def test_without_a_fit_it_is_the_spread():
    localisation = Localisation(jnp.full((1, 21), 0.3), jnp.full((1, 21), 0.5))
    np.testing.assert_allclose(Calibration()(localisation), 0.3, rtol=1e-5)


def test_it_lies_beside_the_weights():
    calibration = Calibration(0.5, 0.8, -0.2, 1000)
    model = PoseNetworkSpec("resnet18", width=4, stem="small", head="heatmap", channels=8)
    description = NetworkDescription(
        "finetune", "quick", model, DataSpec(), 16, calibration=calibration
    )
    note = description.to_json()
    assert from_json(note["config"], note["results"], "a test").calibration == calibration
    assert from_json(note["config"], {}, "a test").calibration is None
    note["results"]["calibration"]["joints"] = -1
    with pytest.raises(UserError, match="calibration"):
        from_json(note["config"], note["results"], "a test")


def test_errors_to_expect_are_pixels_of_the_image():
    """A view that shows the image at half its size has errors of twice as many image pixels."""
    model = PoseNetworkSpec("resnet18", width=4, stem="small", head="heatmap", channels=8)
    network = model.build(refine_root_depth=False)
    images = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3)).astype(np.uint8)
    camera = jnp.tile(jnp.eye(3), (2, 1, 1))
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((2, 16, 16, 3)), camera)
    twice = Calibration(float(np.log(2.0)), 1.0, 0.0, 500)
    plain = Estimator(network, variables, 16, 1.0)
    calibrated = Estimator(network, variables, 16, 1.0, calibration=twice)
    whole = np.tile(np.eye(2, 3, dtype=np.float32), (2, 1, 1))
    spread = plain(images, whole, camera).expected_error
    assert spread.shape == (2, 21)
    # In halves of the view's side, of which it has 8 px.
    assert 0 < spread.max() < 2 * 8
    np.testing.assert_allclose(calibrated(images, whole, camera).expected_error, 2 * spread, 1e-4)
    large = np.repeat(np.repeat(images, 2, 1), 2, 2)
    halved = np.tile(np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]], np.float32), (2, 1, 1))
    np.testing.assert_allclose(plain(large, halved, camera).expected_error, 2 * spread, 0.05)


def test_linear_heads_expect_no_error(network):
    images = np.zeros((1, 24, 24, 3), np.uint8)
    camera = jnp.eye(3)[None]
    assert (
        network(images, crop.source_to_canonical(24, 16, 1.5)[None], camera).expected_error is None
    )


@given(st.integers(1, 60), st.integers(1, 12))
def test_bins_hold_every_joint_in_order(joints, bins):
    expected = np.random.default_rng(joints).uniform(0, 5, joints)
    found = reliability(expected, 2 * expected, bins)
    assert len(found) == min(joints, bins)
    assert sum(b.joints for b in found) == joints
    assert max(b.joints for b in found) - min(b.joints for b in found) <= 1
    assert [b.expected for b in found] == sorted(b.expected for b in found)
    np.testing.assert_allclose([b.measured for b in found], [2 * b.expected for b in found])
