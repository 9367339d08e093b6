"""What names in strangers' files must not do to a page or a terminal."""

from pathlib import Path

import numpy as np
from PIL import Image

from peclr_jax.pages import gallery
from peclr_jax.pages.html import figure, page, table


def test_names_on_pages_are_text(tmp_path):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    picture = gallery.jpeg(Image.new("RGB", (8, 8)))
    hand = {"handedness": "right", "keypoints_3d": np.zeros((21, 3)).tolist()}
    parts = [
        gallery.card({"file": evil, "hands": [hand]}, picture),
        figure(picture, evil),
        table([(evil,)], (evil,)),
    ]
    with page(tmp_path / "page.html", evil):
        pass
    head = (tmp_path / "page.html").read_text().partition("<script>")[0]  # ours follows
    for part in (*parts, head):
        assert "<script" not in part
        assert "<img src=x" not in part


def test_names_do_not_steer_the_terminal():
    assert gallery.printable(Path("a\x1b]0;owned\x07\x9b2J\n.jpg")) == "a?]0;owned??2J?.jpg"
    assert gallery.printable(Path("Hände/手 1.jpg")) == "Hände/手 1.jpg"
