"""A folder of whatever lies in it: what is predicted, what is skipped and left out, and said."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import ExifTags, Image

from peclr_jax import specs
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.tasks import predict
from tests.marked_photos import TRUTH, WRIST, mark_finder, marked


@pytest.fixture
def finder(monkeypatch):
    monkeypatch.setattr(predict, "open_estimator", lambda *_: mark_finder())


@pytest.fixture
def unsure(monkeypatch):
    monkeypatch.setattr(predict, "open_estimator", lambda *_: mark_finder(unsure=True))


def spec_for(images):
    return PredictSpec(checkpoint="a run", images=str(images), batch_size=4, overlay_side=400)


def images_of(out):
    """Returns the entries of the JSON file by the photos' names."""
    images = json.loads((out / "predictions.json").read_text())["images"]
    return {entry["file"].rsplit("/", 1)[1]: entry for entry in images}


def keypoints(entry):
    return np.array(entry["hands"][0]["keypoints_2d"])


@pytest.fixture
def folder(tmp_path):
    """Seven good photos and three that are none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(5):
        marked(wrist=WRIST + 3 * i).save(folder / f"good{i}.jpg", quality=95)
    marked().save(folder / "good1.png")  # named as another one
    marked(zoom=1).resize((8000, 6000)).save(folder / "large.jpg")
    whole = (folder / "good0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no image")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    return folder


def test_bad_files_are_reported_and_the_rest_is_done(folder, finder, capsys):
    out = folder.parent / "out"
    assert predict.run(specs.to_config(spec_for(folder)), out) == predict.SOME_SKIPPED
    written = json.loads((out / "predictions.json").read_text())
    names = [entry["file"].rsplit("/", 1)[1] for entry in written["images"]]
    assert " ".join(names) == (
        "good0.jpg good1.jpg good1.png good2.jpg good3.jpg good4.jpg large.jpg"
    )
    for entry, name in zip(written["images"], names, strict=True):
        if name.endswith("jpg") and name.startswith("good"):  # each has its own answer
            wrist = keypoints(entry)[0]
            np.testing.assert_allclose(wrist, WRIST + 3 * int(name[4]), atol=1.5)
    reasons = {entry["file"].rsplit("/", 1)[1]: entry["reason"] for entry in written["skipped"]}
    assert reasons.keys() == {"cut.jpg", "text.jpg", "dot.png"}
    assert "truncated" in reasons["cut.jpg"]
    overlays = [entry["overlay"] for entry in written["images"]]
    assert len(set(overlays)) == 7
    assert all((out / overlay).is_file() for overlay in overlays)
    assert not list(out.rglob("*.partial"))
    page = (out / "index.html").read_text()
    assert page.count("<canvas") == 7
    assert all(name in page for name in [*names, *reasons])
    shown = capsys.readouterr()
    assert all(name in shown.out for name in reasons)
    assert "10 images: done" in shown.err


def test_nothing_readable_is_a_mistake(tmp_path, finder):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match="none of the 1 image"):
        predict.predict(spec_for(tmp_path), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("workdir", ["photos/out", "photos/runs/deep/out", "photos", "out"])
def test_what_a_prediction_wrote_is_not_predicted(tmp_path, finder, workdir):
    folder = tmp_path / "photos"
    folder.mkdir()
    marked().save(folder / "a.png")
    for _ in range(2):
        predict.predict(spec_for(folder), tmp_path / workdir)
        assert images_of(tmp_path / workdir).keys() == {"a.png"}
    predict.predict(spec_for(f"{folder}/**"), tmp_path / "another")
    assert images_of(tmp_path / "another").keys() == {"a.png"}


def test_what_is_left_out_is_said(tmp_path, finder, capsys):
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for name in ("a.JPG", "trip/b.jfif", "trip/c.tiff", "d.gif", "e.bmp"):
        marked().save(folder / name, "JPEG" if name.endswith("jfif") else None, quality=95)
    for name in ("f.mov", "g.MOV", "trip/h.dng", ".i.jpg"):
        (folder / name).touch()
    config = specs.to_config(spec_for(folder))
    assert predict.run(config, folder / "out") == 0
    found = images_of(folder / "out")
    assert found.keys() == {"a.JPG", "b.jfif", "c.tiff", "d.gif", "e.bmp"}
    for entry in found.values():
        np.testing.assert_allclose(keypoints(entry), TRUTH, atol=1.5)
    said = capsys.readouterr().out
    assert (
        "left out films (2: photos/f.mov, photos/g.MOV): predict one by --config.images=FILM, or"
        in said
    )
    assert "left out raw photos (1: trip/h.dng): develop them by `magick" in said
    assert "left out hidden pictures (1: photos/.i.jpg)" in said
    assert predict.run(config, folder / "out") == 0
    assert "left out folders that peclr_jax wrote (1: photos/out)" in capsys.readouterr().out


def test_impossible_notes_are_said_once(tmp_path, finder, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 65535
    for number in range(3):
        marked().save(folder / f"{number}.jpg", exif=exif)
    predict.predict(spec_for(folder), tmp_path / "out")
    said = capsys.readouterr().out
    assert said.count("65535 mm") == 1
    assert "0.jpg (and 2 more): its EXIF focal length" in said
    assert {entry["focal_from"] for entry in images_of(tmp_path / "out").values()} == {"guess"}
    assert (tmp_path / "out" / "index.html").read_text().count("65535 mm") == 3


def test_a_very_long_photo_is_searched_in_part_and_said(tmp_path, unsure, capsys):
    marked(6400, 480).save(tmp_path / "long.png")
    predict.predict(spec_for(tmp_path / "long.png"), tmp_path / "out")
    np.testing.assert_allclose(keypoints(images_of(tmp_path / "out")["long.png"]), TRUTH, atol=8)
    assert "cut it" in capsys.readouterr().out


def test_real_photos(tmp_path, shared, finetuned):
    photos = shared / "fixtures" / "hands_unlabelled"
    summary = predict.predict(
        dataclasses.replace(spec_for(photos), checkpoint=str(finetuned)), tmp_path
    )
    assert (summary.images, summary.hands, summary.skipped) == (17, 17, 0)
    for folder in ("overlays", "thumbnails"):
        assert len(list((tmp_path / folder).iterdir())) == 17
    # Its hand, and the page's own.
    assert (tmp_path / "index.html").stat().st_size < 17 * 2000 + 20_000
