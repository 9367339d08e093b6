"""Photos in, files out: with a stand-in that finds coloured marks, and with a real tiny network."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from configs import predict as recipes
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.geometry import camera
from peclr_jax.networks.calibration import Calibration
from peclr_jax.networks.estimator import Estimate
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.tasks import predict
from tests.marked_photos import (
    BONE,
    DEPTH,
    SIZE,
    TIP,
    TRUTH,
    WRIST,
    MarkFinder,
    mark_finder,
    marked,
)


@pytest.fixture
def finder(monkeypatch):
    estimator = mark_finder()
    monkeypatch.setattr(predict, "open_estimator", lambda *_: estimator)
    return estimator


@pytest.fixture
def unsure(monkeypatch):
    """A network that is surer of hands which point to the upper right than of others."""
    estimator = mark_finder(unsure=True)
    monkeypatch.setattr(predict, "open_estimator", lambda *_: estimator)
    return estimator


def spec_for(images, **change):
    spec = PredictSpec(checkpoint="a run", images=str(images), batch_size=4, overlay_side=400)
    return dataclasses.replace(spec, **change)


def predict_one(tmp_path, image, name="photo.jpg", boxes=None, save=None, **change):
    """Predicts one photo; returns its entry of the JSON file."""
    path = tmp_path / name
    image.save(path, **(save or {"quality": 95} if name.endswith("jpg") else {}))
    if boxes is not None:
        (tmp_path / "boxes.json").write_text(json.dumps({name: boxes}))
        change["boxes"] = str(tmp_path / "boxes.json")
    predict.predict(spec_for(path, **change), tmp_path / "out")
    (entry,) = json.loads((tmp_path / "out/predictions.json").read_text())["images"]
    return entry


def keypoints(entry, hand=0):
    return np.array(entry["hands"][hand]["keypoints_2d"])


def assert_projects(entry):
    """The 3D joints, seen by the written camera, are the 2D ones."""
    for hand in entry["hands"]:
        joints = jnp.array(hand["keypoints_3d"])
        seen = camera.project(joints, jnp.array(entry["intrinsics"]))
        np.testing.assert_allclose(seen, hand["keypoints_2d"], atol=0.2)
        depth = BONE * (DEPTH + np.linspace(0, 2, 21))
        np.testing.assert_allclose(joints[:, 2], depth, atol=1e-4)


BOX = [240, 220, 390, 320]


@pytest.mark.parametrize("handedness", ["right", "left"])
@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("box", [None, BOX, [200, 150, 440, 390]])
def test_keypoints_are_where_the_hand_is(tmp_path, finder, handedness, passes, box):
    boxes = None if box is None else [{"box": box}]
    entry = predict_one(tmp_path, marked(), boxes=boxes, handedness=handedness, passes=passes)
    np.testing.assert_allclose(keypoints(entry), TRUTH, atol=1.5)
    assert_projects(entry)
    assert (entry["width"], entry["height"]) == (640, 480)
    assert entry["hands"][0]["handedness"] == handedness
    assert entry["hands"][0]["box"] == box
    assert len(finder.seen) == passes


def test_the_second_look_is_around_the_first(tmp_path, finder):
    x0, y0, x1, y1 = predict_one(tmp_path, marked())["hands"][0]["crop"]
    # Half of the first look's side at least.
    side = max(1.5 * (TIP - WRIST)[0], 0.5 * 0.67 * 1.5 * 480)
    np.testing.assert_allclose([x1 - x0, y1 - y0], side, rtol=0.02)
    np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], (WRIST + TIP) / 2, atol=1.5)


def test_a_left_hand_is_the_mirror_image_of_a_right_one(tmp_path, finder):
    right = predict_one(tmp_path, marked(), "right.png")
    left = predict_one(tmp_path, ImageOps.mirror(marked()), "left.png", handedness="left")
    np.testing.assert_array_equal(finder.seen[0], finder.seen[2])
    np.testing.assert_allclose(keypoints(left) * [-1, 1] + [639, 0], keypoints(right), atol=0.02)
    joints = [np.array(entry["hands"][0]["keypoints_3d"]) for entry in (left, right)]
    np.testing.assert_allclose(joints[0] * [-1, 1, 1], joints[1], atol=2e-5)


def test_turned_photos_are_predicted_upright(tmp_path, finder):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = marked().transpose(Image.Transpose.ROTATE_90)
    entry = predict_one(tmp_path, stored, save={"exif": exif, "quality": 95})
    assert (entry["width"], entry["height"]) == (640, 480)
    np.testing.assert_allclose(keypoints(entry), TRUTH, atol=1.5)


@pytest.mark.parametrize("box", [None, BOX])
def test_a_photo_decoded_smaller_keeps_its_pixels(tmp_path, finder, box):
    zoom = 5
    boxes = None if box is None else [{"box": [zoom * edge for edge in box]}]
    entry = predict_one(tmp_path, marked(zoom=zoom), boxes=boxes)
    assert (entry["width"], entry["height"]) == (640 * zoom, 480 * zoom)
    np.testing.assert_allclose(keypoints(entry), (TRUTH + 0.5) * zoom - 0.5, atol=1.5 * zoom)


def test_several_hands_in_an_image(tmp_path, finder):
    photo = marked()
    photo.paste(marked().crop((220, 200, 410, 340)), (20, 20))
    moved = TRUTH - [200, 180]
    boxes = [
        {"box": [40, 40, 190, 140], "handedness": "left"},
        {"box": BOX},
        *({"box": [40, 40, 190, 140]} for _ in range(4)),
    ]
    entry = predict_one(tmp_path, photo, boxes={"focal_px": 555.0, "hands": boxes})
    for hand, truth in enumerate([moved, TRUTH, *[moved] * 4]):  # more than fit one batch
        np.testing.assert_allclose(keypoints(entry, hand), truth, atol=1.5)
    assert [hand["handedness"] for hand in entry["hands"]] == ["left", *["right"] * 5]
    assert (entry["focal_from"], entry["intrinsics"][0][0]) == ("boxes", 555.0)
    assert_projects(entry)


def test_an_image_without_a_hand(tmp_path, finder):
    assert predict_one(tmp_path, marked(), boxes=[])["hands"] == []


def test_a_bone_length_scales_everything(tmp_path, finder):
    plain = predict_one(tmp_path, marked())["hands"][0]
    large = predict_one(tmp_path, marked(), bone_length_m=2 * BONE)["hands"][0]
    assert large["keypoints_2d"] == plain["keypoints_2d"]
    ratio = np.array(large["keypoints_3d"])[:, 2] / np.array(plain["keypoints_3d"])[:, 2]
    np.testing.assert_allclose(ratio, 2, atol=1e-3)


def test_what_the_reader_must_know_is_written(tmp_path, finder):
    predict_one(tmp_path, marked())
    meta = json.loads((tmp_path / "out" / "predictions.json").read_text())["meta"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert meta["bone_length_from"] == "mean of the training labels"
    assert len(meta["joints"]) == 21
    for said in ("Metric only up to", "no confidence", "40 degrees"):
        assert any(said in note for note in meta["notes"])
        assert said in page


def test_the_expected_error_is_that_of_the_photo(tmp_path, unsure):
    entry = predict_one(tmp_path, marked())
    (hand,) = entry["hands"]
    x0, _, x1, _ = hand["crop"]
    error = 2 * (x1 - x0) / SIZE
    np.testing.assert_allclose(hand["expected_error_px"], [error] * 21, atol=0.01)
    assert hand["mean_expected_error_px"] == pytest.approx(error, abs=0.01)
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"right hand, expected error {error:.3g} px" in page
    assert "no confidence" not in page


def test_a_box_outside_of_its_photo_is_left_out_and_the_others_are_kept(tmp_path, finder, capsys):
    marked().save(tmp_path / "photo.jpg")
    boxes = [{"box": [9000, 9, 9500, 500]}, {"box": BOX, "handedness": "left"}]
    (tmp_path / "boxes.json").write_text(json.dumps({"./PHOTO.JPG": boxes, "x.jpg": []}))
    out = tmp_path / "out"
    spec = spec_for(tmp_path / "photo.jpg", boxes=str(tmp_path / "boxes.json"))
    assert predict.run(specs.to_config(spec), out) == predict.SOME_SKIPPED
    (entry,) = json.loads((out / "predictions.json").read_text())["images"]
    assert [hand["box"] for hand in entry["hands"]] == [BOX]
    assert "lies outside of the image" in entry["boxes_left_out"][0]
    said = capsys.readouterr().out
    assert "1 box(es) could not be used and were left out" in said
    assert "1 name ('x.jpg') that no photo here has" in said


def test_a_photo_with_no_box_left_is_skipped(tmp_path, finder, capsys):
    for name in ("a.jpg", "b.jpg"):
        marked().save(tmp_path / name)
    (tmp_path / "boxes.json").write_text(json.dumps({"a.jpg": [{"box": [9000, 9, 9500, 500]}]}))
    spec = spec_for(tmp_path / "*.jpg", boxes=str(tmp_path / "boxes.json"))
    assert predict.run(specs.to_config(spec), tmp_path / "out") == predict.SOME_SKIPPED
    assert "1 image(s) could not be used and were skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("boxes", "handedness", "told"),
    [
        ([{"box": BOX, "handedness": "left"}], "auto", ("left", "boxes")),
        ([{"box": BOX}], "left", ("left", "config")),
        ([{"box": BOX}], "auto", ("right", "network")),
        (None, "auto", ("right", "network")),
    ],
)
def test_what_told_the_side_is_written(tmp_path, unsure, boxes, handedness, told):
    (hand,) = predict_one(tmp_path, marked(), boxes=boxes, handedness=handedness)["hands"]
    assert (hand["handedness"], hand["handedness_from"]) == told


def test_a_side_that_was_supposed_is_said(tmp_path, finder):
    (hand,) = predict_one(tmp_path, marked())["hands"]
    assert (hand["handedness"], hand["handedness_from"]) == ("right", "guess")
    assert "cannot tell" in (tmp_path / "out" / "index.html").read_text()


def test_without_calibration_no_error_is_told(tmp_path, monkeypatch):
    network = dataclasses.replace(mark_finder(unsure=True), calibration=Calibration())
    monkeypatch.setattr(predict, "open_estimator", lambda *_: network)
    (hand,) = predict_one(tmp_path, marked())["hands"]
    assert hand["expected_error_px"] is hand["mean_expected_error_px"] is None
    assert "no confidence" in (tmp_path / "out" / "index.html").read_text()


def test_answers_that_are_no_numbers_are_not_written(tmp_path, finder, monkeypatch):
    answer = Estimate(jnp.full((1, 21, 3), jnp.nan), jnp.ones(1))
    monkeypatch.setattr(MarkFinder, "__call__", lambda *_: answer)
    marked().save(tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match="not a finite number"):
        predict.predict(spec_for(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"handedness": "both"}, "'auto', 'right', 'left'"),
        ({"formats": "json,xml"}, "--config.formats has the unknown format 'xml'"),
        ({"hands": 0}, "--config.hands must lie in"),
        ({"search": "everywhere"}, "'auto', 'center', 'windows'"),
        ({"passes": 0}, "--config.passes must lie in"),
        ({"focal_px": -3.0}, "--config.focal_px must lie in"),
        ({"field_of_view_deg": 180.0}, "field_of_view_deg"),
        ({"central_box": 0.0}, "central_box"),
        ({"images": ""}, "--config.images"),
    ],
)
def test_impossible_configs_are_refused(tmp_path, change, said):
    config = recipes.get_config()
    config.update({"images": str(tmp_path), **change})
    with pytest.raises(UserError, match=said):
        predict.run(config, tmp_path)


def test_other_formats_lie_beside_the_json(tmp_path, finder):
    predict_one(tmp_path, marked(), formats="csv,npz,coco")
    predict_one(tmp_path, marked(), formats="csv,npz,coco")  # in the place of the first
    names = {path.name for path in (tmp_path / "out").glob("predictions*")}
    assert names == {
        *("predictions.json", "predictions.csv", "predictions.npz", "predictions_coco.json")
    }


def test_a_network_that_knows_no_size_asks_for_it(tmp_path, finder, monkeypatch):
    unknown = dataclasses.replace(finder, statistics=LabelStatistics())
    monkeypatch.setattr(predict, "open_estimator", lambda *_: unknown)
    with pytest.raises(ValueError, match="bone_length_m"):
        predict_one(tmp_path, marked())
    predict_one(tmp_path, marked(), bone_length_m=0.03)
