"""What labels may mean, and what tells raw files from others."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.raw import meaning, origin
from peclr_jax import outputs
from peclr_jax.errors import UserError
from peclr_jax.geometry import camera
from tests.data.records import DATA

REMEDY = "fetch it again"
XYZ = np.array(json.loads((DATA / "freihand/dummy_data/training_xyz.json").read_text()))
K = np.array(json.loads((DATA / "freihand/dummy_data/training_K.json").read_text()))
BONE = np.linalg.norm(XYZ[:, 9] - XYZ[:, 10], axis=-1)
SIZE = np.array([[64, 64]], np.float64)


def where(entry):
    return f"labels.json: entry {entry}"


def said(check, *arguments):
    """Returns the one sentence of a check, "" if it passes."""
    try:
        check(*arguments, where, REMEDY)
        return ""
    except UserError as error:
        told = str(error)
    assert told.startswith("labels.json: entry ")
    assert told.endswith(REMEDY)
    assert "\n" not in told
    return told


CAMERAS = {
    "transposed": (lambda k: k.transpose(0, 2, 1), "transposed"),
    "negated": (lambda k: -k, "negated"),
    "zero": (lambda k: 0 * k, "all zero"),
    "normalised": (lambda k: k / [[64], [64], [1]], "normalised or not in pixels"),
    "focal length in millimetres": (lambda k: k * [[0.02, 1, 1], [1, 0.02, 1], [1, 1, 1]], "short"),
    "one focal length": (lambda k: k / [[1, 1, 1], [1, 64, 1], [1, 1, 1]], "normalised or not"),
    "principal point": (lambda k: k / [[1, 1, 64], [1, 1, 64], [1, 1, 1]], "principal point"),
    "half of it": (lambda k: k / [[1, 1, 64], [1, 1, 1], [1, 1, 1]], "principal point"),
    "no principal point": (lambda k: k * [[1, 1, 0], [1, 1, 0], [1, 1, 1]], "principal point"),
    "axes of OpenGL": (lambda k: k * [[1, 1, 1], [-1, -1, -1], [1, 1, 1]], "not positive"),
    "identity": (lambda k: 0 * k + np.eye(3), "normalised or not"),
    "another scale": (lambda k: 2 * k, "last row"),
    "inverse": (np.linalg.inv, "normalised|not positive|short"),
    "columns": (lambda k: k[..., [0, 2, 1]], "last row"),
    "rows": (lambda k: k[:, [1, 0, 2]], "not positive|second row"),
}


@pytest.mark.parametrize("case", CAMERAS)
def test_impossible_cameras(case):
    change, message = CAMERAS[case]
    for changed, entry in ((change(K), 0), (np.concatenate([K, change(K)[:1]]), 4)):
        if entry and case == "half of it":
            continue  # possible, if it is but one crop's
        told = said(meaning.check_intrinsics, changed, SIZE)
        assert told.startswith(f"labels.json: entry {entry} is [[")
        assert np.any([part in told for part in message.split("|")]), told
    assert "3 other entries" in said(meaning.check_intrinsics, change(K), SIZE)


@given(
    st.floats(0.3, 20), st.floats(-5, 6), st.floats(-5, 6), st.floats(0.7, 1.4), st.integers(0, 9)
)
def test_possible_cameras(focal, x, y, aspect, skew):
    """Of wide angles and telephoto lenses, and of crops whose middle lies anywhere."""
    sizes = np.array([[320.0, 200.0]])
    matrix = np.array(
        [[[320 * focal, skew, 320 * x], [0, 320 * aspect * focal, 200 * y], [0, 0, 1]]]
    )
    center = matrix[0, :2, 2]
    told = said(meaning.check_intrinsics, matrix, sizes)
    assert not told or ((center >= 0) & (center <= 1)).any()


HANDS = {
    "millimetres": (lambda joints: 1000 * joints, "large, no hand more than"),
    "centimetres": (lambda joints: 100 * joints, "large, no hand more than"),
    "inches": (lambda joints: joints / 0.0254, "large, no hand more than"),
    "lengths of a bone": (lambda joints: joints / 0.03, "large, no hand more than"),
    "kilometres": (lambda joints: joints / 1000, "lie .* apart|no hand less than"),
    "equal": (lambda joints: 0 * joints + joints[:, :1], "all 21 joints are the same point"),
    "behind": (lambda joints: -joints, r"joint \d+ lies behind the camera"),
    "around the wrist": (lambda joints: joints - joints[:, :1], "lies behind the camera"),
    "too far": (lambda joints: np.add(joints, [0, 0, 40]), "m from the camera"),
}


@pytest.mark.parametrize("case", HANDS)
def test_impossible_hands(case):
    change, message = HANDS[case]
    told = said(meaning.check_joints, np.concatenate([XYZ, change(XYZ)[:1]]), None)
    assert told.startswith("labels.json: entry 4: ")

    assert re.search(message, told), told


@given(
    st.floats(0.4, 1.3),
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.3, 5)),
    st.booleans(),
)
def test_possible_hands(scale, turn, place, mirrored):
    """Of children and adults, turned and mirrored, wherever a camera sees them."""
    hand = XYZ[:1] - XYZ[:1].mean(1, keepdims=True)
    x, y, z = turn
    for axis, angle in enumerate((x, y, z)):
        a, b = [i for i in range(3) if i != axis]
        rotation = np.eye(3)
        rotation[[a, a, b, b], [a, b, a, b]] = [
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        ]
        hand = hand @ rotation
    hand = scale * hand * [-1 if mirrored else 1, 1, 1] + place
    assert not said(meaning.check_joints, hand, None)
    assert not said(meaning.check_joints, hand, np.arange(21)[None] % 4 == 0)
    assert not said(meaning.check_hands, hand - place, None)


def test_joints_that_are_not_known_mean_nothing():
    joints, valid = XYZ.copy(), np.ones((4, 21), bool)
    joints[1, 3:] = 1000
    valid[1, 3:] = False
    joints[2], valid[2] = -5, False
    assert not said(meaning.check_joints, joints, valid)
    assert said(meaning.check_joints, joints, None)


@pytest.mark.parametrize("change", [lambda b: 0 * b, lambda b: -b, lambda b: 1000 * b])
def test_impossible_bones(change):
    bones = np.concatenate([BONE, change(BONE)[:1]])
    joints = np.concatenate([XYZ, XYZ[:1]])
    for known in (None, joints):
        told = said(meaning.check_bone_lengths, bones, known)
        assert told.startswith("labels.json: entry 4 is ")
        assert "no length of a finger's bone" in told


def test_a_bone_is_as_long_as_its_joints_are_apart():
    other = np.linalg.norm(XYZ[:, 0] - XYZ[:, 5], axis=-1)
    assert "but joints 9 and 10 lie 0.02" in said(meaning.check_bone_lengths, other, XYZ)
    assert not said(meaning.check_bone_lengths, 1.01 * BONE, XYZ)
    assert not said(meaning.check_bone_lengths, other, None)


PIXELS = camera.project(XYZ, K)
PICTURES = {
    "fractions": (lambda p: p / 100, "between .* and .* px: give pixels instead of fractions"),
    "from -1 to 1": (lambda p: p / 100 - 0.5, "give pixels instead of fractions"),
    "equal": (lambda p: 0 * p + 30, "all 21 joints are the same point"),
    "of a larger picture": (lambda p: p * 10 + 100, "outside of the picture of 64x64 px"),
    "far to the left": (lambda p: p - [300, 0], "outside of the picture of 64x64 px"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_impossible_pixels(case):
    change, message = PICTURES[case]

    points = np.concatenate([PIXELS, change(PIXELS)[:1]])
    told = said(meaning.check_pixels, points, None, SIZE)
    assert told.startswith("labels.json: entry 4: ")
    assert re.search(message, told), told


def test_joints_at_the_origin_are_unknown_ones():
    """A joint may lie there, such as the wrist from which others are measured."""
    for check, joints, zero, more in (
        (meaning.check_pixels, PIXELS, 0, (SIZE,)),
        (meaning.check_pixels, PIXELS, -0.5, (SIZE,)),
        (meaning.check_hands, XYZ - XYZ[:, :1], 0, ()),
    ):
        some, valid = joints.copy(), np.ones((4, 21), bool)
        some[2, [0, 5]] = zero
        assert not said(check, some, None, *more)
        some[2, 20] = zero
        told = said(check, some, None, *more)
        assert told.startswith(f"labels.json: entry 2: joints 0, 5, 20 all lie at [{zero:.1f}, ")
        assert ": mark unknown joints as such, or" in told
        valid[2, 20] = False
        assert not said(check, some, valid, *more)


@pytest.mark.parametrize("shift", [(0, 0), (60, 0), (-60, 30), (0, 90)])
def test_a_hand_may_be_partly_outside_or_just_outside(shift):
    points = np.concatenate([PIXELS, PIXELS[:1] + shift])
    assert not said(meaning.check_pixels, points, None, SIZE)


def test_hands_beside_most_pictures_are_refused():
    told = said(meaning.check_pixels, np.add(PIXELS, [100, 0]), None, SIZE)
    assert "3 other entries" in told


@pytest.fixture
def folder(tmp_path):
    """Photos in two folders, and a label file."""
    root = tmp_path / "raw"
    for name in ("a/1.jpg", "a/2.jpg", "b/1.png", "labels.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def now(folder):
    return json.loads(json.dumps(origin.describe(folder, origin.walk(folder))))


def touch(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_a_broken_link_is_named(folder):
    (folder / "a/3.jpg").symlink_to(folder / "gone.jpg")
    with pytest.raises(UserError, match=r"a/3\.jpg is a broken link: mend it or remove it$"):
        now(folder)


CHANGES = {
    "a photo more": (lambda f: (f / "a/3.jpg").write_text("x"), "a/*.jpg were 2 files and are 3"),
    "a photo fewer": (lambda f: (f / "a/2.jpg").unlink(), "a/*.jpg were 2 files and are 1"),
    "another name": (lambda f: (f / "a/2.jpg").rename(f / "a/9.jpg"), "a/*.jpg has changed"),
    "another size": (lambda f: (f / "b/1.png").write_text("longer"), "b/*.png has changed"),
    "edited in place": (lambda f: touch(f / "labels.json"), "labels.json has changed"),
    "labels that came later": (lambda f: (f / "xyz.json").write_text("x"), "xyz.json is new"),
    "labels that are gone": (lambda f: (f / "labels.json").unlink(), "labels.json is gone"),
    "a folder that is gone": (lambda f: shutil.rmtree(f / "b"), "b/*.png is gone"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changes_are_named(folder, case):
    change, message = CHANGES[case]
    before = now(folder)
    assert origin.difference(before, now(folder)) is None
    change(folder)
    assert origin.difference(before, now(folder)) == message
    assert origin.digest(before) != origin.digest(now(folder))


def test_other_and_unknown_files_are_named(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    assert origin.difference(now(folder), now(other)) == f"they were made of {folder}"
    assert "nothing is known" in origin.difference(None, now(other))
    for number in range(5):
        (folder / f"{number}.json").write_text("x")
    assert origin.difference(now(other) | {"folder": str(folder)}, now(folder)).endswith(", ...")


def test_outputs_and_hidden_folders_are_no_raw_files(folder):
    before = now(folder)
    outputs.mark(folder / "run")
    (folder / ".cache").mkdir()
    for name in ("run/views.png", ".cache/1.jpg"):
        (folder / name).write_text("x")
    assert now(folder) == before


def test_links_are_followed_but_not_in_circles(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/1.jpg").write_text("x")
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    (folder / "elsewhere").symlink_to(folder)
    found = {path.relative_to(folder).as_posix() for path in origin.walk(folder)}
    assert found == {"a/1.jpg", "a/2.jpg", "b/1.png", "labels.json", "c/1.jpg"}


def test_only_what_fits_the_pattern_counts(folder):
    assert [path.name for path in origin.walk(folder, r"^raw/b/")] == ["1.png"]
