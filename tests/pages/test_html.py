import html
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from peclr_jax.pages import Page, figure, image_tag, skeleton_widget, table
from peclr_jax.pages import html as page

HAND = np.random.default_rng(0).normal(size=(21, 3)) * 0.05 + [0.1, 0.2, 0.6]


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def assert_self_contained(text):
    """Nothing that a browser would fetch."""
    assert not re.search(r"(https?:)?//[\w.]+\.\w", re.sub(r"base64,[^\"]*", "", text))
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)', text))
    assert "<link" not in text
    assert "@import" not in text


def test_a_page_holds_all_it_shows(tmp_path):
    parts = [skeleton_widget(HAND), figure(png(), "black"), table([("a", 1.23456)])]
    (tmp_path / "photo.png").write_bytes(png())
    parts.append(image_tag(tmp_path / "photo.png", width=100))
    text = page("Hands & <more>", parts)
    assert "<title>Hands &amp; &lt;more&gt;</title>" in text
    assert "1.235" in text
    assert_self_contained(text)

    with Page(tmp_path / "new" / "page.html", "Hands & <more>") as streamed:
        for part in parts:
            streamed.add(part)
    assert (tmp_path / "new" / "page.html").read_text().split() == text.split()


def test_a_page_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(RuntimeError), Page(tmp_path / "page.html", "new"):
        raise RuntimeError
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "old"


def test_the_hand_is_centred_and_in_millimetres():
    text = skeleton_widget(HAND, 'a "left" <hand>')
    joints = np.array(json.loads(re.search(r'data-joints="([^"]*)"', text)[1]))
    np.testing.assert_allclose(joints.min(0), -joints.max(0), atol=0.11)
    np.testing.assert_allclose(np.diff(joints, axis=0), 1000 * np.diff(HAND, axis=0), atol=0.11)
    assert html.escape('a "left" <hand>') in text


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="PNG or JPEG"):
        image_tag(b"GIF89a")
    with pytest.raises(ValueError, match="finite"):
        skeleton_widget(np.full((21, 3), np.nan))


def test_tables_escape_their_cells():
    text = table([("<b>", None, 3)], header=("&",), caption="<c>")
    assert "<td>&lt;b&gt;</td><td></td>" in text
    assert "<th>&amp;</th>" in text
    assert "&lt;c&gt;" in text
