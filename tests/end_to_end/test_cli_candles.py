"""The chart of candles: its history, axes, volumes and the line at the last price."""

from __future__ import annotations

import json
import re

import pytest

from kucoin_sync.cli import main
from kucoin_sync.testing import KucoinServer
from tests.support.terminal import Terminal

from ..support.processes import EndingOnce
from ..support.selection import first, spread


@pytest.mark.parametrize(("columns", "rows"), spread([(80, 24), (120, 40), (40, 24)], 3, 1))
@pytest.mark.parametrize("symbol", first("BTC-USDT", "XBTUSDTM"))
def test_the_chart_begins_with_a_history_between_round_axes(
    symbol: str, columns: int, rows: int, here: list[str]
) -> None:
    with Terminal("candles", symbol, "--type", "1min", *here, columns=columns, rows=rows) as terminal:
        text = terminal.wait_for(lambda text: "close " in text)
        terminal.press("q")
        assert terminal.finish() == 0, terminal.errors()
        assert not terminal.screen.wrapped
        assert not terminal.screen.scrolled
    lines = text.splitlines()[2:]
    candles = [line.partition("│")[2] for line in lines if "│" in line]
    assert sum(any(character in "█░│" for character in column) for column in zip(*pad(candles), strict=True)) > 10
    [at_last] = [line for line in lines if "─" in line]
    assert re.match(r" *6\d{4}(\.\d)? │[─│█░]+", at_last), "the last price stands at its line"
    assert any(set("▁▂▃▄▅▆▇") & set(line) for line in lines), "the volumes stand below"
    axis = (re.match(r" *(6\d{4}(?:\.\d)?) │ ", line) for line in lines[:-6])
    prices = [float(found[1]) for found in axis if found is not None]
    times = next(line for line in lines if re.search(r"│\d\d:\d\d", line))
    assert all(int(minute) % 5 == 0 for minute in re.findall(r":(\d\d)", times))
    assert all(price % 5 == 0 for price in prices)
    assert prices
    assert re.search(r"close 6\d{4}(\.\d)? \([+-]", lines[-3])


def test_a_history_that_does_not_come_is_not_waited_for_longer_than_the_command_lasts(
    here: list[str], market: KucoinServer, ending_once: EndingOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    market.fail_rest("/api/v1/market/candles", hang=True)
    topic = "/market/candles:BTC-USDT_1min"
    ending = ending_once(lambda: any(topic in each.topics for each in market.connections))
    assert main(["candles", "BTC-USDT", "--type", "1min", *here, "--plain", *ending]) == 0
    said = capsys.readouterr().err
    assert re.search(r"without a history: GET /api/v1/market/candles was not answered within 0\.\d+ s", said)


def pad(texts: list[str]) -> list[str]:
    width = max(map(len, texts))
    return [text.ljust(width) for text in texts]


def test_candles_of_seconds_begin_with_the_last_trades(
    here: list[str], market: KucoinServer, capsys: pytest.CaptureFixture[str]
) -> None:
    market.step_exchange(2_000)
    assert main(["candles", "BTC-USDT", "--type", "1s", *here, "--plain", "--count", "1"]) == 0
    assert "GET /api/v1/market/histories" in {f"{each.method} {each.path}" for each in market.requests}
    assert "close " in capsys.readouterr().out


def test_without_a_history_the_chart_starts_now_and_says_so(
    here: list[str], market: KucoinServer, capsys: pytest.CaptureFixture[str]
) -> None:
    market.fail_rest("/api/v1/market/candles")
    assert main(["candles", "BTC-USDT", "--type", "1min", *here, "--plain", "--count", "1"]) == 0
    out, err = capsys.readouterr()
    assert "close " in out
    assert (
        "kucoin-sync: the chart of BTC-USDT starts now, without a history: KuCoin answered GET /api/v1/market/candles"
        in err
    )


@pytest.mark.parametrize(("columns", "rows", "charts"), spread([(80, 24, 2), (120, 40, 3), (40, 14, 1)], 3))
def test_several_symbols_have_a_chart_each_as_far_as_there_is_room(columns: int, rows: int, charts: int) -> None:
    symbols = ["BTC-USDT", "ETH-USDT", "XBTUSDTM"]
    with Terminal("candles", *symbols, "--type", "1hour", "--demo", columns=columns, rows=rows) as terminal:
        text = terminal.wait_for(lambda text: text.count("close ") == charts)
        terminal.press("q")
        assert terminal.finish() == 0, terminal.errors()
        assert not terminal.screen.wrapped
    assert text.startswith("Candles, 1hour")
    assert [line for line in text.splitlines() if line in symbols] == symbols[:charts]
    assert ("and " in text) == (charts < 3)


def test_the_candles_of_several_symbols_elsewhere_than_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["candles", "BTC-USDT,ETH-USDT", "--type", "1min", "--demo", "--count", "4"]) == 0
    topics = {json.loads(line)["topic"] for line in capsys.readouterr().out.splitlines()}
    assert topics == {"/market/candles:BTC-USDT_1min", "/market/candles:ETH-USDT_1min"}
