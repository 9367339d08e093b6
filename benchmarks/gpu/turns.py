"""Measures groups of candidates within a time: what fails or would last too long is left out."""

import contextlib
import multiprocessing
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks import harness, process
from benchmarks.gpu.plan import Attempt, Group
from benchmarks.harness import Benchmark, Candidate, Figures, Measurement

OUT_OF_MEMORY = "out of memory"
OUT_OF_TIME = "stopped: the time was up"

_OUT_OF_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|OutOfMemory|out of memory|exit code -9", re.I)


class Budget:
    """A time that is running out.

    Args:
      seconds: From now on.
      clock: To read it from.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._clock, self._end = clock, clock() + seconds

    def left(self) -> float:
        """Returns the seconds that are left."""
        return max(0.0, self._end - self._clock())


def measure(
    group: Group,
    budget: Budget,
    *,
    running: Mapping[str, Measurement] = {},
    separate: bool = True,
) -> Benchmark:
    """Prepares the candidates of a group, then calls them in turn.

    Args:
      group: What to measure.
      budget: Processes that outlast it are ended.
      running: Further candidates, prepared already.
      separate: False runs all in this process: for tests.

    Returns:
      The rows, their ratios, and as "settings" what was unusual about the attempts that were taken.
      A candidate that failed is a row that says why.
    """
    names = list(group.candidates)
    batches = [names] if group.together else [[name] for name in names]
    benchmark: Benchmark = {}
    settings: dict[str, str] = {}
    for batch in batches:
        candidates = {name: group.candidates[name] for name in batch}
        rows, taken = _in_turn(candidates, running, group.rounds, budget, separate)
        benchmark |= rows
        settings |= taken
    pairs = [(ours, peer, "pairs_per_second") for ours, peer in group.ratios]
    return {**harness.with_ratios(benchmark, pairs), "settings": settings}


def _in_turn(
    candidates: Mapping[str, Sequence[Attempt] | str],
    running: Mapping[str, Measurement],
    count: int,
    budget: Budget,
    separate: bool,
) -> tuple[Benchmark, dict[str, str]]:
    failed: dict[str, str] = {}
    settings: dict[str, str] = {}
    ready: dict[str, Measurement] = dict(running)
    with contextlib.ExitStack() as stack:
        for name, attempts in candidates.items():
            if isinstance(attempts, str):
                failed[name] = attempts
                continue
            try:
                settings[name], ready[name] = _prepare(attempts, budget, stack, separate)
            except Exception as error:
                failed[name] = reason(error, budget)
        rounds: dict[str, list[Figures]] = {name: [] for name in ready}
        for _ in range(count):
            for name in [name for name in ready if name not in failed]:
                try:
                    with _limited(budget):
                        rounds[name].append(ready[name]())
                except Exception as error:
                    failed[name] = reason(error, budget)
    rows = {
        name: {"skipped": failed[name]} if name in failed else _spreads(rounds[name])
        for name in (*candidates, *running)
    }
    return rows, settings


def _prepare(
    attempts: Sequence[Attempt], budget: Budget, stack: contextlib.ExitStack, separate: bool
) -> tuple[str, Measurement]:
    """Starts the first attempt that fits into memory."""
    for label, candidate in attempts[:-1]:
        try:
            return label, start(candidate, budget, stack, separate)
        except Exception as error:
            if reason(error, budget) != OUT_OF_MEMORY:
                raise
    label, candidate = attempts[-1]
    return label, start(candidate, budget, stack, separate)


def start(
    candidate: Candidate, budget: Budget, stack: contextlib.ExitStack, separate: bool
) -> Measurement:
    """Prepares a candidate in a process that the stack ends; or here."""
    prepare, kwargs, cores, environment = candidate
    if not separate:
        return prepare(**kwargs)
    with _limited(budget):
        candidate = process.Process(prepare, cores=cores, environment=environment, **kwargs)
        return stack.enter_context(candidate)


@contextlib.contextmanager
def _limited(budget: Budget) -> Iterator[None]:
    """Ends all candidates' processes when the time is up, which then fail."""

    def end() -> None:
        for child in multiprocessing.active_children():
            child.kill()

    timer = threading.Timer(budget.left(), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def reason(error: Exception, budget: Budget) -> str:
    """Says in a few words why a candidate failed."""
    text = str(error).strip()
    if not budget.left():
        return OUT_OF_TIME
    if _OUT_OF_MEMORY.search(text):
        return OUT_OF_MEMORY
    return text.splitlines()[-1][:200] if text else type(error).__name__


def _spreads(rounds: Sequence[Figures]) -> dict[str, harness.Spread]:
    return {figure: harness.spread([one[figure] for one in rounds]) for figure in rounds[0]}
