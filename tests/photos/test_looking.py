import numpy as np
import pytest

from peclr_jax.geometry.crop import Square
from peclr_jax.photos.looking import LookingRule

RULE = LookingRule()
LAST = Square(50.0, 40.0, 60.0)


def keypoints(x: float, y: float, side: float) -> np.ndarray:
    """Joints whose box has this centre and side."""
    return np.linspace([x - side / 2, y - side / 2], [x + side / 2, y + side / 2], 21)


def test_the_first_look_is_around_the_box_or_in_the_middle():
    assert RULE.first((10.0, 20.0, 30.0, 60.0), 100, 80) == (20, 40, 60)
    assert RULE.first(None, 101, 81) == (50, 40, pytest.approx(0.67 * 1.5 * 81))
    assert RULE.central_share == pytest.approx(0.67 * 1.5)
    assert (RULE.detail, LookingRule(closest=0.0).detail) == (2, 1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (keypoints(55, 45, 30), (55, 45, 45)),
        (keypoints(55, 45, 2), (55, 45, 30)),  # no closer than half
        (keypoints(55, 45, 500), (55, 45, 90)),  # no wider than one and a half
        (keypoints(90, 45, 30), LAST),  # beside what the network has seen
        (np.full((21, 2), np.nan), LAST),
    ],
)
def test_the_next_look_is_around_the_keypoints_within_bounds(found, expected):
    np.testing.assert_allclose(RULE.following(LAST, found), expected)


def test_a_rule_may_bound_nothing():
    rule = LookingRule(1.5, closest=0.0, widest=float("inf"))
    for side in (2, 500):
        assert rule.following(LAST, keypoints(50, 40, side)).side == pytest.approx(1.5 * side)
