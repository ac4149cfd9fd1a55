"""`kucoin-sync book` as a user meets it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from kucoin_sync.cli import main
from kucoin_sync.testing import KucoinServer
from tests.support.processes import HEAR
from tests.support.selection import first
from tests.support.terminal import Terminal


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "kucoin_sync", "book", *arguments], text=True, **options)


def test_elsewhere_than_in_a_terminal_it_prints_json(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "BTC-USDT", "--depth", "3", "--every", "0.1", *here, "--count", "10"]) == 0
    out, err = capsys.readouterr()
    states = [json.loads(line) for line in out.splitlines()]
    assert [state["symbol"] for state in states] == ["BTC-USDT"] * 10
    assert all(len(state["bids"]) == len(state["asks"]) == 3 for state in states)
    assert all(Decimal(state["bids"][0][0]) < Decimal(state["asks"][0][0]) for state in states)
    assert states[0]["sequence"] < states[-1]["sequence"]
    assert re.fullmatch(r"kucoin-sync: [\d,]+ messages? in [\d.]+ s, 0 reconnects, 0 resyncs, 0 lost\n", err)


@pytest.mark.parametrize("symbol", ["BTC-USDT", "XBTUSDTM"])
def test_a_book_of_the_uta_feed(symbol: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", symbol, "--feed", "uta", "--demo", "--depth", "3", "--json", "--count", "1"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert state["symbol"] == symbol
    assert len(state["bids"]) == len(state["asks"]) == 3


def test_the_uta_feed_has_no_level_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "BTC-USDT", "--feed", "uta", "--level", "3", "--demo"]) != 0
    assert "the UTA feed has no books of level 3" in capsys.readouterr().err


def test_a_ladder_of_futures(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "XBTUSDTM", "--depth", "4", "--plain", *here, "--count", "1"]) == 0
    title, _, heads, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("Order book of XBTUSDTM, level 2 ")
    assert heads.split() == ["price", "size", "total", "depth"]
    assert [row.split()[0] for row in rows] == ["ask"] * 4 + ["───"] + ["bid"] * 4


def test_level_3_shows_queues(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["book", "BTC-USDT", "--level", "3", "--depth", "2", "--plain", *here, "--count", "1"]) == 0
    _, _, heads, first, *_ = capsys.readouterr().out.splitlines()
    assert heads.split()[:5] == ["price", "size", "orders", "total", "queue,"]
    assert int(first.split()[3]) >= 1


def test_it_ends_after_some_seconds(
    here: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("kucoin_sync.cli.book.wait_for", waits.append)
    monkeypatch.setattr("kucoin_sync.cli.feed.time", SimpleNamespace(monotonic=lambda: sum(waits)))
    assert main(["book", "BTC-USDT", "--seconds", "30", "--every", "20", *here]) == 0
    assert waits == [20.0, 10.0]
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("form", first([], ["--plain"]), ids=["rich", "plain"])
def test_while_it_can_not_be_read_the_view_says_why(market: KucoinServer, here: list[str], form: list[str]) -> None:
    with Terminal("book", "BTC-USDT", *form, *here, columns=120) as terminal:
        terminal.wait_for(lambda text: "\nask " in text)
        market.refuse_handshake(503, times=1)
        market.drop_connections()
        terminal.wait_for(lambda text: "can't be read until a new snapshot has come" in text and "\nask " not in text)
        terminal.wait_for(lambda text: "\nask " in text)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.finish() == 0, terminal.errors()
        err = terminal.errors()
    assert "kucoin-sync: resyncing: the book of BTC-USDT" in err
    assert ", 1 resync, " in err


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


def test_a_book_that_ends_while_a_terminal_shows_it_ends_the_command(market: KucoinServer, here: list[str]) -> None:
    with Terminal("book", "BTC-USDT", *here) as terminal:
        terminal.wait_for(lambda text: "ask " in text)
        market.reject_next(404, topic="/market/level2:BTC-USDT")
        market.drop_connections()
        assert terminal.finish() == 1
        assert "KuCoin rejected the topic" in terminal.errors()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_interrupted(here: list[str], number: int) -> None:
    with start(
        "BTC-USDT", "--every", "0.05", *here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=HEAR
    ) as process:
        assert process.stdout is not None
        assert "BTC-USDT" in process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=45)
    assert process.returncode == 0
    assert "0 resyncs, 0 lost" in err
    assert "Traceback" not in err


def test_without_a_network_the_demo_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kucoin_sync.cli.feed.TIMEOUT", 0.3)
    assert main(["book", "BTC-USDT", "--rest-url", "http://127.0.0.1:9"]) == 1
    err = capsys.readouterr().err
    assert "127.0.0.1" in err
    assert err.rstrip().endswith("finds out why. Without a network, --demo does the same on a local KuCoin.")


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
    "arguments", [[], ["BTC-USDT", "--depth", "0"], ["BTC-USDT", "--level", "1"], ["BTC-USDT", "--json", "--plain"]]
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["book", *arguments])
    assert caught.value.code == 2
    assert "usage: kucoin-sync book" in capsys.readouterr().err
