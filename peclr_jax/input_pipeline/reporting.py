"""Progress through images that are rendered, decoded, evaluated or predicted."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import jax
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from peclr_jax import stopping
from peclr_jax.errors import printable
from peclr_jax.terminal import Console

Item = TypeVar("Item")

_SECONDS_BETWEEN_LINES = 10.0


def report(items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    """Yields items; process 0 shows a bar on a terminal, or a line every ten seconds elsewhere.

    Args:
      items: What to go through.
      description: What is being done, shown before the progress.
      total: Number of items; None if unknown.
    """
    description = printable(description)
    console = Console(stderr=True, quiet=jax.process_index() > 0)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=console) as bar:
            for item in bar.track(items, total=total, description=description):
                yield item
                stopping.step_done()
        return
    started = last = time.monotonic()
    for done, item in enumerate(items):
        yield item
        stopping.step_done()
        if time.monotonic() - last > _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            console.print(
                f"{description}: {_share(done + 1, total, last - started)}", highlight=False
            )
    seconds = time.monotonic() - started
    console.print(f"{description}: done in {seconds:.1f} s", highlight=False)


def _share(done: int, total: int | None, seconds: float) -> str:
    if total is None or done > total:
        return f"{done} done"
    return f"{100 * done // total} %, {seconds / done * (total - done):.0f} s left"
