"""What rich prints of ours: text is text, whatever is in the names of files and labels."""

from collections.abc import Iterable, Sequence
from typing import Any

import rich.console
from rich.table import Table
from rich.text import Text

from peclr_jax.errors import printable


class Console(rich.console.Console):
    """A console that takes no text for markup or for emoji, and none that steers a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns the text as it stands, line by line."""
        lines = "\n".join(map(printable, text.split("\n")))
        return super().render_str(lines, **options | {"emoji": False, "markup": False})


def table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]], **style: Any
) -> Table:
    """Returns a table to print, all columns but the first aligned to the right.

    Args:
      title: Above the table.
      columns: Their names.
      rows: The cells.
      **style: Of the `Table`.
    """
    made = Table(title=title, title_justify="left", **style)
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=number > 0)
    for row in rows:
        made.add_row(*row)
    return made
