import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from peclr_jax.geometry.crop import central
from peclr_jax.photos.boxes import Hand
from peclr_jax.photos.search import (
    MOST_ASPECT,
    assign,
    best,
    differ,
    relative_errors,
    wanted_hands,
    windows,
)

SIDES = st.integers(16, 4000)


def hand(x, y, side):
    """Joints on the diagonal of a square box."""
    return np.array([x, y]) + side * (np.linspace(0, 1, 21)[:, None] - 0.5)


@pytest.mark.parametrize(
    ("width", "height", "search", "count"),
    [
        (100, 100, "auto", 1),
        (100, 130, "auto", 1),
        (640, 480, "center", 1),
        # The centre; 2 of the shorter side, 4 by 3 of its half.
        (640, 480, "auto", 15),
        (480, 640, "auto", 15),
        (100, 100, "windows", 11),
    ],
)
def test_wide_photos_are_searched_in_windows(width, height, search, count):
    found = windows(central(width, height), width, height, search)
    assert found[0] == central(width, height)
    assert len(found) == count


@given(SIDES, SIDES, st.floats(0, 1), st.floats(0, 1))
def test_a_small_hand_is_wholly_in_a_window(width, height, across, down):
    shorter = min(width, height)
    assume(max(width, height) <= MOST_ASPECT * shorter)
    side = shorter / 6
    x = side / 2 - 0.5 + across * (width - side)
    y = side / 2 - 0.5 + down * (height - side)
    squares = windows(central(width, height), width, height, "windows")[1:]
    edges = np.array([square.edges for square in squares])
    assert (edges[:, :2] > -0.501).all()
    assert (edges[:, 2:] < np.array([width, height]) - 0.499).all()
    tolerance = 1e-6 * max(width, height)
    inside = (edges[:, :2] <= np.array([x, y]) - side / 2 + tolerance).all(1)
    inside &= (edges[:, 2:] >= np.array([x, y]) + side / 2 - tolerance).all(1)
    assert inside.any()


@given(st.integers(16, 65_000), st.integers(16, 65_000))
def test_the_longest_photos_have_a_bounded_number_of_windows(width, height):
    squares = windows(central(width, height), width, height, "windows")[1:]
    assert len(squares) <= 128
    edges = np.array([square.edges for square in squares])
    # From one end to the other.
    np.testing.assert_allclose(edges[:, :2].min(0), -0.5, atol=1e-6)
    np.testing.assert_allclose(edges[:, 2:].max(0), [width - 0.5, height - 0.5], rtol=1e-6)


def test_errors_are_relative_to_the_hand():
    keypoints = np.stack([hand(0, 0, 100), hand(0, 0, 50), hand(0, 0, 0), hand(0, np.nan, 9)])
    error = np.full((4, 21), 5.0)
    np.testing.assert_allclose(relative_errors(keypoints, error), [0.05, 0.1, 5, np.inf])
    error[0, 3] = np.nan
    assert relative_errors(keypoints, error)[0] == np.inf


def test_the_best_are_kept_and_none_twice():
    keypoints = np.stack([hand(50, 50, 20), hand(52, 49, 24), hand(90, 50, 20), hand(10, 10, 9)])
    errors = np.array([0.2, 0.1, 0.15, 0.3])
    assert best(keypoints, errors, most=9) == [1, 2, 3]
    assert best(keypoints, errors, most=2) == [1, 2]
    assert best(keypoints, errors, most=9, worst=0.12) == [1]
    assert best(keypoints, errors, most=9, worst=0.01) == [1]
    assert best(keypoints, np.full(4, np.inf), most=1) == [0]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ([], []),
        (["auto", "auto", "auto"], [(1, 0), (2, 1), (3, 2)]),
        (["right", "right"], [(3, 0)]),
        # The left one leaves the place for either side to the right one.
        (["auto", "left"], [(1, 1), (2, 0)]),
        (["right", "left", "auto"], [(1, 1), (2, 2), (3, 0)]),
        (["right", "left"], [(1, 1), (3, 0)]),
    ],
)
def test_hands_are_of_the_sides_that_are_wanted(wanted, kept):
    keypoints = np.stack([hand(50, 50, 20), hand(52, 49, 24), hand(90, 50, 20), hand(10, 10, 9)])
    errors, sides = np.array([0.12, 0.1, 0.15, 0.2]), ["left", "left", "left", "right"]
    assert assign(keypoints, errors, sides, wanted) == kept
    assert assign(keypoints, errors, sides, wanted, worst=0.15) == [
        (answer, place) for answer, place in kept if errors[answer] <= 0.15 or len(kept) == 1
    ]


def test_hands_that_are_given_are_not_found_and_come_first():
    keypoints = np.stack([hand(50, 50, 20), hand(90, 50, 20)])
    given, sides = [np.array([38.0, 38.0, 61.0, 60.0])], ["right", "right"]
    errors = np.array([0.1, 0.2])
    assert assign(keypoints, errors, sides, ["auto"] * 2, given=given) == [(1, 0)]
    assert assign(keypoints, errors, sides, ["auto"] * 2, given=given, worst=0.15) == []
    assert assign(keypoints, np.full(2, np.inf), sides, ["auto"], given=given) == []


def test_others_are_of_either_side_unless_the_user_says_it():
    left, right = (Hand(side, handedness_from="boxes") for side in ("left", "right"))
    assert wanted_hands([], 3) == []
    assert wanted_hands([left, right], 1) == [left, right]
    assert wanted_hands([left], 3) == [left, Hand("auto"), Hand("auto")]
    assert wanted_hands([Hand("left")], 3) == [Hand("left")] * 3
    assert wanted_hands([left, right], 3) == [left, right, Hand("auto")]


@pytest.mark.parametrize(
    ("other", "apart"),
    [
        ((2, 2, 4, 4), False),
        ((4, 0, 14, 10), False),
        ((6, 0, 16, 10), True),
        ((20, 20, 30, 30), True),
    ],
)
def test_boxes_that_share_most_of_the_smaller_are_one_hand(other, apart):
    boxes = np.array([0.0, 0, 10, 10]), np.array(other, float)
    assert differ(*boxes) is differ(*boxes[::-1]) is apart
