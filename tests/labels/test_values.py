"""Values of label files; the converters' tests have more of them."""

from pathlib import Path

import pytest

from peclr_jax.errors import UserError
from peclr_jax.labels import values
from peclr_jax.photos import boxes


def test_numbers_are_of_a_shape():
    assert values.as_numbers([[1, 2.5]], (1, 2), "the box").tolist() == [[1, 2.5]]
    long = ["x" * 100_000, *"y" * 30_000]  # of which NumPy would make 12 GB
    others = [[1, 2, 3]], [[1, True]], [[1, 10**400]], [[1, "2"]], [[1, None]], [1, [2]]
    for wrong in (long, *others):
        with pytest.raises(UserError, match="the box must be 1 x 2 finite numbers") as raised:
            values.as_numbers(wrong, (1, 2), "the box")
        assert len(str(raised.value)) < 300
    with pytest.raises(UserError, match=r"must be 2 x 2 finite numbers, got 3 x 2: \[\[1, 2\], "):
        values.as_numbers([[1, 2]] * 3, (2, 2), "the box")
    with pytest.raises(UserError, match=r"must be 1 x 2 finite numbers, got \[\[1, None\]\]$"):
        values.as_numbers([[1, None]], (1, 2), "the box")


def test_scores_may_be_rounded_up():
    assert values.as_score(1.0000001, "it") == 1
    assert values.as_score(0.25, "it") == 0.25
    with pytest.raises(UserError, match=r"^it must be in \(0, 1\], got 1\.001$"):
        values.as_score(1.001, "it")


def test_sizes_must_be_those_of_the_photos():
    path, a, b = Path("labels.json"), Path("a.jpg"), Path("b.jpg")
    values.check_sizes(path, {a: (3, 4), b: (5, 6)}, {a: (3, 4), b: None})
    with pytest.raises(UserError, match=r"a 'b\.jpg' of 5x6 px, but that photo has 6x5 px"):
        values.check_sizes(path, {a: (3, 4), b: (5, 6)}, {a: (3, 4), b: (6, 5)})


def test_what_is_counted_is_told():
    assert values.counted({"apples": 2, "pears": 0}) == ["2 apples"]


@pytest.mark.parametrize(
    ("labels", "taken"),
    [
        ({"box": (1, 1, 3, 2.5)}, True),
        ({"box": (1, 1, 2.5, 2.4)}, False),
        ({"box": (1, 1, 9, 1.5)}, False),
        ({"box": (0, 0, 9, 9), "keypoints": [(1, 1), (2, 2), (2.5, 1)] + [None] * 18}, False),
        ({"box": (0, 0, 9, 9), "keypoints": [(1, 1), (2, 2)] + [None] * 19}, True),
        ({"keypoints": [(1, 1), (9, 1.5)] + [None] * 19}, False),
        ({}, False),
    ],
)
def test_hands_that_boxes_would_refuse_are_left_out(labels, taken):
    """One of them in a file of thousands must not end the conversion when it is read back."""
    hand = values.make_hand(**labels)
    assert (hand is not None) == taken
    if taken:
        points = hand.keypoints and [point and list(point) for point in hand.keypoints]
        boxes.as_request([{"box": list(hand.box), "keypoints": points}], "it", "right")
