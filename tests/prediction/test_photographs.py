"""Photos whose hands are looked at together come out one by one, in their order."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from peclr_jax.photos.boxes import Hand, Request
from peclr_jax.photos.prepare import Options, Prepared, Skipped, prepare_all
from peclr_jax.prediction.photographs import predict_photos, rows_for
from tests.marked_photos import BONE, SIZE, TRUTH, mark_finder, marked


@pytest.mark.parametrize("counts", [[0, 0, 0], [1, 2, 3, 0, 5], [7, 1], [0, 1, 0, 0, 0, 0, 0, 1]])
def test_every_hand_returns_with_its_photo(counts, tmp_path):
    photo = tmp_path / "photo.png"
    marked().save(photo)
    network, hand = mark_finder(), Hand("right", (240.0, 220.0, 390.0, 320.0))
    requests = [Request((hand,) * count) for count in counts]
    options = Options(SIZE, network.looking, 64, 0.0, 40.0)
    missing = tmp_path / "missing.png"
    missing.write_text("no image")
    paths = [*[photo] * len(counts), missing]
    prepared = prepare_all(paths, [*requests, Request(())], options, 1)
    *found, skipped = predict_photos(network, prepared, BONE, passes=1, rows=3)
    assert isinstance(skipped, Skipped)
    assert [len(predictions) for _, predictions in found] == counts
    for prepared, predictions in found:
        assert isinstance(prepared, Prepared)
        for prediction in predictions:
            np.testing.assert_allclose(prediction.keypoints_2d, TRUTH, atol=1.5)
    assert all(len(views) == 3 for views in network.seen)


@pytest.mark.parametrize(
    ("sides", "box", "search", "unsure", "rows"),
    [
        ((), None, "auto", True, 1),
        (("right",), (0.0, 0.0, 9.0, 9.0), "auto", True, 1),
        (("auto",), (0.0, 0.0, 9.0, 9.0), "auto", True, 2),
        (("auto",), (0.0, 0.0, 9.0, 9.0), "auto", False, 1),
        (("auto", "left"), None, "center", True, 4),
        (("right",), None, "windows", True, 16),
        (("auto",), None, "windows", True, 20),
    ],
)
def test_as_many_views_at_once_as_there_are(sides, box, search, unsure, rows):
    hands = [Hand(side, box) for side in sides]
    assert rows_for(mark_finder(unsure=unsure), hands, search, 20) == rows


def found_in(tmp_path, photo, *, network=None, search="windows", wanted=None, **change):
    """Searches one photo; returns its predictions."""
    photo.save(tmp_path / "photo.png")
    network = network or mark_finder(unsure=True)
    options = Options(SIZE, network.looking, 64, 0.0, 40.0, search)
    request = wanted or Request((Hand("auto"),))
    prepared = prepare_all([tmp_path / "photo.png"], [request], options, 1)
    ((_, predictions),) = predict_photos(
        network, prepared, BONE, passes=2, rows=5, **{"hands": 1, **change}
    )
    assert all(len(views) == 5 for views in network.seen)
    return predictions


@pytest.mark.parametrize("box", [None, (240.0, 220.0, 390.0, 320.0)])
@pytest.mark.parametrize("side", ["right", "left"])
def test_the_network_tells_the_side(tmp_path, side, box):
    photo, truth = marked(), TRUTH
    if side == "left":
        photo, truth = ImageOps.mirror(photo), TRUTH * [-1, 1] + [639, 0]
        box = box and (639 - box[2], box[1], 639 - box[0], box[3])
    wanted = Request((Hand("auto", box),))
    (found,) = found_in(tmp_path, photo, wanted=wanted, search="center")
    assert (found.hand.handedness, found.hand.handedness_from) == (side, "network")
    np.testing.assert_allclose(found.keypoints_2d, truth, atol=1.5)


def test_a_network_that_tells_no_error_takes_hands_for_right_ones(tmp_path):
    network = mark_finder()
    (found,) = found_in(tmp_path, marked(), network=network, hands=2)
    assert (found.hand.handedness, found.hand.handedness_from) == ("right", "guess")
    assert len(network.seen) == 2


def beside(gap=800):
    """A wide photo with a right hand at its left and a left hand at its right."""
    photo = Image.new("RGB", (380 + gap, 400), (60, 60, 60))
    hand = marked().crop((200, 180, 430, 360))
    photo.paste(hand, (10, 100))
    photo.paste(ImageOps.mirror(hand), (140 + gap, 100))
    return photo, TRUTH - [190, 80], (TRUTH - [200, 180]) * [-1, 1] + [229 + 140 + gap, 100]


def test_two_hands_far_from_the_middle_are_found(tmp_path):
    photo, right, left = beside()
    found = found_in(tmp_path, photo, hands=2)
    by_side = {prediction.hand.handedness: prediction.keypoints_2d for prediction in found}
    np.testing.assert_allclose(by_side["right"], right, atol=1.5)
    np.testing.assert_allclose(by_side["left"], left, atol=1.5)


def test_no_hand_is_found_twice(tmp_path):
    assert len(found_in(tmp_path, marked(), hands=5, worst=0.2)) == 1


def test_a_side_that_is_given_is_kept(tmp_path):
    photo, _, left = beside()
    (found,) = found_in(tmp_path, photo, wanted=Request((Hand("left"),)))
    assert (found.hand.handedness, found.hand.handedness_from) == ("left", "config")
    np.testing.assert_allclose(found.keypoints_2d, left, atol=1.5)


def boxed(keypoints, side="auto"):
    """A hand with the box of its keypoints."""
    box = *(keypoints.min(0) - 9).tolist(), *(keypoints.max(0) + 9).tolist()
    return Hand(side, box, handedness_from="config" if side == "auto" else "boxes")


LEFT, RIGHT = (Hand(side, handedness_from="boxes") for side in ("left", "right"))


@pytest.mark.parametrize(
    "listed",
    [
        lambda right, left: (Hand("auto"), Hand("auto")),
        lambda right, left: (RIGHT, LEFT),
        lambda right, left: (RIGHT, Hand("auto")),
        lambda right, left: (Hand("auto"), LEFT),
        lambda right, left: (boxed(right), Hand("auto")),
        lambda right, left: (boxed(right), LEFT),
        lambda right, left: (Hand("auto"), boxed(left)),
        lambda right, left: (RIGHT, boxed(left, "left")),
    ],
)
@pytest.mark.parametrize("most", [1, 2])
def test_hands_listed_without_boxes_are_different_ones(tmp_path, listed, most):
    photo, *truth = beside()
    hands = listed(*truth)
    network = mark_finder(unsure=True)
    found = found_in(tmp_path, photo, network=network, wanted=Request(hands), hands=most, worst=0.2)
    assert len(found) == 2
    assert [one.hand.box for one in found if one.hand.box] == [h.box for h in hands if h.box]
    assert {one.hand.handedness for one in found} == {"left", "right"}
    for one in found:
        np.testing.assert_allclose(one.keypoints_2d, truth[one.hand.handedness == "left"], atol=1.5)
    # Those of two autos may be in either order.
    for hand, one in zip(hands, found, strict=True):
        if hand.handedness != "auto":
            assert (one.hand.handedness, one.hand.handedness_from) == (hand.handedness, "boxes")
        else:
            assert one.hand.handedness_from == "network"


def test_the_same_places_are_looked_at_once(tmp_path):
    seen = []
    for count in (2, 3):
        network = mark_finder(unsure=True)
        wanted = Request((Hand("auto"),) * count)
        found_in(tmp_path, beside()[0], network=network, wanted=wanted, hands=3, worst=0.2)
        seen.append(len(network.seen))
    assert seen[0] == seen[1]


def test_what_is_listed_but_not_there_is_not_found(tmp_path):
    wanted = Request((boxed(TRUTH), *[Hand("auto")] * 3))
    (found,) = found_in(tmp_path, marked(), wanted=wanted, worst=0.2)
    assert found.hand.box is not None
    (found,) = found_in(tmp_path, marked(), wanted=Request((Hand("auto"),) * 3), worst=0.2)
    np.testing.assert_allclose(found.keypoints_2d, TRUTH, atol=1.5)


def test_a_network_that_tells_no_error_finds_the_first_that_is_listed(tmp_path):
    (found,) = found_in(tmp_path, marked(), network=mark_finder(), wanted=Request((LEFT, RIGHT)))
    assert (found.hand.handedness, found.hand.handedness_from) == ("left", "boxes")
    wanted = Request((boxed(TRUTH), Hand("auto")))
    (found,) = found_in(tmp_path, marked(), network=mark_finder(), wanted=wanted)
    assert found.hand.box is not None
