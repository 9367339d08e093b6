import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.hands.smoothing import OneEuro, follow

NUMBERS = st.floats(-1e3, 1e3, width=32)
SETTINGS = st.builds(OneEuro, st.floats(0.01, 30), st.floats(0, 10))
STEPS = st.lists(st.tuples(st.floats(0.001, 2), NUMBERS), min_size=1, max_size=20)


def run(settings, steps, unit=1.0):
    """Filters a signal; returns its smoothed values."""
    state, time, values = None, 0.0, []
    for seconds, value in steps:
        time += seconds
        state = follow(settings, state, time, np.array([value], float), unit)
        values.append(float(state.value[0]))
    return np.array(values)


@given(SETTINGS, STEPS)
def test_the_result_stays_within_what_was_seen(settings, steps):
    values = run(settings, steps)
    seen = [value for _, value in steps]
    assert values[0] == pytest.approx(seen[0])
    assert min(seen) - 1e-6 <= values.min() <= values.max() <= max(seen) + 1e-6


@given(SETTINGS, st.floats(-100, 100), st.integers(1, 9))
def test_what_rests_is_kept(settings, value, count):
    np.testing.assert_allclose(run(settings, [(0.1, value)] * count), value)


@given(SETTINGS, STEPS, st.floats(0.1, 10), NUMBERS)
def test_units_and_origin_do_not_matter(settings, steps, unit, origin):
    moved = [(seconds, unit * value + origin) for seconds, value in steps]
    expected = unit * run(settings, steps) + origin
    np.testing.assert_allclose(run(settings, moved, unit), expected, atol=1e-5, rtol=1e-6)


def test_noise_is_smoothed_and_motion_is_followed():
    generator = np.random.default_rng(0)
    still = [(1 / 30, value) for value in generator.normal(size=300)]
    assert run(OneEuro(1.0, 0.0), still)[30:].std() < 0.4
    moving = [(1 / 30, 10.0 * i) for i in range(60)]
    lag = {beta: moving[-1][1] - run(OneEuro(1.0, beta), moving)[-1] for beta in (0.0, 0.5)}
    assert lag[0.5] < lag[0.0] / 20


def test_it_is_the_filter_of_the_paper():
    """A step of 1 after 0.1 s, by hand."""
    weight = 1 / (1 + 1 / (2 * math.pi * 0.1))
    speed = weight * 10
    cutoff = 2 + 0.3 * speed
    expected = 1 / (1 + 1 / (2 * math.pi * cutoff * 0.1))
    assert run(OneEuro(2.0, 0.3), [(1, 0), (0.1, 1)])[1] == pytest.approx(expected)


def test_a_time_that_does_not_advance_starts_anew():
    state = follow(OneEuro(), None, 1.0, np.zeros(2))
    again = follow(OneEuro(), state, 1.0, np.ones(2))
    np.testing.assert_array_equal(again.value, 1)
