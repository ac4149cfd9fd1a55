"""Drive this package's receive path through Autobahn's cases, and plain websocket-client beside it.

Prints what Autobahn's fuzzing server says of both, and each case in which this package fails and websocket-client does
not; the exit code is 1 where there is one. Compression (groups 12 and 13) is left out: neither client offers it.
The suite runs under Python 2.7; where none is found, a sentence says so and nothing is run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import websocket

from kucoin_sync import KucoinSyncError

from .clients import CLIENTS, ask
from .report import failures_beyond, less_strict, table
from .suite import Failed, find_python, install, serve, verdicts

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="one or more such as 6.* or 7.1.1; default: all")
    parser.add_argument("--python", metavar="PATH", help="the Python 2.7 to run the suite with")
    parser.add_argument("--folder", type=Path, help="where to install the suite and keep its reports; default: nowhere")
    chosen = parser.parse_args(arguments)
    python = find_python(chosen.python)
    if python is None:
        print("Skipped: Autobahn's test suite needs a Python 2.7, and none was found.")
        return 0
    with nullcontext(chosen.folder) if chosen.folder else tempfile.TemporaryDirectory(prefix="autobahn-") as name:
        folder = Path(name).resolve()
        try:
            return _compare(python, folder, chosen.cases or ["*"])
        except Failed as failure:
            print(f"Not run: {failure}", file=sys.stderr)
            return 2


def _compare(python: str, folder: Path, cases: list[str]) -> int:
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    _progress(f"installing the suite under {python}")
    wstest = install(python, folder)
    with serve(wstest, reports, cases) as url:
        count = int(ask(f"{url}/getCaseCount"))
        for name, echo in CLIENTS.items():
            for number in range(1, count + 1):
                _progress(f"{name}: case {number} of {count}")
                try:
                    echo(f"{url}/runCase?case={number}&agent={name}")
                except (KucoinSyncError, websocket.WebSocketException, OSError) as error:
                    print(f"{name} could not run case {number}: {error}", file=sys.stderr)
        ask(f"{url}/updateReports?agent={name}")
    _progress("")
    found = verdicts(reports)
    print(table({name: found.get(name, {}) for name in CLIENTS}))
    both = [found.get(name, {}) for name in CLIENTS]
    if remarks := less_strict(*both):
        # A batch is read at once: what breaks the rules is answered before the message ahead of it can be echoed.
        print("\nNo failures, but less strict than websocket-client:", *remarks, sep="\n  ")
    if failures := failures_beyond(*both):
        print("\nFailures beyond websocket-client's own:", *failures, sep="\n  ")
        return 1
    print("\nNo failure beyond websocket-client's own.")
    return 0


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
