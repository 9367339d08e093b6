"""Measures the step of pre-training on one accelerator, beside PyTorch's, within a time limit.

    benchmarks/gpu.sh [--minutes 9] [--output benchmarks/results] [--tune]

It needs JAX, Flax, Optax, Orbax and the few packages that `gpu.sh` names, but no TensorFlow.
PyTorch for the peers and OpenCV for the official augmentation are left out where they are
missing.

It measures, the most valuable first: what the card attains; ResNet-50 and -152 at 128 px in
bfloat16, 256 to 2048 pairs a batch, in the step that `main.py` takes (augmentation, forward,
loss, backward, update); its parts; its memory; the cost of the host; and in turn with it two
PyTorch twins (benchmarks/peers/torch_twin.py). What did not fit into the time is listed; the same
command with `--continue` and the same `--output` and `--cache` measures the rest.

`--tune` tries XLA's switches and our own on ResNet-50 instead, and prints the best as a command.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import harness, machine, report
from benchmarks.gpu import plan, tables, tune, turns
from benchmarks.gpu.plan import Scale
from benchmarks.gpu.turns import Budget
from benchmarks.harness import Benchmark
from peclr_jax import files
from peclr_jax.places import argument

PACKAGES = (*machine.PACKAGES, "jax-cuda13-plugin", "nvidia-cudnn-cu13")
REQUIRED = ("jax", "flax", "optax", "orbax", "jaxtyping", "ml_collections")
TUNING = "gpu_tuning"
# Seconds kept for tables and files.
_RESERVE = 10.0


def missing_packages() -> str | None:
    """Says in one sentence what to install; `None` if nothing is missing."""
    names = [name for name in REQUIRED if harness.missing(name)]
    if not names:
        return None
    return (
        f"{', '.join(names)} cannot be imported: install {'them' if len(names) > 1 else 'it'} by "
        f"`pip install --no-deps {' '.join(names)}`, or give a folder that holds the wheels by "
        "`benchmarks/gpu.sh --wheels DIR`"
    )


def measure(
    scale: Scale,
    budget: Budget,
    *,
    patterns: tuple[str, ...] = ("*",),
    cached: bool = False,
    before: Mapping[str, Benchmark] | None = None,
    console: Console | None = None,
) -> tuple[dict[str, Benchmark], dict[str, str]]:
    """Measures the groups that fit into the time.

    Args:
      scale: The sizes.
      budget: The time that is left.
      patterns: Names of the groups to measure, with "*".
      cached: Whether the programs are likely in a cache.
      before: Groups measured earlier, which are kept.
      console: Shows the progress.

    Returns:
      The groups' rows, and why groups were left out.
    """
    results, left_out = dict(before or {}), {}
    for group in plan.groups(scale, cached=cached):
        if group.name in results:
            continue
        if not any(fnmatch.fnmatch(group.name, pattern) for pattern in patterns):
            left_out[group.name] = "not asked for"
        elif group.expected > budget.left():
            left_out[group.name] = (
                f"would take some {group.expected:.0f} s, {budget.left():.0f} s were left"
            )
        else:
            if console:
                console.print(f"{group.name} ({budget.left():.0f} s left)", highlight=False)
            results[group.name] = turns.measure(group, budget)
    return results, left_out


def write_report(
    result: Mapping[str, Any], scale: Scale, output: Path | None, name: str
) -> list[Table]:
    """Returns the tables of a result, and writes it as JSON and Markdown if a folder is given."""
    derived = tables.derive(result["results"], result["environment"]["device"])
    shown = [tune.table(derived)] if name == TUNING else tables.tables(derived)
    if name != TUNING and scale.device != "cpu":
        shown.append(tables.targets(derived, scale.shallow, scale.usual, scale.most))
    if result["left_out"]:
        shown.append(tables.left_out_table(result["left_out"]))
    if output is None:
        return shown
    path = output / f"{name}.json"
    changes = report.compare({**result, "results": derived}, report.committed(path))
    if changes:
        shown.append(report.changes_table(changes))
    output.mkdir(parents=True, exist_ok=True)
    report.write(path, {**result, "results": derived})
    about = result["environment"]
    heading = f"{about['device']}, {about['date'][:10]}, commit {(about['commit'] or '?')[:12]}"
    with files.writing(output / f"{name}.md") as file:
        file.write(report.markdown(shown, heading) + f"\n{tables.CAPTION}\n")
    return shown


@contextlib.contextmanager
def caches(folder: Path | None) -> Iterator[bool]:
    """Sets a folder of compiled programs for all processes; yields whether it holds some."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        variables = {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "torch"),
            "TRITON_CACHE_DIR": str(folder / "triton"),
            # Candidates of two libraries share the card: allocate as needed, up to nearly all.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        held = {name: value for name, value in variables.items() if name not in os.environ}
        os.environ.update(held)
        stack.callback(lambda: [os.environ.pop(name) for name in held])
        yield (folder / "jax").is_dir()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="when to end")
    parser.add_argument(
        "--output",
        type=argument,
        help="folder of gpu.json and gpu.md: benchmarks/results; a toy's: none",
    )
    parser.add_argument("--rows", nargs="+", default=["*"], help="groups to measure, with *")
    parser.add_argument("--tune", action="store_true", help="try settings on ResNet-50 instead")
    parser.add_argument("--continue", action="store_true", dest="go_on", help="keep what is there")
    parser.add_argument("--cache", type=argument, help="folder of compiled programs, kept")
    parser.add_argument("--toy", action="store_true", help="tiny sizes on the CPU: does it run?")
    flags = parser.parse_args(arguments)
    if flags.output is None and not flags.toy:
        flags.output = report.RESULTS
    return flags


def main(arguments: list[str] | None = None) -> None:
    flags = parse(arguments)
    budget = Budget(60 * flags.minutes - _RESERVE)
    if problem := missing_packages():
        raise SystemExit(problem)
    if flags.toy:
        os.environ["JAX_PLATFORMS"] = "cpu"
    scale = plan.TOY if flags.toy else Scale()
    name = TUNING if flags.tune else "gpu"
    environment = machine.environment(PACKAGES)
    if environment["device"] in ("cpu", "unknown") and not flags.toy:
        raise SystemExit(
            "JAX finds no accelerator here: install jax[cuda13], or see that it runs by --toy"
        )
    before, console = {}, Console()
    if flags.go_on and flags.output:
        before = earlier(flags.output / f"{name}.json", environment)
    with caches(flags.cache) as cached:
        if flags.tune:
            results, left_out = tune.measure(scale, budget, before=before, console=console)
        else:
            results, left_out = measure(
                scale,
                budget,
                patterns=tuple(flags.rows),
                cached=cached,
                before=before,
                console=console,
            )
    result = {"environment": environment, "results": results, "left_out": left_out}
    for table in write_report(result, scale, flags.output, name):
        console.print(table)
    said = tune.command(results) if flags.tune else tables.CAPTION
    console.print(said, soft_wrap=True, highlight=False)


def earlier(path: Path, environment: Mapping[str, Any]) -> dict[str, Benchmark]:
    """Returns what was measured earlier, of the same code on the same machine.

    Raises:
      SystemExit: If the file is of another machine or commit.
    """
    if not path.is_file():
        return {}
    result = json.loads(path.read_text())
    if (
        not machine.same_machine(result["environment"], environment)
        or result["environment"]["commit"] != environment["commit"]
    ):
        raise SystemExit(
            f"{path} is of another machine or commit: leave --continue out, or choose another "
            "--output"
        )
    return {
        name: benchmark
        for name, benchmark in result["results"].items()
        if not any("skipped" in row for row in harness.rows(benchmark).values())
    }


if __name__ == "__main__":
    main()
