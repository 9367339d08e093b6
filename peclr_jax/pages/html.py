"""The shell of a page, and the plain things on it."""

import base64
import html
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from peclr_jax.errors import UserError
from peclr_jax.files import writing
from peclr_jax.pages.skeleton import widget_script

_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@contextmanager
def page(path: Path, title: str) -> Iterator[Callable[[str], None]]:
    """Writes a page part by part, so that its length costs no memory.

    Yields:
      A function that appends to the body; the file appears when the block ends without an error.
    """
    style = resources.files("peclr_jax.pages").joinpath("page.css").read_text(encoding="utf-8")
    text = html.escape(title)
    with writing(path) as file:

        def add(part: str) -> None:
            file.write(part + "\n")

        add('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">')
        add('<meta name="viewport" content="width=device-width, initial-scale=1">')
        add(f"<title>{text}</title>\n<style>\n{style}</style></head>\n<body>\n<h1>{text}</h1>")
        yield add
        add(f"<script>\n{widget_script()}</script>\n</body></html>")


def image_tag(image: bytes | Path, *, alt: str = "") -> str:
    """Returns a PNG or JPEG, or that at a path, as a part of the page."""
    content = image.read_bytes() if isinstance(image, Path) else image
    kind = next((kind for start, kind in _TYPES.items() if content.startswith(start)), None)
    if kind is None:
        name = image if isinstance(image, Path) else "the image"
        raise UserError(f"{name} is neither PNG nor JPEG: convert it")
    data = base64.b64encode(content).decode()
    return f'<img src="data:{kind};base64,{data}" alt="{html.escape(alt)}">'


def image_file_tag(path: str, size: tuple[int, int], *, alt: str = "") -> str:
    """Returns a picture that lies beside the page, read when the reader comes to it.

    Args:
      path: From the page, with slashes.
      size: Width and height, of which only the ratio counts: it is kept free.
      alt: Plain text.
    """
    # By their bytes, for names may hold some that are no text.
    source = quote(os.fsencode(path))
    sides = f'width="{size[0]}" height="{size[1]}"'
    return f'<img src="{source}" alt="{html.escape(alt)}" {sides} loading="lazy">'


def figure(image: bytes | Path, caption: str) -> str:
    """Returns an image above its caption."""
    text = html.escape(caption)
    return f"<figure>{image_tag(image, alt=caption)}<figcaption>{text}</figcaption></figure>"


def paragraph(text: str, *, note: bool = False) -> str:
    """Returns a paragraph, a smaller one for a note."""
    return f"<p{' class=note' * note}>{html.escape(text)}</p>"


def table(rows: Iterable[Sequence[object]], header: Sequence[str]) -> str:
    """Returns a table; numbers are set to the right, floats with four digits, None is empty."""
    names = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    kind = ' class="number"' if isinstance(value, int | float) else ""
    return f"<td{kind}>{html.escape(text)}</td>"
