"""Feeds damaged files and impossible values to all that reads what others wrote.

    python tests/stress/fuzz.py --cases 2000 --seed 0

Every case must succeed, or fail as a mistake of the user's: an error that our own code raised, in
one sentence. It must not hang or take much memory. Prints a table of what came out; each leak is
told with its case's number, by which `--only TARGET --first NUMBER --cases 1` repeats it.
"""

import argparse
import contextlib
import faulthandler
import functools
import importlib.util
import io
import logging
import os
import random
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
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
for place in (Path(__file__).parent, ROOT):
    sys.path.insert(0, str(place))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from peclr_jax.errors import UserError  # noqa: E402

SECONDS = 5.0
"""That a case may take."""
BYTES = 2 * 2**30
"""Of address space that a case may add."""
OUTCOMES = ("read", "refused", "leaked", "hung")


class HungError(BaseException):
    """A case took too long; nothing that catches errors catches it."""


class Leak(NamedTuple):
    """A case that did not end as it should.

    Attributes:
      target: name in `targets.TARGETS`.
      number: of the case.
      outcome: "leaked" or "hung".
      error: what was raised, with its traceback.
    """

    target: str
    number: int
    outcome: str
    error: str


class Result(NamedTuple):
    """What came out.

    Attributes:
      counts: of outcomes, by target.
      leaks: every case that was neither read nor refused.
    """

    counts: dict[str, Counter[str]]
    leaks: list[Leak]


@contextlib.contextmanager
def loaded_main() -> Iterator[ModuleType]:
    """The command line's module; its flags are undefined again at the end."""
    from absl import flags

    spec = importlib.util.spec_from_file_location("main_under_fuzz", ROOT / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["main_under_fuzz"] = module  # absl looks up who defines a flag
    spec.loader.exec_module(module)
    try:
        yield module
    finally:
        for name in ("config", "workdir", "cache_dir"):
            delattr(flags.FLAGS, name)
        del sys.modules["main_under_fuzz"]


def run(cases: int, seed: int, only: str | None = None, first: int = 0) -> Result:
    """Runs cases, as many of each target.

    Args:
      cases: of all targets together.
      seed: a case depends on it, its target and its number alone.
      only: the one target to run.
      first: number of the first case of each target.
    """
    from targets import TARGETS, config_flags

    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        with loaded_main() as main, _quiet():
            makers: dict[str, Callable[[Path], Any]] = {
                "config flags": lambda folder: config_flags(folder, main),
                **TARGETS,
            }
            names = [only] if only else list(makers)
            counts: dict[str, Counter[str]] = {}
            leaks: list[Leak] = []
            for index, name in enumerate(names):
                share = cases // len(names) + (index < cases % len(names))
                folder = scratch / name.replace(" ", "_")
                folder.mkdir()
                case = makers[name](folder)
                counts[name] = Counter()
                for number in range(first, first + share):
                    judge = functools.partial(_judged, name, number, seed, case, scratch / "case")
                    if (leak := judge()).outcome == "hung":
                        leak = judge()  # perhaps only for what else the machine had to do
                    counts[name][leak.outcome] += 1
                    if leak.outcome in OUTCOMES[2:]:
                        leaks.append(leak)
        return Result(counts, leaks)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _judged(
    name: str,
    number: int,
    seed: int,
    case: Callable[[random.Random, Path], None],
    folder: Path,
) -> Leak:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        # Its errors may bring what it allocated with them.
        with _limits():
            case(random.Random(f"{seed} {name} {number}"), folder)
    except HungError:
        return Leak(name, number, "hung", traceback.format_exc())
    except SystemExit as stop:
        return Leak(name, number, "refused" if stop.code == 2 else "leaked", traceback.format_exc())
    except Exception as error:
        ours = isinstance(error, UserError) and is_a_sentence(str(error))
        return Leak(name, number, "refused" if ours else "leaked", traceback.format_exc())
    return Leak(name, number, "read", "")


def is_a_sentence(message: str) -> bool:
    """Whether people can read a message: one line that says something, of no endless length."""
    return 10 < len(message.strip()) < 2000 and "\n" not in message.strip()


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, stop)
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    # What never returns to Python cannot be interrupted; a test that hangs says nothing.
    faulthandler.dump_traceback_later(10 * SECONDS, exit=True, file=sys.__stderr__)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, unlimited[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what is said of files that are left out, progress bars and warnings."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(disabled)


def table(result: Result) -> str:
    """Returns the counts for people."""
    rows = [f"{'target':<20}{'cases':>7}" + "".join(f"{name:>9}" for name in OUTCOMES)]
    total: Counter[str] = sum(result.counts.values(), Counter())
    for target, counts in (*result.counts.items(), ("all", total)):
        cells = "".join(f"{counts[name]:>9}" for name in OUTCOMES)
        rows.append(f"{target:<20}{counts.total():>7}{cells}")
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
    arguments = parser.parse_args()
    result = run(**vars(arguments))
    for leak in result.leaks:
        print(f"\n{leak.target}, case {leak.number}: {leak.outcome}\n{leak.error}")
    print(table(result))
    return 1 if result.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
