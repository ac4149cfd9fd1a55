"""The UTA feed on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from kucoin_sync.cli import main
from kucoin_sync.testing import KucoinServer

from ..support.processes import EndingOnce


@pytest.fixture(autouse=True)
def there(market: KucoinServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the commands at the market."""
    for name, url in market.uta_urls.items():
        monkeypatch.setenv(f"KUCOIN_SYNC_{name.upper()}", url)


@pytest.mark.parametrize(
    ("command", "subjects"),
    [
        (["watch", "BTC-USDT", "XBTUSDTM", "--feed", "uta"], {"ticker.SPOT", "ticker.FUTURES"}),
        (["watch", "--topic", "/uta/trade.SPOT:BTC-USDT"], {"trade.SPOT"}),
        (["trades", "XBTUSDTM", "--feed", "uta"], {"trade.FUTURES"}),
        (["candles", "BTC-USDT", "--type", "1s", "--feed", "uta"], {"trade.SPOT"}),
        (["candles", "XBTUSDTM", "--type", "1min", "--feed", "uta"], {"kline.FUTURES"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_elsewhere_than_in_a_terminal_it_prints_what_kucoin_sent(
    command: list[str], subjects: set[str], market: KucoinServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--count", "1" if "1min" in command else "12"]) == 0
    out, err = capsys.readouterr()
    messages = [json.loads(line) for line in out.splitlines()]
    assert {message["T"] for message in messages} == subjects
    assert all(set(message) == {"T", "P", "d"} for message in messages)
    assert "0 reconnects, 0 lost" in err
    assert market.requests == [], "it needs no REST"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["watch", "BTC-USDT", "XBTUSDTM"], ("Tickers ", "BTC-USDT ", "XBTUSDTM ")),
        (["trades", "BTC-USDT"], ("Trades of BTC-USDT", "buyers ", " buy ")),
        (["candles", "BTC-USDT", "--type", "1s"], ("Candles of BTC-USDT, 1s", "open ", "volume ")),
    ],
    ids=lambda value: value[0].strip(),
)
def test_the_views_show_it(command: list[str], shown: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--feed", "uta", "--plain", "--count", "40"]) == 0
    out = capsys.readouterr().out
    for text in shown:
        assert text in out
    if command[0] == "watch":
        row = out.splitlines()[-1].split()
        assert row[0] == "XBTUSDTM"
        price, bid, ask = [float(cell) for cell in row if cell.startswith("6")][:3]
        assert bid < ask and 60_000 < price < 70_000


def test_the_demo_needs_no_network(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPOT", "FUTURES", "PRIVATE"):
        monkeypatch.setenv(f"KUCOIN_SYNC_UTA_{name}_URL", "ws://127.0.0.1:1")
    assert main(["watch", "BTC-USDT", "--feed", "uta", "--demo", "--count", "2"]) == 0
    assert [json.loads(line)["d"]["s"] for line in capsys.readouterr().out.splitlines()] == ["BTC-USDT"] * 2


def test_it_is_recorded_and_replayed(
    tmp_path: Path, ending_once: EndingOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "uta.jsonl"
    path, topic = str(file), "/uta/trade.FUTURES:XBTUSDTM"

    def enough() -> bool:
        written = file.read_bytes() if file.exists() else b""
        return all(written.count(b'"%s"' % name) > 2 for name in (b"ticker.SPOT", b"trade.FUTURES"))

    ending = ending_once(enough)
    assert main(["record", "BTC-USDT", topic, "--feed", "uta", "-o", path, "--every", "0.1", *ending]) == 0
    recorded = capsys.readouterr().err
    assert main(["replay", path, "--topic", topic, "--speed", "max"]) == 0
    replayed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {message["T"] for message in replayed} == {"trade.FUTURES"}
    assert main(["replay", path, "--speed", "max"]) == 0
    both = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {message["T"] for message in both} == {"ticker.SPOT", "trade.FUTURES"}
    assert f"{len(both):,} messages recorded, 0 lost" in recorded
    table = tmp_path / "trades.csv"
    assert main(["export", path, "--topic", topic, "-o", str(table)]) == 0
    with open(table, newline="", encoding="utf-8") as file:
        rows = [(row["price"], row["side"]) for row in csv.DictReader(file)]
    assert rows == [(message["d"]["p"], message["d"]["S"]) for message in replayed]


def test_its_topics_are_in_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "uta", "trades", "--plain"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "/uta/trade.SPOT:{symbol}\n    every trade\n    topics.uta.trades(symbol, …)   uta-spot, public"
    )
