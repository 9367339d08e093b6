import numpy as np

from peclr_jax.pages.gallery import Gallery
from peclr_jax.pages.report import Section, prediction_cards, write_report
from tests.pages.test_gallery import META, photo, prediction


def test_sections_and_predictions_on_one_page(tmp_path):
    with Gallery(tmp_path, "Hands", META, thumbnail_side=20) as gallery:
        for number in range(5):
            gallery.add(photo(f"{number}.jpg"), [prediction(np.random.default_rng(number))])
    cards = prediction_cards(tmp_path, most=3, thumbnail_side=20)
    write_report(
        tmp_path / "report.html",
        "A run",
        [Section("First & foremost", ["<p>one</p>"]), Section("Photos", cards)],
    )
    text = (tmp_path / "report.html").read_text()
    assert text.count("<canvas") == 3
    assert "2 more images" in text
    assert '<a href="#section-0">First &amp; foremost</a>' in text
    assert '<h2 id="section-1">Photos</h2>' in text
