import numpy as np
import pytest

from peclr_jax.geometry.crop import Square
from peclr_jax.photos.looking import LookingRule

RULE = LookingRule(hand_margin=1.5, central_box=0.6, closest=0.5, widest=1.5)
LAST = Square(100.0, 50.0, 60.0)


def keypoints(x, y, side):
    """Joints whose box has this centre and side."""
    return np.array([[x, y]] * 19 + [[x - side / 2, y - 1], [x + side / 2, y + 1]])


def test_the_first_look_is_around_the_box_or_in_the_middle():
    assert RULE.first((10.0, 20.0, 30.0, 60.0), 640, 480) == Square(20.0, 40.0, 60.0)
    assert RULE.first(None, 640, 480) == pytest.approx((319.5, 239.5, 0.6 * 1.5 * 480))


@pytest.mark.parametrize(("hand", "side"), [(30.0, 45.0), (5.0, 30.0), (0.0, 30.0), (200.0, 90.0)])
def test_the_next_look_is_around_the_keypoints_and_not_too_far_off(hand, side):
    following = RULE.following(LAST, keypoints(110.0, 45.0, hand).astype(np.float32))
    assert following == pytest.approx((110.0, 45.0, side))


@pytest.mark.parametrize(
    "found",
    [keypoints(131.0, 50.0, 30.0), keypoints(100.0, 19.0, 30.0), np.full((21, 2), np.nan)],
)
def test_what_makes_no_sense_is_not_followed(found):
    assert RULE.following(LAST, found) == LAST


@pytest.mark.parametrize("hand", [0.5, 3.0, 400.0])
def test_a_rule_like_the_official_one_bounds_nothing(hand):
    rule = LookingRule(1.4, 0.33, closest=0.0, widest=float("inf"))
    assert (RULE.detail, rule.detail) == (2.0, 1.0)
    assert rule.first(None, 200, 100).side == pytest.approx(0.33 * 1.4 * 100)
    following = rule.following(LAST, keypoints(100.0, 50.0, hand))
    assert following.side == pytest.approx(1.4 * max(hand, 2.0))
