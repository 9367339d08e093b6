"""Runs the benchmarks of the CPU one after the other.

    benchmarks/cpu.sh                                # all; writes benchmarks/results/cpu.json, .md
    benchmarks/cpu.sh --only augmentation,nt_xent    # these; the other results stay as they are
    benchmarks/cpu.sh --toy                          # the smallest sizes: does it run? No file

At the end it says what has changed since the result that was committed last.
"""

import argparse
import dataclasses
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from benchmarks import harness, machine, process, report
from peclr_jax import files
from peclr_jax.places import argument, expanded

BENCHMARKS = (
    "augmentation",
    "train_step",
    "ingest",
    "inference",
    "render",
    "startup",
    "nt_xent",
)
OUTPUT = report.RESULTS / "cpu.json"


def measure(name: str, toy: bool, options: Mapping[str, Any]) -> harness.Benchmark:
    """Runs one benchmark.

    Args:
      name: One of `BENCHMARKS`.
      toy: Whether to run it at its smallest sizes.
      options: Fields of its `Settings`; those that it does not have are left out.
    """
    module = _module(name)
    settings = module.TOY if toy else module.Settings()
    fields = {field.name for field in dataclasses.fields(settings)}
    known = {field: value for field, value in options.items() if field in fields}
    return module.measure(dataclasses.replace(settings, **known))


def merge(result: dict[str, Any], path: Path) -> dict[str, Any]:
    """Adds the results in a file of benchmarks that were not run now.

    Raises:
      ValueError: If the file was measured elsewhere or with other versions.
    """
    if not path.exists() or set(result["results"]) == set(BENCHMARKS):
        return result
    before = json.loads(path.read_text())
    here, there = result["environment"], before["environment"]
    if not machine.same_machine(here, there) or here["versions"] != there["versions"]:
        raise ValueError(
            f"{path} was measured on another machine or with other versions: run all benchmarks, "
            "or name another file by --output"
        )
    together = before["results"] | result["results"]
    return {**result, "results": {name: together[name] for name in BENCHMARKS if name in together}}


def as_markdown(result: Mapping[str, Any]) -> str:
    """Writes a result as Markdown."""
    tables = [_module(name).table(one) for name, one in result["results"].items()]
    place = result["environment"]
    versions = ", ".join(f"{name} {v or 'none'}" for name, v in place["versions"].items())
    commits = {one["measured"]["commit"] for one in result["results"].values()}
    heading = "Benchmarks of the CPU"
    return report.markdown(tables, heading) + (
        f"\n{place['processor']}, {place['vectors']}, {place['cores']} cores, "
        f"{place['memory_gib']} GiB; {versions}; "
        f"commit {', '.join(sorted(map(str, commits)))}"
        f"{'' if place['clean'] else ' with changes'}; {place['date']}. "
        "Medians, ± half the range over the rounds.\n"
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise argparse.ArgumentTypeError(
            f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}"
        )
    return names


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.cpu.{name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the flags say; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=_names, default=BENCHMARKS, metavar="NAME,...", help=", ".join(BENCHMARKS)
    )
    parser.add_argument("--rounds", type=int, help="turns of every candidate")
    parser.add_argument("--seconds", type=float, help="of a candidate's turn")
    parser.add_argument("--toy", action="store_true", help="the smallest sizes: does it run?")
    parser.add_argument("--images", type=expanded, default="", help="folder of JPEGs for `ingest`")
    parser.add_argument("--output", type=argument, help=f"default: {OUTPUT}; none with --toy")
    flags = parser.parse_args(arguments)
    output = flags.output or (None if flags.toy else OUTPUT)
    given = {"rounds": flags.rounds, "seconds": flags.seconds, "images": flags.images}
    options = {name: value for name, value in given.items() if value}
    console = Console()

    place = machine.environment(device="cpu")
    result: dict[str, Any] = {"environment": place, "results": {}}
    if output:
        merge(result, output)  # refuses before the work what could not be written after it
    for name in (name for name in BENCHMARKS if name in flags.only):
        benchmark = measure(name, flags.toy, options)
        benchmark["measured"] = {key: place[key] for key in ("commit", "clean", "date")}
        result["results"][name] = benchmark
        console.print(_module(name).table(benchmark), "")
    if output:
        result = merge(result, output)
        report.write(output, result)
        with files.writing(output.with_suffix(".md")) as file:
            file.write(as_markdown(result))
        console.print(f"Written: {output}, {output.with_suffix('.md')}")
    console.print(report.changes_table(report.compare(result, report.committed(OUTPUT))))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, process.CandidateError) as error:
        sys.exit(f"error: {error}")
