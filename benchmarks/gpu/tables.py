"""Utilisation, targets and tables of the figures of `benchmarks/gpu.sh`."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from benchmarks import harness, report
from benchmarks.compiled import roofline
from benchmarks.gpu.plan import BEST, CEILINGS, OFFICIAL, OPENCV, OURS
from benchmarks.harness import Benchmark, Row, Spread
from benchmarks.report import Column

PARTS = ("augmentation", "forward", "loss", "backward", "optimizer")
NOT_MEASURED = "not measured"

COLUMNS = (
    Column("pairs_per_second", "pairs/s", 0),
    Column("step_ms", "ms a step", 1),
    Column("device_peak_mib", "MiB", 0),
    Column("program_mib", "of the step", 0),
    Column("mfu_percent", "% peak", 1),
    Column("of_matmul_percent", "% matmul", 1),
    Column("of_bandwidth_percent", "% bytes", 1),
    Column("host_percent", "% host", 1),
)
CAPTION = (
    "A pair is an image, of which the network sees two views: views/s are twice the pairs/s. "
    "MiB: the most of the card's memory that was held, the search for algorithms and, for us, a "
    "cached data set included; of the step: what its program holds at once. "
    "% peak: model FLOP utilisation, of the maker's rate for dense bfloat16; % matmul: the same of "
    "the rate that a large product of matrices attains here; % bytes: the least time in which the "
    "bytes of the rule 'fused' (benchmarks/compiled/passes.py) pass through memory at the "
    "bandwidth of a large copy here, of the time taken; % host: by how much a step on a data set "
    "cached on the device is longer than on one constant batch."
)


def derive(results: Mapping[str, Benchmark], device: str) -> dict[str, Benchmark]:
    """Adds the figures that are computed from others, round by round.

    Args:
      results: Groups of rows, as measured.
      device: Name of the device, to find its data sheet.
    """
    ceilings = results.get(CEILINGS, {}).get("attained", {})
    promised = roofline.datasheet(device)
    rates = {
        "mfu_percent": promised.flops if promised else None,
        "of_matmul_percent": _median(ceilings, "matmul_tflops", 1e12),
    }
    bandwidth = _median(ceilings, "copy_tbs", 1e12)
    derived = {}
    for name, benchmark in results.items():
        ours = benchmark.get(OURS, {})
        flops = _median(ours, "model_tflop", 1e12)
        moved = _median(ours, "fused_gb", 1e9)
        derived[name] = dict(benchmark)
        for row_name, row in harness.rows(benchmark).items():
            if "step_ms" not in row or flops is None:
                continue
            added: Row = {}
            for figure, rate in rates.items():
                if rate:
                    added[figure] = _from_time(row, 100 * flops / rate)
            if bandwidth and moved:
                added["of_bandwidth_percent"] = _from_time(row, 100 * moved / bandwidth)
            if "constant_batch_ms" in row:
                pairs = zip(
                    row["step_ms"]["rounds"], row["constant_batch_ms"]["rounds"], strict=True
                )
                added["host_percent"] = harness.spread([100 * (a / b - 1) for a, b in pairs])
            derived[name][row_name] = {**row, **added}
    return derived


def targets(results: Mapping[str, Benchmark], shallow: str, usual: int, most: int) -> Table:
    """Lays out the targets beside what was measured."""
    table = Table("target", "measured", "", title="Targets", title_justify="left")
    beside = results.get(f"{shallow}, {usual} pairs", {})
    parts = results.get(f"parts of {shallow}, {usual} pairs", {}).get(OURS, {})
    ours, ratios = beside.get(OURS, {}), beside.get("ratios", {})

    def add(target: str, value: float | None, reached: bool, shown: str) -> None:
        if value is None:
            table.add_row(target, NOT_MEASURED, "")
        else:
            table.add_row(target, shown, "reached" if reached else "missed")

    for peer, wanted in ((BEST, 1.3), (OFFICIAL, 6.0)):
        value = _median(ratios.get(f"{OURS} / {peer}", {}), "pairs_per_second")
        add(
            f"at least {wanted} x {peer}, augmentation on the card in both",
            value,
            (value or 0) >= wanted,
            f"{value or 0:.2f}",
        )
    bound = _official_bound(beside)
    mine = _median(ours, "pairs_per_second")
    value = mine / bound if mine and bound else None
    add(
        "at least 6.0 x the official recipe as published: the slower of its step and OpenCV on all "
        "cores, an upper bound of its speed",
        value,
        (value or 0) >= 6,
        f"{value or 0:.2f}",
    )
    value = _median(parts, "augmentation_percent")
    add("augmentation under 4 % of the step", value, (value or 9) < 4, f"{value or 0:.1f} %")
    value = _median(ours, "host_percent")
    add(
        "a data set on the device within 2 % of one constant batch",
        value,
        value is not None and value < 2,
        f"{value or 0:.1f} %",
    )
    for name in results:
        if f"{most} pairs, all of them negatives" in name:
            row = results[name].get(OURS, {})
            value = _median(row, "pairs_per_second")
            setting = results[name].get("settings", {}).get(OURS) or "nothing recomputed"
            add(f"{name} on one card", value, True, f"{value or 0:,.0f} pairs/s, {setting}")
    value = _median(ours, "pairs_per_second")
    add(
        f"far goal: 20,000 views/s of {shallow}",
        value,
        2 * (value or 0) >= 20_000,
        f"{2 * (value or 0):,.0f}",
    )
    return table


def tables(results: Mapping[str, Benchmark]) -> list[Table]:
    """Lays out every group."""
    laid_out = []
    for name, benchmark in results.items():
        columns: tuple[Column, ...] = COLUMNS
        caption = None
        if name == CEILINGS:
            columns = (Column("matmul_tflops", "TFLOP/s", 0), Column("copy_tbs", "TB/s", 2))
            caption = "A product of bfloat16 matrices, and a copy, bytes read and written counted."
        elif name.startswith("parts of "):
            columns = tuple(Column(f"{part}_percent", part, 1) for part in PARTS)
            columns = (Column("step_ms", "ms a step", 1), *columns)
            caption = (
                "Shares of the step in %. Every part is a program of its own, on arrays of the "
                "step's shapes; the backward pass is what the whole step takes beyond them. Parts "
                "of a whole can overlap or be fused: the shares are estimates."
            )
        table = report.table(name, benchmark, columns)
        settings = benchmark.get("settings", {})
        notes = [f"{row}: {setting}" for row, setting in settings.items() if setting]
        below = [table.caption, *notes, caption]
        table.caption = "\n".join(str(line) for line in below if line) or None
        laid_out.append(table)
    return laid_out


def left_out_table(left_out: Mapping[str, str]) -> Table:
    """Lays out what was not measured, and why."""
    table = Table("not measured", "why", title="Left out", title_justify="left")
    for name, why in left_out.items():
        table.add_row(name, why)
    return table


def _official_bound(beside: Benchmark) -> float | None:
    """Returns the bound of the official recipe, pairs a second, by its step and augmentation."""
    official = beside.get(OFFICIAL, {})
    step = _median(official, "views_given_ms")
    pairs, whole = _median(official, "pairs_per_second"), _median(official, "step_ms")
    augmentation = _median(beside.get(OPENCV, {}), "pairs_per_second")
    if not (step and pairs and whole and augmentation):
        return None
    return min(pairs * whole / step, augmentation)


def _median(row: Mapping[str, Any], figure: str, scale: float = 1.0) -> float | None:
    return row[figure]["median"] * scale if figure in row else None


def _from_time(row: Row, seconds: float) -> Spread:
    """Returns the least seconds of a step as a share of its time."""
    return harness.spread([seconds / (one / 1000) for one in row["step_ms"]["rounds"]])
