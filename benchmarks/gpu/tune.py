"""Tries settings of one step: flags of XLA, recomputation, micro-batches."""

import contextlib
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.gpu import plan, turns
from benchmarks.gpu.plan import Attempt, Group, Scale, Setting
from benchmarks.gpu.turns import Budget
from benchmarks.harness import Benchmark, Candidate

DEFAULT = plan.SETTINGS[0].name
COMBINED = "combined"
# Smaller gains are noise.
_GAIN = 0.01


def measure(
    scale: Scale,
    budget: Budget,
    *,
    settings: Sequence[Setting] = plan.SETTINGS,
    before: Mapping[str, Benchmark] | None = None,
    console: Console | None = None,
) -> tuple[dict[str, Benchmark], dict[str, str]]:
    """Measures each setting in turn with the default, then all faster ones together.

    Args:
      scale: The sizes.
      budget: The time that is left.
      settings: The settings, the default first.
      before: Settings measured earlier, which are kept.
      console: Shows the progress.

    Returns:
      Rows and ratio to the default by the setting's name; and why settings were left out.
    """
    results, left_out = dict(before or {}), {}
    sizes = plan.sizes_of(scale, scale.shallow, scale.usual)
    lasted = 0.0

    def candidate(setting: Setting) -> Candidate:
        return plan.setting_candidate(setting, sizes, scale.seconds / 2)

    with contextlib.ExitStack() as stack:
        default = turns.start(candidate(settings[0]), budget, stack)

        def against_default(name: str, setting: Setting) -> None:
            nonlocal lasted
            if lasted > budget.left():
                left_out[name] = f"would take some {lasted:.0f} s, {budget.left():.0f} s were left"
                return
            if console:
                console.print(f"{name} ({budget.left():.0f} s left)", highlight=False)
            began = budget.left()
            attempts = {name: [Attempt("", candidate(setting))]}
            group = Group(name, attempts, scale.rounds, 0.0, [(name, DEFAULT)])
            results[name] = turns.measure(group, budget, running={DEFAULT: default})
            lasted = began - budget.left()

        for setting in settings[1:]:
            if setting.name not in results:
                against_default(setting.name, setting)
        gained = _gained(results, settings)
        if len(gained) > 1:
            against_default(COMBINED, combine(gained))
    return results, left_out


def combine(settings: Sequence[Setting]) -> Setting:
    """Joins settings; where two change a field the later one counts."""
    fields = {name: value for one in settings for name, value in one.fields.items()}
    flags = " ".join(one.flags for one in settings if one.flags)
    return Setting(" + ".join(one.name for one in settings), flags, fields)


def gain(benchmark: Benchmark) -> float:
    """Returns by how much a setting is faster than the default: 0.1 for a tenth."""
    for figures in benchmark.get("ratios", {}).values():
        return figures["pairs_per_second"]["median"] - 1
    return 0.0


def command(results: Mapping[str, Benchmark], settings: Sequence[Setting] = plan.SETTINGS) -> str:
    """Returns the best setting as a command."""
    known = {one.name: one for one in settings}
    known[COMBINED] = combine(_gained(results, settings))
    tried = [name for name in results if name in known]
    best = max(tried, key=lambda name: gain(results[name]), default="")
    if not best or gain(results[best]) <= _GAIN:
        return "Nothing was more than 1 % faster than the default."
    chosen = known[best]
    flags = f'XLA_FLAGS="{chosen.flags}" ' if chosen.flags else ""
    fields = "".join(f" --config.{name}={value}" for name, value in chosen.fields.items())
    return (
        f"Best: {best}, {100 * gain(results[best]):.1f} % faster:\n"
        f"{flags}python main.py --config=configs/pretrain.py:rendered_rn50{fields}"
    )


def table(results: Mapping[str, Benchmark]) -> Table:
    """Lays out all settings, each by its ratio to the default."""
    columns = ("setting", "pairs/s", "of the default", "MiB", "seconds to compile")
    laid_out = Table(*columns, title="Settings", title_justify="left")
    for name, benchmark in sorted(results.items(), key=lambda item: -gain(item[1])):
        row = benchmark[name]
        if "skipped" in row:
            laid_out.add_row(name, "", f"skipped: {row['skipped']}", "", "")
            continue
        medians = {figure: one["median"] for figure, one in row.items()}
        ratio = benchmark["ratios"].get(f"{name} / {DEFAULT}")  # none if the default has failed
        laid_out.add_row(
            name,
            report.show(medians["pairs_per_second"], 0),
            _against_default(ratio["pairs_per_second"]) if ratio else "not measured",
            report.show(medians.get("device_peak_mib", medians["program_mib"]), 0),
            report.show(medians["compile_seconds"], 0),
        )
    return laid_out


def _against_default(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})"


def _gained(results: Mapping[str, Benchmark], settings: Sequence[Setting]) -> list[Setting]:
    return [one for one in settings[1:] if gain(results.get(one.name, {})) > _GAIN]
