"""Files that claim, nest or hold more than anyone needs: one sentence, little memory, no wait."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from data import from_mediapipe, images, validation
from data.youtube_3d_hands import mano
from peclr_jax import commandline
from peclr_jax.errors import UserError
from peclr_jax.labels import coco, yolo
from peclr_jax.labels.requests import requests
from peclr_jax.photos import boxes, film, prepare, read
from peclr_jax.photos.looking import LookingRule
from peclr_jax.reading import json_parts
from tests.faults import bounded

REMEDY = "fetch it again"
LABELS = {
    "boxes": lambda path: boxes.read_boxes(path, "right"),
    "requests": lambda path: requests([path.parent / "a.jpg"], path, "right"),
    "coco": coco.from_file,
    "mediapipe": from_mediapipe.from_file,
    "entries": lambda path: validation.read_label_file(path, (21, 3), REMEDY),
    "frames": lambda path: list(json_parts.stream(path, "images.item", REMEDY)),
}
PHOTOS = {
    "photo": read.read,
    "jpeg": lambda path: images.as_jpeg(path, REMEDY),
    "size": lambda path: images.size(path, REMEDY),
    "cut": lambda path: images.cut_out(path, np.array([1.0, 1, 9, 9]), 1.5, REMEDY),
    "checked": lambda path: validation.check_jpegs([path], "checking", REMEDY),
}
OTHERS = {
    "recipe": lambda path: commandline.check_file(str(path)),
    "yolo": lambda path: yolo.from_folder(path.parent, {path.with_suffix(".jpg"): (9, 9)}),
    "regressor": mano._from_array,
    "film": film.describe_film,
}
READERS = LABELS | PHOTOS | OTHERS
SAID = {"pipe": "named pipe", "device": "device", "huge": "MB, and one like it at most"}
GIB = 2**30
PROGRAM = """
import pathlib, sys
from peclr_jax.errors import UserError
from peclr_jax.photos import boxes
try:
    boxes.read_boxes(pathlib.Path(sys.argv[1]), "right")
except UserError as error:
    print("error:", error)
    sys.exit(2)
"""


def refused(read, path):
    with pytest.raises(UserError) as raised:
        read(path)
    message = str(raised.value)
    assert 10 < len(message) < 1300
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_or_too_large_is_refused_unread(tmp_path, name, kind):
    path = tmp_path / ("a.txt" if name == "yolo" else "a.jpg")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.write(b"\xff\xd8\xff" if name in PHOTOS else b'{"images": [')
            file.truncate(200 * GIB)
    if (name, kind) == ("film", "huge"):  # which is read as it plays
        with pytest.raises(UserError, match="cannot be opened as a film"):
            film.describe_film(path)
        return
    assert SAID[kind] in refused(READERS[name], path)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["", '{"a": NaN, "images": '], ids=["json", "nan"])
@pytest.mark.parametrize(
    "bomb", ["[" * 10**5, '{"a":' * 10**5, " " * 4_300_000, '"' + "\u00e4" * 2_150_000, "9" * 10**6]
)
@pytest.mark.parametrize("name", LABELS)
def test_deep_and_endless_json_is_refused(tmp_path, name, start, bomb):
    (tmp_path / "labels.json").write_text(start + bomb)
    refused(LABELS[name], tmp_path / "labels.json")


def test_a_gibibyte_without_a_comma_fits_into_a_small_memory(tmp_path):
    """After a NaN, which has the file read anew; with all that is imported."""
    with (tmp_path / "boxes.json").open("wb") as file:
        file.write(b'{"a": NaN, "b": ')
        file.write(b"1" * 5_000_000)
        file.truncate(GIB)
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = bounded.run([tmp_path / "program.py", tmp_path / "boxes.json"], memory=GIB)
    assert ended.is_one_sentence, ended.output


@pytest.mark.parametrize("hand", ["{}", '{"box":[0,0,99,99]}', "null", "[]"])
def test_endless_hands_of_a_photo_are_refused(tmp_path, hand):
    path = tmp_path / "labels.json"
    path.write_text(f'{{"a.jpg": [{",".join([hand] * 20_000)}]}}')
    for name in ("boxes", "requests", "mediapipe"):
        assert "hands in one photo" in refused(LABELS[name], path)


def test_endless_hands_of_a_photo_are_refused_in_other_layouts(tmp_path):
    hand = {"id": 1, "image_id": 1, "bbox": [1, 2, 30, 40]}
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [hand] * 2000}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    assert "hands in one photo" in refused(coco.from_file, tmp_path / "labels.json")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.9 0.9\n" * 2000)
    assert "hands in one photo" in refused(OTHERS["yolo"], tmp_path / "a.txt")


def test_as_many_hands_as_are_allowed_share_the_photo(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (100, 80)).save(path)
    monkeypatch.setattr(read, "MOST_PIXELS", 100_000)
    hands = (boxes.Hand("right", (0.0, 0.0, 99.0, 79.0)),) * boxes.MOST_HANDS
    options = prepare.Options(224, LookingRule(), 64, 0.0, 40.0)
    found = prepare.prepare(path, boxes.Request(hands), options)
    pictures = {id(s.window.image): s.window.image.size for s in found.subjects}
    assert len(found.subjects) == boxes.MOST_HANDS
    assert sum(width * height for width, height in pictures.values()) < 2 * read.MOST_PIXELS
    assert found.subjects[0].window.image is not found.subjects[-1].window.image


def test_texts_do_not_become_arrays_of_the_longest(tmp_path):
    hand = {"right": True, "score": 1, "uv": ["x" * 100_000, *["y"] * 30_000]}
    (tmp_path / "labels.json").write_text(json.dumps({"a.jpg": [hand]}))
    assert "must be 21 x 2 finite numbers" in refused(LABELS["mediapipe"], tmp_path / "labels.json")
    image = {"id": 1, "file_name": "a", "width": "x" * 100_000, "height": ["y"] * 30_000}
    (tmp_path / "labels.json").write_text(json.dumps({"images": [image], "annotations": [{}]}))
    assert "must be 2 finite numbers" in refused(coco.from_file, tmp_path / "labels.json")


def test_arrays_that_claim_more_than_they_hold_are_refused(tmp_path):
    path = tmp_path / "J_regressor.npy"
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 778)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, claim)
    assert "J_regressor.npy" in refused(mano._from_array, path)
