from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from peclr_jax.photos import prepare as preparing
from peclr_jax.photos.boxes import Hand, Request
from peclr_jax.photos.looking import LookingRule
from peclr_jax.photos.prepare import Options, Skipped, prepare, prepare_all

OPTIONS = Options(32, LookingRule(), 600, 0.0, 40.0)
FOCAL = OPTIONS._replace(focal_px=700.0)
SOMEWHERE = Request((Hand("right"),))
IN_A_SMALL_BOX = Request((Hand("right", (100.0, 100.0, 140.0, 150.0)),))


@pytest.fixture
def path(tmp_path):
    Image.new("RGB", (1600, 1200), (90, 60, 30)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


@pytest.mark.parametrize("request_", [SOMEWHERE, IN_A_SMALL_BOX])
def test_little_is_kept_and_sharp(path, request_):
    prepared = prepare(path, request_, OPTIONS)
    assert (prepared.width, prepared.height) == (1600, 1200)
    assert max(prepared.preview.size) == 600
    (subject,) = prepared.subjects
    assert max(subject.window.image.size) <= 8 * 32 + 2
    if request_ is IN_A_SMALL_BOX:
        assert subject.squares[0].side == 75
        # 2.3 px of the photo a pixel of the view: a second look has some to come closer.
        assert subject.window.scale[0] > 32 / 75


def test_a_photo_to_search_is_kept_whole(path):
    prepared = prepare(path, SOMEWHERE, OPTIONS._replace(search="windows"))
    (subject,) = prepared.subjects
    assert len(subject.squares) == 15
    assert subject.squares[:1] == prepare(path, SOMEWHERE, OPTIONS).subjects[0].squares
    width, height = subject.window.image.size
    scale = np.array(subject.window.scale)
    np.testing.assert_allclose([width, height] / scale, [1600, 1200], rtol=1e-3)
    # A second look at half of a small window's side is not enlarged.
    assert height >= 4 * 32


@pytest.mark.parametrize(("hands", "places"), [(1, 1), (2, 12)])
def test_several_hands_are_not_all_in_the_middle(tmp_path, hands, places):
    Image.new("RGB", (1600, 1500)).save(tmp_path / "photo.jpg")
    request = Request(SOMEWHERE.hands * hands + IN_A_SMALL_BOX.hands)
    found = prepare(tmp_path / "photo.jpg", request, OPTIONS._replace(search="auto")).subjects
    assert [len(subject.squares) for subject in found] == [places] * hands + [1]


@pytest.mark.parametrize(("width", "is_said"), [(640, False), (720, True), (6400, True)])
def test_what_is_not_searched_of_a_long_photo_is_said(tmp_path, width, is_said):
    Image.new("RGB", (width, 64)).save(tmp_path / "long.png")
    prepared = prepare(tmp_path / "long.png", SOMEWHERE, OPTIONS._replace(search="auto"))
    assert ["cut it" in remark for remark in prepared.remarks] == [True] * is_said
    assert len(prepared.subjects[0].squares) <= 129
    # One place is looked at, as it was asked for.
    assert not prepare(tmp_path / "long.png", SOMEWHERE, OPTIONS).remarks


def test_an_impossible_focal_length_is_a_guess(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 65535
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.jpg", exif=exif)
    prepared = prepare(tmp_path / "photo.jpg", SOMEWHERE, OPTIONS)
    assert prepared.focal_from == "guess"
    assert "65535 mm" in prepared.remarks[0]


@pytest.mark.parametrize(
    ("request_", "options", "focal"),
    [
        (SOMEWHERE, OPTIONS, (800 / np.tan(np.radians(20)), "guess")),
        (SOMEWHERE, FOCAL, (700.0, "config")),
        (SOMEWHERE._replace(focal_px=900.0), FOCAL, (900.0, "boxes")),
    ],
)
def test_the_best_known_focal_length_is_used(path, request_, options, focal):
    prepared = prepare(path, request_, options)
    assert (prepared.focal_px, prepared.focal_from) == (pytest.approx(focal[0]), focal[1])
    np.testing.assert_allclose(prepared.intrinsics[:2, 2], (799.5, 599.5))


@pytest.mark.parametrize("focal", [4.25, 26.0, 1e6])
@pytest.mark.parametrize("source", ["boxes", "config"])
def test_a_focal_length_of_no_camera_is_said(path, source, focal):
    request, options = SOMEWHERE._replace(focal_px=focal), OPTIONS
    if source == "config":
        request, options = SOMEWHERE, OPTIONS._replace(focal_px=focal)
    skipped = prepare(path, request, options)
    assert isinstance(skipped, Skipped)
    assert "give pixels of the image, not millimetres" in skipped.reason


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((1700.0, 10.0, 1800.0, 90.0), "outside of the image of 1600x1200"),
        ((1.0, 1.0, 1e6, 90.0), "too large or too small"),
        ((1.0, 1.0, 1.001, 1.001), "too large or too small"),
    ],
)
def test_an_impossible_box_is_said(path, box, said):
    skipped = prepare(path, Request((Hand("right", box),)), OPTIONS)
    assert isinstance(skipped, Skipped)
    assert said in skipped.reason


def test_only_a_few_are_read_ahead(monkeypatch):
    started = []

    def read(path, request, options):
        started.append(path)
        return Skipped(path, "a test")

    monkeypatch.setattr(preparing, "prepare", read)
    paths = [Path(str(i)) for i in range(50)]
    results = prepare_all(paths, [SOMEWHERE] * 50, OPTIONS, threads=2)
    for i in range(10):
        assert next(results).path == paths[i]
        assert len(started) <= i + 3
    assert [result.path for result in results] == paths[10:]
