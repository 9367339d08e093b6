"""The measure of Sec. 11 against networks whose equivariance is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.networks import equivariance
from peclr_jax.networks.estimator import Estimate, Estimator
from peclr_jax.networks.evaluation_data import open_data

ANGLES = np.array([-80.0, 0.0, 30.0])
SHIFTS = np.array([-25.0, 0.0, 10.0])


@pytest.fixture(scope="module")
def batches(opened, given_data):
    data = open_data(given_data, "train", opened.description, "box", 16)
    return list(data.split.batches())


def test_a_network_that_follows_the_image_has_no_error(network, batches, monkeypatch):
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 24, (16, 21, 3)), jnp.float32)
    answer = Estimate(points, jnp.ones(16))
    monkeypatch.setattr(Estimator, "__call__", lambda *_: answer)
    measured = equivariance.measure_equivariance(network, iter(batches), ANGLES, SHIFTS, 16)
    np.testing.assert_array_equal(measured.rotation, np.zeros((12, 3)))
    np.testing.assert_array_equal(measured.translation, np.zeros((12, 3, 3)))


def test_a_network_that_ignores_the_image_errs_by_the_transformation(network, batches):
    """Its joints stand still in the view, so that they move by the inverse in the image."""
    variables = jax.tree.map(jnp.copy, network.variables)
    variables["params"]["head"]["pose"]["kernel"] *= 0
    blind = dataclasses.replace(network, variables=variables)
    measured = equivariance.measure_equivariance(blind, iter(batches), ANGLES, SHIFTS, 16)
    expected = np.hypot(SHIFTS[None, :], SHIFTS[:, None])
    np.testing.assert_allclose(measured.translation, np.tile(expected, (12, 1, 1)), atol=1e-2)
    # The head is normalised to half the view's side about the centre.
    radius = 64 * np.linalg.norm(np.asarray(network.statistics.mean_pose)[:, :2], axis=-1).mean()
    expected = 2 * np.sin(np.abs(np.deg2rad(ANGLES)) / 2) * radius
    np.testing.assert_allclose(measured.rotation, [expected] * 12, rtol=1e-3, atol=1e-2)


def test_rows_are_vertical_translations(network, batches):
    shifts = np.array([0.0, 10.0])
    wide = equivariance.measure_equivariance(network, iter(batches), ANGLES[:0], shifts, 16)
    assert (wide.translation[:, 0, 1] != wide.translation[:, 1, 0]).all()
    transforms = equivariance._transforms(ANGLES, np.array([0.0, 12.8]))
    np.testing.assert_allclose(
        transforms.translation[3:], [[0, 0], [0.1, 0], [0, 0.1], [0.1, 0.1]], rtol=1e-6
    )


def test_the_improvement_is_a_ratio_of_each_image():
    """By hand (Eq. 12): 50 % and -25 % are 12.5 % on average, while 6 px of 10 would be 40 %."""
    ours, simclr = np.array([[1.0], [5.0], [0.0]]), np.array([[2.0], [4.0], [4.0]])
    gain = equivariance.improvement(ours[:2], simclr[:2])
    np.testing.assert_allclose(gain.percent, [12.5])
    gain = equivariance.improvement(ours, simclr)
    np.testing.assert_allclose(gain.percent, [(50 - 25 + 100) / 3])
    np.testing.assert_array_equal(gain.left_out, [0])


def test_images_without_an_error_of_the_baseline_are_left_out_and_counted():
    ours, simclr = np.array([[1.0, 1.0], [3.0, 0.0]]), np.array([[2.0, 0.0], [1e-3, 0.0]])
    gain = equivariance.improvement(ours, simclr)
    np.testing.assert_array_equal(gain.percent, [50.0, np.nan])
    np.testing.assert_array_equal(gain.left_out, [1, 2])
    assert equivariance.mean_moved(gain.percent, np.array([True, True])) == 50.0
    assert np.isnan(equivariance.mean_moved(gain.percent, np.array([False, True])))


@given(st.integers(0, 2**31), st.floats(0.1, 10.0))
def test_the_improvement_has_no_unit_and_no_order(seed, unit):
    rng = np.random.default_rng(seed)
    ours, simclr = rng.uniform(0.2, 9, (2, 7, 3))
    gain = equivariance.improvement(ours, simclr).percent
    order = rng.permutation(7)
    again = equivariance.improvement(unit * ours[order], unit * simclr[order]).percent
    np.testing.assert_allclose(again, gain, atol=1e-9)
    assert (gain <= 100).all()
    np.testing.assert_array_equal(equivariance.improvement(simclr, simclr).percent, 0)
