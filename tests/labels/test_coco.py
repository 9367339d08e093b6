"""What tells COCO's files from ours; tests/data/test_from_coco.py has their content."""

import json

import pytest

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
