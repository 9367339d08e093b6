"""COCO's keypoints: hands of their own, and those of whole bodies."""

import json

import numpy as np
import pytest
from PIL import Image

from data import from_coco
from peclr_jax.hands import skeleton
from peclr_jax.photos import boxes

POINTS = np.array([[10.5 + joint, 40.5 - joint, 2] for joint in range(21)])


def annotation(points=POINTS, **fields):
    keypoints = np.ravel(points).tolist()
    return {"id": 7, "image_id": 1, "category_id": 1, "keypoints": keypoints} | fields


def content(*annotations, **fields):
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 80, "height": 60},
            {"id": 2, "file_name": "b.png"},
        ],
        "annotations": list(annotations),
        "categories": [
            {"id": 1, "name": "hand"},
            {"id": 2, "name": "Left hand"},
            {"id": 3, "name": "right_hand"},
        ],
    } | fields


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (80, 60)).save(folder / name)
    return folder


@pytest.fixture
def convert(folder, tmp_path, capsys):
    """Converts a file, and returns the hands of the first photo, or what is said."""

    def run(given, *flags):
        file = tmp_path / "annotations.json"
        file.write_text(given if isinstance(given, str) else json.dumps(given))
        code = from_coco.main([str(file), str(folder), *flags])
        told = capsys.readouterr()
        if code:
            return told.err
        found = boxes.read_boxes(folder / "boxes.json", "unknown")
        assert found["b.png"].hands == ()
        return found["a.png"].hands, told.out

    return run


def test_keypoints(convert):
    points = POINTS.copy()
    points[3] = 0
    points[4, 2] = 1  # hidden
    (complete, partial), _ = convert(
        content(annotation(bbox=[1, 2, 70, 50]), annotation(points, bbox=[1, 2, 70, 50])),
        "--source=human",
    )
    np.testing.assert_array_equal(complete.keypoints, POINTS[:, :2] - 0.5)
    assert complete.box == (10, 20, 30, 40)
    assert partial.keypoints[3] is None
    assert partial.keypoints[4] == (14, 36)
    assert partial.box == (0.5, 1.5, 70.5, 51.5)
    assert (complete.handedness, complete.source, complete.score) == ("unknown", "human", 1)


def test_sides(convert):
    hands = (annotation(category_id=category) for category in (1, 2, 3))
    found, said = convert(content(*hands), "--handedness=right")
    assert [hand.handedness for hand in found] == ["right", "left", "right"]
    assert "unknown" not in said


def test_scores_and_orders(convert):
    (hand,), _ = convert(content(annotation(score=0.25)), "--order=mano")
    assert hand.score == 0.25
    expected = POINTS[skeleton.FROM_MANO, :2] - 0.5
    np.testing.assert_array_equal(hand.keypoints, expected)


def test_whole_bodies(convert):
    body = annotation(
        np.ones(51),
        lefthand_kpts=POINTS.ravel().tolist(),
        righthand_kpts=np.add(POINTS, [5, 0, 0]).ravel().tolist(),
        lefthand_valid=True,
        righthand_valid=True,
        lefthand_box=[1, 2, 30, 40],
    )
    found, _ = convert(content(body))
    assert {hand.handedness for hand in found} == {"left", "right"}
    by_side = {hand.handedness: hand for hand in found}
    np.testing.assert_array_equal(by_side["left"].keypoints, POINTS[:, :2] - 0.5)
    assert by_side["right"].keypoints[0] == (15, 40)


def test_what_is_left_out_is_counted(convert):
    _, said = convert(
        content(
            annotation(),
            annotation(iscrowd=1),
            annotation(np.ones(51)),
            {"id": 3, "image_id": 2, "category_id": 1, "keypoints": []},
            annotation(0 * POINTS),
            annotation(lefthand_kpts=[0] * 63, lefthand_valid=False),
        )
    )
    assert said.splitlines()[0] == "2 photos with 1 hands (1 unknown)"
    (line,) = [line for line in said.splitlines() if line.startswith("left out: ")]
    assert set(line.removeprefix("left out: ").split(", ")) == {
        "1 annotations of crowds",
        "2 annotations without 21 joints of a hand",
        "1 hands without extent",
        "1 hands that are not valid",
    }


def test_boxes_without_joints(convert):
    """Of categories that are hands by their names."""
    names = ("hand", "Left hand", "right", "handbag", "person", "lefthand")
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    entries = [
        {"id": n, "image_id": 1, "category_id": n, "bbox": [1 + n, 2, 30, 40]}
        for n in range(len(names))
    ]
    found, said = convert(content(*entries, categories=categories))
    assert [hand.box[0] for hand in found] == [0.5, 1.5, 2.5, 5.5]
    assert [hand.handedness for hand in found] == ["unknown", "left", "right", "left"]
    assert "2 boxes of categories that are no hands by their names" in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "annotations.json is not JSON"),
        ([], 'must have a list of objects "images"'),
        (
            {"images": [{"id": 1, "file_name": "a.png"}]},
            'must have a list of objects "annotations"',
        ),
        (content(annotation(), images=[{"file_name": "a.png"}]), '"images" must have an "id"'),
        (content(annotation(), images=[{"id": 1}]), '"file_name" of image 1'),
        (content(annotation(image_id=9)), 'annotation 7: no image has its "image_id", 9'),
        (content(annotation(image_id=[1])), 'no image has its "image_id", [1]'),
        (content(annotation(score=2)), 'annotation 7: "score" must be in (0, 1], got 2'),
        (content(annotation(bbox=[1, 2, 3])), 'annotation 7: "bbox" must be 4 finite numbers'),
        (content(annotation(keypoints=["x"] * 63)), '"keypoints" must be 63 finite numbers'),
        (content(annotation(np.ones(51))), "no labelled hand"),
        (
            content(
                annotation(),
                images=[{"id": 1, "file_name": "a.png", "width": 160, "height": 120}],
            ),
            "'a.png' of 160x120 px, but that photo has 80x60 px as it is seen",
        ),
    ],
)
def test_mistakes_are_named_and_nothing_is_left(convert, folder, given, message):
    said = convert(given)
    assert said.splitlines()[-1].startswith("error: ")
    assert message in said
    assert not (folder / "boxes.json").exists()
