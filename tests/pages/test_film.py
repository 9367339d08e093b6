import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from peclr_jax.pages.film import film_page
from peclr_jax.pages.gallery import FILM, JSON, PAGE
from peclr_jax.photos.film import describe_film, read_frames
from peclr_jax.photos.prepare import Skipped
from tests.pages.test_gallery import META, photo, prediction


def test_a_film_is_drawn_on_and_written_frame_by_frame(tmp_path):
    generator, skipped = np.random.default_rng(0), []
    picture = photo("film.mov")._replace(preview=Image.new("RGB", (80, 60)))
    with film_page(tmp_path, "Hands", META, skipped, size=(80, 60), rate=Fraction(10)) as add:
        add(0, 0.0, picture, {})
        add(1, 0.12345, picture, {4: prediction(generator), 2: prediction(generator)})
        skipped.append(Skipped(picture.path, "a < fault"))
    written = json.loads((tmp_path / JSON).read_text())
    first, second = written["images"]
    assert (first["frame"], first["time_s"], first["hands"]) == (0, 0.0, [])
    assert (second["frame"], second["time_s"]) == (1, 0.1235)
    assert [hand["track"] for hand in second["hands"]] == [4, 2]
    assert written["skipped"] == [{"file": "film.mov", "reason": "a < fault"}]
    page = (tmp_path / PAGE).read_text()
    assert f'<video src="{FILM}"' in page
    assert "a &lt; fault" in page
    frames = list(read_frames(describe_film(tmp_path / FILM)))
    assert [np.ptp(frame.image) > 100 for frame in frames] == [False, True]


def test_a_prediction_that_fails_leaves_no_files(tmp_path):
    with (
        pytest.raises(RuntimeError),
        film_page(tmp_path, "Hands", META, [], size=(80, 60), rate=Fraction(10)),
    ):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
