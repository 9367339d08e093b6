"""What a folder of photographs is said to hold."""

import json

import pytest
from PIL import Image

from peclr_jax.errors import UserError
from peclr_jax.experiments import photo_parts


@pytest.fixture
def folder(tmp_path):
    for name in (
        "train/rooms/a.jpg",
        "train/rooms/b.jpg",
        "train/walls/c.jpg",
        "labelled/training/rgb/0.jpg",
        "labelled/training/mask/0.jpg",
        "labelled/evaluation/rgb/0.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    hands = {"rooms/a.jpg": [{"box": [0, 0, 7, 7]}], "rooms/b.jpg": [], "walls/c.jpg": []}
    (tmp_path / "train/boxes.json").write_text(json.dumps(hands))
    return tmp_path


def test_photographs_hands_sets_and_persons_of_each_part(folder):
    (folder / "persons.json").write_text('{"rooms": "two or three", "labelled": "one"}')
    assert photo_parts.describe(folder) == {
        "labelled": {
            "photographs": 2,
            "hands": None,
            "sets": {"labelled": {"photographs": 2, "persons": "one"}},
        },
        "train": {
            "photographs": 3,
            "hands": 1,
            "sets": {
                "rooms": {"photographs": 2, "persons": "two or three"},
                "walls": {"photographs": 1, "persons": "unknown"},
            },
        },
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"roms": "two"}', r"names roms, but the sets are labelled, rooms, walls"),
        ('{"rooms": 2}', r'must be an object \{"SET": "two or three"\}'),
        ("[]", "must be an object"),
    ],
)
def test_persons_of_no_set_are_refused(content, message, folder):
    (folder / "persons.json").write_text(content)
    with pytest.raises(UserError, match=message):
        photo_parts.describe(folder)
