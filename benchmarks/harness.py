"""Measures candidates in turn and summarises their figures: what every benchmark shares.

A benchmark is a module with a frozen dataclass `Settings`, small ones in `TOY`, a function
`measure(settings) -> Benchmark` and a function `table(benchmark) -> rich.table.Table`.
A candidate is a function `prepare(**kwargs)` that sets something up and returns a callable, which
measures it once more each time it is called. Candidates run in processes of their own, kept alive
and called in turn, A B A B, so that what slows the machine down for a while slows all of them.

Only the standard library and rich are imported here, and nothing heavy by the benchmark modules
before `prepare`: the peak memory of a process is to be its candidate's.
"""

import contextlib
import dataclasses
import importlib.util
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks import process
from benchmarks.process import Figures, Measurement
from peclr_jax.devices import backend

Spread = dict[str, Any]
"""One figure over all rounds: {"median", "min", "max", "rounds"}, the last one a list."""
Row = dict[str, Any]
"""The spreads of a candidate's figures, or {"skipped": why}."""
Benchmark = dict[str, Any]
"""The rows by the names of the candidates, and beside them those of `BESIDE_ROWS`."""

BESIDE_ROWS = ("ratios", "settings", "measured")
# Off an accelerator, and with XLA, memory and TensorFlow set up as main.py does.
ON_CPU = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": " ".join(backend.CPU_FLAGS),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


class Candidate(NamedTuple):
    """A function to measure, and where it runs.

    Attributes:
      prepare: `prepare(**kwargs)` returns the measurement; importable by name, to be run in
        another process.
      kwargs: Arguments of `prepare`, picklable.
      cores: Number of cores that the process may run on; `None` for all.
      environment: Variables set before the process imports anything.
    """

    prepare: Callable[..., Measurement]
    kwargs: Mapping[str, Any] = {}
    cores: int | None = None
    environment: Mapping[str, str] = {}


def core_seconds() -> float:
    """Returns the seconds that this process has kept cores busy."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(function: Callable[[], Any], seconds: float, units: int, warm_up: bool = True) -> Figures:
    """Calls a function until the time has gone by.

    Args:
      function: Must return when its work is done.
      seconds: Time to measure for; at least one call is timed.
      units: Units of work in a call, such as images.
      warm_up: Whether to make a call before that does not count.

    Returns:
      "per_second" and "per_core_second" (units), "median_ms" (of a call).
    """
    if warm_up:
        function()
    calls: list[float] = []
    start, busy = time.perf_counter(), core_seconds()
    while not calls or time.perf_counter() - start < seconds:
        began = time.perf_counter()
        function()
        calls.append(time.perf_counter() - began)
    elapsed, worked = time.perf_counter() - start, core_seconds() - busy
    return {
        "per_second": units * len(calls) / elapsed,
        # The kernel's clock of processes is coarse: a toy may be over before it ticks.
        "per_core_second": units * len(calls) / max(worked, 1e-3),
        "median_ms": 1000 * statistics.median(calls),
    }


def spread(values: Sequence[float]) -> Spread:
    """Summarises a figure over the rounds."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": list(values),
    }


def in_turn(candidates: Mapping[str, Measurement], rounds: int) -> dict[str, dict[str, Spread]]:
    """Calls every candidate once, then every candidate again: A B A B.

    Returns:
      By the candidate's name, the spread of each of its figures.
    """
    measured: dict[str, list[Figures]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            measured[name].append(candidate())
    return {
        name: {figure: spread([one[figure] for one in all_rounds]) for figure in all_rounds[0]}
        for name, all_rounds in measured.items()
    }


def ratio(ours: Mapping[str, Spread], peer: Mapping[str, Spread], figure: str) -> Spread:
    """Divides our figure by the peer's, round by round: what slows both down cancels."""
    pairs = zip(ours[figure]["rounds"], peer[figure]["rounds"], strict=True)
    return spread([mine / theirs for mine, theirs in pairs])


def missing(*modules: str) -> str | None:
    """Says in one sentence which module of a candidate is missing; `None` if none is.

    Args:
      *modules: The modules that the candidate needs.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed: pip install -r requirements-bench.txt"
    return None


def measure_in_turn(candidates: Mapping[str, Candidate | str], rounds: int) -> Benchmark:
    """Measures candidates in turn, each in a process of its own.

    Args:
      candidates: By name; a string says why there is none.
      rounds: How often each is called.

    Returns:
      The rows.
    """
    present = {name: c for name, c in candidates.items() if isinstance(c, Candidate)}
    with contextlib.ExitStack() as stack:
        callables: dict[str, Measurement] = {}
        for name, (prepare, kwargs, cores, variables) in present.items():
            candidate = process.Process(prepare, cores=cores, environment=variables, **kwargs)
            callables[name] = stack.enter_context(candidate)
        measured: Benchmark = dict(in_turn(callables, rounds))
    return {
        name: {"skipped": candidate} if isinstance(candidate, str) else measured[name]
        for name, candidate in candidates.items()
    }


def rows(benchmark: Benchmark) -> dict[str, Row]:
    """Returns a benchmark's rows, without the entries beside them."""
    return {name: row for name, row in benchmark.items() if name not in BESIDE_ROWS}


def with_ratios(
    benchmark: Benchmark, pairs: Sequence[tuple[str, str, str]], settings: Any = None
) -> Benchmark:
    """Adds the ratios between rows, and the settings.

    Args:
      benchmark: The rows.
      pairs: (row, row to divide by, figure); left out where one of the rows was skipped.
      settings: A dataclass to be stored; `None` for none.

    Returns:
      The rows, "ratios" by "row / row" and figure, and "settings".
    """
    ratios: dict[str, dict[str, Spread]] = {}
    for ours, peer, figure in pairs:
        if figure in benchmark.get(ours, {}) and figure in benchmark.get(peer, {}):
            ratios.setdefault(f"{ours} / {peer}", {})[figure] = ratio(
                benchmark[ours], benchmark[peer], figure
            )
    described = {} if settings is None else {"settings": dataclasses.asdict(settings)}
    return {**benchmark, "ratios": ratios, **described}
