import io
import re

import numpy as np
import pytest
from PIL import Image

from peclr_jax.pages.gallery import card
from peclr_jax.pages.html import figure, image_tag, page, paragraph, table
from peclr_jax.pages.skeleton import skeleton_widget


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def test_names_on_pages_are_text(tmp_path):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    hand = {"handedness": "right", "keypoints_3d": np.zeros((21, 3)).tolist()}
    entry = {"file": evil, "hands": [hand], "width": 4, "height": 4}
    parts = [card(entry, png()), card(entry, evil, [evil]), figure(png(), evil)]
    with page(tmp_path / "page.html", evil):
        pass
    head = (tmp_path / "page.html").read_text().partition("<script>")[0]  # ours follows
    for part in (*parts, table([(evil,)], (evil,)), head):
        assert "<script" not in part
        assert "<img src=x" not in part


def test_a_page_holds_all_it_shows(tmp_path):
    (tmp_path / "photo.png").write_bytes(png())
    with page(tmp_path / "new" / "page.html", "Hands & <more>") as add:
        add(skeleton_widget(np.ones((21, 3))))
        add(figure(png(), "black"))
        add(table([("a", 1.23456)], ("x", "y")))
        add(image_tag(tmp_path / "photo.png"))
    text = (tmp_path / "new" / "page.html").read_text()
    assert "<title>Hands &amp; &lt;more&gt;</title>" in text
    assert "1.235" in text
    # Nothing that a browser would fetch.
    assert not re.search(r"(https?:)?//[\w.]+\.\w", re.sub(r"base64,[^\"]*", "", text))
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)', text))
    assert "<link" not in text
    assert "@import" not in text


def test_a_page_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(RuntimeError), page(tmp_path / "page.html", "new"):
        raise RuntimeError
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "old"


def test_other_images_are_refused(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    for image in (b"GIF89a", tmp_path / "a.gif"):
        with pytest.raises(ValueError, match="neither PNG nor JPEG"):
            image_tag(image)


def test_text_is_escaped():
    text = table([("<b>", None, 3)], ("&",))
    assert "<td>&lt;b&gt;</td><td></td>" in text
    assert "<th>&amp;</th>" in text
    assert paragraph("a < b", note=True) == "<p class=note>a &lt; b</p>"
