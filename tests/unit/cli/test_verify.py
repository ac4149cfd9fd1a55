"""The summary of a verification as a picture."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path

import pytest

from kucoin_sync.cli.layout import text_of
from kucoin_sync.cli.registry import read
from kucoin_sync.cli.verify import _check_writable, lines_of, write_report
from kucoin_sync.verify.judge import judge
from kucoin_sync.verify.seen import Answered, BookSeen, Seen, SessionSeen, Shape, TopicSeen

TICKER = {"price": "1", "sequence": "2", "size": "3", "bestAsk": "4", "bestAskSize": "5", "bestBid": "6", "time": 7}
PONG = Answered("ping", ['{"type":"pong","id":"v1","timestamp":1790113097443000}'], 0.1)
SEEN = Seen(
    60.0,
    [
        SessionSeen("spot", "classic", [PONG],
                    clock=-0.2, code=1000, silent=60.5),
        SessionSeen("uta-spot", "uta", error="no route to host"),
    ],
    [
        TopicSeen("/market/ticker:BTC-USDT", messages=1234, typed=1234,
                  shapes=[Shape("/market/ticker:BTC-USDT", "trade.ticker", 1234, {**TICKER, "new": 1})]),
        TopicSeen("/callauction/callauctionData:BTC-USDT"),
        TopicSeen("/spotMarket/level1:BTC-USDT", "refused", "topic does not exist (code 404)"),
    ],
    [BookSeen("/market/level2:BTC-USDT", 1), BookSeen("/contractMarket/level2:XBTUSDTM", problem="not compared: no")],
)  # fmt: skip


def shown(width: int) -> list[str]:
    return [text_of(each).rstrip() for each in lines_of(SEEN, judge(SEEN), width)]


def test_the_summary_names_services_topics_books_and_what_differs() -> None:
    assert shown(90) == [
        "spot         answers: 1, pong within 0.2 s, clock -0.2 s, cut after 60 s of silence,",
        "             closed with code 1000",
        "uta-spot     no route to host",
        "",
        "         messages  typed  differs  topic",
        "acked       1,234  1,234        2  /market/ticker:BTC-USDT",
        "silent          0      0        -  /callauction/callauctionData:BTC-USDT",
        "refused         0      0        1  /spotMarket/level1:BTC-USDT",
        "",
        "book         /market/level2:BTC-USDT: equal to KuCoin's, compared 1 x",
        "book         /contractMarket/level2:XBTUSDTM: not compared: no",
        "absent       /market/ticker:BTC-USDT: Ticker: Time, Ticker: bestBidSize",
        "differs      uta-spot: no route to host",
        "             believed: The service takes connections at the address that the token, or the",
        "             option, names. (KuCoin's documentation)",
        "differs      /market/ticker:BTC-USDT: new (number) is not a member of Ticker",
        "             believed: The data of a push has no members that its struct does not have.",
        "             (the topic table and the structs of this package)",
        "differs      /market/ticker:BTC-USDT: bestBidSize never comes",
        "             believed: The data of a push has the members that the local KuCoin always",
        "             sends. (the topic table and the structs of this package)",
        "differs      /spotMarket/level1:BTC-USDT: it is refused: topic does not exist (code 404)",
        "             believed: Each topic of the topic table is confirmed, unless the table calls",
        "             it withdrawn. (KuCoin's documentation)",
        "note         /contractMarket/level2:XBTUSDTM: the book: not compared: no",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_each_state_can_be_seen(width: int) -> None:
    lines = shown(width)
    assert max(map(len, lines)) <= width
    assert [line.split()[:2] for line in lines if line.startswith(("acked", "silent", "refused"))] == [
        ["acked", "1,234"], ["silent", "0"], ["refused", "0"],
    ]  # fmt: skip


def test_reading_the_command_line_makes_no_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert read(["verify", "-o", str(path)]).output == path
    assert not path.exists()


def test_a_report_replaces_an_earlier_one_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    for report in (b"long before", b"now"):
        assert write_report(path, report) == ""
        assert path.read_bytes() == report
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_a_link_to_a_file_to_come_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    link, target = tmp_path / "latest.json", tmp_path / "reports" / "today.json"
    link.symlink_to(target)
    _check_writable(argparse.Namespace(output=link, parser=argparse.ArgumentParser()))
    assert link.is_symlink()
    assert not target.exists()
    assert write_report(link, b"now") == ""
    assert link.is_symlink()
    assert target.read_bytes() == b"now"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_a_link_to_a_report_stays_one(tmp_path: Path) -> None:
    link, path = tmp_path / "latest.json", tmp_path / "report.json"
    link.symlink_to(path)
    assert write_report(link, b"now") == ""
    assert (link.is_symlink(), path.read_bytes()) == (True, b"now")


def test_a_disk_without_room_for_the_report_keeps_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"before")

    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert write_report(path, b"now") == f"{path} can't be written: No space left on device"
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"before", ["report.json"])
