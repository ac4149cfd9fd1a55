"""Measure `Stream` side by side with its peers: `python -m tests.benchmarks [SCENARIO …]`.

Prints a table for each scenario, and at the end what was reached of the targets. Asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence

from .report import Measured, scenario_table, summary_table
from .running import Failed
from .scenarios import SCENARIOS, TARGETS, Scenario, Size

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the scenarios that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = ", ".join(SCENARIOS)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"one or more of {names}; default: all")
    parser.add_argument("--quick", action="store_true", help="short runs, three rounds")
    parser.add_argument("--runs", type=int, metavar="N", help="rounds; default 5")
    parser.add_argument("--messages", type=int, metavar="N", help="messages of a saturated run; default 1,000,000")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="CLIENT",
        help="only rows with this in their name; repeatable",
    )
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are {names}")
    size = Size(200_000, 1.5) if chosen.quick else Size()
    if chosen.messages:
        size = size._replace(messages=chosen.messages)
    rounds = chosen.runs or (3 if chosen.quick else 5)
    print(f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores, {rounds} rounds")
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > 0.5:
        print(f"The load average is {load:.1f}: other programs are running. Trust ratios and CPU more than rates.")
    all_measured: dict[str, Measured] = {}
    for name in chosen.scenarios or SCENARIOS:
        scenario = SCENARIOS[name]
        measured, notes = _measured(scenario, size, min(rounds, scenario.runs), chosen.only)
        all_measured[name] = measured
        if measured:
            print("\n" + scenario_table(name, scenario, measured))
        for note in notes:
            print(f"  {note}")
        sys.stdout.flush()
    summary = summary_table(TARGETS, all_measured)
    if summary:
        print("\n" + summary)


def _measured(scenario: Scenario, size: Size, rounds: int, only: list[str]) -> tuple[Measured, list[str]]:
    """Measure all rows in turn, round after round; return the results and what has to be said of them.

    A row that has failed is not run again: that can take as long as its limit.
    """
    entries, notes = [], []
    for entry in scenario.entries(size):
        if only and not any(part in entry.label for part in only):
            continue
        if entry.missing:
            notes.append(f"{entry.label} was left out: {', '.join(entry.missing)} is not installed")
        else:
            entries.append(entry)
    measured: Measured = {entry.label: [] for entry in entries}
    for number in range(rounds):
        for entry in [entry for entry in entries if None not in measured[entry.label]]:
            _progress(f"round {number + 1} of {rounds}: {entry.label}")
            try:
                measured[entry.label].append(entry.run())
            except Failed as failure:
                measured[entry.label].append(None)
                notes.append(f"{entry.label} failed in round {number + 1}: {failure}")
    _progress("")
    return measured, notes


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
