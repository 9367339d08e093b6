"""Labels of photos in any format, as prediction and the folder of one's own photos read them."""

import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import ExifTags, Image

from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.labels.requests import requests
from peclr_jax.photos.boxes import Hand, Request
from peclr_jax.photos.film import writing_film

SOMEWHERE = Request((Hand("auto"),))


@pytest.fixture
def paths(tmp_path):
    """Three photos of 80x60 px, the second one lying on its side."""
    folder = tmp_path / "photos"
    folder.mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for name, turned in (("a.jpg", None), ("b.jpg", exif), ("c.jpg", None)):
        Image.new("RGB", (80, 60)).save(folder / name, exif=turned or Image.Exif())
    return [folder / name for name in ("a.jpg", "b.jpg", "c.jpg")]


def ask(paths, content, name="boxes.json"):
    file = paths[0].parent.parent / name
    file.write_text(json.dumps(content))
    return requests(paths, str(file), "auto")


def test_without_labels_every_photo_has_one_hand_somewhere(paths):
    assert requests(paths, "", "left") == ([Request((Hand("left"),))] * 3, [])


def test_our_own_file(paths):
    content = {"photos\\a.jpg": [{"box": [1, 2, 30, 40], "handedness": "left"}], "B.JPG": []}
    found, notes = ask(paths, content | {"x.jpg": [], "y.jpg": []})
    expected = Request((Hand("left", (1, 2, 30, 40), handedness_from="boxes"),))
    assert found == [expected, Request(()), SOMEWHERE]
    unknown, missing = notes
    assert unknown.endswith(": 2 names ('x.jpg', 'y.jpg') that no photo here has")
    assert missing.endswith("does not name 1 of 3 photos, which may show a hand anywhere")


def test_a_file_beside_the_photos_names_them_from_there(paths):
    content = {"a.jpg": [], "./b.jpg": []}
    (paths[0].parent / "boxes.json").write_text(json.dumps(content))
    found, _ = requests(paths, paths[0].parent / "boxes.json", "auto")
    assert found == [Request(()), Request(()), SOMEWHERE]


def coco(boxes, **image):
    return {
        "images": [
            {"id": 1, "file_name": "images/a.jpg"} | image,
            {"id": 2, "file_name": "images/c.jpg"},
        ],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": n % 3, "bbox": box}
            for n, box in enumerate(boxes)
        ],
        "categories": [
            {"id": n, "name": name} for n, name in enumerate(["hand", "left_hand", "cup"])
        ],
    }


def test_a_file_of_coco(paths):
    found, notes = ask(
        paths, coco([[10, 20, 30, 25], [1, 2, 9, 9], [5, 5, 9, 9]], width=80, height=60)
    )
    assert found[0].hands == (
        Hand("auto", (9.5, 19.5, 39.5, 44.5)),
        Hand("left", (0.5, 1.5, 9.5, 10.5), handedness_from="boxes"),
    )
    assert found[1:] == [SOMEWHERE, Request(())]
    assert "1 boxes of categories that are no hands by their names" in " ".join(notes)
    assert "images/a.jpg" in " ".join(notes)  # of another folder


def test_labels_of_a_film_are_of_its_first_frame(tmp_path):
    path = tmp_path / "a.mp4"
    with writing_film(path, (80, 64), Fraction(10)) as add:
        add(np.zeros((64, 80, 3), np.uint8), 0.0)
    boxes = coco([[10, 20, 30, 25]], file_name="a.mp4", width=160, height=128)
    with pytest.raises(UserError, match="of 160x128 px, but that photo has 80x64"):
        ask([path], boxes)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.25 0.5")
    found, _ = requests([path], str(tmp_path / "labels"), "auto")
    assert found[0].hands[0].box == (29.5, 15.5, 49.5, 47.5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            coco([[10, 20, 30, 25]], width=160, height=120),
            "of 160x120 px, but that photo has 80x60",
        ),
        (coco([[0.1, 0.2, 0.3, 0.25]]), "no hand that could be used .1 hands without extent"),
        ([{"image_id": 1, "bbox": [1, 2, 30, 40], "score": 1}], "must be an object"),
        ({"x.jpg": [], "z.jpg": []}, "names none of the photos, its first is 'x.jpg': .*'a.jpg'"),
        ({"a.jpg": [{"box": [0.1, 0.2, 0.5, 0.6]}]}, "fractions of the image"),
        ({"a.jpg": [], "./a.jpg": []}, "both 'a.jpg' and './a.jpg' may be"),
    ],
)
def test_mistakes_are_named(paths, content, said):
    with pytest.raises(UserError, match=said):
        ask(paths, content)


@pytest.fixture
def labels(tmp_path):
    """Writes a folder of YOLO's text files."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / "labels" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "labels")

    return write


def test_a_folder_of_yolo(paths, labels):
    folder = labels(
        {"a.txt": "0 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.5 0.5 0.75\n", "b.txt": "0 .5 .5 1 .5"}
    )
    found, notes = requests(paths, folder, "auto")
    assert [hand.box for hand in found[0].hands] == [
        (29.5, 14.5, 49.5, 44.5),
        (19.5, 14.5, 59.5, 44.5),
    ]
    assert {hand.handedness for hand in found[0].hands} == {"auto"}
    np.testing.assert_allclose(found[1].hands[0].box, (-0.5, 19.5, 59.5, 59.5))
    assert found[2] == Request(())
    assert "2 classes, all of which were taken for hands" in " ".join(notes)
    assert "no hand for 1 of 3 photos" in " ".join(notes)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.txt": "0 40 30 20 9"}, "give fractions of width and height"),
        ({"x.txt": "0 0.5 0.5 0.25 0.5"}, "no text file in .* has the name of a photo"),
        ({"a.txt": "0 0.5 0.5 0 0"}, "no hand that could be used .1 hands without extent"),
        ({"a.txt": "0 0.5 0.5 nan 0.1"}, "line 1 must hold finite numbers"),
    ],
)
def test_mistakes_in_folders_are_named(paths, labels, files, said):
    with pytest.raises(UserError, match=said):
        requests(paths, labels(files), "auto")


def test_what_is_not_there_is_said(paths, tmp_path):
    with pytest.raises(MissingFileError, match=r"config\.boxes=.*nowhere.* is not there"):
        requests(paths, tmp_path / "nowhere", "auto")
