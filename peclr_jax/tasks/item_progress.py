"""How far through a list of things a run is: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ItemProgress:
    """Counts things that are done."""

    def __init__(self, console: Console, total: int, unit: str, every: int) -> None:
        """Prepares to count.

        Args:
          console: where to show it.
          total: how many there are.
          unit: what they are, in the plural.
          every: how many lie between two plain lines.
        """
        self._console, self._total, self._unit, self._every = console, total, unit, every
        self._done, self._began = 0, time.perf_counter()
        self._bar: Progress | None = None

    @contextmanager
    def running(self) -> Iterator["ItemProgress"]:
        """Shows the bar, if there is one, for the length of the block."""
        self._began = time.perf_counter()
        if not self._console.is_terminal:
            yield self
            return
        self._bar = Progress(
            TextColumn(self._unit),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        with self._bar:
            self._bar.add_task("", total=self._total, rate="")
            yield self
        self._bar = None

    def advance(self) -> None:
        """Counts one more."""
        self._done += 1
        seconds = time.perf_counter() - self._began
        rate = f"{self._done / max(seconds, 1e-9):.1f} {self._unit}/s"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=rate)
        elif self._done % self._every == 0 or self._done == self._total:
            left = seconds / self._done * (self._total - self._done)
            self._console.print(
                f"{self._done}/{self._total} {self._unit}, {rate}, {left:.0f} s left",
                highlight=False,
            )
