"""What the converters share: photos found by name, values checked, and one file or none."""

import collections
import errno
import json
import os

import numpy as np
import pytest
from PIL import ExifTags, Image

from data.labels import command
from data.labels.folder import open_photos, place
from peclr_jax.errors import MachineError, UserError
from peclr_jax.hands import skeleton
from peclr_jax.labels import values
from peclr_jax.labels.values import Labels
from peclr_jax.photos import boxes
from peclr_jax.places import argument

POINTS = [(10.0 + joint, 40.0 - joint) for joint in range(21)]


@pytest.fixture
def photos(tmp_path):
    """Three photos, one of them lying on its side, and a broken one."""
    root = tmp_path / "photos"
    for name in ("a.png", "one/b.jpg", "two/b.jpg", "one/c.jpg"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if name == "one/c.jpg":
            exif[ExifTags.Base.Orientation] = 6
        Image.new("RGB", (64, 48)).save(path, exif=exif)
    (root / "two/broken.jpg").write_text("no image")
    return open_photos(root)


def of(hands):
    return Labels(hands, collections.Counter())


def test_photos_have_the_size_that_they_are_seen_at(photos):
    assert photos.sizes["one/b.jpg"] == (64, 48)
    assert photos.sizes["one/c.jpg"] == (48, 64)
    assert photos.unreadable == {"two/broken.jpg"}


def test_photos_by_name(photos):
    hand = values.make_hand(keypoints=POINTS)
    root = photos.root.resolve()
    for name, found in {
        "one/b.jpg": "one/b.jpg",
        "c.jpg": "one/c.jpg",
        "photos/one/b.jpg": "one/b.jpg",
        str(root / "a.png"): "a.png",
    }.items():
        assert place(of({name: [hand]}), photos).hands == {found: [hand]}
    with pytest.raises(UserError, match=r"'b\.jpg' may be any of 2 photos"):
        place(of({"b.jpg": [hand]}), photos)
    for name in ("three/d.jpg", ""):
        with pytest.raises(UserError, match="1 photos that are not in the folder"):
            place(of({name: [hand]}), photos)


def test_what_no_photo_shows_is_left_out_and_counted(photos):
    hand = values.make_hand("left", keypoints=POINTS)
    outside = values.make_hand("left", box=(70, 1, 90, 9))
    huge = values.make_hand("left", box=(1, 1, 9e8, 9))
    named = {"a.png": [hand, outside, huge], "c.jpg": [], "x.jpg": [hand], "broken.jpg": [hand]}
    labels = place(of(named), photos)
    assert labels.hands == {"a.png": [hand], "one/c.jpg": []}
    assert labels.left_out == {
        "hands outside of their photo": 1,
        "hands far larger than their photo": 1,
        "photos that are not in the folder": 1,
        "photos that cannot be read": 1,
    }


def test_labels_of_nothing_here_are_refused(photos):
    hand = values.make_hand(keypoints=POINTS)
    with pytest.raises(UserError, match=r"no labelled hand .*1 photos that are not.*'x\.jpg'"):
        place(of({"x.jpg": [hand]}), photos)
    with pytest.raises(UserError, match=r"no labelled hand .*no hand at all"):
        place(of({"a.png": []}), photos)
    with pytest.raises(UserError, match=r"both 'c\.jpg' and '\./c\.jpg' may be .*one/c\.jpg'"):
        place(of({"c.jpg": [hand], "./c.jpg": [hand]}), photos)


def test_the_box_is_that_of_the_joints_where_all_are_known():
    box = (0.0, 0.0, 60.0, 60.0)
    assert values.make_hand(box=box, keypoints=POINTS).box == (10, 20, 30, 40)
    assert values.make_hand(keypoints=[*POINTS[:-1], None]).box == (10, 21, 29, 40)
    hand = values.make_hand(box=box, keypoints=[*POINTS[:-1], None])
    assert (hand.box, hand.keypoints[-1]) == (box, None)
    hand = values.make_hand(box=box, keypoints=[None] * 21)
    assert (hand.box, hand.keypoints, hand.handedness) == (box, None, "unknown")


@pytest.mark.parametrize(
    "where",
    [{}, {"keypoints": [None] * 21}, {"keypoints": [(1, 2)] * 21}, {"box": (1, 1, 1.5, 9)}],
)
def test_a_hand_that_is_nowhere(where):
    assert values.make_hand(**where) is None


def test_orders_are_those_of_the_skeleton():
    np.testing.assert_array_equal(values.ORDERS["freihand"], range(21))
    np.testing.assert_array_equal(values.ORDERS["mano"], skeleton.FROM_MANO)


@pytest.mark.parametrize(
    "value", [None, "1", [1, 2], [[1, 2], [3]], [[1, 2], [3, "4"]], [[1, 2], [3, float("nan")]]]
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(UserError, match=r"^it must be 2 x 2 finite numbers, got "):
        values.as_numbers(value, (2, 2), "it")


@pytest.mark.parametrize("value", [0, -1, 1.01, float("nan"), None, True, "high"])
def test_what_is_no_score_is_refused(value):
    with pytest.raises(UserError, match=r"^it must be "):
        values.as_score(value, "it")


def test_what_is_written_is_read_back(tmp_path):
    world = [(0.01 * joint, -0.002, 0.5) for joint in range(21)]
    hands = {
        "a b.jpg": [
            values.make_hand("left", keypoints=POINTS, keypoints_3d=world, score=1e-9, source="x"),
            values.make_hand(box=(1.239, 2, 9, 10), keypoints=[*POINTS[:-1], None], score=0.98765),
        ],
        "none/ü.png": [],
    }
    file = tmp_path / "new/boxes.json"
    command.write(file, hands)
    found = boxes.read_boxes(file, "unknown")
    first, second = found["a b.jpg"].hands
    assert first == hands["a b.jpg"][0]._replace(score=1e-4, handedness_from="boxes")
    expected = hands["a b.jpg"][1]
    assert second == expected._replace(box=(1.24, 2, 9, 10), score=0.9877)
    assert found["none/ü.png"].hands == ()
    assert os.listdir(file.parent) == ["boxes.json"]


def test_labels_that_cannot_be_read_back_leave_the_file_alone(tmp_path):
    file = tmp_path / "boxes.json"
    file.write_text("before")
    millimetres = [(joint * 10.0, 0, 0) for joint in range(21)]
    hand = values.make_hand(keypoints=POINTS, keypoints_3d=millimetres)
    message = r"^the labels, 'a\.jpg', hand 1: .*up to 200 apart, .*give metres$"
    with pytest.raises(UserError, match=message):
        command.write(file, {"a.jpg": [hand]})
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["boxes.json"]


def test_a_place_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match=r"cannot be written .*choose another --out"):
        command.write(tmp_path / "file/boxes.json", {"a.jpg": [values.make_hand(box=(1, 1, 9, 9))]})


@pytest.mark.parametrize("out", ["file/boxes.json", "read-only/new/boxes.json", "x" * 300])
def test_a_place_that_cannot_be_written_to_is_said_first(
    photos, tmp_path, monkeypatch, capsys, out
):
    def refuse(path, *mode, **flags):
        if "read-only" in str(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return make(path, *mode, **flags)

    (tmp_path / "file").write_text("")
    (tmp_path / "read-only").mkdir()
    make = os.mkdir
    monkeypatch.setattr(os, "mkdir", refuse)
    flags = [f"--out={tmp_path / out}", str(photos.root)]
    parser = command.make_parser("")
    parser.add_argument("folder", type=argument)
    assert command.run(parser.parse_args(flags), lambda flags: pytest.fail("looked")) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / out} cannot be written (")
    assert said.endswith("): choose another --out\n")
    assert sorted(os.listdir(tmp_path)) == ["file", "photos", "read-only"]


def test_what_goes_wrong_while_it_is_written_is_of_the_file_itself(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system", ".x.partial")

    monkeypatch.setattr(os, "replace", refuse)
    message = rf"^{tmp_path}/boxes.json cannot be written \(Read-only file system\): choose another"
    with pytest.raises(MachineError, match=message):
        command.write(tmp_path / "boxes.json", {"a.jpg": [values.make_hand(box=(1, 1, 9, 9))]})


@pytest.fixture
def convert(photos, capsys):
    """Runs a converter of these labels and returns its exit code and what it says."""

    def run(*flags, hands=None, folder=photos.root):
        parser = command.make_parser("")
        parser.add_argument("folder", type=argument)
        named = {"a.png": [values.make_hand(keypoints=POINTS)]} if hands is None else hands
        code = command.run(
            parser.parse_args([*flags, str(folder)]), lambda flags: (of(named), photos)
        )
        told = capsys.readouterr()
        return code, told.err if code else told.out

    return run


def test_it_says_what_became_of_the_labels(convert, photos):
    hands = {
        "a.png": [values.make_hand("left", keypoints=POINTS), values.make_hand(keypoints=POINTS)],
        "one/b.jpg": [],
        "x.jpg": [],
    }
    code, said = convert(hands=hands)
    assert code == 0
    assert said.splitlines() == [
        "2 photos with 2 hands (1 left, 1 unknown)",
        "0 hands with joints in space",
        "1 photos without a labelled hand",
        "1 hands of unknown side, which training takes for right ones: --handedness tells it",
        "left out: 1 photos that are not in the folder",
        "1 photos cannot be read",
        "2 photos that the labels do not name: taken for one hand somewhere",
        f"Labels are in {photos.root / 'boxes.json'}",
    ]


def test_a_file_is_replaced_only_if_asked(convert, photos):
    file = photos.root / "boxes.json"
    file.write_text("{}")
    code, said = convert()
    assert (code, said) == (
        2,
        f"error: {file} exists: pass --overwrite to replace it, or another --out\n",
    )
    assert file.read_text() == "{}"
    assert convert(f"--out={photos.root.parent / 'other.json'}")[0] == 0
    assert convert("--overwrite")[0] == 0
    assert list(json.loads(file.read_text())) == ["a.png"]


def test_wrong_places(convert, photos):
    assert convert(folder=photos.root / "nowhere")[1].startswith("error: ")
    assert "is no folder: name the folder" in convert(folder=photos.root / "a.png")[1]
    assert "is a folder: name a file" in convert(f"--out={photos.root}")[1]
