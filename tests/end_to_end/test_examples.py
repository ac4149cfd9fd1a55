"""Each example runs on the local KuCoin, shows what it is for, ends by itself, and takes Ctrl-C for an end."""

from __future__ import annotations

import csv
import importlib.util
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from ..support.processes import HEAR
from ..support.selection import spread

EXAMPLES = Path(__file__).parents[2] / "examples"
BRANCHES = (
    "ETH-USDT ticker:", "snapshot of the market BTC:", "snapshot of KCS-BTC:", "ticker of all:", "level 2 of KCS-BTC:",
    "trade of BTC-USDT:", "level 3: received:", "level 3: open:", "level 3: done:", "level 3: match:",
    "level 3: change:", "level 3: my stop order was activated:", "balance:",
)  # fmt: skip


class Example(NamedTuple):
    """How to run an example, beside `--demo`, and what it must print: patterns, each of which fits some line.

    Attributes:
        shows: while it runs, once its main thread has begun to wait.
        ends: by the time that it has ended by itself.
        quick: arguments with which it ends soon.
        endless: arguments with which it goes on until Ctrl-C.
        needs: a module without which it can't run.
    """

    shows: tuple[str, ...]
    ends: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--seconds", "1")
    endless: tuple[str, ...] = ("--seconds", "1000")
    needs: str = ""


TABLE = {
    "all_topics.py": Example((*BRANCHES, "all subscribed"), (*BRANCHES, "unsubscribed: /market/ticker:ETH-USDT, "), ()),
    "callbacks.py": Example(
        ("event   connected: spot", r"ticker  BTC-USDT \d", r"trade   (buy|sell) \d", "listening"),
        (r"\d+ messages came$",),
    ),
    "csv_writer.py": Example(("writing to trades.csv$",), (r"\d+ trades are in trades.csv$",)),
    "flask_sse.py": Example(
        (
            r"serving http://127.0.0.1:\d+/$", "event: /market/ticker:ETH-USDT$",
            r'data: {"symbol":"ETH-USDT","sequence":"\d+","price":"',
        ),
        endless=(), needs="flask",
    ),
    "redundant.py": Example(
        ("connected: spot public connection 1 ",), (r"\d+ trades and \d+ copies, 1 connections were lost, no gap$",)
    ),
    "graceful_shutdown.py": Example(
        ("working; Ctrl-C ends it$",),
        (r"/market/match:BTC-USDT: all \d+ trades handled$", "nothing left behind$"),
    ),
    "level3_queue.py": Example(
        (r"\d+ orders to buy, \d+ to sell$", r"an order to buy \S+ at \d", r"  \d+ orders before it, \S+ in all$"),
    ),
    "many_symbols.py": Example(
        ("subscribing: 150 of 150 topics confirmed", r"so far \d+ tickers"), (r"\d+ tickers of \d+ symbols",)
    ),
    "order_book.py": Example(("whole$", r"\d+: .* the best 10 asks cost \d")),
    "pandas_notebook.py": Example(
        (r"collecting \d+ trades",), (" +open +high +low +close +volume$", "side", "9 +sell "),
        (), ("--trades", "1000000"), needs="pandas",
    ),
    "local_account.py": Example(
        (r"trade +[\d.]+ USDT available, [\d.]+ held", r"live +(buy|sell) [\d.]+ \S+ at [\d.]+"),
        (r"\d+ fills came; reconciled 1 times$",),
    ),
    "private_orders.py": Example(
        (r"order    received  (buy|sell) \S+ \w+: size \d", r"balance  \w+: \d"), (r"\d+ changes came$",)
    ),
    "prometheus.py": Example(
        (r"serving http://127.0.0.1:\d+/metrics$", r'kucoin_sync_messages_total\{stream="default"\} [1-9]',
         r'kucoin_sync_lag_seconds\{stream="default"\} \d'),
    ),
    "pytest_bot.py": Example((r"buy at 6\d{4}",)),
    "quickstart.py": Example((r"ETH-USDT \d+.*, bid \d+.*, ask \d+",), (), (), ("--messages", "1000000")),
    "recovered_trades.py": Example(
        ("event +connected: spot", r"recovered +(buy|sell) \S+ at \d"),
        (r"\d+ trades were pushed, [1-9]\d* were recovered$",), ("--seconds", "6"),
    ),
    "record_replay.py": Example(
        ("recording; Ctrl-C",), (r"live: the book was at \d", r"recorded: \d+ ", " trades in ", r"bought and sold: \d"),
    ),
}  # fmt: skip
#: Those that need more than `--demo` and a few seconds, and the test that runs each.
ELSEWHERE = {"django_project": "../contrib/test_django_servers.py", "redis_fanout.py": "../relay/test_commands.py"}


def command(name: str, *arguments: str) -> list[str]:
    """Return the command line of an example; skip the test where a module is missing."""
    if TABLE[name].needs and importlib.util.find_spec(TABLE[name].needs) is None:
        pytest.skip(f"{name} needs {TABLE[name].needs}, which is not installed")
    return [sys.executable, str(EXAMPLES / name), "--demo", *arguments]


def run(name: str, *arguments: str, cwd: Path | None = None) -> list[str]:
    """Run an example to its end and return the lines that it prints."""
    done = subprocess.run(command(name, *arguments), capture_output=True, text=True, timeout=55, check=False, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def missing(patterns: Iterable[str], lines: Iterable[str]) -> list[str]:
    """Return the patterns that fit nowhere in a line: lines of several threads may run into each other."""
    return [pattern for pattern in patterns if not any(re.search(pattern, line) for line in lines)]


def test_every_example_is_run() -> None:
    programs = {
        path.name
        for path in EXAMPLES.iterdir()
        if not path.name.startswith(("_", ".")) and path.suffix not in (".html", ".md")
    }
    assert TABLE.keys() | ELSEWHERE.keys() == programs
    for name, test in ELSEWHERE.items():
        assert name in (Path(__file__).parent / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", spread(sorted(TABLE)))
def test_it_ends_by_itself(name: str, tmp_path: Path) -> None:
    lines = run(name, *TABLE[name].quick, cwd=tmp_path)
    assert lines
    assert not missing(TABLE[name].ends, lines), lines


@pytest.mark.parametrize("name", spread(sorted(TABLE), start=1))
def test_it_shows_what_it_is_for_and_takes_ctrl_c_for_an_end(name: str, tmp_path: Path) -> None:
    unseen = list(TABLE[name].shows)
    with (
        (tmp_path / "complaints").open("w+") as complaints,
        subprocess.Popen(
            command(name, *TABLE[name].endless),
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            cwd=tmp_path,
            preexec_fn=HEAR,
        ) as process,
    ):
        assert process.stdout is not None
        rescue = threading.Timer(50, process.kill)
        rescue.start()
        try:
            for line in process.stdout:
                unseen = missing(unseen, [line.rstrip()])
                if not unseen:
                    break
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            process.wait()
        finally:
            rescue.cancel()
            process.kill()
        complaints.seek(0)
        assert (process.returncode, complaints.read(), unseen) == (0, "", [])


def test_each_says_how_to_run_it() -> None:
    for name in TABLE:
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        assert f"python examples/{name} --demo" in text[:1000]


def test_the_order_book_of_futures_is_as_good(tmp_path: Path) -> None:
    assert run("order_book.py", "XBTUSDTM", "--seconds", "0.1")[0] == "whole"


def test_all_topics_unsubscribes_by_the_same_names() -> None:
    assert run("all_topics.py")[-1] == (
        "unsubscribed: /market/ticker:ETH-USDT, /market/snapshot:BTC, /market/snapshot:KCS-BTC, /market/ticker:all, "
        "/market/level2:KCS-BTC, /market/match:BTC-USDT, /market/level3:BTC-USDT, /account/balance"
    )


def test_the_csv_file_is_one(tmp_path: Path) -> None:
    run("csv_writer.py", "BTC-USDT", "-o", "btc.csv", "--seconds", "1", cwd=tmp_path)
    with (tmp_path / "btc.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["symbol"], row["lost"]) for row in rows} == {("BTC-USDT", "0")}
    assert all(float(row["price"]) > 0 and row["side"] in ("buy", "sell") for row in rows)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_graceful_shutdown_sees_to_all_that_was_received(number: signal.Signals) -> None:
    with subprocess.Popen(
        command("graceful_shutdown.py", "--seconds", "1000"), stdout=subprocess.PIPE, text=True, preexec_fn=HEAR
    ) as process:
        assert process.stdout is not None
        rescue = threading.Timer(50, process.kill)
        rescue.start()
        try:
            first = process.stdout.readline()
            process.send_signal(number)
            lines = [first.rstrip(), *process.stdout.read().splitlines()]
            assert process.wait() == 0
        finally:
            rescue.cancel()
            process.kill()
    assert lines[-1] == "nothing left behind"
    assert not missing(TABLE["graceful_shutdown.py"].shows + TABLE["graceful_shutdown.py"].ends, lines)


def test_the_tests_of_the_bot_pass(tmp_path: Path) -> None:
    there = tmp_path / "test_bot.py"
    there.write_text((EXAMPLES / "pytest_bot.py").read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(there)],
        capture_output=True, text=True, timeout=55, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
