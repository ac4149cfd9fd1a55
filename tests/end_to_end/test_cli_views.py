"""The live views in terminals of two sizes, with rich and without it."""

from __future__ import annotations

import itertools
import re
import signal
import time

import pytest

from kucoin_sync.testing import KucoinServer
from tests.support.terminal import Terminal

from ..support.selection import first, spread

VIEWS = {
    "watch": (["watch", "BTC-USDT", "XBTUSDTM"], r"BTC-USDT +[▲▼ ] *6\d{4}\.\d"),
    "topic": (["watch", "--topic", "/market/level2:BTC-USDT"], r"\d  trade\.l2update  \{"),
    "topics": (
        ["watch", "--topic", "/market/level2:BTC-USDT,ETH-USDT"],
        r"(?s)^Messages  .*/market/level2:BTC-USDT  trade\.l2update",
    ),
    "book": (["book", "BTC-USDT"], r"ask  6\d{4}\.\d .*█"),
    "queue": (["book", "BTC-USDT", "--level", "3"], r"bid  6\d{4}\.\d  \d\.\d+ +\d+"),
    "trades": (["trades", "BTC-USDT"], r"▲ buy +6\d{4}"),
    "candles": (["candles", "BTC-USDT", "--type", "1s"], r"close 6\d{4}"),
}
SIZES = [(80, 24), (120, 40), (40, 10)]

with_and_without_rich = pytest.mark.parametrize("form", first([], ["--plain"]), ids=["rich", "plain"])


def named(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize(
    ("name", "size", "form"), spread(itertools.product(VIEWS, SIZES, [(), ("--plain",)]), 11), ids=named
)
def test_no_line_is_wider_than_the_terminal_and_nothing_scrolls(
    name: str, size: tuple[int, int], form: tuple[str, ...], here: list[str]
) -> None:
    arguments, shown = VIEWS[name]
    columns, rows = size
    with Terminal(*arguments, *form, *here, columns=columns, rows=rows) as terminal:
        if columns >= 80:
            terminal.wait_for(lambda text: re.search(shown, text) is not None)
        terminal.wait_for(lambda text: bool(re.search(r"^[1-9][\d,]* messages? in ", text.splitlines()[-1])))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()
        assert not terminal.screen.wrapped
        assert not terminal.screen.scrolled
        assert terminal.written.count(b"\x1b[?1049h") == terminal.written.count(b"\x1b[?1049l") == 1
        assert re.search(r"^kucoin-sync: [\d,]+ messages? in [\d.]+ s, 0 reconnects,.* 0 lost$", terminal.errors())


@with_and_without_rich
def test_a_view_is_painted_no_more_often_than_ten_times_a_second_and_nothing_is_erased(
    form: list[str], here: list[str]
) -> None:
    with Terminal("watch", "BTC-USDT", *form, *here) as terminal:
        terminal.wait_for(lambda _: len(re.findall(rb"messages? in ", terminal.written)) >= 12)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()
        seconds = time.monotonic() - terminal.began
        painted = terminal.written.partition(b"\x1b[?1049h")[2].partition(b"\x1b[?1049l")[0]
        assert len(re.findall(rb"messages? in ", painted)) <= seconds * 10 + 1
        erasing = re.findall(rb"\x1b\[[0-3]?[JK]", painted.partition(b"messages")[2])
        assert not erasing


def test_a_view_of_one_topic_names_it_in_its_title(here: list[str]) -> None:
    with Terminal("watch", "--topic", "/market/match:BTC-USDT", *here) as terminal:
        text = terminal.wait_for(lambda text: "trade.l3match" in text)
        assert text.startswith("Messages of /market/match:BTC-USDT  ")
        assert text.count("/market/match") == 1


def test_the_reference_keeps_to_the_width_of_the_terminal() -> None:
    with Terminal("topics", "/market/match", columns=60) as terminal:
        assert terminal.finish() == 0, terminal.errors()
        rows = [row for row in terminal.text.splitlines() if row]
    assert rows[0].startswith("/market/match:")
    assert sum(row.startswith("        ") for row in rows) >= 2
    told = " ".join(row.strip() for row in rows)
    assert "pushed: real time Match(symbol, sequence, type, price, size, side, trade_id, " in told
    assert told.endswith("time_ns, datetime)")


@with_and_without_rich
def test_a_view_follows_the_size_of_the_terminal(form: list[str], here: list[str]) -> None:
    with Terminal("book", "BTC-USDT", *form, *here) as terminal:
        terminal.wait_for(lambda text: text.count("\nask ") == text.count("\nbid ") == 9)
        terminal.resize(120, 40)
        terminal.wait_for(lambda text: text.count("\nask ") == 17 and len(text.splitlines()[0]) == 120)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.finish() == 0, terminal.errors()


def test_symbols_for_which_there_is_no_room_are_counted(here: list[str]) -> None:
    symbols = [f"S{number}-USDT" for number in range(30)]
    with Terminal("watch", "BTC-USDT", *symbols, *here) as terminal:
        terminal.wait_for(lambda text: re.search(r"^and \d+ more that do not fit into this window$", text, re.M))
        lines = [text for text in terminal.text.splitlines() if "-USDT" in text]
        hidden = re.search(r"^and (\d+) more", terminal.text, re.M)
        assert hidden is not None
        assert len(lines) + int(hidden[1]) == 31
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()


def test_without_colours_nothing_is_lost(here: list[str]) -> None:
    with Terminal("trades", "BTC-USDT", *here, environment={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for(lambda text: "▲ buy" in text and "▼ sell" in text)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()
        assert not re.search(rb"\x1b\[[\d;]*3[0-7][\d;]*m", terminal.written)


def test_with_colours_up_and_down_differ_by_them_too(here: list[str]) -> None:
    with Terminal("trades", "BTC-USDT", *here) as terminal:
        terminal.wait_for(lambda text: "▲ buy" in text and "▼ sell" in text)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()
        assert re.search(rb"\x1b\[32m[^\x1b]*\xe2\x96\xb2 buy", terminal.written)
        assert re.search(rb"\x1b\[31m[^\x1b]*\xe2\x96\xbc sell", terminal.written)


def test_a_terminal_that_can_not_move_its_cursor_gets_one_picture_after_the_other(here: list[str]) -> None:
    with Terminal("book", "BTC-USDT", "--count", "2", *here, environment={"TERM": "dumb"}) as terminal:
        assert terminal.finish() == 0, terminal.errors()
        assert b"\x1b" not in terminal.written
        assert b"ask  6" in terminal.written


def test_where_the_encoding_has_no_blocks_bars_are_of_ascii(here: list[str]) -> None:
    plain = {"PYTHONIOENCODING": "ascii"}
    with Terminal("book", "BTC-USDT", "--count", "1", "--plain", *here, environment=plain) as terminal:
        assert terminal.finish() == 0, terminal.errors()
        assert terminal.written.isascii()
        assert re.search(rb"bid  6\d{4}\.\d .*#", terminal.written)


@with_and_without_rich
def test_the_last_picture_stays_when_the_view_has_ended(form: list[str], here: list[str]) -> None:
    with Terminal("book", "BTC-USDT", "--count", "3", *form, *here, rows=60, columns=120) as terminal:
        assert terminal.finish() == 0, terminal.errors()
        left = re.sub(r"\x1b\[[\d;?]*\w", "", terminal.written.partition(b"\x1b[?1049l")[2].decode())
        assert "Order book of BTC-USDT" in left
        assert "Ctrl-C" not in left
        assert left.count("ask ") == left.count("bid ") == 20


def test_what_is_said_meanwhile_shows_below_the_view_and_after_it(here: list[str], market: KucoinServer) -> None:
    with Terminal("watch", "BTC-USDT", *here) as terminal:
        terminal.wait_for(lambda text: "BTC-USDT" in text and "messages in" in text)
        market.drop_connections()
        terminal.wait_for(lambda text: text.splitlines()[-1].startswith("kucoin-sync: disconnected: spot"))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()
        lines = terminal.errors().splitlines()
        assert lines[0].startswith("kucoin-sync: disconnected: spot public connection 1")
        assert re.search(r" messages? in [\d.]+ s, [01] reconnects?, 0 lost$", lines[-1])


@with_and_without_rich
@pytest.mark.parametrize("verbose", [[], ["-vv"]], ids=["quiet", "verbose"])
def test_standard_error_in_the_same_terminal_waits_for_the_end_of_the_view(
    form: list[str], verbose: list[str], here: list[str], market: KucoinServer
) -> None:
    with Terminal("watch", "BTC-USDT", *form, *verbose, *here, with_errors=True) as terminal:
        terminal.wait_for(lambda text: "messages in" in text)
        market.drop_connections()
        if not verbose:
            terminal.wait_for(lambda text: text.splitlines()[-1].startswith("kucoin-sync: disconnected: spot"))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()
        assert not terminal.screen.wrapped
        assert not terminal.screen.scrolled
        _, left = terminal.written.split(b"\x1b[?1049l")
        assert b"disconnected: spot public connection 1" in left
        assert b"Tickers" in left.partition(b"disconnected")[0], "the last picture comes first"
        assert (b"WARNING kucoin_sync" in left) == bool(verbose)


@with_and_without_rich
def test_what_a_server_sends_does_not_control_the_terminal(
    form: list[str], here: list[str], market: KucoinServer
) -> None:
    topic = "/market/match:BTC-USDT"
    with Terminal("watch", "--topic", topic, *form, *here, columns=120) as terminal:
        terminal.wait_for(lambda text: topic in text)
        market.publish(topic, {"note": "\x1b[2J\u202e"}, subject="evil\x1b]0;title\x07\x1b[2J")
        terminal.wait_for(lambda text: "evil?]0;title??[2J" in text)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 0, terminal.errors()
    assert b"]0;title\x07" not in terminal.written
    assert not terminal.screen.scrolled
