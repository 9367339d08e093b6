"""What tells COCO's files from ours; tests/data/test_from_coco.py has their content."""

from pathlib import Path

import pytest

from peclr_jax.labels import coco


@pytest.mark.parametrize(
    ("content", "is_coco"),
    [
        ({"images": [], "annotations": [], "categories": []}, True),
        ({"images": []}, False),
        ({"images": [{"box": [1, 2, 30, 40]}]}, False),  # a photo named "images"
        ([], False),
    ],
)
def test_files_are_told_apart(content, is_coco):
    assert coco.is_coco(content) == is_coco


def test_without_categories_every_box_is_of_a_hand():
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [1, 2, 30, 40]}],
    }
    labels, _ = coco.from_content(content, Path("labels.json"), handedness="left")
    (hand,) = labels.hands["a.jpg"]
    assert (hand.box, hand.handedness) == ((0.5, 1.5, 30.5, 41.5), "left")
