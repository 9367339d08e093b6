"""What commands print: sentences and tables."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def say(*sentences: str, console: Console | None = None) -> None:
    """Prints sentences as they are, one a line."""
    for sentence in sentences:
        (console or Console()).print(sentence, highlight=False, markup=False, soft_wrap=True)


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
