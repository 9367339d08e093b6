"""Feeds damaged files and impossible values to all that reads what others wrote.

    python scripts/stress/fuzz.py --cases 2000 --seed 0

Every case must succeed or raise a `UserError` of one sentence, without hanging or taking a gibibyte
of memory. Prints a table of what came out, with the memory of the largest case; each leak is shown
with its case's number, by which `--only TARGET --first NUMBER --cases 1` repeats it.
"""

import argparse
import contextlib
import faulthandler
import io
import logging
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from peclr_jax.errors import UserError  # noqa: E402

SECONDS = 5.0  # of the processors' time that a case may take
BYTES = 2**30  # of memory that a case may add
SPACE = 2 * BYTES  # of address space, which a library may reserve without a use
OUTCOMES = ("read", "refused", "leaked", "hung", "large")


class HungError(BaseException):
    """A case took too long; nothing that catches errors catches it."""


class Case(NamedTuple):
    """How a case ended; the error, if any, with its traceback, and the bytes that it added."""

    target: str
    number: int
    outcome: str
    error: str
    bytes: int


def run(cases: int, seed: int, only: str | None = None, first: int = 0) -> Iterator[Case]:
    """Runs cases, as many of each target.

    Args:
      cases: How many of all targets together.
      seed: A case depends on it, its target and its number alone.
      only: The one target to run.
      first: Number of the first case of each target.
    """
    from targets import TARGETS

    names = [only] if only else list(TARGETS)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch, _quiet():
        for index, name in enumerate(names):
            share = cases // len(names) + (index < cases % len(names))
            folder = Path(scratch, name.replace(" ", "_"))
            folder.mkdir()
            target = TARGETS[name](folder)
            for number in range(first, first + share):
                # A case that hangs is repeated: the first one compiles and imports.
                for _ in range(2):
                    draws = random.Random(f"{seed} {name} {number}")
                    before = _restart_peak()
                    outcome, error = _judge(target, draws, Path(scratch, "case"))
                    added = max(_status("VmHWM") - before, 0)
                    if outcome != "hung":
                        break
                if added > BYTES and outcome in ("read", "refused"):
                    outcome = "large"
                yield Case(name, number, outcome, error, added)


def _restart_peak() -> int:
    """Returns the memory in use, and has the system take it for the largest so far."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _judge(
    target: Callable[[random.Random, Path], None], draws: random.Random, folder: Path
) -> tuple[str, str]:
    """Returns a case's outcome and error."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        with _limits():
            target(draws, folder)
        return "read", ""
    except (Exception, HungError, SystemExit) as error:
        return _outcome(error), traceback.format_exc()


def _outcome(error: BaseException) -> str:
    if isinstance(error, HungError):
        return "hung"
    ours = isinstance(error, UserError) and is_a_sentence(str(error))
    if ours or (isinstance(error, SystemExit) and error.code == 2):
        return "refused"
    return "large" if isinstance(error, MemoryError) else "leaked"


def is_a_sentence(message: str) -> bool:
    """Whether people can read a message: one line that says something, of no endless length."""
    return 10 < len(message.strip()) < 2000 and "\n" not in message.strip()


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HungError

    before = signal.signal(signal.SIGPROF, stop)
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    # What never returns to Python cannot be interrupted: the program ends and shows where it was.
    faulthandler.dump_traceback_later(60 * SECONDS, exit=True, file=sys.__stderr__)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + SPACE
    resource.setrlimit(resource.RLIMIT_AS, (most, unlimited[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what is said of files that are left out, progress bars and warnings."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def table(counts: dict[str, Counter[str]], largest: dict[str, int]) -> str:
    """Returns the outcomes of each target and of all, and the memory of the largest case."""
    names = "".join(f"{name:>9}" for name in (*OUTCOMES, "MB"))
    rows = [f"{'target':<20}{'cases':>7}{names}"]
    total: Counter[str] = sum(counts.values(), Counter())
    for target, found in (*counts.items(), ("all", total)):
        cells = "".join(f"{found[name]:>9}" for name in OUTCOMES)
        most = max(largest.values(), default=0) if target == "all" else largest[target]
        rows.append(f"{target:<20}{found.total():>7}{cells}{most // 10**6:>9}")
    return "\n".join(rows)


def main() -> int:
    """Reads the command line; the exit code is 1 if anything leaked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="the one target to run")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    counts: dict[str, Counter[str]] = {}
    largest: Counter[str] = Counter()
    leaked = False
    for case in run(**vars(parser.parse_args())):
        counts.setdefault(case.target, Counter())[case.outcome] += 1
        largest[case.target] = max(largest[case.target], case.bytes)
        if case.outcome not in ("read", "refused"):
            leaked = True
            print(f"\n{case.target}, case {case.number}: {case.outcome}\n{case.error}")
    print(table(counts, largest))
    return int(leaked)


if __name__ == "__main__":
    sys.exit(main())
