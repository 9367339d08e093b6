"""A page about a whole run: every picture and number in a single file."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from peclr_jax.pages.gallery import JSON, THUMBNAIL_BYTES, card, jpeg
from peclr_jax.pages.html import page, paragraph
from peclr_jax.pages.skeleton import legend


class Section(NamedTuple):
    """A part of a report: a title in plain text and parts in HTML."""

    title: str
    parts: Sequence[str]


def write_report(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Writes a report that can be mailed: one HTML file with everything in it.

    Args:
      path: The file to write.
      title: Plain text.
      sections: Parts of the report, in order.
    """
    titles = [html.escape(section.title) for section in sections]
    with page(path, title) as add:
        links = "".join(f'<li><a href="#section-{i}">{t}</a></li>' for i, t in enumerate(titles))
        add(f"<nav><ul>{links}</ul></nav>")
        for i, section in enumerate(sections):
            add("\n".join([f'<h2 id="section-{i}">{titles[i]}</h2>', *section.parts]))


def prediction_cards(folder: Path, *, most: int = 24, thumbnail_side: int = 480) -> list[str]:
    """Returns what a prediction found, as on its own page: pictures, and 3D hands to turn.

    Args:
      folder: Workdir of the prediction.
      most: Largest number of images; the first ones are taken.
      thumbnail_side: Largest length of a picture's longer side, pixels.
    """
    found = json.loads((folder / JSON).read_text(encoding="utf-8"))
    cards = []
    for entry in found["images"][:most]:
        with Image.open(folder / entry["overlay"], formats=("JPEG",)) as picture:
            thumbnail = jpeg(picture.convert("RGB"), side=thumbnail_side, most=THUMBNAIL_BYTES)
        cards.append(card(entry, thumbnail))
    left_out = len(found["images"]) - len(cards)
    more = [paragraph(f"and {left_out} more images", note=True)] if left_out > 0 else []
    notes = [paragraph(note, note=True) for note in found["meta"]["notes"]]
    return [*notes, legend(), f"<div class=cards>{''.join(cards)}</div>", *more]
