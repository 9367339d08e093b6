from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peclr_jax.photos import prepare as preparing
from peclr_jax.photos.boxes import Hand, Request
from peclr_jax.photos.looking import LookingRule
from peclr_jax.photos.prepare import Options, Skipped, prepare, prepare_all

OPTIONS = Options(32, LookingRule(), 600, 0.0, 40.0)
SOMEWHERE = Request((Hand("right"),))


@pytest.fixture
def path(tmp_path):
    Image.new("RGB", (1600, 1200), (90, 60, 30)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_little_is_kept(path):
    small_box = Request((Hand("right", (100.0, 100.0, 140.0, 150.0)),))
    for request in (SOMEWHERE, small_box):
        prepared = prepare(path, request, OPTIONS)
        assert (prepared.width, prepared.height) == (1600, 1200)
        assert max(prepared.preview.size) == 600
        assert max(prepared.subjects[0].window.image.size) <= 8 * 32 + 2


def test_a_small_box_is_kept_sharp(path):
    prepared = prepare(path, Request((Hand("right", (100.0, 100.0, 140.0, 150.0)),)), OPTIONS)
    assert prepared.subjects[0].square.side == 75
    # 2.3 px of the photo a pixel of the view: a second look has some to come closer.
    assert prepared.subjects[0].window.scale[0] > 32 / 75


@pytest.mark.parametrize(
    ("request_", "options", "focal"),
    [
        (SOMEWHERE, OPTIONS, (800 / np.tan(np.radians(20)), "guess")),
        (SOMEWHERE, OPTIONS._replace(focal_px=700.0), (700.0, "config")),
        (SOMEWHERE._replace(focal_px=900.0), OPTIONS._replace(focal_px=700.0), (900.0, "boxes")),
    ],
)
def test_the_best_known_focal_length_is_used(path, request_, options, focal):
    prepared = prepare(path, request_, options)
    assert (prepared.focal_px, prepared.focal_from) == (pytest.approx(focal[0]), focal[1])
    np.testing.assert_allclose(prepared.intrinsics[:2, 2], (799.5, 599.5))


def test_a_box_outside_is_said(path):
    beside = Request((Hand("right", (1700.0, 10.0, 1800.0, 90.0)),))
    skipped = prepare(path, beside, OPTIONS)
    assert isinstance(skipped, Skipped)
    assert "outside of the image of 1600x1200" in skipped.reason


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
