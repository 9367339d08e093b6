"""What predictions leave behind; `tests/tasks/test_predict.py` has it with a network."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from peclr_jax.pages.gallery import JSON, PAGE, Gallery, Prediction, jpeg, printable
from peclr_jax.photos.boxes import Hand
from peclr_jax.photos.prepare import Prepared, Skipped

META = {"notes": ["Metric < guessed."]}


def photo(path):
    return Prepared(Path(path), 80, 60, 100.0, "guess", [], Image.new("RGB", (40, 30)))


def prediction(generator):
    square = SimpleNamespace(edges=(1.0, 2.0, 3.0, 4.0))
    joints = generator.uniform(0.1, 0.5, (21, 3))
    return Prediction(Hand("left"), square, 60 * generator.uniform(size=(21, 2)), joints)


def test_files_of_one_name_are_told_apart(tmp_path):
    generator = np.random.default_rng(0)
    with Gallery(tmp_path, "Hands", META, thumbnail_side=20) as gallery:
        for name in ("a/x.jpg", "b/X.png", "x.png"):
            gallery.add(photo(name), [prediction(generator)] * 2)
        gallery.skip(Skipped(Path("broken.jpg"), "truncated"))
    written = json.loads((tmp_path / JSON).read_text())
    overlays = [entry["overlay"] for entry in written["images"]]
    assert overlays == ["overlays/x.jpg", "overlays/X-2.jpg", "overlays/x-3.jpg"]
    assert written["skipped"] == [{"file": "broken.jpg", "reason": "truncated"}]
    page = (tmp_path / PAGE).read_text()
    assert page.count("<canvas") == 6
    assert "Metric &lt; guessed." in page
    assert "truncated" in page
    with Image.open(tmp_path / overlays[0]) as drawn:
        assert np.ptp(np.asarray(drawn)) > 100


def test_names_do_not_steer_the_terminal():
    assert printable(Path("a\x1b]0;owned\x07\x9b2J\n.jpg")) == "a?]0;owned??2J?.jpg"
    assert printable(Path("Hände/手 1.jpg")) == "Hände/手 1.jpg"


def test_a_prediction_that_fails_leaves_no_files(tmp_path):
    with pytest.raises(RuntimeError), Gallery(tmp_path, "Hands", META, thumbnail_side=20):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_pictures_give_way_to_their_limit():
    noise = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
    image = Image.fromarray(noise)
    assert len(jpeg(image, most=9000)) <= 9000 < len(jpeg(image))
    assert image.size == (200, 100)
    assert len(jpeg(image, side=50)) < len(jpeg(image)) / 4
