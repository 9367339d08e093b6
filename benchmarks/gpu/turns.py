"""Measures groups of candidates in turn and within a time; failed candidates give a reason."""

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
    """Time that is left.

    Args:
      seconds: Time from now on.
      clock: Returns the seconds now.
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
) -> Benchmark:
    """Prepares the candidates of a group, then calls them in turn.

    Args:
      group: What to measure.
      budget: The time that is left; processes that outlast it are ended.
      running: Further candidates, already prepared.

    Returns:
      The rows, their ratios, and as "settings" the labels of the attempts that were measured. The
      row of a candidate that failed says why.
    """
    names = list(group.candidates)
    batches = [names] if group.together else [[name] for name in names]
    benchmark: Benchmark = {}
    settings: dict[str, str] = {}
    for batch in batches:
        candidates = {name: group.candidates[name] for name in batch}
        rows, taken = _in_turn(candidates, running, group.rounds, budget)
        benchmark |= rows
        settings |= taken
    pairs = [(ours, peer, "pairs_per_second") for ours, peer in group.ratios]
    return {**harness.with_ratios(benchmark, pairs), "settings": settings}


def _in_turn(
    candidates: Mapping[str, Sequence[Attempt] | str],
    running: Mapping[str, Measurement],
    count: int,
    budget: Budget,
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
                settings[name], ready[name] = _prepare(attempts, budget, stack)
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
    attempts: Sequence[Attempt], budget: Budget, stack: contextlib.ExitStack
) -> tuple[str, Measurement]:
    """Starts the first attempt that fits into memory."""
    for label, candidate in attempts[:-1]:
        try:
            return label, start(candidate, budget, stack)
        except Exception as error:
            if reason(error, budget) != OUT_OF_MEMORY:
                raise
    label, candidate = attempts[-1]
    return label, start(candidate, budget, stack)


def start(candidate: Candidate, budget: Budget, stack: contextlib.ExitStack) -> Measurement:
    """Prepares a candidate in a process that the stack ends.

    Args:
      candidate: What to prepare.
      budget: Ends the process if its preparation takes longer.
      stack: Holds the process.
    """
    prepare, kwargs, cores, environment = candidate
    with _limited(budget):
        return stack.enter_context(
            process.Process(prepare, cores=cores, environment=environment, **kwargs)
        )


@contextlib.contextmanager
def _limited(budget: Budget) -> Iterator[None]:
    """Ends the processes of all candidates when the time is up, which then fail."""

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
