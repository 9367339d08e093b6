"""The shell of a page, and the plain things on it."""

import base64
import html
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from types import TracebackType

from peclr_jax.errors import UserError
from peclr_jax.files import writing
from peclr_jax.hands.skeleton import BONES, FINGER_COLORS, FINGERS

_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Page:
    """A page that is written part by part, so that its length costs no memory.

    Use it as a context manager: the file appears when the block ends without an error.
    """

    def __init__(self, path: Path, title: str) -> None:
        """Prepares a page.

        Args:
          path: The file to write.
          title: Of the browser's tab and at the top of the page; plain text.
        """
        self._path = path
        self._title = title
        self._stack = ExitStack()

    def __enter__(self) -> "Page":
        self._file = self._stack.enter_context(writing(self._path))
        self._file.write(_head(self._title))
        return self

    def add(self, part: str) -> None:
        """Appends HTML to the page's body."""
        self._file.write(part + "\n")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._file.write(_tail())
        self._stack.__exit__(kind, error, traceback)


def page(title: str, body_parts: Iterable[str]) -> str:
    """Returns a whole page.

    Args:
      title: Plain text.
      body_parts: HTML.
    """
    return "\n".join([_head(title), *body_parts, _tail()])


def image_tag(image: bytes | Path, *, alt: str = "", width: int | None = None) -> str:
    """Returns an image that is part of the page.

    Args:
      image: A PNG or JPEG, or the path of one.
      alt: What it shows, for those who cannot see it; plain text.
      width: At which it is shown, in CSS pixels; by default its own, or the page's if that is less.

    Raises:
      UserError: Neither PNG nor JPEG.
    """
    content = image.read_bytes() if isinstance(image, Path) else image
    kind = next((kind for start, kind in _TYPES.items() if content.startswith(start)), None)
    if kind is None:
        raise UserError(f"{image if isinstance(image, Path) else 'the image'} is no PNG or JPEG")
    size = "" if width is None else f' width="{width}"'
    data = base64.b64encode(content).decode()
    return f'<img src="data:{kind};base64,{data}" alt="{html.escape(alt)}"{size}>'


def figure(image: bytes | Path, caption: str) -> str:
    """Returns an image above its caption (plain text)."""
    text = html.escape(caption)
    return f"<figure>{image_tag(image, alt=caption)}<figcaption>{text}</figcaption></figure>"


def table(
    rows: Iterable[Sequence[object]], *, header: Sequence[object] = (), caption: str = ""
) -> str:
    """Returns a table; numbers are set to the right.

    Args:
      rows: The cells; anything that `str` makes readable, floats at four significant digits,
        None empty.
      header: Of the columns.
      caption: Plain text.
    """
    parts = ["<table>"]
    if caption:
        parts.append(f"<caption>{html.escape(caption)}</caption>")
    if header:
        cells = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
        parts.append(f"<thead><tr>{cells}</tr></thead>")
    parts.append("<tbody>")
    parts += [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows]
    parts.append("</tbody></table>")
    return "".join(parts)


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    kind = ' class="number"' if isinstance(value, int | float) else ""
    return f"<td{kind}>{html.escape(text)}</td>"


def _asset(name: str) -> str:
    return resources.files("peclr_jax.pages").joinpath(name).read_text(encoding="utf-8")


def _head(title: str) -> str:
    text = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text}</title>\n<style>\n{_asset('page.css')}</style></head>\n"
        f"<body>\n<h1>{text}</h1>\n"
    )


def _tail() -> str:
    colors = ["#8a8a8a"] * (1 + len(BONES))
    for name, joints in FINGERS.items():
        for joint in joints:
            colors[joint] = "#{:02x}{:02x}{:02x}".format(*FINGER_COLORS[name])
    hand = json.dumps({"bones": BONES, "colors": colors})
    return f"<script>\nconst HAND = {hand};\n{_asset('skeleton.js')}</script>\n</body></html>\n"
