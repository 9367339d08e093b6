"""Every format reads back as what `predictions.json` says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peclr_jax.errors import UserError
from peclr_jax.geometry.crop import Square
from peclr_jax.hands.skeleton import BONES, JOINT_NAMES
from peclr_jax.pages.gallery import JSON, Gallery, Prediction
from peclr_jax.photos.boxes import Hand
from peclr_jax.photos.prepare import Prepared
from peclr_jax.prediction.formats import FORMATS, convert, read_formats

META = {"notes": []}


@pytest.fixture
def folder(tmp_path):
    """Two hands in one photo, one in a name with a comma, and a photo without."""
    generator = np.random.default_rng(0)
    with Gallery(tmp_path, "Hands", META, thumbnail_side=20) as gallery:
        for name, sides in (("a.jpg", ("right", "left")), ('b,"c".jpg', ("left",)), ("d.jpg", ())):
            photo = Prepared(Path(name), 80, 60, 90.0, "guess", [], Image.new("RGB", (80, 60)))
            hands = [
                Prediction(
                    Hand(side),
                    Square(30.0, 30.0, 40.0),
                    60 * generator.uniform(size=(21, 2)),
                    generator.uniform(0.1, 0.5, (21, 3)),
                    generator.uniform(size=21) if side == "left" else None,
                )
                for side in sides
            ]
            gallery.add(photo, hands)
    return tmp_path


@pytest.fixture
def hands(folder):
    """The three hands as `predictions.json` has them."""
    images = json.loads((folder / JSON).read_text())["images"]
    return [(entry, hand) for entry in images for hand in entry["hands"]]


def test_csv(folder, hands):
    (path,) = convert(folder, ("csv",))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 21
    for number, (entry, hand) in enumerate(hands):
        some = rows[21 * number : 21 * (number + 1)]
        assert tuple(row["joint"] for row in some) == JOINT_NAMES
        assert {(row["file"], row["handedness"]) for row in some} == {
            (entry["file"], hand["handedness"])
        }
        pixels = [[float(row["x_px"]), float(row["y_px"])] for row in some]
        assert pixels == hand["keypoints_2d"]
        assert [[float(row[f"{axis}_m"]) for axis in "xyz"] for row in some] == hand["keypoints_3d"]
        errors = [row["expected_error_px"] for row in some]
        if hand["expected_error_px"] is None:
            assert set(errors) == {""}
        else:
            assert [float(error) for error in errors] == hand["expected_error_px"]
    assert [row["hand"] for row in rows[::21]] == ["0", "1", "0"]


def test_npz(folder, hands):
    (path,) = convert(folder, ("npz",))
    with np.load(path) as arrays:
        assert tuple(arrays["joints"]) == JOINT_NAMES
        assert arrays["image"].tolist() == [entry["file"] for entry, _ in hands]
        assert arrays["handedness"].tolist() == ["right", "left", "left"]
        assert arrays["frame"].tolist() == [-1] * 3
        for name in ("keypoints_2d", "keypoints_3d"):
            np.testing.assert_array_equal(arrays[name], [hand[name] for _, hand in hands])
        assert np.isnan(arrays["expected_error_px"][0]).all()
        np.testing.assert_array_equal(
            arrays["expected_error_px"][1:], [hand["expected_error_px"] for _, hand in hands[1:]]
        )


def test_coco(folder, hands):
    (path,) = convert(folder, ("coco",))
    coco = json.loads(path.read_text())
    images = {image["id"]: image for image in coco["images"]}
    categories = {category["id"]: category for category in coco["categories"]}
    assert [image["file_name"] for image in coco["images"]] == ["a.jpg", 'b,"c".jpg', "d.jpg"]
    assert (images[1]["width"], images[1]["height"]) == (80, 60)
    for annotation, (entry, hand) in zip(coco["annotations"], hands, strict=True):
        assert images[annotation["image_id"]]["file_name"] == entry["file"]
        category = categories[annotation["category_id"]]
        assert category["name"] == f"{hand['handedness']}_hand"
        assert tuple(category["keypoints"]) == JOINT_NAMES
        assert category["skeleton"] == [[a + 1, b + 1] for a, b in BONES]
        points = np.array(annotation["keypoints"]).reshape(21, 3)
        # From the top-left pixel's corner.
        np.testing.assert_allclose(points[:, :2] - 0.5, hand["keypoints_2d"], atol=0.006)
        assert (points[:, 2] == 2).all()
        x, y, width, height = annotation["bbox"]
        np.testing.assert_allclose([x, y], points[:, :2].min(0), atol=0.011)
        np.testing.assert_allclose([x + width, y + height], points[:, :2].max(0), atol=0.021)
        assert annotation["num_keypoints"] == 21
        assert 0 < annotation["score"] <= 1
    assert coco["annotations"][0]["score"] == 1 > coco["annotations"][1]["score"]


def test_nothing_found_is_written_too(tmp_path):
    with Gallery(tmp_path, "Hands", META, thumbnail_side=20):
        pass
    for path in convert(tmp_path, tuple(FORMATS)):
        assert path.is_file()
    with np.load(tmp_path / "predictions.npz") as arrays:
        assert arrays["keypoints_3d"].shape == (0, 21, 3)


def test_formats_are_named():
    assert read_formats("json, csv,coco") == ("json", "csv", "coco")
    assert read_formats("") == ()
    with pytest.raises(UserError, match=r"unknown format 'cocoa'.*did you mean 'coco'"):
        read_formats("json,cocoa")


def test_a_file_that_fails_is_absent(folder, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(RuntimeError):
        convert(folder, ("npz",))
    assert not list(folder.glob("predictions.npz*"))
