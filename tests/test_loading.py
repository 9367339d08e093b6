"""A network in two lines of Python: the same answers as from the command."""

import inspect
import json
import os
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import ExifTags, Image

from peclr_jax import loading
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.tasks import predict
from tests.marked_photos import BONE, TRUTH, mark_finder, marked

BOX = (240.0, 220.0, 390.0, 320.0)


@pytest.fixture
def finder(monkeypatch):
    """Hands whose network finds coloured marks."""
    monkeypatch.setattr(loading, "open_estimator", lambda *_: mark_finder())
    return loading.load("a run")


@pytest.fixture(scope="module")
def hands(one_file):
    return loading.load(one_file)


def as_path(folder):
    marked().save(folder / "photo.png")
    return folder / "photo.png"


@pytest.mark.parametrize(
    "image",
    [
        as_path,
        lambda folder: str(as_path(folder)),
        lambda _: marked(),
        lambda _: np.array(marked()),
    ],
    ids=["path", "text", "Pillow", "array"],
)
@pytest.mark.parametrize("boxes", [None, [BOX], np.array([BOX])])
def test_keypoints_are_where_the_hand_is(finder, image, boxes, tmp_path):
    (hand,) = finder.predict(image(tmp_path), boxes)
    np.testing.assert_allclose(hand.keypoints_2d, TRUTH, atol=1.5)
    assert hand.keypoints_3d.shape == (21, 3)
    assert hand.box == (None if boxes is None else BOX)
    assert hand.handedness == "right"
    assert hand.crop[0] < TRUTH[0, 0] < hand.crop[2]
    assert hand.expected_error is None


def test_hands_have_sides(finder):
    left, right = finder.predict(marked(), [BOX, BOX], ["left", "right"])
    assert (left.handedness, right.handedness) == ("left", "right")
    np.testing.assert_allclose(left.keypoints_2d, TRUTH, atol=1.5)
    both = finder.predict(marked(), [BOX, BOX, BOX], "left")
    assert [hand.handedness for hand in both] == ["left"] * 3
    assert finder.predict(marked(), []) == []


def test_it_answers_as_the_command_does(hands, one_file, tmp_path):
    path = as_path(tmp_path)
    (tmp_path / "boxes.json").write_text(json.dumps({path.name: [{"box": BOX}]}))
    spec = PredictSpec(
        checkpoint=str(one_file), images=str(path), boxes=str(tmp_path / "boxes.json")
    )
    predict.predict(spec, tmp_path / "out")
    (entry,) = json.loads((tmp_path / "out/predictions.json").read_text())["images"]
    (hand,) = hands.predict(path, [BOX])
    np.testing.assert_allclose(hand.keypoints_2d, entry["hands"][0]["keypoints_2d"], atol=0.01)
    np.testing.assert_allclose(hand.keypoints_3d, entry["hands"][0]["keypoints_3d"], atol=1e-4)
    np.testing.assert_allclose(hand.crop, entry["hands"][0]["crop"], atol=0.01)


def test_a_calibrated_network_tells_errors_to_expect_in_pixels_of_the_image(hands):
    image = marked()
    (hand,) = hands.predict(image, [BOX])
    assert hand.expected_error.shape == (21,)
    assert (hand.expected_error > 0).all()
    twice = image.resize((2 * image.width, 2 * image.height))
    (larger,) = hands.predict(twice, [[2 * edge + 0.5 for edge in BOX]])
    ratio = larger.expected_error.mean() / hand.expected_error.mean()
    assert ratio == pytest.approx(2, rel=0.2)


def test_options_are_those_of_the_command(one_file):
    hands = loading.load(one_file, bone_length_m=2 * BONE, passes=1, handedness="left")
    (far,) = hands.predict(marked(), [BOX])
    assert far.handedness == "left"
    (near,) = loading.load(one_file, bone_length_m=BONE, passes=1, handedness="left").predict(
        marked(), [BOX]
    )
    np.testing.assert_allclose(far.keypoints_3d, 2 * near.keypoints_3d, rtol=1e-4)
    with pytest.raises(UserError, match=r"load\.pases.*did you mean 'passes'"):
        loading.load(one_file, pases=1)
    with pytest.raises(
        UserError, match=r"load was given boxes, formats, which .* given to predict"
    ):
        loading.load(one_file, boxes="boxes.json", formats="csv", passes=1)


def test_an_empty_checkpoint_is_said_in_one_sentence():
    with pytest.raises(UserError, match="the checkpoint is empty: give a folder"):
        loading.load("")
    with pytest.raises(UserError, match="the checkpoint is None: give a folder"):
        inspect.unwrap(loading.load)(None)


def test_what_is_shown_of_hands_is_short(finder):
    assert len(repr(finder)) < 5000


def test_paths_and_numbers_may_be_of_other_types(one_file, tmp_path):
    as_path(tmp_path)
    (entry,) = os.scandir(os.fsencode(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        finder = loading.load(one_file, bone_length_m=np.float32(BONE))
    assert len(finder.predict(entry, [BOX])) == 1


def test_arrays_may_be_of_jax(finder):
    image = np.asarray(marked())
    (hand,) = finder.predict(image, np.array([BOX]))
    (same,) = finder.predict(jnp.asarray(image), jnp.array([BOX]))
    np.testing.assert_array_equal(same.keypoints_2d, hand.keypoints_2d)


def test_answers_may_be_written_to(finder):
    (hand,) = finder.predict(marked(), [BOX])
    for array in (hand.keypoints_2d, hand.keypoints_3d):
        array += 1


@pytest.mark.parametrize(
    ("image", "boxes", "handedness", "message"),
    [
        ("no such.jpg", None, None, r"there is no image no such\.jpg"),
        ("~nobody-here/x.jpg", None, None, "the image is '~nobody-here/x.jpg', but the user"),
        ("", None, None, "the image's path is empty"),
        (__file__, None, None, "not a JPEG, PNG or WebP image"),
        (np.zeros((9, 9), np.uint8), None, None, r"must be uint8 \(height, width, 3\), .*\(9, 9\)"),
        (np.zeros((64, 64, 3)), None, None, "RGB, got float64"),
        (np.zeros((4, 4, 3), np.uint8), None, None, "4x4 px is too small"),
        (marked(), [(0, 0, 5)], None, 'hand 1: "box" must be four numbers'),
        (marked(), [(0, 0, 5, np.nan)], None, "must be four numbers"),
        (marked(), [(9, 9, 5, 5)], None, "must have x0 < x1"),
        (marked(), np.array(5), None, "boxes must be a list of"),
        (marked(), np.array(None), None, "boxes must be a list of"),
        (marked(), [(9000, 9, 9500, 500)], None, "lies outside of the image"),
        (marked(), [BOX], "both", 'must be "right" or "left", got \'both\''),
        (marked(), [BOX], ["left", "left"], r"2 entries for 1 hand\(s\)"),
    ],
)
def test_bad_input_is_said_in_one_sentence(finder, image, boxes, handedness, message):
    with pytest.raises(UserError, match=message):
        finder.predict(image, boxes, handedness)


def test_a_missing_image_is_a_missing_file(finder):
    with pytest.raises(MissingFileError):
        finder.predict(Path("no such.jpg"))


def test_nothing_of_the_image_is_changed(finder):
    image = Image.fromarray(np.array(marked()))
    before = np.array(image)
    finder.predict(image, [BOX])
    np.testing.assert_array_equal(np.array(image), before)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_is_seen_alike_twice(finder, tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    upright = marked(zoom=6)
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "photo.jpg", exif=exif)
    box = [6 * edge for edge in BOX]
    with Image.open(tmp_path / "photo.jpg") as image:
        for _ in range(2):
            (hand,) = finder.predict(image, [box])
            np.testing.assert_allclose(hand.keypoints_2d, 6 * TRUTH + 2.5, atol=4.0)
            assert image.size == stored.size
    (hand,) = finder.predict(tmp_path / "photo.jpg", [box])
    np.testing.assert_allclose(hand.keypoints_2d, 6 * TRUTH + 2.5, atol=4.0)
