"""The ladder and the chart as pictures of what they show."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from types import SimpleNamespace
from typing import NoReturn

import pytest

from kucoin_sync import BookNotReady, BookSnapshot, Message
from kucoin_sync.books import Level2Book, Level3Book
from kucoin_sync.cli.changes import RecentChanges
from kucoin_sync.cli.chart import Bar, chart
from kucoin_sync.cli.ladder import Ladder, ladder
from kucoin_sync.cli.layout import ASCII, UNICODE, text_of
from kucoin_sync.cli.rates import Rate
from kucoin_sync.cli.tickers import Tickers
from kucoin_sync.cli.trades import Tape
from kucoin_sync.protocol.classic import decode_message

from ...support.waiting import Waiting


def shown(snapshot: BookSnapshot, width: int = 60, height: int = 20) -> list[str]:
    return [text_of(row).rstrip() for row in ladder(snapshot, width, height, UNICODE)]


def test_the_ladder_shows_what_rests_at_each_price_and_up_to_there() -> None:
    book = Level2Book()
    book.load(bids=[["99.0", "1"], ["98", "3.0"]], asks=[["101", "0.5"], ["102", "1.5"]], depth=None)
    assert shown(BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks())) == [
        "     price  size  total  depth",
        "ask  102.0   1.5    2.0  █████████████▏░░░░",
        "ask  101.0   0.5    0.5  ████▍",
        "─── spread 2.0 (2.0000%) · middle 100.00 · sequence 17 ─────",
        "bid   99.0   1.0    1.0  ████████▊",
        "bid   98.0   3.0    4.0  ██████████████████████████▎░░░░░░░░",
    ]


def test_the_ladder_shows_as_many_levels_as_there_is_room_for_the_best_ones() -> None:
    book = Level2Book()
    book.load(bids=[[str(100 - n), "1"] for n in range(20)], asks=[[str(101 + n), "1"] for n in range(20)], depth=None)
    rows = shown(BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks()), height=8)
    assert [row.split()[1] for row in rows if row.startswith(("ask", "bid"))] == [
        "103",
        "102",
        "101",
        "100",
        "99",
        "98",
    ]
    assert len(rows) == 8


def test_a_ladder_of_a_part_says_so() -> None:
    book = Level2Book()
    book.load(bids=[["99", "1"]], asks=[["101", "1"]], depth=1)
    rows = shown(BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks()), width=100)
    assert rows[-1].startswith("Without an API key only a part of the book is known")


class Rising:
    """A book whose best bid has other sizes, and a second level that appears."""

    symbol, level, closed = "BTC-USDT", 2, False

    def __init__(self) -> None:
        self.bids = [["99", "1"], ["97", "4"]]

    def snapshot(self, _: int) -> BookSnapshot:
        book = Level2Book()
        book.load(bids=self.bids, asks=[["101", "1"]], depth=None)
        return BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks())


def test_the_ladder_marks_sizes_that_have_just_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kucoin_sync.cli.changes.FRESH", 1000.0)
    book = Rising()
    view = Ladder(book, 10, UNICODE)  # type: ignore[arg-type]

    def marked() -> dict[str, str]:
        view.update()
        rows = [text_of(row).split() for row in view.draw(60, 20)]
        return {row[1]: row[2] for row in rows if row[0] in ("ask", "bid")}

    assert marked() == {"101": "1", "99": "1", "97": "4"}
    book.bids = [["99", "2"], ["98", "5"], ["97", "3"], ["96", "9"]]
    assert marked() == {"101": "1", "99": "2▲", "98": "5▲", "97": "3▼", "96": "9"}
    book.bids = [["97", "3"]]
    assert marked() == {"101": "1", "97": "3▼"}


@pytest.mark.parametrize(
    ("width", "middle"),
    [
        (30, "─── spread 2 (2.0000%) ───────"),
        (50, "─── spread 2 (2.0000%) · middle 100.0 ────────────"),
        (60, "─── spread 2 (2.0000%) · middle 100.0 · sequence 17 ────────"),
    ],
)
def test_the_line_between_asks_and_bids_has_whole_parts_only(width: int, middle: str) -> None:
    book = Level2Book()
    book.load(bids=[["99", "1"]], asks=[["101", "1"]], depth=None)
    rows = shown(BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks()), width=width)
    assert rows[2] == middle


def test_the_ladder_of_an_empty_book() -> None:
    book = Level3Book()
    rows = shown(BookSnapshot("BTC-USDT", 3, 17, 0, book.bids(), book.asks()))
    assert rows[1].startswith("─── sequence 17 ─")


def test_a_queue_shows_as_many_orders_as_there_is_room_for_and_counts_the_others() -> None:
    book = Level3Book()
    orders = [[f"b{n}", "99", str(n + 1), n] for n in range(20)]
    book.load(bids=orders, asks=[["a", "101", "5", 30]])
    bids, asks = tuple(book.bid_orders()), tuple(book.ask_orders())
    snapshot = BookSnapshot("BTC-USDT", 3, 17, 0, book.bids(), book.asks(), bids, asks)
    [row] = [row for row in shown(snapshot, width=60) if row.startswith("bid")]
    queue, _, hidden = row.partition("  20    210  ")[2].partition("  +")
    sizes = queue.split(f" {UNICODE.wick} ")
    assert sizes[:3] == ["1.000", "2.000", "3.000"]
    assert len(sizes) + int(hidden) == 20
    assert len(row) <= 60


@pytest.mark.parametrize("width", range(0, 130, 7))
def test_no_line_of_the_ladder_is_wider_than_it_may_be(width: int) -> None:
    book = Level2Book()
    book.load(bids=[["99.123456789", "1"]], asks=[["101", "123456.00000001"]], depth=1)
    snapshot = BookSnapshot("BTC-USDT", 2, 17, 0, book.bids(), book.asks())
    assert all(len(row) <= width for row in shown(snapshot, width=width))


def trade(symbol: str, side: str, size: str, price: str) -> Message:
    data = {"symbol": symbol, "side": side, "size": size, "price": price, "time": "1700000000000000000"}
    ids = {"sequence": "1", "type": "match", "makerOrderId": "1", "takerOrderId": "2", "tradeId": "3"}
    push = {"type": "message", "topic": f"/market/match:{symbol}", "subject": "trade.l3match", "data": {**data, **ids}}
    return decode_message(json.dumps(push).encode())


def tape(*trades: Message, symbols: list[str]) -> list[str]:
    view = Tape(Waiting(*trades), symbols, UNICODE)  # type: ignore[arg-type]
    view.update()
    return [text_of(row).rstrip() for row in view.draw(80, 20)]


def test_trades_of_several_symbols_have_the_digits_of_each_and_bars_of_its_own() -> None:
    titles, *rows = tape(
        trade("SHIB-USDT", "buy", "1234567.5", "0.00000812"), trade("SHIB-USDT", "buy", "617283.75", "0.0000081"),
        trade("BTC-USDT", "sell", "0.5", "67000.1"), symbols=["SHIB-USDT", "BTC-USDT"],
    )  # fmt: skip
    assert titles.split() == ["time", "symbol", "side", "price", "size"]
    half = "█" * ((80 - rows[0].index("█")) // 2)
    assert [row[14:].split() for row in rows] == [
        ["BTC-USDT", "▼", "sell", "67000.1", "0.5", rows[0].split()[-1]],
        ["SHIB-USDT", "▲", "buy", "0.00000810", "617283.75", rows[1].split()[-1]],
        ["SHIB-USDT", "▲", "buy", "0.00000812", "1234567.50", rows[2].split()[-1]],
    ]
    assert rows[0].split()[-1] == rows[2].split()[-1]
    assert rows[1].split()[-1].startswith(half)
    assert len({row.index("█") for row in rows}) == 1
    assert max(map(len, rows)) == 80


def test_the_trades_of_one_symbol_show_who_has_the_upper_hand() -> None:
    rows = tape(trade("BTC-USDT", "buy", "3", "67000.1"), trade("BTC-USDT", "sell", "1", "67000"), symbols=["BTC-USDT"])
    assert rows[0] == f"buyers 75% {'█' * 38}{'░' * 12} sellers 25%"
    assert rows[2].split() == ["time", "side", "price", "size"]
    assert [row.split()[3] for row in rows[3:]] == ["67000.0", "67000.1"]


def test_the_time_of_a_new_trade_is_bold_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    view = Tape(Waiting(trade("BTC-USDT", "buy", "3", "67000.1")), ["BTC-USDT"], UNICODE)  # type: ignore[arg-type]
    seen = time.monotonic()
    view.update()
    styles = []
    for later in (0.0, 1000.0):
        clock = SimpleNamespace(monotonic=lambda later=later: seen + later)
        monkeypatch.setattr("kucoin_sync.cli.trades.time", clock)
        styles.append(view.draw(80, 20)[-1][0].style)
    assert styles == ["bold", "dim"]


def test_trades_of_no_size_have_no_bar() -> None:
    (_, _, _, row) = tape(trade("BTC-USDT", "buy", "0", "67000.1"), symbols=["BTC-USDT"])
    assert row.endswith("0")


def test_why_a_book_can_not_be_read_is_shown_whole() -> None:
    reason = "the book of BTC-USDT can't be read until a new snapshot has come, because the connection was lost"

    class Unready:
        symbol, level, closed = "BTC-USDT", 2, False

        def snapshot(self, _: int) -> NoReturn:
            raise BookNotReady(reason)

    view = Ladder(Unready(), 10, UNICODE)  # type: ignore[arg-type]
    view.update()
    rows = [text_of(row) for row in view.draw(40, 20)]
    assert " ".join(rows) == reason
    assert max(map(len, rows)) <= 40
    assert len(view.draw(40, 1)) == 1


def candle(start: int, *prices: str) -> Bar:
    first, high, low, last = map(Decimal, prices)
    return Bar(start * 10**9, first, high, low, last, Decimal(3))


def test_the_chart_fills_candles_that_rose_and_shades_those_that_fell() -> None:
    bars = [candle(0, "1", "4", "0", "3"), candle(5, "3", "3", "1", "1")]
    rows = [text_of(row) for row in chart(bars, 40, 8, UNICODE)]
    columns = ["".join(row[place] for row in rows[:5]) for place in (4, 6)]
    assert columns == ["│███│", " ░░░ "]


def test_a_candle_takes_in_trades() -> None:
    bar = candle(0, "2", "2", "2", "2")
    for price in ("5", "1", "3"):
        bar.add(Decimal(price), Decimal("0.5"))
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (2, 5, 1, 3, Decimal("4.5"))


def charted(bars: list[Bar], width: int = 60, height: int = 24) -> list[str]:
    return [text_of(row).rstrip() for row in chart(bars, width, height, UNICODE)]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        ("66981.6", "67009.9", ["67005", "67000", "66995", "66990", "66985"]),
        ("0.00002511", "0.00002549", ["0.00002540", "0.00002530", "0.00002520"]),
        ("1", "2", ["1.8", "1.6", "1.4", "1.2", "1.0"]),
        ("900", "2100", ["2000", "1800", "1600", "1400", "1200", "1000"]),
    ],
)
def test_the_prices_of_the_axis_are_round(low: str, high: str, labels: list[str]) -> None:
    rows = charted([candle(0, low, high, low, high)], height=20)
    told = [row.partition("│")[0].strip() for row in rows[1:14]]
    assert [text for text in told if text] == labels


def test_a_line_goes_through_the_chart_at_the_last_price() -> None:
    bars = [candle(0, "10", "14", "6", "9"), candle(5, "9", "10", "9", "10"), candle(10, "10", "11", "7", "8")]
    rows = charted(bars, height=11)
    [at] = [row for row in rows if row.startswith(" 8 │")]
    assert at == " 8 │─│───░"
    assert sum("─" in row for row in rows) == 1


def test_the_volumes_stand_below_the_candles_where_there_is_room() -> None:
    bars = [candle(5 * n, "10", "11", "9", "10") for n in range(3)]
    for bar, volume in zip(bars, ("1", "4", "2"), strict=True):
        bar.volume = Decimal(volume)
    rows = charted(bars, height=24)
    assert [row[4:] for row in rows[17:21]] == ["   █", "   █", "   █ █", " █ █ █"]
    assert rows[17].startswith("4.00"[:2])
    assert not any("▅" in row or row.startswith("4") for row in charted(bars, height=13))


@pytest.mark.parametrize(
    ("every", "count", "times"),
    [
        (1, 20, ["00:00:00", "00:00:10"]),
        (60, 23, ["00:00", "00:05", "00:10", "00:15", "00:20"]),
        (3600, 20, ["00:00", "04:00", "08:00", "12:00", "16:00"]),
        (86400, 12, ["01 Jan", "08 Jan"]),
        (60, 1, ["00:00"]),
    ],
)
def test_the_times_of_the_axis_are_round(
    every: int, count: int, times: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        bars = [candle(every * n, "10", "11", "9", "10") for n in range(count)]
        axis = charted(bars, width=80)[-3]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [part.strip() for part in axis.split("│")[1:]] == times


def test_where_there_is_no_room_the_last_close_and_the_volume_stay() -> None:
    [*_, below] = charted([candle(0, "66999.1", "67004.5", "66998.8", "67000.3")], width=40)
    assert below == "close 67000.3 (+1.2)  volume 3.000"


@pytest.mark.parametrize("bars", [0, 1, 3, 500])
@pytest.mark.parametrize(("width", "height"), [(80, 20), (120, 36), (30, 4), (5, 2), (0, 1)])
def test_the_chart_keeps_to_its_size(bars: int, width: int, height: int) -> None:
    made = [candle(5 * n, str(100 + n % 7), "110", "90", str(100 + n % 5)) for n in range(bars)]
    rows = chart(made, width, height, ASCII)
    assert len(rows) <= max(height, 4)
    assert all(len(text_of(row)) <= width for row in rows)


def test_a_rate_is_of_the_last_seconds() -> None:
    rate = Rate(0.0)
    for tenth in range(100):
        rate.add(3, tenth / 10)
    assert rate.per_second(9.9) == pytest.approx(30, abs=1.5)
    assert rate.per_second(30.0) == 0


def ticker(symbol: str, price: str, bid: str, ask: str) -> Message:
    data = {"price": price, "bestBid": bid, "bestAsk": ask, "sequence": "1", "size": "1", "time": 1700000000000}
    push = {"type": "message", "topic": f"/market/ticker:{symbol}", "subject": "trade.ticker", "data": data}
    return decode_message(json.dumps(push).encode())


def day(symbol: str, change: str, volume: str) -> Message:
    data = {"data": {"changeRate": change, "high": 9, "low": 1, "vol": volume, "symbol": symbol}}
    push = {"type": "message", "topic": f"/market/snapshot:{symbol}", "subject": "trade.snapshot", "data": data}
    return decode_message(json.dumps(push).encode())


SYMBOLS = ["AAA-USDT", "BBB-USDT", "CCC-USDT"]


def tickers(*messages: Message) -> Tickers:
    view = Tickers(Waiting(*messages), SYMBOLS, UNICODE)  # type: ignore[arg-type]
    view.update()
    return view


def rows_of(view: Tickers, width: int, height: int = 20) -> list[str]:
    return [text_of(row).rstrip() for row in view.draw(width, height)]


def test_tickers_are_sorted_by_what_the_key_chooses() -> None:
    view = tickers(day("AAA-USDT", "0.01", "70"), day("CCC-USDT", "0.02", "50"), ticker("CCC-USDT", "2", "1", "3"))
    orders = []
    for _ in range(5):
        orders.append((view.title, [row[0] for row in rows_of(view, 80)[1:]]))
        view.bindings["s"]()
    assert orders == [
        ("Tickers", ["A", "B", "C"]),
        ("Tickers, by change in 24 h", ["C", "A", "B"]),
        ("Tickers, by messages per second", ["C", "A", "B"]),
        ("Tickers, by volume", ["A", "C", "B"]),
        ("Tickers", ["A", "B", "C"]),
    ]


def test_a_price_that_has_just_changed_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kucoin_sync.cli.changes.FRESH", 1000.0)
    view = tickers(ticker("AAA-USDT", "2.5", "2.4", "2.6"), ticker("BBB-USDT", "2.5", "2.4", "2.6"))
    assert not {"▲", "▼"} & {*"".join(rows_of(view, 80))}
    view._subscription = Waiting(  # type: ignore[assignment]
        ticker("AAA-USDT", "2.6", "2.5", "2.7"), ticker("BBB-USDT", "2.4", "2.4", "2.6")
    )
    view.update()
    first, second = view.draw(80, 20)[1:3]
    assert text_of(first).split()[1:3] == ["▲", "2.6"]
    assert text_of(second).split()[1:3] == ["▼", "2.4"]
    styles = {span.text.strip(): span.style for span in first}
    assert (styles["2.5"], styles["2.7"]) == ("bold", "bold")
    assert {span.text.strip(): span.style for span in second}["2.6"] == ""


@pytest.mark.parametrize("price", ["67000.1", "0.00002513"])
def test_at_40_columns_bid_and_ask_stay(price: str) -> None:
    heads, row, *_ = rows_of(tickers(ticker("AAA-USDT", price, price, price)), 40)
    assert heads.split()[-2:] == ["bid", "ask"]
    assert row.split()[-2:] == [price, price]


def test_a_wide_terminal_is_used_to_its_end() -> None:
    view = tickers(ticker("AAA-USDT", "2.5", "2.4", "2.6"), day("AAA-USDT", "0.01", "70"))
    for width in (120, 200):
        assert max(len(text_of(row)) for row in view.draw(width, 20)) == width


def test_a_change_is_marked_for_a_second() -> None:
    changes = RecentChanges()
    for value, now in ((None, 0.0), (Decimal(1), 1.0), (Decimal(1), 2.0), (Decimal(2), 3.0)):
        assert changes.direction("price", now) == 0
        changes.note("price", value, now)
    assert [changes.direction("price", now) for now in (3.0, 4.0, 4.1)] == [1, 1, 0]
    changes.note("price", Decimal(1), 5.0)
    assert changes.direction("price", 5.0) == -1
    changes.forget("price")
    changes.note("price", Decimal(9), 5.0)
    assert changes.direction("price", 5.0) == 0
