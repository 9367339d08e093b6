"""One page that tells of a whole run: every picture and number in a single file."""

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from peclr_jax.pages import Page
from peclr_jax.pages.gallery import JSON, THUMBNAIL_BYTES, card, legend
from peclr_jax.pages.overlay import jpeg


class Section(NamedTuple):
    """A part of a report.

    Attributes:
      title: Plain text.
      parts: HTML, in order; see `peclr_jax.pages` and `paragraph`.
    """

    title: str
    parts: Sequence[str]


def write_report(path: Path, title: str, sections: Iterable[Section]) -> None:
    """Writes a report that can be mailed: one HTML file with everything in it.

    Args:
      path: Of the file.
      title: Plain text.
      sections: In order.
    """
    sections = list(sections)
    with Page(path, title) as page:
        links = "".join(
            f'<li><a href="#section-{i}">{html.escape(section.title)}</a></li>'
            for i, section in enumerate(sections)
        )
        page.add(f"<nav><ul>{links}</ul></nav>")
        for i, section in enumerate(sections):
            page.add(f'<h2 id="section-{i}">{html.escape(section.title)}</h2>')
            for part in section.parts:
                page.add(part)


def paragraph(text: str, *, note: bool = False) -> str:
    """Returns a paragraph of plain text; a note is set smaller."""
    return f"<p{' class=note' * note}>{html.escape(text)}</p>"


def prediction_cards(folder: Path, *, most: int = 24, thumbnail_side: int = 480) -> list[str]:
    """Returns what a prediction found, as on its own page: pictures, and 3D hands to turn.

    Args:
      folder: The prediction's workdir.
      most: Images at most; the first ones.
      thumbnail_side: Longer side of a picture in pixels, at most.

    Raises:
      FileNotFoundError: There is no prediction in the folder.
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
