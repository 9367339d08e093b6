"""YOLO-pose: one text file a photo, one line a hand, all of it in fractions of the photo."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from data import from_yolo
from peclr_jax.hands import skeleton
from peclr_jax.photos import boxes

BOX = [0.5, 0.5, 0.5, 0.25]
POINTS = np.stack([np.linspace(0.25, 0.75, 21), np.linspace(0.5, 0.25, 21)], -1)


def line(points=POINTS, *more, kind=0, box=BOX):
    return " ".join(map(str, [kind, *box, *np.ravel(points), *more]))


def with_visibility(visible):
    return np.column_stack([POINTS, np.broadcast_to(visible, 21)])


@pytest.fixture
def folder(tmp_path):
    """Three photos, the second one lying on its side."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    exif = Image.Exif()
    Image.new("RGB", (80, 60)).save(folder / "a.png")
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (80, 60)).save(folder / "below/b.jpg", exif=exif)
    Image.new("RGB", (80, 60)).save(folder / "background.png")
    return folder


@pytest.fixture
def convert(folder, tmp_path, capsys):
    """Converts text files, and returns the hands of each photo, or what is said."""

    def run(files, *flags):
        for name, lines in files.items():
            path = tmp_path / "labels" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines))
        code = from_yolo.main([str(tmp_path / "labels"), str(folder), *flags])
        told = capsys.readouterr()
        if code:
            return told.err
        found = boxes.read_boxes(folder / "boxes.json", "unknown")
        return {name: request.hands for name, request in found.items()}, told.out

    return run


def test_fractions_become_pixels(convert):
    found, said = convert({"a.txt": [line()], "below/b.txt": [line(), "", line()]})
    assert said.splitlines()[0] == "3 photos with 3 hands (3 unknown)"
    assert found["background.png"] == ()
    (hand,) = found["a.png"]
    np.testing.assert_allclose(hand.keypoints, POINTS * [80, 60] - 0.5, atol=0.006)
    assert hand.box == (19.5, 14.5, 59.5, 29.5)
    assert (hand.handedness, hand.score, hand.source) == ("unknown", 1, "")
    assert len(found["below/b.jpg"]) == 2
    np.testing.assert_allclose(
        found["below/b.jpg"][0].keypoints, POINTS * [60, 80] - 0.5, atol=0.006
    )


def test_joints_may_be_unknown(convert):
    visible = np.full(21, 2)
    visible[[3, 9]] = 0, 1
    no_place = POINTS.copy()
    no_place[3], no_place[4] = 0, -1
    found, _ = convert({"a.txt": [line(with_visibility(visible)), line(no_place)]})
    first, second = found["a.png"]
    assert [joint for joint, point in enumerate(first.keypoints) if point is None] == [3]
    assert [joint for joint, point in enumerate(second.keypoints) if point is None] == [3, 4]
    assert first.box == second.box == (19.5, 22.0, 59.5, 37.0)


def test_predictions_have_scores(convert):
    lines = [line(POINTS, 0.75), line(with_visibility(0.9), 0.5)]
    found, _ = convert({"a.txt": lines}, "--source=yolo")
    assert [hand.score for hand in found["a.png"]] == [0.75, 0.5]
    assert found["a.png"][0].source == "yolo"


def test_boxes_without_joints(convert):
    found, _ = convert({"a.txt": ["0 0.5 0.5 0.25 0.5", "1 0.5 0.5 0.5 0.5 0.75"]})
    assert [hand.box for hand in found["a.png"]] == [
        (29.5, 14.5, 49.5, 44.5),
        (19.5, 14.5, 59.5, 44.5),
    ]
    assert [(hand.keypoints, hand.score) for hand in found["a.png"]] == [(None, 1), (None, 0.75)]


def test_sides(convert):
    lines = [line(kind=0), line(kind=1)]
    found, said = convert({"a.txt": lines}, "--handedness=right,left")
    assert [hand.handedness for hand in found["a.png"]] == ["right", "left"]
    assert "unknown" not in said
    found, _ = convert({"a.txt": lines}, "--handedness=left", "--overwrite")
    assert [hand.handedness for hand in found["a.png"]] == ["left", "left"]


def test_orders(convert):
    found, _ = convert({"a.txt": [line()]}, "--order=mano")
    expected = POINTS[skeleton.FROM_MANO] * [80, 60] - 0.5
    np.testing.assert_allclose(found["a.png"][0].keypoints, expected, atol=0.006)


def test_what_is_left_out_is_counted(convert):
    nowhere = line(0 * POINTS, box=[0.5, 0.5, 0, 0])
    _, said = convert({"a.txt": [line(), nowhere], "c.txt": [line()]})
    assert "left out: 1 hands without extent, 1 text files without a readable photo" in said


@pytest.mark.parametrize(
    ("files", "flags", "message"),
    [
        (
            {"a.txt": ["0 0.5 0.5 0.2"]},
            (),
            "a.txt, line 1 has 4 numbers, not class, box and perhaps 21",
        ),
        ({"a.txt": [line(), line(POINTS[1:])]}, (), "a.txt, line 2 has 45 numbers"),
        ({"a.txt": [line(box=["x", 0, 1, 1])]}, (), "a.txt, line 1 must hold finite numbers"),
        ({"a.txt": [line(box=["nan", 0, 1, 1])]}, (), "a.txt, line 1 must hold finite numbers"),
        ({"a.txt": [line(box=[40, 30, 20, 9])]}, (), "give fractions of width and height"),
        ({"a.txt": [line(POINTS, 1.5)]}, (), "score of"),
        ({"a.txt": [line(kind=2)]}, ("--handedness=right,left",), "class 2, but --handedness"),
        ({"c.txt": [line()]}, (), "no text file in"),
        ({"a.txt": [""]}, (), "no labelled hand"),
        ({"a.csv": [line()]}, (), "holds no .txt file"),
        ({}, (), "labels is no folder: name that of the text files"),
    ],
)
def test_mistakes_are_named_and_nothing_is_left(convert, folder, files, flags, message):
    said = convert(files, *flags)
    assert said.splitlines()[-1].startswith("error: ")
    assert message in said
    assert not (folder / "boxes.json").exists()


def test_two_photos_of_one_text_file(convert, folder):
    Image.new("RGB", (80, 60)).save(folder / "a.jpg")
    assert "would have one text file: rename one" in convert({"a.txt": [line()]})


def test_sides_are_right_or_left(convert, capsys):
    with pytest.raises(SystemExit):
        convert({"a.txt": [line()]}, "--handedness=both")
    assert "must be right or left" in capsys.readouterr().err
