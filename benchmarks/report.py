"""Lays results out as tables, writes them, and compares them with those committed last."""

import argparse
import copy
import dataclasses
import io
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rich.box
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Benchmark, Spread, rows
from benchmarks.machine import environment, same_machine
from peclr_jax import files
from peclr_jax.places import argument
from peclr_jax.versions import ROOT, ask_git

RESULTS = ROOT / "benchmarks" / "results"
_LESS_IS_BETTER = ("_ms", "_seconds", "_mib")
_TOLERANCE = 0.05


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      figure: Its name in the rows.
      heading: Text above it.
      digits: Decimals shown.
    """

    figure: str
    heading: str
    digits: int = 1


class Change(NamedTuple):
    """A figure now and in an earlier result.

    Attributes:
      benchmark, row, figure: Place of the figure.
      before, now: Medians.
      verdict: "faster" or "slower" (of memory: "less" or "more") where the medians differ by more
        than 5 % and the ranges over the rounds do not touch; else "same".
    """

    benchmark: str
    row: str
    figure: str
    before: float
    now: float
    verdict: str


def show(value: float, digits: int) -> str:
    """Formats a number as in 1,234.5."""
    return f"{value:,.{digits}f}"


def table(title: str, benchmark: Benchmark, columns: Sequence[Column]) -> Table:
    """Lays out a benchmark: medians and half the range over the rounds; ratios below."""
    result = Table(title=title, title_justify="left", caption_justify="left")
    result.add_column("")
    for column in columns:
        result.add_column(column.heading, justify="right")
    below = []
    for name, row in rows(benchmark).items():
        if "skipped" in row:
            below.append(f"{name}: skipped, {row['skipped']}")
        else:
            cells = [_cell(row.get(figure), digits) for figure, _, digits in columns]
            result.add_row(name, *cells)
    headings = {column.figure: column.heading for column in columns}
    for pair, figures in benchmark.get("ratios", {}).items():
        for figure, one in figures.items():
            median, low, high = (show(one[key], 2) for key in ("median", "min", "max"))
            below.append(f"{pair}: {median} ({low} to {high}) of {headings.get(figure, figure)}")
    result.caption = "\n".join(below) or None
    return result


def _cell(figure: Spread | None, digits: int) -> str:
    if figure is None:
        return ""
    around = (figure["max"] - figure["min"]) / 2 / abs(figure["median"] or 1)
    return show(figure["median"], digits) + (f" ±{around:.0%}" if around else "")


def markdown(tables: Sequence[Table], heading: str) -> str:
    """Returns tables as Markdown, their captions as lists."""
    parts = [f"# {heading}"]
    for one in tables:
        bare = copy.copy(one)
        bare.title, bare.caption, bare.box = None, None, rich.box.MARKDOWN
        console = Console(width=1000, file=io.StringIO())
        console.print(bare)
        lines = [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]
        parts += [f"## {one.title}", "\n".join(lines)]
        if one.caption:
            parts.append("\n".join(f"- {line}" for line in str(one.caption).splitlines()))
    return "\n\n".join(parts) + "\n"


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Writes JSON, all of it or nothing."""
    with files.writing(path) as file:
        json.dump(result, file, indent=1, allow_nan=False)
        file.write("\n")


def committed(path: Path) -> dict[str, Any] | None:
    """Returns a result as it was last committed; `None` if there is none."""
    if not path.resolve().is_relative_to(ROOT):
        return None
    text = ask_git("show", f"HEAD:{path.resolve().relative_to(ROOT).as_posix()}")
    return None if text is None else json.loads(text)


def compare(result: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[Change]:
    """Compares every figure with that of an earlier result.

    Args:
      result: With "environment" and "results".
      before: The earlier one; `None` if there is none.

    Returns:
      One entry for every figure that both hold; none if they were measured on different machines.
    """
    if before is None or not same_machine(result["environment"], before["environment"]):
        return []
    changes = []
    for name, benchmark in result["results"].items():
        earlier = rows(before["results"].get(name, {}))
        for row_name, row in rows(benchmark).items():
            for figure in row.keys() & earlier.get(row_name, {}).keys() - {"skipped"}:
                then, now = earlier[row_name][figure], row[figure]
                verdict = _verdict(figure, then, now)
                medians = then["median"], now["median"]
                changes.append(Change(name, row_name, figure, *medians, verdict))
    return sorted(changes)


def _verdict(figure: str, before: Spread, now: Spread) -> str:
    apart = now["min"] > before["max"] or now["max"] < before["min"]
    quotient = now["median"] / before["median"] if before["median"] else math.inf
    if not apart or abs(quotient - 1) <= _TOLERANCE:
        return "same"
    if figure.endswith("_mib"):
        return "more" if quotient > 1 else "less"
    return "slower" if (quotient > 1) == figure.endswith(_LESS_IS_BETTER) else "faster"


def changes_table(changes: Sequence[Change]) -> Table:
    """Lays out the figures that have changed."""
    result = Table("", "", "figure", "before", "now", "", title="Since the last committed result")
    result.title_justify = result.caption_justify = "left"
    for change in changes:
        if change.verdict != "same":
            before, now = show(change.before, 2), show(change.now, 2)
            result.add_row(*change[:3], before, now, change.verdict)
    same = sum(change.verdict == "same" for change in changes)
    result.caption = (
        f"{same} figures are the same" if changes else "there is none of these, or not from here"
    )
    return result


def add_flags(parser: argparse.ArgumentParser, defaults: Any) -> None:
    """Adds a flag for every field of a dataclass of numbers, strings and tuples of them."""
    for field in dataclasses.fields(defaults):
        value = getattr(defaults, field.name)
        if isinstance(value, tuple):
            parser.add_argument(f"--{field.name}", type=type(value[0]), nargs="+", default=value)
        else:
            parser.add_argument(f"--{field.name}", type=type(value), default=value)


def run_alone(
    doc: str,
    defaults: Any,
    toy: Any,
    measure: Callable[[Any], Benchmark],
    lay_out: Callable[[Benchmark], Table],
) -> None:
    """Runs one benchmark by its flags: the `main` of a module that holds one."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--toy", action="store_true", help="the smallest sizes: does it run?")
    parser.add_argument("--output", type=argument, help="JSON file to write; none by default")
    add_flags(parser, toy if "--toy" in sys.argv else defaults)
    given = vars(parser.parse_args())
    output = given.pop("output")
    given.pop("toy")
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    # Before the work, during which somebody may commit.
    place = environment() if output else None
    benchmark = measure(type(defaults)(**given))
    Console().print(lay_out(benchmark))
    if output:
        name = Path(sys.argv[0]).stem
        write(output, {"environment": place, "results": {name: benchmark}})
