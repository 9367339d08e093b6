"""What tells COCO's files from ours; tests/data/test_from_coco.py has their content."""

import json

import pytest

from peclr_jax.errors import UserError
from peclr_jax.hands import skeleton
from peclr_jax.labels import coco

IMAGE = {"id": 1, "file_name": "a.jpg"}
BOX = {"id": 1, "image_id": 1, "bbox": [1, 2, 30, 40]}


@pytest.fixture
def written(tmp_path):
    def write(content):
        (tmp_path / "labels.json").write_text(json.dumps(content))
        return tmp_path / "labels.json"

    return write


@pytest.mark.parametrize(
    ("content", "is_coco"),
    [
        ({"images": [], "annotations": []}, True),
        ({"images": [IMAGE], "annotations": [BOX], "categories": []}, True),
        ({"images": []}, False),
        ({"images": [{"box": [1, 2, 30, 40]}]}, False),  # a photo named "images"
        ({"images": [{"box": [1, 2]}], "annotations": [BOX]}, False),
        ([], False),
    ],
)
def test_files_are_told_apart(written, content, is_coco):
    assert coco.is_coco(written(content)) == is_coco


def test_without_categories_every_box_is_of_a_hand(written):
    labels, _ = coco.from_file(
        written({"images": [IMAGE], "annotations": [BOX]}), handedness="left"
    )
    (hand,) = labels.hands["a.jpg"]
    assert (hand.box, hand.handedness) == ((0.5, 1.5, 30.5, 41.5), "left")


def named(names):
    joints = [value for joint in range(21) for value in (10 * joint, 5 * joint + 1, 2)]
    return {
        "images": [IMAGE],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "keypoints": joints}],
        "categories": [{"id": 3, "name": "hand", "keypoints": names}],
    }


def test_joints_are_taken_in_the_order_of_their_names(written):
    backwards = written(named(list(skeleton.JOINT_NAMES[::-1])))
    labels, _ = coco.from_file(backwards)
    (hand,) = labels.hands["a.jpg"]
    assert hand.keypoints[0] == (199.5, 100.5)
    assert labels.notes == (
        f"{backwards}, category 'hand': joints are taken in the order of their names",
    )
    with pytest.raises(UserError, match="in another order than mano: leave --order out"):
        coco.from_file(backwards, order="mano")


@pytest.mark.parametrize("names", [list(skeleton.JOINT_NAMES), list("abcdefghijklmnopqrstu"), 7])
def test_joints_whose_names_tell_nothing_else_keep_their_order(written, names):
    labels, _ = coco.from_file(written(named(names)))
    (hand,) = labels.hands["a.jpg"]
    assert hand.keypoints[1] == (9.5, 5.5)
    assert not labels.notes


@pytest.mark.parametrize("categories", [True, False])
def test_a_hand_without_a_category_takes_the_order_of_none(written, categories):
    content = named(list(skeleton.JOINT_NAMES[::-1]))
    content["categories"][0]["id"] = 0
    content["annotations"][0]["category_id"] = None
    if not categories:
        del content["categories"]
        content["annotations"][0]["category_id"] = [0]
    labels, _ = coco.from_file(written(content))
    (hand,) = labels.hands["a.jpg"]
    assert hand.keypoints[1] == (9.5, 5.5)
