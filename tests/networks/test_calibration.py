"""Errors to expect: what is fitted, and how it is checked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.errors import UserError
from peclr_jax.models.heads import Localisation
from peclr_jax.networks.calibration import Calibration, fit_calibration, reliability


def drawn(hands, seed=0):
    """Heatmaps, and Gamma-distributed errors whose mean follows from them."""
    draws = np.random.default_rng(seed)
    localisation = Localisation(
        draws.uniform(0.05, 0.5, (hands, 21)).astype(np.float32),
        draws.uniform(0.02, 0.9, (hands, 21)).astype(np.float32),
    )
    mean = np.exp(-0.3) * localisation.spread**0.7 * localisation.peak**-0.2
    return localisation, draws.gamma(2.0, mean / 2)


def test_the_law_that_errors_follow_is_found():
    localisation, errors = drawn(2000)
    valid = np.ones_like(errors, bool)
    found = fit_calibration(localisation, errors, valid)
    assert (found.intercept, found.spread, found.peak) == pytest.approx((-0.3, 0.7, -0.2), abs=0.03)
    assert found.joints == errors.size
    assert np.mean(found(localisation)) == pytest.approx(errors.mean(), rel=1e-3)


def test_only_labelled_joints_count():
    localisation, errors = drawn(200)
    valid = np.ones_like(errors, bool)
    valid[::2] = False
    spoilt = np.where(valid, errors, np.nan)
    found = fit_calibration(localisation, spoilt, valid)
    half = Localisation(localisation.spread[1::2], localisation.peak[1::2])
    assert found == fit_calibration(half, errors[1::2], valid[1::2])


def test_few_joints_are_refused():
    localisation, errors = drawn(4)
    with pytest.raises(UserError, match="84 labelled joints are too few"):
        fit_calibration(localisation, errors, np.ones_like(errors, bool))


def test_without_a_fit_it_is_the_spread():
    localisation, _ = drawn(3)
    np.testing.assert_allclose(Calibration()(localisation), localisation.spread, rtol=1e-5)


@given(st.integers(1, 60), st.integers(1, 12))
def test_bins_hold_every_joint_in_order(joints, bins):
    expected = np.random.default_rng(joints).uniform(0, 5, joints)
    found = reliability(expected, 2 * expected, bins)
    assert len(found) == min(joints, bins)
    assert sum(b.joints for b in found) == joints
    assert max(b.joints for b in found) - min(b.joints for b in found) <= 1
    assert [b.expected for b in found] == sorted(b.expected for b in found)
    np.testing.assert_allclose([b.measured for b in found], [2 * b.expected for b in found])
