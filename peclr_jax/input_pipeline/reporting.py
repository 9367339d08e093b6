"""Progress of work that is done once, before the first step."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")

_SECONDS_BETWEEN_LINES = 10.0


def report(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yields the items, drawing a bar on a terminal and printing a line now and then elsewhere.

    Args:
      items: what to go through.
      description: what is being done.
      total: number of items.

    Yields:
      The items.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(items, description, total=total, console=console)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items):
        yield item
        if time.monotonic() - last > _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            console.print(f"{description}: {100 * (done + 1) // total} %", highlight=False)
    seconds = time.monotonic() - started
    console.print(f"{description}: done in {seconds:.1f} s", highlight=False)
