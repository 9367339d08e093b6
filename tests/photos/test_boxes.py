import json
import re
from pathlib import Path

import pytest

from peclr_jax.photos.boxes import Hand, Request, extent_problem, is_inside, read_boxes


def ask(tmp_path, content, handedness="right"):
    file = tmp_path / "boxes.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return [*read_boxes(file, handedness).values()]


def test_boxes(tmp_path):
    boxes = {
        "a.jpg": [{"box": [1, 2, 3, 4]}, {"handedness": "left"}],
        "photos/b.jpg": {"focal_px": 500, "hands": [{"box": [1, 2, 3, 4.5]}]},
        "c.jpg": [],
    }
    assert ask(tmp_path, boxes) == [
        Request((Hand("right", (1, 2, 3, 4)), Hand("left", handedness_from="boxes"))),
        Request((Hand("right", (1, 2, 3, 4.5)),), 500),
        Request(()),
    ]


def test_keypoints_stand_in_for_a_box(tmp_path):
    points = [[1, 5], None, [4, 2.5], *[None] * 18]
    expected = ((1, 5), None, (4, 2.5), *[None] * 18)
    boxes = {
        "a.jpg": [{"keypoints": points}],
        "b.jpg": [{"keypoints": points, "box": [0, 1, 8, 9], "handedness": "left"}],
    }
    assert ask(tmp_path, boxes)[:2] == [
        Request((Hand("right", (1, 2.5, 4, 5), expected),)),
        Request((Hand("left", (0, 1, 8, 9), expected, handedness_from="boxes"),)),
    ]


def test_a_box_may_come_with_unknown_keypoints(tmp_path):
    hand = {"box": [0, 1, 80, 90], "keypoints": [None] * 21}
    (request,) = ask(tmp_path, {"a.jpg": [hand]})
    assert request.hands[0].box == (0, 1, 80, 90)


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "boxes.json").write_bytes(b'\xef\xbb\xbf{"a.jpg": []}')
    assert read_boxes(tmp_path / "boxes.json", "right") == {"a.jpg": Request(())}


def test_boxes_may_be_of_the_palm_or_reach_over_the_border(tmp_path):
    """What is odd but no other unit, and no other way to tell a box, is taken."""
    palm = {"keypoints": POINTS, "box": [200, 195, 215, 210]}
    over = {"keypoints": POINTS, "box": [-50, -20, 400, 5000]}
    far = {"box": [0, 0, 2, 1]}
    found = ask(tmp_path, {"a.jpg": [palm, over, far]})[0].hands
    assert [hand.box for hand in found] == [
        (200, 195, 215, 210),
        (-50, -20, 400, 5000),
        (0, 0, 2, 1),
    ]


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        (None, True),
        ((-5.0, -5.0, 0.0, 0.0), True),
        ((-5.0, 1.0, -0.1, 9.0), False),
        ((1.0, -9.0, 5.0, -0.1), False),
        ((99.0, 1.0, 200.0, 9.0), True),
        ((99.5, 1.0, 200.0, 9.0), False),
        ((1.0, 50.0, 9.0, 60.0), False),
    ],
)
def test_inside(box, inside):
    assert is_inside(box, (100, 50)) == inside


FRACTIONS = [[0.1 + joint / 25, 0.9 - joint / 50] for joint in range(21)]
POINTS = [[110 + 4 * joint, 100 + 5 * joint] for joint in range(21)]
IN_SPACE = [[0.01 * joint, 0.0, -0.02] for joint in range(21)]


def test_labels(tmp_path):
    incomplete = [None, *IN_SPACE[1:]]
    entry = {"box": [0, 1, 8, 9], "keypoints_3d": incomplete, "score": 1, "source": "human"}
    (found,) = ask(tmp_path, {"a.jpg": [entry]})[0].hands
    assert found.keypoints_3d == (None, *((x, y, z) for x, y, z in IN_SPACE[1:]))
    assert (found.score, found.source, found.keypoints) == (1.0, "human", None)


def test_metres_may_have_any_origin(tmp_path):
    far = [[x + 1, y - 2, z + 30] for x, y, z in IN_SPACE]
    (found,) = ask(tmp_path, {"a.jpg": [{"keypoints_3d": far}]})[0].hands
    assert found.keypoints_3d == tuple((x, y, z) for x, y, z in far)


def in_space(**changes):
    return {"a.jpg": [{"keypoints_3d": IN_SPACE} | changes]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ([], "must be an object.* COCO"),
        ({"a.jpg": 3}, "'a.jpg' must be a list"),
        ({"a.jpg": [[1, 2, 3, 4]]}, "'a.jpg', hand 1 must be an object"),
        ({"a.jpg": [{"box": [1, 2, 3]}]}, "four numbers"),
        ({"a.jpg": [{"box": [1, 2, True, 4]}]}, "four numbers"),
        ({"a.jpg": [{}, {"box": [9, 2, 3, 4]}]}, "hand 2: .*width, height"),
        ({"a.jpg": [{"box": [3, 2, 3, 4]}]}, "x0 < x1 and y0 < y1"),
        ({"a.jpg": [{"box": [1, 2, float("nan"), 4]}]}, "four numbers.*NaN"),
        ({"a.jpg": [{"box": [1, 2, float("inf"), 4]}]}, "four numbers.*Infinity"),
        (
            {"a.jpg": [{"box": [0.25, 0.3, 0.5, 0.75]}]},
            r"0\.25 x 0\.45 px.* fractions of the image",
        ),
        ({"a.jpg": [{"box": [-0.05, 0.3, 1.1, 1.2]}]}, "fractions of the image, give pixels"),
        ({"a.jpg": [{"box": [700, 300, 700.5, 301.5]}]}, "too small for a hand"),
        ({"a.jpg": [{"keypoints": FRACTIONS}]}, '"keypoints" are up to 0.8 px apart.*fractions'),
        ({"a.jpg": [{"keypoints": FRACTIONS, "box": [1, 2, 90, 80]}]}, '"keypoints" are up to 0.8'),
        (
            {"a.jpg": [{"keypoints": POINTS, "box": [100, 90, 120, 110]}]},
            r'18 of 21 keypoints lie outside of "box", .*none if it is \[x, y, width, height\]',
        ),
        (
            {"a.jpg": [{"keypoints": POINTS, "box": [800, 90, 900, 190]}]},
            r'most of the 21 keypoints lie far from "box", \[800',
        ),
        ({"a.jpg": [{"handedness": "both"}]}, '"right" or "left"'),
        ({"a.jpg": [{"bbox": [1, 2, 3, 4]}]}, "'bbox'; known are box, handedness"),
        ({"a.jpg": [{"keypoints": [[1, 2]] * 20}]}, '"keypoints" must be a list of 21, got 20'),
        ({"a.jpg": [{"keypoints": "all"}]}, "list of 21, got 'all'"),
        ({"a.jpg": [{"keypoints": [[1, 2]] * 20 + [[1]]}]}, "joint 20 of .*2 numbers"),
        ({"a.jpg": [{"keypoints": [[1, 2]] * 20 + [[1, None]]}]}, "joint 20 of .*2 numbers"),
        ({"a.jpg": [{"keypoints": [[1, 2]] * 20 + [None]}]}, 'needs a "box"'),
        ({"a.jpg": [{"keypoints": [None] * 21}]}, 'needs a "box"'),
        ({"a.jpg": {"focal_px": -1, "hands": []}}, "positive"),
        (in_space(keypoints_3d=IN_SPACE[1:]), '"keypoints_3d" must be a list of 21, got 20'),
        (in_space(keypoints_3d=[[1, 2]] * 21), r"joint 0 of .*3 numbers \[x, y, z\]"),
        (in_space(keypoints_3d=[[0, 0, float("nan")]] * 21), "joint 0 of .*3 numbers.*NaN"),
        (in_space(keypoints_3d=[[0, 0, float("inf")]] * 21), "joint 0 of .*3 numbers.*Infinity"),
        (
            in_space(keypoints_3d=[[1000 * v for v in point] for point in IN_SPACE]),
            r"hand 1: .*up to 200 apart, .*give metres",
        ),
        (in_space(score=0), r"\"score\" must be a number in \(0, 1\], got 0"),
        (in_space(score=1.5), r"in \(0, 1\], got 1.5"),
        (in_space(score=float("nan")), r"in \(0, 1\], got 'NaN'"),
        (in_space(score=True), r"in \(0, 1\], got True"),
        (in_space(source=3), '"source" must be a short text'),
        (in_space(source="x" * 101), '"source" must be a short text'),
        (in_space(weight=1), "'weight'; known are box, .*keypoints_3d, score, source"),
    ],
)
def test_mistakes_are_named(tmp_path, content, said):
    with pytest.raises(ValueError, match=said):
        ask(tmp_path, content)


SIZE = (224, 160)


@pytest.mark.parametrize(
    ("hand", "problem"),
    [
        (Hand("right"), None),
        (Hand("right", (-200.0, -100.0, 400.0, 300.0)), None),
        (Hand("right", (1.0, 1.0, 700.0, 100.0)), '"box" is 699 x 99 px, too large for a photo of'),
        (Hand("right", None, ((-224.0, 384.0), None, (448.0, -224.0))), None),
        (Hand("right", None, (None, (1.0, 400.0))), 'joint 1 of "keypoints", .* lies far outside'),
        (Hand("right", None, ((-300.0, 4.0),)), 'joint 0 of "keypoints", .*224x160 px'),
    ],
)
def test_what_reaches_too_far_for_a_photo_is_told(hand, problem):
    told = extent_problem(hand, SIZE)
    assert told is None if problem is None else re.match(problem, told)


def test_a_missing_file_is_said():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_boxes(Path("nowhere.json"), "right")
