"""A film in, a film and numbers out."""

import csv
import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.photos.film import describe_film, read_frames, writing_film
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.tasks import predict
from tests.marked_photos import TIP, TRUTH, WRIST, mark_finder, marked
from tests.photos.test_film import IDENTITY

STEPS = np.array([[0, 0], [8, 4], [16, 9], [22, 12], [30, 18]])


@pytest.fixture
def unsure(monkeypatch):
    estimator = mark_finder(unsure=True)
    monkeypatch.setattr(predict, "open_estimator", lambda *_: estimator)
    return estimator


def save(path, pictures, rate=Fraction(10)):
    first, *_ = pictures = [np.asarray(picture) for picture in pictures]
    with writing_film(path, first.shape[1::-1], rate) as add:
        for number, picture in enumerate(pictures):
            add(picture, number / float(rate))
    return path


@pytest.fixture
def film(tmp_path):
    return save(
        tmp_path / "film.mp4", [marked(wrist=WRIST + step, tip=TIP + step) for step in STEPS]
    )


def run(film, out, **change):
    """Predicts a film; returns the exit code and what was written."""
    spec = dataclasses.replace(PredictSpec(checkpoint="a run", images=str(film)), **change)
    code = predict.run(specs.to_config(spec), out)
    return code, json.loads((out / "predictions.json").read_text())


def test_what_a_film_says_that_cannot_be_is_said(film, unsure, tmp_path, capsys):
    content = film.read_bytes()
    at = content.index(IDENTITY, content.index(b"tkhd"))
    film.write_bytes(content[:at] + bytes(36) + content[at + 36 :])
    code, written = run(film, tmp_path / "out")
    assert code == 0
    assert (written["images"][0]["width"], written["images"][0]["height"]) == (640, 480)
    said = capsys.readouterr().out
    assert "film.mp4: its turn is by no right angle, and was ignored" in " ".join(said.split())
    assert any("its turn is by no right angle" in note for note in written["meta"]["notes"])
    assert "its turn is by no right angle" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize("smooth", [False, True])
def test_a_film_is_predicted_frame_by_frame(film, unsure, tmp_path, capsys, smooth):
    out = tmp_path / "out"
    code, written = run(film, out, smooth=smooth, formats="csv")
    assert code == 0
    assert [entry["frame"] for entry in written["images"]] == list(range(5))
    np.testing.assert_allclose([entry["time_s"] for entry in written["images"]], np.arange(5) / 10)
    found = np.array([entry["hands"][0]["keypoints_2d"] for entry in written["images"]])
    truth = TRUTH + STEPS[:, None]
    if smooth:
        assert (np.abs(found - truth)[1:] > 0.5).any()
        truth = truth[:1]
    np.testing.assert_allclose(found[: len(truth)], truth, atol=2)
    overlay = describe_film(out / "overlay.mp4")
    frames = list(read_frames(overlay))
    assert (len(frames), frames[0].image.shape, overlay.rate) == (5, (480, 640, 3), 10)
    assert np.abs(frames[0].image.astype(int) - np.asarray(marked())).max() > 100
    assert "<video" in (out / "index.html").read_text()
    assert "frames a second" in " ".join(capsys.readouterr().out.split())
    with (out / "predictions.csv").open() as file:
        assert [row["frame"] for row in csv.DictReader(file)][::21] == list("01234")
    assert not list(out.glob("*.partial"))


def test_a_damaged_film_is_predicted_up_to_its_fault(unsure, tmp_path, capsys):
    generator = np.random.default_rng(0)
    film = save(
        tmp_path / "film.mp4",
        [Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(30)],
    )
    content = bytearray(film.read_bytes())
    # The frames lie before the index.
    content[len(content) // 2 : len(content) // 2 + len(content) // 4] = bytes(len(content) // 4)
    film.write_bytes(content)
    code, written = run(film, tmp_path / "out")
    assert code == predict.SOME_SKIPPED
    assert 0 < len(written["images"]) < 30
    assert f"after {len(written['images'])} frames" in written["skipped"][0]["reason"]
    assert "damaged" in capsys.readouterr().out
    assert len(list(read_frames(describe_film(tmp_path / "out/overlay.mp4")))) == len(
        written["images"]
    )


def test_boxes_beside_a_film_are_left_out_and_listed(film, unsure, tmp_path, capsys):
    boxes = [900, 20, 990, 90], [240, 220, 390, 320]
    (tmp_path / "boxes.json").write_text(json.dumps({film.name: [{"box": box} for box in boxes]}))
    code, written = run(film, tmp_path / "out", boxes=str(tmp_path / "boxes.json"))
    assert code == predict.SOME_SKIPPED
    assert [[hand["track"] for hand in entry["hands"]] for entry in written["images"]] == [[0]] * 5
    assert written["images"][0]["hands"][0]["box"] == boxes[1]
    assert "lies outside of the image" in written["images"][0]["boxes_left_out"][0]
    assert not any("boxes_left_out" in entry for entry in written["images"][1:])
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("lies outside of the image") == 1
    assert "1 box(es) could not be used" in said


def test_what_is_no_film_is_said_before_the_network_is_opened(tmp_path):
    (tmp_path / "film.mp4").write_text("no film")
    with pytest.raises(UserError, match="cannot be opened as a film"):
        run(tmp_path / "film.mp4", tmp_path / "out")


def test_a_film_of_real_photos(shared, finetuned, tmp_path):
    """With a real network, which has no heatmaps."""
    photos = sorted((shared / "fixtures" / "hands_unlabelled").glob("*.jpg"))[:4]
    pictures = [Image.open(photo).convert("RGB").resize((160, 120)) for photo in photos]
    film = save(tmp_path / "film.mkv", pictures)
    code, written = run(film, tmp_path / "out", checkpoint=str(finetuned), formats="npz,coco")
    assert code == 0
    assert [len(entry["hands"]) for entry in written["images"]] == [1] * 4
