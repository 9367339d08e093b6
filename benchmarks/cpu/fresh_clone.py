"""Minutes that `make pretrain`, `make demo` and `make test` take in fresh clones.

    python -m benchmarks.cpu.fresh_clone [--targets pretrain demo test]

Each target has a clone of the last commit and a user's home of its own: no environment, no caches,
no downloads kept. The installation, which depends on the network, is a row's other column.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks import harness, process, report
from benchmarks.harness import Benchmark, Figures
from benchmarks.report import Column
from peclr_jax import versions

# Targets of the Makefile that install for others.
_TEST_INSTALLATION = ".venv/installed-test"
_INSTALLATIONS = {"test": _TEST_INSTALLATION, "test-slow": _TEST_INSTALLATION}


@dataclass(frozen=True)
class Settings:
    """`targets` are of the Makefile; a round is a clone for each."""

    targets: tuple[str, ...] = ("pretrain", "demo", "test")
    rounds: int = 1


TOY = Settings(targets=("lint",))


def one_round(target: str, repository: Path) -> Figures:
    """Clones a repository, installs, and makes a target.

    Returns:
      "installation_seconds", "seconds" (without it) and "peak_memory_mib".

    Raises:
      CandidateError: If one of the three failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        home, clone = Path(scratch, "home"), Path(scratch, "clone")
        home.mkdir()
        process.run(["git", "clone", "-q", str(repository), str(clone)])
        # Python's and git's places are known by variables; all caches lie below the user's home.
        kept = {name: value for name, value in os.environ.items() if "CACHE" not in name}
        environment = {**kept, "HOME": str(home)}
        make = ["make", f"PYTHON={sys.executable}"]
        install = [*make, _INSTALLATIONS.get(target, ".venv/installed")]
        installed = process.run(install, folder=clone, environment=environment)
        made = process.run([*make, target], folder=clone, environment=environment)
        return {"installation_seconds": installed["seconds"], **made}


def measure(settings: Settings) -> Benchmark:
    all_rounds = [
        {target: one_round(target, versions.ROOT) for target in settings.targets}
        for _ in range(settings.rounds)
    ]
    measured: Benchmark = {
        f"make {target}": {
            figure: harness.spread([one[target][figure] for one in all_rounds])
            for figure in all_rounds[0][target]
        }
        for target in settings.targets
    }
    return harness.with_ratios(measured, [], settings)


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("seconds", "s", 0),
        Column("installation_seconds", "s to install before", 0),
        Column("peak_memory_mib", "peak MiB of a process", 0),
    ]
    return report.table("Fresh clones", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
