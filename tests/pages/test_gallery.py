"""What predictions leave behind; `tests/tasks/test_predict.py` has it with a network."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
import pytest
from PIL import Image

from peclr_jax.pages import gallery
from peclr_jax.pages.gallery import JSON, PAGE, Gallery, Prediction, jpeg
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
    with Gallery(tmp_path, "Hands", META, thumbnail_side=20) as pages:
        for name in ("a/x.jpg", "b/X.png", "x.png"):
            pages.add(photo(name), [prediction(generator)] * 2)
        pages.skip(Skipped(Path("broken.jpg"), "truncated"))
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


def links(page):
    return re.findall(r'(?:href|src)="([^"]*)"', page)


@pytest.fixture
def many(tmp_path, monkeypatch):
    """Seven photos on pages of three."""
    monkeypatch.setattr(gallery, "PER_PAGE", 3)

    def write(count=7, skipped=0):
        with Gallery(tmp_path / "out", "Hands", META, thumbnail_side=20) as pages:
            for number in range(count):
                pages.add(photo(f"a/{number}.jpg"), [prediction(np.random.default_rng(number))])
            for number in range(skipped):
                pages.skip(Skipped(Path(f"broken {number}.jpg"), "truncated"))
        return tmp_path / "out"

    return write


def test_many_photos_take_many_pages(many):
    out = many(7)
    pages = [(out / name).read_text() for name in ("index.html", "index_2.html", "index_3.html")]
    assert [page.count("<canvas") for page in pages] == [3, 3, 1]
    assert len(list(out.glob("*.html"))) == 3
    linked = [{link for link in links(page) if link.endswith("html")} for page in pages]
    assert linked == [
        {"index_2.html"},
        {"index.html", "index_3.html"},
        {"index.html", "index_2.html"},
    ]
    # A page is read from the disk: what it shows lies beside it, and none of it is inside.
    for page in pages:
        assert "data:image" not in page
        assert all((out / unquote(link)).is_file() for link in links(page))
    assert len(json.loads((out / JSON).read_text())["images"]) == 7


def test_a_full_page_has_no_next_one(many):
    out = many(3)
    assert not (out / "index_2.html").exists()
    assert "next page" not in (out / PAGE).read_text()


def test_names_that_are_taken_are_not_given(tmp_path):
    with Gallery(tmp_path, "Hands", META, thumbnail_side=20, taken=["A"]) as pages:
        pages.add(photo("a.jpg"), [])
    assert os.listdir(tmp_path / "overlays") == ["a-2.jpg"]


def test_many_skipped_files_are_counted(many):
    page = (many(1, skipped=5) / PAGE).read_text()
    assert page.count("truncated") == 3
    assert "and 2 more" in page


def test_pictures_have_addresses_whatever_their_names(tmp_path):
    names = [
        "a #1 100%?.jpg",
        "Hände 'x' \"y\".jpg",
        os.fsdecode(b"\xff.jpg"),
        "n" * 250 + ".jpg",
        "手" * 80 + ".jpg",
    ]
    with Gallery(tmp_path, "Hands", META, thumbnail_side=20) as pages:
        for name in names:
            pages.add(photo(name), [])
    found = [unquote_to_bytes(link) for link in links((tmp_path / PAGE).read_text())]
    assert len(found) == 5
    assert all((tmp_path / os.fsdecode(path)).is_file() for path in found)


def test_remarks_are_on_the_card(tmp_path):
    with Gallery(tmp_path, "Hands", META, thumbnail_side=20) as pages:
        pages.add(photo("a.jpg")._replace(remarks=("odd <note>",)), [])
    assert "odd &lt;note&gt;" in (tmp_path / PAGE).read_text()


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
