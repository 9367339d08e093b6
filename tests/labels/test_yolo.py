"""Which text file is which photo's; tests/data/test_from_yolo.py has the lines in them."""

import pytest

from peclr_jax.errors import UserError
from peclr_jax.labels import yolo

LINE = "0 0.5 0.5 0.5 0.5\n"


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / "labels"
    for name in ("train/a.txt", "train/b.b.txt", "classes.txt", "train/other.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("hand\n" if name == "classes.txt" else f"\ufeff{LINE}")
    return folder


def test_folders_of_one_shape_beside_each_other(labels, tmp_path):
    paths = [tmp_path / "images" / name for name in ("train/a.jpg", "train/b.b.png", "train/c.jpg")]
    hands, left_out, notes = yolo.from_folder(labels, dict.fromkeys(paths, (40, 20)))
    assert [[hand.box for hand in hands[path]] for path in paths] == [
        [(9.5, 4.5, 29.5, 14.5)],
        [(9.5, 4.5, 29.5, 14.5)],
        [],
    ]
    assert +left_out == {"text files without a readable photo": 1}
    assert notes == []


def test_two_photos_of_one_text_file(labels, tmp_path):
    paths = [tmp_path / "a.jpg", tmp_path / "a.png"]
    with pytest.raises(UserError, match="would have one text file: rename one"):
        yolo.from_folder(labels, dict.fromkeys(paths, (40, 20)))


def test_photos_may_have_the_names_of_lists(labels, tmp_path):
    (labels / "test.txt").write_text(LINE)
    (labels / "val.txt").write_text("images/a.jpg\n")
    (labels / "c.TXT").write_text(LINE)
    paths = [tmp_path / "images" / name for name in ("test.jpg", "c.jpg", "train/a.jpg")]
    hands, _, _ = yolo.from_folder(labels, dict.fromkeys(paths, (40, 20)))
    assert [len(hands[path]) for path in paths] == [1, 1, 1]


def test_two_text_files_of_one_photo(labels, tmp_path):
    (labels / "train/a.TXT").write_text(LINE)
    with pytest.raises(UserError, match="would be of one photo: delete one"):
        yolo.from_folder(labels, {tmp_path / "images/train/a.jpg": (40, 20)})
