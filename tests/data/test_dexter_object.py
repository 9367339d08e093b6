"""The Dexter+Object layout: calibration, tips that are not labelled, and what may be broken."""

import re
import shutil

import numpy as np
import pytest

from data import schema
from data.dexter_object import labels, layout
from peclr_jax.geometry import camera
from tests.data.breakages import HTML, cut, moved, removed, written
from tests.data.records import DATA, assert_projected, counts, read

NAME = "dexter_object"
DUMMY = DATA / NAME / "dummy_data"
TIPS = [4, 8, 12, 16, 20]


@pytest.fixture(scope="module")
def records(dummy):
    return read(dummy, "test")


def test_frames_come_in_the_order_of_the_sequences(dummy, records):
    assert counts(dummy) == {"test": 8}
    assert [record["sample_id"] for record in records] == list(range(8))
    assert all(record["image"].shape == (480, 640, 3) for record in records)
    assert {schema.HANDEDNESS[record["handedness"]] for record in records} == {"left"}
    assert not any(record["bone_length_valid"] for record in records)


def test_only_tips_are_labelled_and_not_all_of_them(records):
    valid = np.array([record["keypoints_3d_valid"] for record in records])
    assert not np.delete(valid, TIPS, axis=1).any()
    # The second frame of Grasp1 lacks two of them, the second of Rigid all.
    expected = np.ones((8, 5), bool)
    expected[1, [1, 3]] = False
    expected[5] = False
    np.testing.assert_array_equal(valid[:, TIPS], expected)
    for record in records:
        np.testing.assert_array_equal(record["keypoints_2d_valid"], record["keypoints_3d_valid"])
        assert not record["keypoints_3d"][~record["keypoints_3d_valid"]].any()


def test_labels_are_seen_by_the_colour_camera(records):
    matrix = [[587.45209, 0, 325], [0, 600.67456, 249], [0, 0, 1]]
    for record in records:
        np.testing.assert_allclose(record["intrinsics"], matrix, rtol=1e-6)
        valid = record["keypoints_3d_valid"]
        points = record["keypoints_3d"][valid].astype(np.float64)
        assert_projected(record["keypoints_2d"][valid], points, matrix)
        assert ((points[:, 2] > 0.1) & (points[:, 2] < 2)).all()


def test_a_known_point_lies_where_the_calibration_puts_it():
    points, valid = layout.to_color_camera(np.array([[[-30.0, -50.0, 400.0]] * 5]))
    assert valid.all()
    # By hand: R @ (30, 50, 400) + t, in metres.
    x, y, z = expected = [
        (0.9999 * 30 + 0.0034 * 50 + 0.0161 * 400 + 19.0473) / 1000,
        (-0.0033 * 30 + 50 - 0.0079 * 400 - 1.8514) / 1000,
        (-0.0162 * 30 + 0.0079 * 50 + 0.9998 * 400 - 4.7501) / 1000,
    ]
    np.testing.assert_allclose(points[0, 0], expected, rtol=1e-12)
    pixel = [587.45209 * x / z + 325, 600.67456 * y / z + 249]
    np.testing.assert_allclose(camera.project(points, layout.INTRINSICS)[0, 0], pixel, rtol=1e-12)


@pytest.mark.parametrize("depth", [32001.0, 0.0, -300.0])
def test_a_depth_that_is_none_makes_the_tip_not_valid(depth):
    tips = np.tile([10.0, 20.0, 400.0], (1, 5, 1))
    tips[0, 2, 2] = depth
    points, valid = layout.to_color_camera(tips)
    assert valid.tolist() == [[True, True, False, True, True]]
    assert np.isnan(points[0, 2]).all()


def test_boxes_are_a_hands_size_around_the_tips(records):
    for record in records:
        assert record["hand_box_valid"] == record["keypoints_3d_valid"].any()
        if not record["hand_box_valid"]:
            continue
        center = record["keypoints_3d"][record["keypoints_3d_valid"]].mean(0)
        x0, y0, x1, y1 = record["hand_box"]
        np.testing.assert_allclose((x1 - x0) / 2, 0.1 * 587.45209 / center[2], rtol=1e-4)
        np.testing.assert_allclose((y1 - y0) / 2, 0.1 * 600.67456 / center[2], rtol=1e-4)
        middle = camera.project(center[None], layout.INTRINSICS)[0]
        np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], middle, rtol=1e-4)


def test_corrected_labels_are_preferred(records, raw):
    """The official labels of Pinch are wrong by 4 cm in the drawings."""
    annotations = raw / "data/Pinch/annotations"
    corrected = layout.read_frames([raw / "data"])
    np.testing.assert_allclose(corrected.keypoints_3d[6], records[6]["keypoints_3d"], rtol=1e-5)
    (annotations / "my_Pinch3D.txt").unlink()
    official = layout.read_frames([raw / "data"])
    moved = official.keypoints_3d[6, TIPS] - corrected.keypoints_3d[6, TIPS]
    np.testing.assert_allclose(np.linalg.norm(moved, axis=-1), 0.04, rtol=1e-3)


def test_what_became_of_labels_is_noted(raw, prepared):
    path = raw / "data/Rotate/annotations/Rotate3D.txt"
    (line,) = path.read_text().splitlines()
    near = "".join(f"{n}, {n}, {20 + n};" for n in range(5))
    path.write_text("\n".join([line] * 4 + [near]))
    color = raw / "data/Rotate/color"
    for number in range(2, 6):
        shutil.copy(color / "Color_0001.bmp", color / f"Color_{number:04d}.bmp")
    metadata = prepared(raw).info.metadata
    (left_out,), (note,) = metadata["left_out"], metadata["notes"]
    assert left_out.startswith(
        f"the labels of 1 frame, such as {path}: line 5: the hand lies nearer"
    )
    corrected = raw / "data/Pinch/annotations/my_Pinch3D.txt"
    assert note == f"{corrected} has corrected labels, which are taken"


def test_a_byte_order_mark_is_no_number(raw):
    before = layout.read_frames([raw / "data"]).keypoints_3d
    for path in raw.rglob("*3D.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    np.testing.assert_array_equal(layout.read_frames([raw / "data"]).keypoints_3d, before)


def test_annotations_may_lie_beside_the_sequences(records, raw):
    (raw / "annotations").mkdir()
    for path in raw.glob("data/*/annotations/*.txt"):
        path.rename(raw / "annotations" / path.name)
    moved = layout.read_frames([raw / "data"])
    np.testing.assert_allclose(moved.keypoints_3d[6], records[6]["keypoints_3d"], rtol=1e-5)


def test_the_sequences_themselves_may_be_named(raw):
    assert layout.find_roots(raw) == [raw / "data"]
    assert layout.find_roots(raw / "data") == [raw / "data"]
    (raw.parent / "around").mkdir()
    raw.rename(raw.parent / "around/dexter+object")
    (found,) = layout.find_roots(raw.parent / "around")
    assert found == raw.parent / "around/dexter+object/data"


def test_sequences_may_lie_in_a_folder_each(raw, records):
    for folder in list((raw / "data").iterdir()):
        (raw / f"{folder.name} unpacked").mkdir()
        folder.rename(raw / f"{folder.name} unpacked" / folder.name)
    frames = layout.read_frames(layout.find_roots(raw))
    np.testing.assert_allclose(frames.keypoints_3d[6], records[6]["keypoints_3d"], rtol=1e-5)
    assert frames.absent == ()
    # As unzippers do, and one of them is named.
    (raw / "Pinch unpacked").rename(raw / "Pinch")
    (raw / "Grasp1 unpacked").rename(raw / "Grasp1")
    frames = layout.read_frames(layout.find_roots(raw / "Grasp1"))
    assert frames.absent == ("Grasp2", "Occlusion", "Rigid", "Rotate")


@pytest.mark.parametrize("wrong", [5, 15])
def test_a_few_wrong_labels_are_left_out_and_many_refused(wrong, tmp_path):
    """Here the depths of some frames are in metres."""
    tips = np.tile(layout._read_tips(DUMMY / "data/Rotate/annotations/Rotate3D.txt"), (40, 1, 1))
    tips[:wrong, :, 2] /= 1000
    points, valid = layout.to_color_camera(tips)
    pixels = layout.camera.project(points, layout.INTRINSICS)
    given = (tips, np.ones_like(valid), pixels, (640, 480), tmp_path / "Rotate3D.txt")
    if wrong == 5:
        found = labels.find_wrong(*given)
        np.testing.assert_array_equal(found.frames, np.arange(40) < wrong)
        told = r"the labels of 5 frames, such as .*Rotate3D\.txt: line 1: the hand lies nearer"
        assert re.match(told, found.told)
    else:
        with pytest.raises(ValueError, match=r"Rotate3D\.txt: line 1: .*15 of 40 lines wrong"):
            labels.find_wrong(*given)


LABELS, COLOR = "Grasp1/annotations/Grasp13D.txt", "Rigid/color"
FIRST, SECOND = (DUMMY / "data" / LABELS).read_text().splitlines()
BREAKAGES = [
    (
        written(LABELS, FIRST),
        r"Grasp1/color holds 2 images, but Grasp13D\.txt has 1 lines, .*; image 2 has no line",
    ),
    (
        moved("Grasp1/color/Color_0001.bmp", "Color_0001.tif"),
        r"holds 1 images, .* 2 lines, .*; Color_0001\.bmp is missing; 1 files end in '\.tif'",
    ),
    (written(LABELS, ""), r"Grasp1/color holds 2 images, but Grasp13D\.txt has 0 lines"),
    (
        moved(f"{COLOR}/Color_0001.bmp", "Color_0003.bmp"),
        r"Color_0001\.bmp is missing; images must be numbered 1 to 2",
    ),
    (removed(LABELS), r"Grasp13D\.txt with the labels of .* is missing"),
    *(
        (
            written(LABELS, f"{FIRST}\n{second}"),
            r"Grasp13D\.txt: line 2 does not begin with five points",
        )
        for second in ("1, 2, 3;" * 4, "1, 2, 3", "1, 2;" * 5, HTML)
    ),
    (
        written(LABELS, f"{FIRST}\n1, 2, 3;1, nan, 3;{SECOND}"),
        r"Grasp13D\.txt: line 2, point 1 holds nan, not a finite number",
    ),
    (
        cut(f"{COLOR}/Color_0001.bmp", 900),
        r"Rigid/color/Color_0001\.bmp is not an image, corrupt or truncated.*: fetch",
    ),
]


@pytest.mark.parametrize(("break_it", "message"), BREAKAGES)
def test_broken_files_are_named_and_nothing_stays(raw, refused, break_it, message):
    break_it(raw / "data")
    refused(raw, message)
