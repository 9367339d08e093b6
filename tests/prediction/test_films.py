"""Hands that move are followed, lost ones are searched again, and the same keep their number."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from peclr_jax.errors import UserError
from peclr_jax.geometry.crop import Square
from peclr_jax.hands.smoothing import OneEuro
from peclr_jax.networks.calibration import Calibration
from peclr_jax.pages.gallery import Prediction
from peclr_jax.photos.boxes import Hand, Request
from peclr_jax.photos.film import Film, Frame
from peclr_jax.photos.prepare import Options
from peclr_jax.prediction import films
from peclr_jax.prediction.films import Tracker, follow_hands, smooth
from peclr_jax.prediction.photographs import look_at
from tests.marked_photos import BONE, SIZE, SPREAD, TIP, TRUTH, WRIST, mark_finder, marked
from tests.prediction.test_photographs import beside

FILM = Film(Path("film.mp4"), Fraction(10), None)
EMPTY = Image.new("RGB", (640, 480), (60, 60, 60))


def tracker_for(network=None, *, request=None, most=1, search="center"):
    network = network or mark_finder(unsure=True)
    options = Options(SIZE, network.looking, 64, 0.0, 40.0, search)
    request = request or Request((Hand("auto"),))
    return Tracker(network, request, options, BONE, 2, 4, most, 0.08)


def frames_of(*pictures):
    return (Frame(i, i / 10, np.asarray(image)) for i, image in enumerate(pictures))


def moved(step):
    return marked(wrist=WRIST + step, tip=TIP + step)


def keypoints(followed):
    """Returns the keypoints of the only hand of each frame."""
    found = [list(hands.values()) for _, _, hands in followed]
    return np.stack([hand.keypoints_2d for (hand,) in found])


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_hand_that_moves_is_followed_with_one_look_a_frame(side):
    tracker = tracker_for()
    steps = np.array([[0, 0], [12, -5], [25, -15], [40, -20]])
    pictures, truth = [moved(step) for step in steps], TRUTH + steps[:, None]
    if side == "left":
        pictures, truth = map(ImageOps.mirror, pictures), truth * [-1, 1] + [639, 0]
    followed = list(follow_hands(tracker, FILM, frames_of(*pictures)))
    np.testing.assert_allclose(keypoints(followed), truth, atol=1.5)
    assert {number for _, _, hands in followed for number in hands} == {0}
    assert {hand.hand.handedness for _, _, hands in followed for hand in hands.values()} == {side}
    # Twice both sides of the first frame, in views of four rows.
    assert [len(views) for views in tracker.estimator.seen] == [4, 4, 1, 1, 1]
    frame, photo, _ = followed[-1]
    assert (photo.width, photo.height, photo.focal_from) == (640, 480, "guess")
    np.testing.assert_array_equal(np.asarray(photo.preview), frame.image)


def test_a_lost_hand_is_searched_again_but_not_in_every_frame():
    tracker = tracker_for()
    pictures = [marked(), *[EMPTY] * 14, *[moved([-90, -60])] * 12]
    followed = list(follow_hands(tracker, FILM, frames_of(*pictures)))
    np.testing.assert_allclose(keypoints(followed)[0], TRUTH, atol=1.5)
    np.testing.assert_allclose(keypoints(followed)[20:], [TRUTH - [90, 60]] * 7, atol=1.5)
    searches = sum(len(views) == 4 for views in tracker.estimator.seen)
    assert searches == 2 * 3  # frames 0, 10 and 20
    assert len({number for _, _, hands in followed for number in hands}) >= 2


def test_boxes_are_those_of_the_first_frame():
    photo = marked()
    photo.paste(marked().crop((220, 200, 410, 340)), (20, 20))
    boxes = ((240.0, 220.0, 390.0, 320.0), (40.0, 40.0, 190.0, 140.0))
    request = Request(tuple(Hand("right", box, handedness_from="boxes") for box in boxes), 700.0)
    followed = list(
        follow_hands(tracker_for(request=request, most=2), FILM, frames_of(*[photo] * 3))
    )
    for _, camera, hands in followed:
        assert list(hands) == [0, 1]
        np.testing.assert_allclose(hands[0].keypoints_2d, TRUTH, atol=1.5)
        np.testing.assert_allclose(hands[1].keypoints_2d, TRUTH - [200, 180], atol=1.5)
        assert (camera.focal_px, camera.focal_from) == (700.0, "boxes")


def test_a_box_beside_the_film_is_said():
    request = Request((Hand("right", (900.0, 20.0, 990.0, 90.0)),))
    with pytest.raises(UserError, match=r"film\.mp4: .* outside of the image of 640x480"):
        next(follow_hands(tracker_for(request=request), FILM, frames_of(marked())))


def test_one_box_beside_the_film_is_left_out_and_said_once():
    boxes = (900.0, 20.0, 990.0, 90.0), (240.0, 220.0, 390.0, 320.0)
    request = Request(tuple(Hand("right", box) for box in boxes))
    followed = list(follow_hands(tracker_for(request=request), FILM, frames_of(*[marked()] * 62)))
    np.testing.assert_allclose(keypoints(followed), [TRUTH] * 62, atol=1.5)
    (said,) = followed[0][1].left_out
    assert "outside of the image of 640x480" in said
    assert not any(photo.left_out for _, photo, _ in followed[1:])


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("sides", [("left", "right"), ("auto", "auto")])
def test_hands_listed_without_boxes_are_followed(sides, most):
    photo, right, left = beside()
    request = Request(tuple(Hand(side, handedness_from="boxes") for side in sides))
    tracker = tracker_for(request=request, most=most, search="windows")
    followed = list(follow_hands(tracker, FILM, frames_of(*[photo] * 3)))
    for _, _, hands in followed:
        assert sorted(hands) == [0, 1]
        by_side = {hand.hand.handedness: hand.keypoints_2d for hand in hands.values()}
        np.testing.assert_allclose(by_side["right"], right, atol=1.5)
        np.testing.assert_allclose(by_side["left"], left, atol=1.5)


def test_what_is_found_beside_a_box_is_counted_with_it():
    photo, right, left = beside()
    box = *(right.min(0) - 9).tolist(), *(right.max(0) + 9).tolist()
    request = Request((Hand("right", box, handedness_from="boxes"), Hand("auto")))
    tracker = tracker_for(request=request, most=2, search="windows")
    *_, (_, _, hands) = follow_hands(tracker, FILM, frames_of(*[photo] * 3))
    np.testing.assert_allclose(hands[0].keypoints_2d, right, atol=1.5)
    np.testing.assert_allclose(hands[1].keypoints_2d, left, atol=1.5)
    assert len(hands) == 2


def test_two_tracks_do_not_stay_on_one_hand():
    low, high = TRUTH.min(0), TRUTH.max(0)
    boxes = [(*(low - edge).tolist(), *(high + edge).tolist()) for edge in (9, 12)]
    request = Request(tuple(Hand("right", box) for box in boxes))
    followed = list(follow_hands(tracker_for(request=request), FILM, frames_of(*[marked()] * 3)))
    assert [len(hands) for _, _, hands in followed] == [2, 1, 1]


@pytest.mark.parametrize("sides", [("right",), ("right", "left")])
def test_the_side_of_a_hand_that_is_searched_again_is_told_by_the_boxes_file(sides):
    photo, right, left = beside()
    request = Request(tuple(Hand(side, handedness_from="boxes") for side in sides))
    tracker = tracker_for(request=request, most=len(sides), search="windows")
    empty = Image.new("RGB", photo.size, (60, 60, 60))
    pictures = [photo, *[empty] * 10, *[photo] * 10]
    *_, (_, _, hands) = follow_hands(tracker, FILM, frames_of(*pictures))
    assert {(one.hand.handedness, one.hand.handedness_from) for one in hands.values()} == {
        (side, "boxes") for side in sides
    }
    for one in hands.values():
        truth = right if one.hand.handedness == "right" else left
        np.testing.assert_allclose(one.keypoints_2d, truth, atol=1.5)


def test_a_film_without_hands_is_not_searched():
    tracker = tracker_for()._replace(request=Request(()))
    followed = list(follow_hands(tracker, FILM, frames_of(*[marked()] * 12)))
    assert not any(hands for _, _, hands in followed)
    assert not tracker.estimator.seen


@pytest.mark.parametrize("tells", [False, True])
def test_networks_that_are_not_calibrated_search_what_has_left_the_frame(monkeypatch, tells):
    def beside(*args):
        return [answer._replace(keypoints=answer.keypoints + 1000) for answer in look_at(*args)]

    network = dataclasses.replace(mark_finder(unsure=tells), calibration=Calibration())
    tracker = tracker_for(network)._replace(largest_error=np.inf)
    monkeypatch.setattr(films, "look_at", beside)
    followed = list(follow_hands(tracker, FILM, frames_of(*[marked()] * 11)))
    found = keypoints(followed)
    np.testing.assert_allclose(found[[0, 10]], [TRUTH] * 2, atol=1.5)
    assert (found[1:10] > 1000).all()
    assert all(hand.expected_error is None for _, _, hands in followed for hand in hands.values())


@pytest.mark.parametrize(("times", "is_lost"), [(1, False), (2.5, False), (5, True)])
def test_a_hand_is_lost_at_twice_the_error_at_which_it_would_be_found(monkeypatch, times, is_lost):
    def less_sure(*args):
        return [answer._replace(error=times * answer.error) for answer in look_at(*args)]

    tracker = tracker_for()
    monkeypatch.setattr(films, "look_at", less_sure)
    followed = list(follow_hands(tracker, FILM, frames_of(*[marked()] * 11)))
    hand = followed[1][2][0]
    error = hand.expected_error.mean() / np.ptp(hand.keypoints_2d, axis=0).max()
    assert (error > tracker.largest_error) == (times > 1)
    searches = sum(len(views) == 4 for views in tracker.estimator.seen) // 2
    assert searches == (2 if is_lost else 1)


@pytest.mark.parametrize(
    ("followed", "found", "count"),
    [
        ([0.12], [0.07], 2),
        ([0.12], [0.1], 1),
        ([0.12], [0.1, 0.07], 2),
        ([], [0.1], 1),
        # A hand that is lost gives its place to what is surer.
        ([0.3], [0.2], 1),
    ],
)
def test_beside_a_hand_that_is_followed_only_sure_ones_are_begun_with(followed, found, count):
    def hand_at(x, error):
        square = Square(x, 240.0, 150.0)
        points = np.array([x, 240.0]) + 100 * (SPREAD - 0.5) * [1, 0.7]
        errors = np.full(21, 100 * error)
        return Prediction(Hand("right"), square, points, np.zeros((21, 3)), errors)

    hands = {number: hand_at(80, error) for number, error in enumerate(followed)}
    more = [hand_at(240 + 160 * i, error) for i, error in enumerate(found)]
    wanted, numbers = [Hand("auto")] * 3, iter(range(7, 99))
    merged = films._merged(hands, more, EMPTY, tracker_for(most=3), wanted, numbers)
    assert len(merged) == count
    if followed and followed[0] < 0.16:
        assert merged[0] is hands[0]


def test_smoothing_takes_the_tremor_out():
    generator = np.random.default_rng(0)
    steps = generator.normal(0, 2, (30, 2))
    followed = list(follow_hands(tracker_for(), FILM, frames_of(*map(moved, steps))))
    smoothed = list(smooth(iter(followed), OneEuro(0.5, 0.0)))
    tremor = [np.abs(np.diff(keypoints(each)[5:], axis=0)).mean() for each in (followed, smoothed)]
    assert tremor[1] < 0.5 * tremor[0]
    in_space = [
        np.stack([hand.keypoints_3d for _, _, hands in each[5:] for hand in hands.values()])
        for each in (followed, smoothed)
    ]
    tremor = [np.abs(np.diff(joints[..., :2], axis=0)).mean() for joints in in_space]
    assert tremor[1] < 0.5 * tremor[0]
    np.testing.assert_array_equal(keypoints(smoothed)[0], keypoints(followed)[0])


def test_a_new_hand_is_not_smoothed_with_the_last():
    pictures = [marked(), *[EMPTY] * 9, *[moved([-90, -60])] * 3]
    followed = list(follow_hands(tracker_for(), FILM, frames_of(*pictures)))
    smoothed = list(smooth(iter(followed), OneEuro(0.1, 0.0)))
    np.testing.assert_allclose(keypoints(smoothed)[-1], TRUTH - [90, 60], atol=1.5)


@pytest.mark.parametrize("span", [0.4, 0.75])
def test_a_network_that_always_says_the_same_is_lost_not_followed(span, monkeypatch):
    """The square would grow, or shrink, with each frame."""
    pose = span * np.linspace(-0.5, 0.5, 21)[:, None] * np.ones(2)

    def says(estimator, sights, bone_length, rows):
        return [
            look._replace(keypoints=pose * sight.square.side + [sight.square.x, sight.square.y])
            for look, sight in zip(
                look_at(estimator, sights, bone_length, rows), sights, strict=True
            )
        ]

    monkeypatch.setattr(films, "look_at", says)
    tracker = tracker_for(mark_finder())
    followed = list(follow_hands(tracker, FILM, frames_of(*[marked()] * 24)))
    sides = [hand.square.side for _, _, hands in followed for hand in hands.values()]
    assert len(sides) == 24
    assert 0.01 * 640 <= min(sides) < max(sides) <= 2 * 640
    # It is searched again, and begins anew.
    assert np.isin(sides[0], sides[1:])
