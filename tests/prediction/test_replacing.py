"""A prediction takes the place of an earlier one, and loses nothing else."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from peclr_jax.errors import UserError
from peclr_jax.outputs import is_own_output
from peclr_jax.pages import gallery
from peclr_jax.pages.gallery import FILM, JSON, PAGE, Gallery
from peclr_jax.photos.prepare import Prepared
from peclr_jax.prediction import replacing as module
from peclr_jax.prediction.formats import FORMATS, convert
from peclr_jax.prediction.replacing import check_workdir, replacing, taken_names

META = {"notes": []}
NOTES = [PAGE, "index_2.html", FILM, "overlays/a.jpg", "thumbnails/a.jpg", "predictions.csv"]


def write(folder, names, formats=("json",), meta=META):
    """Predicts no hand in black photos."""
    meta = meta | {"formats": formats}
    with replacing(folder) as new:
        with Gallery(new, "Hands", meta, thumbnail_side=20, taken=taken_names(folder)) as pages:
            for name in names:
                black = Image.new("RGB", (40, 30))
                pages.add(Prepared(Path(name), 80, 60, 100.0, "guess", [], black), [])
        convert(new, formats)


def found(folder):
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def pages_of_three(monkeypatch):
    monkeypatch.setattr(gallery, "PER_PAGE", 3)
    monkeypatch.setattr(module, "PER_PAGE", 3)


@pytest.mark.usefixtures("pages_of_three")
def test_nothing_of_an_earlier_prediction_stays(tmp_path):
    write(tmp_path, [f"{number}.jpg" for number in range(7)], tuple(FORMATS))
    assert {"index_3.html", "predictions.npz"} <= found(tmp_path).keys()
    write(tmp_path, ["3.jpg", "b.jpg"], ("csv",))
    pictures = {f"{kind}/{name}.jpg" for kind in ("overlays", "thumbnails") for name in "3b"}
    assert found(tmp_path).keys() == {PAGE, JSON, "predictions.csv", *pictures}
    assert is_own_output(tmp_path)


def test_the_film_of_an_earlier_prediction_goes(tmp_path):
    write(tmp_path, [], meta=META | {"overlay": FILM})
    (tmp_path / FILM).touch()
    write(tmp_path, ["a.jpg"])
    assert FILM not in found(tmp_path)


def test_an_interrupted_prediction_leaves_the_earlier_one(tmp_path):
    write(tmp_path, ["a.jpg"])
    before = found(tmp_path)
    with suppress(InterruptedError), replacing(tmp_path) as new:
        with Gallery(new, "Hands", META, thumbnail_side=20):
            pass
        raise InterruptedError
    assert found(tmp_path) == before
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".partial")]


def test_the_users_pictures_beside_ours_stay(tmp_path):
    write(tmp_path, ["a.jpg"])
    (tmp_path / "overlays/mine.jpg").write_bytes(b"mine")
    (tmp_path / FILM).write_bytes(b"mine")
    write(tmp_path, ["Mine.jpg"])
    after = found(tmp_path)
    assert after["overlays/mine.jpg"] == after[FILM] == b"mine"
    (entry,) = json.loads(after[JSON])["images"]
    assert entry["overlay"] == "overlays/Mine-2.jpg"


@pytest.mark.parametrize("name", [*NOTES, JSON])
@pytest.mark.usefixtures("pages_of_three")
def test_what_is_no_predictions_is_not_overwritten(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("[]")
    with pytest.raises(UserError, match=f"holds {Path(name).parts[0]}, but no readable"):
        check_workdir(tmp_path, [Path("photo.jpg")] * 4)


@pytest.mark.usefixtures("pages_of_three")
def test_what_is_a_predictions_is(tmp_path):
    write(tmp_path, ["a.jpg"], tuple(FORMATS))
    check_workdir(tmp_path, [Path("photo.jpg")] * 3)
    (tmp_path / "index_2.html").touch()
    with pytest.raises(UserError, match=r"holds index_2.html, which are not among"):
        check_workdir(tmp_path, [Path("photo.jpg")] * 4)


@pytest.mark.parametrize("name", [FILM, "predictions.npz", "predictions_coco.json"])
def test_the_users_files_of_our_names_stay(tmp_path, name):
    write(tmp_path, ["a.jpg"], ("csv",))
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(UserError, match=f"holds {name}, which are not among the files"):
        check_workdir(tmp_path, [Path("photo.jpg")])
    write(tmp_path, ["b.jpg"])
    assert found(tmp_path).keys() >= {name}
    assert "predictions.csv" not in found(tmp_path)


def test_predictions_of_earlier_versions_are_replaced(tmp_path):
    write(tmp_path, ["a.jpg"])
    told = json.loads((tmp_path / JSON).read_text())
    del told["meta"]["formats"]
    (tmp_path / JSON).write_text(json.dumps(told))
    check_workdir(tmp_path, [Path("photo.jpg")])
    (tmp_path / "predictions.csv").touch()  # of that prediction, or the user's
    with pytest.raises(UserError, match=r"holds predictions\.csv, which are not among"):
        check_workdir(tmp_path, [Path("photo.jpg")])
    write(tmp_path, ["b.jpg"])
    assert found(tmp_path).keys() == {
        *(PAGE, JSON, "predictions.csv", "overlays/b.jpg", "thumbnails/b.jpg")
    }


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text('{"meta": {')])
def test_a_prediction_without_its_json_file_is_told_at_once(tmp_path, damage):
    write(tmp_path, ["a.jpg"])
    damage(tmp_path / JSON)
    with pytest.raises(UserError, match=r"index\.html, overlays, thumbnails, but no readable pred"):
        check_workdir(tmp_path, [Path("photo.jpg")])


@pytest.mark.parametrize("name", ["overlays/a.jpg", "thumbnails/a.jpg", FILM])
def test_a_photo_is_not_replaced_by_its_own_prediction(tmp_path, name):
    write(tmp_path / "out", ["a.jpg"])
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(UserError, match="overwritten by its own prediction"):
        check_workdir(tmp_path / "out", [tmp_path / "link" / name])
