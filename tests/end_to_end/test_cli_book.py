"""`kucoin-sync book` as a user meets it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from kucoin_sync import BookSnapshot
from kucoin_sync.books import Level2Book, Level3Book
from kucoin_sync.cli import main
from kucoin_sync.cli.book import table
from kucoin_sync.testing import KucoinServer


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "kucoin_sync", "book", *arguments], text=True, **options)


def test_elsewhere_than_in_a_terminal_it_prints_json(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "BTC-USDT", "--depth", "3", "--every", "0.05", *here, "--count", "3"]) == 0
    out, err = capsys.readouterr()
    states = [json.loads(line) for line in out.splitlines()]
    assert [state["symbol"] for state in states] == ["BTC-USDT"] * 3
    assert all(len(state["bids"]) == len(state["asks"]) == 3 for state in states)
    assert all(Decimal(state["bids"][0][0]) < Decimal(state["asks"][0][0]) for state in states)
    assert states[0]["sequence"] < states[2]["sequence"]
    assert err == "kucoin-sync: 3 states of BTC-USDT, 0 resyncs\n"


def test_a_table_of_futures(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "XBTUSDTM", "--depth", "4", "--table", *here, "--count", "1"]) == 0
    title, heads, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("XBTUSDTM  ")
    assert "sequence" in title
    assert heads.split() == ["total", "size", "bid", "|", "ask", "size", "total"]
    assert len(rows) == 4


def test_level_3_counts_orders(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "BTC-USDT", "--level", "3", "--depth", "2", "--table", *here, "--count", "1"]) == 0
    _, heads, first, _ = capsys.readouterr().out.splitlines()
    assert heads.split() == ["total", "orders", "size", "bid", "|", "ask", "size", "orders", "total"]
    assert int(first.split()[1]) >= 1


def test_it_ends_after_some_seconds(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "BTC-USDT", "--seconds", "0.3", "--every", "30", *here]) == 0
    assert capsys.readouterr().err == "kucoin-sync: 2 states of BTC-USDT, 0 resyncs\n"


def test_in_a_terminal_it_draws_a_table_over_the_last_one(market: KucoinServer, here: list[str]) -> None:
    terminal, end = pty.openpty()
    with start("BTC-USDT", "--count", "2", "--every", "0.1", *here, stdout=end, stderr=subprocess.PIPE) as process:
        os.close(end)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break  # as a terminal ends on Linux
        process.wait(timeout=45)
    os.close(terminal)
    assert process.returncode == 0
    assert shown.count(b"\x1b[H\x1b[J") == 2
    assert b"BTC-USDT" in shown


def test_while_it_can_not_be_read_the_table_says_why(market: KucoinServer, here: list[str]) -> None:
    with start(
        "BTC-USDT", "--table", "--every", "0.05", *here, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("BTC-USDT")
        market.refuse_handshake(503, times=1)
        market.drop_connections()
        assert any("can't be read until a new snapshot has come" in line for line in process.stdout)
        assert any(line.startswith("BTC-USDT") for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=45)
    assert process.returncode == 0
    assert "kucoin-sync: resyncing: the book of BTC-USDT" in err
    assert err.endswith(", 1 resyncs\n")


def test_a_symbol_that_kucoin_does_not_know_is_one_sentence(
    here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["book", "NONE-USDT", *here]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "900001" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_book_that_ends_while_it_is_shown_ends_the_command(market: KucoinServer, here: list[str]) -> None:
    with start("BTC-USDT", "--every", "0.05", *here, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        market.reject_next(404, topic="/market/level2:BTC-USDT")
        market.drop_connections()
        _, err = process.communicate(timeout=45)
    assert process.returncode == 1
    assert "KuCoin rejected the topic" in err.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_interrupted(here: list[str], number: int) -> None:
    # Where the tests run in the background of a shell script, SIGINT is ignored and children inherit that.
    hear = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with start(
        "BTC-USDT", "--every", "0.05", *here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=hear
    ) as process:
        assert process.stdout is not None
        assert "BTC-USDT" in process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=45)
    assert process.returncode == 0
    assert "of BTC-USDT, 0 resyncs" in err
    assert "Traceback" not in err


def test_without_a_network_the_demo_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kucoin_sync.cli.book.TIMEOUT", 0.3)
    assert main(["book", "BTC-USDT", "--rest-url", "http://127.0.0.1:9"]) == 1
    err = capsys.readouterr().err
    assert "127.0.0.1" in err
    assert err.rstrip().endswith("Without a network, --demo does the same on a local KuCoin.")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(["btc-usdt"], "did you mean BTC-USDT?"), (["XBTUSDTM", "--level", "3"], "has no book of level 3")],
)
def test_a_typing_mistake_is_one_sentence(arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert hint in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["BTC-USDT", "--depth", "0"], ["BTC-USDT", "--level", "1"], ["BTC-USDT", "--json", "--table"]]
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["book", *arguments])
    assert caught.value.code == 2
    assert "usage: kucoin-sync book" in capsys.readouterr().err


def test_the_table_shows_both_sides_to_their_depths() -> None:
    book = Level2Book()
    book.load(bids=[["99.0", "1"], ["98", "2.50"]], asks=[["101", "0.1"]], depth=2)
    lines = table(BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks())).splitlines()
    assert lines == [
        "BTC-USDT  sequence 17  spread 2.0  mid 100.00",
        "      total         size          bid | ask          size         total",
        "          1            1         99.0 | 101          0.1          0.1",
        "       3.50         2.50           98 |",
        "Without an API key a part of the book is known: there may be other levels among the last of these.",
    ]


def test_the_table_of_an_empty_book() -> None:
    book = Level3Book()
    assert (
        table(BookSnapshot("BTC-USDT", 3, 17, 0, book.bids(), book.asks())).splitlines()[0] == "BTC-USDT  sequence 17"
    )
