"""Tables of what was measured: medians with their range, and ratios, which are taken within each round."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from .running import Result
from .scenarios import Scenario, Target

__all__ = ["Measured", "ratio", "scenario_table", "summary_table"]

#: For each row of a scenario the result of each round, None where it failed.
Measured = dict[str, list[Result | None]]


def ratio(measured: Measured, row: str, over: str, key: str) -> float | None:
    """Return the median, over the rounds, of one row's figure divided by another's; None without a common round."""
    rounds = zip(measured.get(row, []), measured.get(over, []), strict=False)
    ratios = [one[key] / other[key] for one, other in rounds if one and other and key in one and other.get(key)]
    return median(ratios) if ratios else None


def scenario_table(name: str, scenario: Scenario, measured: Measured) -> str:
    """Return a scenario's table; its first row is what the ratios refer to."""
    reference = next((row for row, results in measured.items() if any(results)), "")
    heads = [""]
    for column in scenario.columns:
        heads.append(column.heading)
        if column.ratio:
            heads.append("ratio")
    rows = []
    for row, results in measured.items():
        cells = [row]
        for column in scenario.columns:
            figures = [result[column.key] for result in results if result and column.key in result]
            cells.append(_spread(figures, column.form))
            if column.ratio:
                found = ratio(measured, row, reference, column.key)
                cells.append("" if found is None else f"{found:.2f}×")
        rows.append(cells)
    return f"{name}: {scenario.title}\n{_table(heads, rows)}"


def summary_table(targets: Sequence[Target], all_measured: dict[str, Measured]) -> str:
    """Return what was reached of the targets of the scenarios that were measured, "" where there are none.

    "by CPU" is what a ratio of rates comes to by the CPU that each takes for a message. The rates themselves
    flatter clients with several threads where other programs compete for the processors.
    """
    rows = []
    for target in targets:
        figure = _figure(target, all_measured.get(target.scenario, {}))
        if figure is None:
            continue
        good = figure >= target.bound if target.least else figure <= target.bound
        what = f"{target.row}: {target.key}" + (f" ÷ {target.over}" if target.over else "")
        cpu = ratio(all_measured[target.scenario], target.over, target.row, "cpu") if target.key == "rate" else None
        bound = f"{'≥' if target.least else '≤'} {target.bound:,g}{target.unit}"
        distance = "reached" if good else f"{figure / target.bound:.2f} of the target"
        measured = f"{figure:{target.form}}{target.unit}"
        rows.append([target.scenario, what, measured, bound, distance, "" if cpu is None else f"{cpu:.2f}×"])
    return "summary\n" + _table(["", "figure", "measured", "target", "", "by CPU"], rows) if rows else ""


def _figure(target: Target, measured: Measured) -> float | None:
    if target.over:
        return ratio(measured, target.row, target.over, target.key)
    figures = [result[target.key] for result in measured.get(target.row, []) if result]
    return median(figures) if figures else None


def _spread(figures: list[float], form: str) -> str:
    if not figures:
        return ""
    middle = format(median(figures), form)
    return f"{middle} ({min(figures):{form}}–{max(figures):{form}})" if len(figures) > 1 else middle


def _table(heads: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
