import json
from pathlib import Path

import pytest

from peclr_jax.photos.boxes import Hand, Request, requests

PATHS = [Path("photos/a.jpg"), Path("photos/b.jpg"), Path("photos/c.jpg"), Path("photos/d.jpg")]


def ask(tmp_path, content, handedness="right"):
    file = tmp_path / "boxes.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return requests(PATHS, str(file), handedness)


def test_without_a_file_every_image_has_one_hand_somewhere():
    assert requests(PATHS, "", "left") == [Request((Hand("left"),))] * 4


def test_boxes_by_name_and_by_path(tmp_path):
    boxes = {
        "a.jpg": [{"box": [1, 2, 3, 4]}, {"handedness": "left"}],
        "photos/b.jpg": {"focal_px": 500, "hands": [{"box": [1, 2, 3, 4.5]}]},
        "c.jpg": [],
        "of another folder.jpg": [],
    }
    assert ask(tmp_path, boxes) == [
        Request((Hand("right", (1, 2, 3, 4)), Hand("left", handedness_from="boxes"))),
        Request((Hand("right", (1, 2, 3, 4.5)),), 500),
        Request(()),
        Request((Hand("right"),)),
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ([], "must be an object"),
        ({"a.jpg": 3}, "'a.jpg' must be a list"),
        ({"a.jpg": [[1, 2, 3, 4]]}, "'a.jpg', hand 1 must be an object"),
        ({"a.jpg": [{"box": [1, 2, 3]}]}, "four numbers"),
        ({"a.jpg": [{"box": [1, 2, True, 4]}]}, "four numbers"),
        ({"a.jpg": [{}, {"box": [9, 2, 3, 4]}]}, "hand 2: .*width, height"),
        ({"a.jpg": [{"handedness": "both"}]}, '"right" or "left"'),
        ({"a.jpg": [{"bbox": [1, 2, 3, 4]}]}, "'bbox'; known are box, handedness"),
        ({"a.jpg": [{"keypoints": [[1, 2]] * 20}]}, '"keypoints" must be a list of 21, got 20'),
        ({"a.jpg": [{"keypoints": "all"}]}, "list of 21, got 'all'"),
        ({"a.jpg": [{"keypoints": [[1, 2]] * 20 + [[1]]}]}, "joint 20 of .*two numbers"),
        ({"a.jpg": [{"keypoints": [[1, 2]] * 20 + [[1, None]]}]}, "joint 20 of .*two numbers"),
        ({"a.jpg": [{"keypoints": [[1, 2]] * 20 + [None]}]}, 'needs a "box"'),
        ({"a.jpg": [{"keypoints": [None] * 21}]}, 'needs a "box"'),
        ({"a.jpg": {"focal_px": -1, "hands": []}}, "positive"),
        ({"z.jpg": []}, "none of the images"),
    ],
)
def test_mistakes_are_named(tmp_path, content, said):
    with pytest.raises(ValueError, match=said):
        ask(tmp_path, content)


def test_a_missing_file_is_said():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        requests(PATHS, "nowhere.json", "right")
