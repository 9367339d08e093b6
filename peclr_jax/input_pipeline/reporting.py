"""Progress of work that is done once, before the first step."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from absl import logging
from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")

_SECONDS_BETWEEN_LINES = 10.0


def report(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yields the items, drawing a bar on a terminal and logging a line now and then elsewhere.

    Args:
      items: what to go through.
      description: what is being done.
      total: number of items.

    Yields:
      The items.
    """
    if sys.stderr.isatty():
        yield from track(items, description, total=total, console=Console(stderr=True))
        return
    started = last = time.monotonic()
    for done, item in enumerate(items):
        yield item
        if time.monotonic() - last > _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            logging.info("%s: %d %%", description, 100 * (done + 1) // total)
    logging.info("%s: done in %.1f s", description, time.monotonic() - started)
