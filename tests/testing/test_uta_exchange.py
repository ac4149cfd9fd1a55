"""The simulated exchange's feeds of the UTA family, against its books, trades and balances."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.testing import Exchange, Push
from kucoin_sync.testing.exchange import uta_book
from kucoin_sync.testing.exchange.units import exact

from ..support.selection import first

SPOT, FUTURES = "BTC-USDT", "XBTUSDTM"
NAMES = {SPOT: "SPOT", FUTURES: "FUTURES"}
USER = "demo-user"

Book = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]


def topic_of(channel: str, symbol: str, rest: str = "") -> str:
    return f"/uta/{channel}.{NAMES[symbol]}:{symbol}{rest}"


def book_topic(symbol: str) -> str:
    return topic_of("obu", symbol, "_increment@10ms")


def exchange_for(*topics: str, **options: Any) -> Exchange:
    exchange = Exchange((SPOT, FUTURES), **options)
    exchange.wants = set(topics).__contains__
    return exchange


def best(exchange: Exchange, symbol: str, depth: int = 500) -> Book:
    _, bids, asks = exchange.level2(symbol)
    return dict(asks[:depth]), dict(bids[:depth])


def rows(side: Iterable[list[str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(size)) for price, size in side]


def apply(book: Book, data: dict[str, Any]) -> None:
    for side, name in zip(book, "ab", strict=True):
        for price, size in rows(data[name]):
            if size:
                side[price] = size
            else:
                side.pop(price, None)


# Books


@pytest.mark.parametrize("levels", first(20, 520))
@pytest.mark.parametrize("symbol", first(FUTURES, SPOT))
def test_snapshot_and_changes_are_the_best_500(symbol: str, levels: int) -> None:
    exchange = exchange_for(book_topic(symbol), levels=levels, seed=levels)
    for _ in range(50):
        exchange.step(symbol)
    snapshot = exchange.uta_book(symbol)
    exchange.take_pushes()
    assert snapshot.topic == book_topic(symbol)
    message = snapshot.message()
    assert (message["T"], message["t"], message["dp"]) == (f"obu.{NAMES[symbol]}", "snapshot", "increment@10ms")
    data = message["d"]
    assert data["s"] == symbol
    assert data["O"] == data["C"]
    book: Book = (dict(rows(data["a"])), dict(rows(data["b"])))
    assert book == best(exchange, symbol)
    assert list(book[0]) == sorted(book[0])
    assert list(book[1]) == sorted(book[1], reverse=True)
    last, truth, changes = data["C"], best(exchange, symbol), 0
    steps = 2_000 if levels < 500 else 300
    for n in range(steps):
        # Pushes at the start of a step are of the windows before it.
        pushes = exchange.step(symbol)
        for push in pushes:
            assert (push.extra["t"], push.extra["dp"]) == ("delta", "increment@10ms")
            assert push.data["O"] == last + 1
            assert push.data["C"] > last
            last = push.data["C"]
            apply(book, push.data)
            changes += 1
            assert book == truth, f"after step {n}"
        if n % 100 == 50:
            assert book_of(exchange.uta_book(symbol)) == best(exchange, symbol)
            [*between] = exchange.take_pushes()
            for push in between:
                assert push.data["O"] == last + 1
                last = push.data["C"]
                apply(book, push.data)
            assert book == best(exchange, symbol)
        truth = best(exchange, symbol)
    assert changes > steps // 4
    assert levels < 500 or len(exchange.level2(symbol).bids) > 500, "the case with levels outside did occur"


@pytest.mark.parametrize("depth", first(5, 1, 15))
@pytest.mark.parametrize("symbol", [SPOT, FUTURES])
def test_a_book_with_few_levels_follows_the_best_ones(symbol: str, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uta_book, "DEPTH", depth)
    exchange = exchange_for(book_topic(symbol), levels=15, seed=depth)
    sides = exchange._market(symbol).engine.asks, exchange._market(symbol).engine.bids
    spec = exchange._market(symbol).spec

    def truth() -> Book:
        asks, bids = (
            {exact(price, spec.price_scale): exact(size, spec.size_scale) for price, size in side.visible(depth)}
            for side in sides
        )
        return asks, bids

    book, expected, changes = book_of(exchange.uta_book(symbol)), truth(), 0
    for _ in range(10_000):
        for push in exchange.step(symbol):
            apply(book, push.data)
            assert book == expected
            changes += 1
        expected = truth()
    assert changes > 1_000


def book_of(snapshot: Push) -> Book:
    return dict(rows(snapshot.data["a"])), dict(rows(snapshot.data["b"]))


def test_a_window_of_10_ms_has_one_push() -> None:
    exchange = exchange_for(book_topic(SPOT))
    pushes = [(exchange.now_ns, push) for _ in range(2_000) for push in exchange.step(SPOT)]
    windows = [push.data["M"] // 10_000_000 for _, push in pushes]
    assert len(windows) == len(set(windows)) > 500
    for now_ns, push in pushes:
        assert push.extra["P"] == now_ns
        assert now_ns // 10_000_000 > push.data["M"] // 10_000_000, "not before its window is over"


def test_a_window_can_be_closed_early() -> None:
    exchange = exchange_for(book_topic(SPOT))
    exchange.uta_book(SPOT)
    assert not exchange.window_is_open
    exchange.place(SPOT, "buy", "0.5", "60000", user="")
    assert exchange.window_is_open
    assert exchange.take_pushes() == []
    exchange.close_windows()
    [push] = exchange.take_pushes()
    assert push.data["b"] == [["60000", "0.5"]]
    assert not exchange.window_is_open
    exchange.close_windows()
    assert exchange.take_pushes() == []


def test_what_comes_and_goes_in_one_window_is_not_pushed() -> None:
    exchange = exchange_for(book_topic(SPOT))
    exchange.uta_book(SPOT)
    order = exchange.place(SPOT, "buy", "0.5", "60000", user="")
    exchange.cancel(order)
    exchange.close_windows()
    assert exchange.take_pushes() == []
    exchange.place(SPOT, "buy", "0.5", "60000", user="")
    exchange.close_windows()
    [push] = exchange.take_pushes()
    assert push.data["C"] - push.data["O"] > 2, "the next push has the sequences of both windows"


@pytest.mark.parametrize("entering", [True, False])
def test_a_level_that_enters_the_best_500_is_pushed_or_not(entering: bool) -> None:
    exchange = exchange_for(book_topic(SPOT), levels=600)
    exchange.push_entering_levels = entering
    exchange.uta_book(SPOT)
    _, bids, _ = exchange.level2(SPOT)
    best_price = bids[0][0]
    exchange.place(SPOT, "sell", sum(size for price, size in bids if price == best_price) + 10, best_price, user="")
    exchange.close_windows()
    [push] = exchange.take_pushes()
    assert (bids[500] in rows(push.data["b"])) is entering
    assert push.data["b"][0][1] == "0"


def test_without_entering_levels_known_levels_stay_right() -> None:
    exchange = exchange_for(book_topic(SPOT), levels=600)
    exchange.push_entering_levels = False
    book = book_of(exchange.uta_book(SPOT))
    truth, missing = best(exchange, SPOT), 0
    for _ in range(250):
        for push in exchange.step(SPOT):
            apply(book, push.data)
            for mine, whole in zip(book, truth, strict=True):
                assert mine.items() <= whole.items()
                missing += len(whole) - len(mine)
        truth = best(exchange, SPOT)
    assert missing


@pytest.mark.parametrize("symbol", [SPOT, FUTURES])
def test_depth_1_is_pushed_when_the_best_prices_change(symbol: str) -> None:
    exchange = exchange_for(topic_of("obu", symbol, "_1"))
    before: Any = None
    count = 0
    for _ in range(1_000):
        pushes = exchange.step(symbol)
        now = best(exchange, symbol, 1)
        assert len(pushes) == (now != before)
        for push in pushes:
            assert (push.extra["t"], push.extra["dp"]) == ("snapshot", "1")
            assert push.data["O"] == push.data["C"] == exchange.level2(symbol).sequence
            assert book_of(push) == now
        before = now
        count += len(pushes)
    assert 50 < count < 1_000


@pytest.mark.parametrize("symbol", [SPOT, FUTURES])
def test_depths_5_and_50_are_pushed_by_both_heartbeats(symbol: str) -> None:
    exchange = exchange_for(*(topic_of("obu", symbol, f"_{depth}") for depth in (5, 50)))
    assert exchange.step(symbol) == []
    for beat in (exchange.heartbeat, exchange.fast_heartbeat, exchange.fast_heartbeat):
        pushes = beat()
        assert [push.extra["dp"] for push in pushes] == ["5", "50"]
        for push, depth in zip(pushes, (5, 50), strict=True):
            assert book_of(push) == best(exchange, symbol, depth)


# Trades and prices


def test_spot_trades_are_those_of_the_classic_feed() -> None:
    exchange = exchange_for("/market/match:BTC-USDT", topic_of("trade", SPOT))
    pushes = [push for _ in range(1_000) for push in exchange.step(SPOT)]
    classic = [push.data for push in pushes if push.topic.startswith("/market")]
    trades = [push.data for push in pushes if push.topic.startswith("/uta")]
    assert len(trades) > 50
    assert [(one["price"], one["size"], one["side"]) for one in classic] == [
        (one["p"], one["q"], one["S"]) for one in trades
    ]
    assert [one["E"] for one in trades] == sorted({one["E"] for one in trades})
    assert all(one["ti"] == str(one["E"]) and one["E"] > 1 << 53 for one in trades)
    assert [int(one["time"]) // 10**6 for one in classic] == [one["M"] // 10**6 for one in trades]
    assert "rpi" not in trades[0]


def test_futures_trades_are_those_of_the_classic_feed() -> None:
    exchange = exchange_for("/contractMarket/execution:XBTUSDTM", topic_of("trade", FUTURES))
    pushes = [push for _ in range(1_000) for push in exchange.step(FUTURES)]
    classic = [push.data for push in pushes if push.topic.startswith("/contract")]
    trades = [push.data for push in pushes if push.topic.startswith("/uta")]
    assert len(trades) > 50
    assert [(one["price"], str(one["size"]), one["side"], one["tradeId"]) for one in classic] == [
        (one["p"], one["q"], one["S"], one["ti"]) for one in trades
    ]
    assert trades[0]["rpi"] is False


@pytest.mark.parametrize("symbol", [SPOT, FUTURES])
def test_the_ticker_comes_with_trades_only(symbol: str) -> None:
    exchange = exchange_for(topic_of("ticker", symbol), topic_of("trade", symbol))
    count, last = 0, 0
    for _ in range(1_000):
        pushes = exchange.step(symbol)
        trades = [push.data for push in pushes if "trade" in push.topic]
        tickers = [push.data for push in pushes if "ticker" in push.topic]
        assert len(tickers) == bool(trades)
        for ticker in tickers:
            assert (ticker["l"], ticker["q"], ticker["S"].lower()) == (
                trades[-1]["p"], trades[-1]["q"], trades[-1]["S"],
            )  # fmt: skip
            assert ({Decimal(ticker["a"]): Decimal(ticker["A"])}, {Decimal(ticker["b"]): Decimal(ticker["B"])}) == (
                best(exchange, symbol, 1)
            )
            assert ticker["S"].isupper() is (symbol == SPOT)
            assert ticker["E"] > last
            last = ticker["E"]
        count += len(tickers)
    assert count > 50


@pytest.mark.parametrize("symbol", [SPOT, FUTURES])
def test_a_candle_is_pushed_when_it_has_changed(symbol: str) -> None:
    classic = "/market/candles:BTC-USDT_1min" if symbol == SPOT else "/contractMarket/limitCandle:XBTUSDTM_1min"
    exchange = exchange_for(topic_of("kline", symbol, "_1min"), classic, topic_of("trade", symbol))
    exchange.heartbeat()
    assert not exchange.heartbeat()
    while not exchange.step(symbol):
        pass
    old, new = exchange.heartbeat()
    start, opened, close, high, low, *_ = old.data["candles"]
    assert new.subject == f"kline.{NAMES[symbol]}"
    data = new.data
    assert (str(data["O"]), data["o"], data["c"], data["h"], data["l"]) == (start, opened, close, high, low)
    assert (data["s"], data["i"], data["C"]) == (symbol, "1min", data["O"] + 60)
    if symbol == SPOT:
        assert (data["v"], data["a"]) == tuple(old.data["candles"][5:])
    else:
        assert data["v"] == old.data["candles"][6]
    assert [push.topic for push in exchange.heartbeat()] == [classic]


def test_candles_end_where_the_next_begins() -> None:
    lengths = ("1min", "1hour", "1day", "1week", "1month")
    exchange = exchange_for(*(topic_of("kline", SPOT, f"_{length}") for length in lengths))
    candles = {push.data["i"]: push.data for push in exchange.heartbeat()}
    assert set(candles) == set(lengths)
    assert candles["1week"]["C"] - candles["1week"]["O"] == 7 * 86_400
    assert (candles["1month"]["O"], candles["1month"]["C"]) == (1_727_740_800, 1_730_419_200), "October 2024"


def test_futures_have_no_candles_of_6_hours() -> None:
    exchange = exchange_for(topic_of("kline", FUTURES, "_6hour"))
    assert exchange.heartbeat() == []


def test_mark_price_and_funding_are_those_of_the_classic_feed() -> None:
    topics = ("/uta/mark-price:XBTUSDTM", "/uta/funding-fee:XBTUSDTM", "/uta/funding-fee-all-symbols")
    exchange = exchange_for("/contract/instrument:XBTUSDTM", *topics)
    for _ in range(100):
        exchange.step(FUTURES)
    price, rate, mark, funding, all_funding = exchange.heartbeat()
    assert (mark.topic, funding.topic, all_funding.topic) == topics
    assert [push.message()["T"] for push in (mark, funding, all_funding)] == [
        topic[5:].split(":")[0] for topic in topics
    ]
    assert (float(mark.data["mp"]), float(mark.data["ip"])) == (price.data["markPrice"], price.data["indexPrice"])
    assert float(funding.data["fr"]) == rate.data["fundingRate"]
    assert funding.data["ft"] <= exchange.now_ns // 10**6 < funding.data["nt"]
    assert all_funding.data == [funding.data]


def test_a_call_auction_has_numbers() -> None:
    exchange = exchange_for("/uta/callAuctionInfo:BTC-USDT")
    for pushes in (exchange.heartbeat(), exchange.fast_heartbeat()):
        [push] = pushes
        assert push.message()["T"] == "callAuctionInfo.SPOT"
        assert push.message()["t"] == "snapshot"
        assert push.data["blp"] < push.data["eq"] < push.data["shp"]


# Accounts


def private(kind: str, symbol: str = SPOT) -> str:
    return f"/uta/{kind}.UNIFIED:{symbol}" if kind in ("order", "position") else f"/uta/{kind}.UNIFIED"


def orders_of(pushes: Iterable[Push]) -> list[tuple[str, int]]:
    return [(push.data["eT"], push.data["os"]) for push in pushes if push.topic == "/uta/orderAll.UNIFIED"]


@pytest.mark.parametrize("symbol", [SPOT, FUTURES])
def test_the_life_of_an_order(symbol: str) -> None:
    exchange = exchange_for(private("orderAll"), private("order", symbol))
    order = exchange.place(symbol, "buy", 4, "60000", client_oid="mine")
    opened, also = exchange.take_pushes()
    assert opened.data is also.data
    assert (opened.topic, also.topic) == (private("orderAll"), private("order", symbol))
    assert opened.message()["T"] == also.message()["T"] == "orderAll.UNIFIED"
    assert opened.user == USER
    assert opened.private
    data = opened.data
    assert (data["oi"], data["ci"], data["tT"], data["s"]) == (order, "mine", NAMES[symbol], symbol)
    assert (data["eT"], data["os"], data["S"], data["oT"]) == ("OPEN", 2, "BUY", "LIMIT")
    assert (data["p"], data["q"], data["fS"], data["rS"], data["cS"]) == ("60000", "4", "0", "4", "0")
    exchange.wants = {private("orderAll")}.__contains__
    exchange.reduce(order, 3)
    [updated] = exchange.take_pushes()
    assert (updated.data["eT"], updated.data["os"], updated.data["rS"], updated.data["cS"]) == ("UPDATE", 2, "3", "1")
    exchange.cancel(order)
    [gone] = exchange.take_pushes()
    assert (gone.data["eT"], gone.data["os"], gone.data["rS"], gone.data["cS"]) == ("CANCEL", 5, "0", "4")


@pytest.mark.parametrize("symbol", [SPOT, FUTURES])
def test_fills_and_executions_agree(symbol: str) -> None:
    exchange = exchange_for(private("orderAll"), private("execution"), private("execution.lite"))
    _, _, asks = exchange.level2(symbol)
    size = sum((size for _, size in asks[:3]), Decimal(0))
    order = exchange.place(symbol, "buy", size)
    pushes = exchange.take_pushes()
    fills = [push.data for push in pushes if push.topic == private("orderAll") and push.data["eT"] in ("MATCH", "FILL")]
    executions = [push.data for push in pushes if push.topic == private("execution")]
    lites = [push.data for push in pushes if push.topic == private("execution.lite")]
    assert orders_of(pushes) == [("OPEN", 2), *[("MATCH", 4)] * (len(fills) - 1), ("FILL", 3)]
    assert len(fills) == len(executions) == len(lites) >= 3
    for fill, execution, lite in zip(fills, executions, lites, strict=True):
        assert (fill["lS"], fill["ls"], fill["ti"]) == (execution["q"], execution["p"], execution["ti"])
        assert fill["lR"] == execution["lR"] == "TAKER"
        assert execution["oi"] == order
        assert lite.items() - {("ti", lite["ti"])} <= execution.items()
        assert str(lite["ti"]) == execution["ti"]
        assert isinstance(lite["ti"], int) is (symbol == SPOT)
        assert not {"f", "fC"} & lite.keys()
    paid = sum(Decimal(one["p"]) * Decimal(one["q"]) for one in executions)
    assert Decimal(fills[-1]["f"]) == sum(Decimal(one["f"]) for one in executions) > 0
    assert abs(Decimal(fills[-1]["aP"]) - paid / size) < Decimal("0.001")
    assert Decimal(fills[-1]["fS"]) == size


def test_a_maker_is_told_as_maker() -> None:
    exchange = exchange_for(private("orderAll"), private("execution"))
    _, bids, asks = exchange.level2(SPOT)
    price = (bids[0][0] + asks[0][0]) / 2
    exchange.place(SPOT, "buy", 1, price.quantize(Decimal("0.1")))
    exchange.take_pushes()
    exchange.place(SPOT, "sell", "0.4", user="")
    part, execution = exchange.take_pushes()
    assert (part.data["eT"], part.data["os"], part.data["lR"], part.data["rS"]) == ("MATCH", 4, "MAKER", "0.6")
    assert execution.data["lR"] == "MAKER"
    exchange.cancel(part.data["oi"])
    assert orders_of(exchange.take_pushes()) == [("CANCEL", 6)]


def test_a_stop_order_triggers_another_order() -> None:
    exchange = exchange_for(private("orderAll"))
    last = exchange.level2(SPOT).asks[0][0]
    order = exchange.place(SPOT, "buy", "0.01", stop_price=last + 5)
    [waiting] = exchange.take_pushes()
    assert (waiting.data["os"], waiting.data["tD"], waiting.data["tPT"]) == (0, "UP", "TP")
    assert Decimal(waiting.data["tP"]) == last + 5
    assert waiting.data["oi"] != order
    below = [size for price, size in exchange.level2(SPOT).asks if price < last + 6]
    exchange.place(SPOT, "buy", sum(below, Decimal(1)), user="")
    triggered, opened, *fills = exchange.take_pushes()
    assert (triggered.data["eT"], triggered.data["os"]) == ("TRIGGER", 1)
    assert (opened.data["eT"], opened.data["oi"], opened.data["toi"]) == ("OPEN", order, waiting.data["oi"])
    assert fills[-1].data["os"] == 3
    other = exchange.place(SPOT, "buy", "0.01", stop_price=last * 2)
    exchange.take_pushes()
    exchange.cancel(other)
    [gone] = exchange.take_pushes()
    assert (gone.data["os"], gone.data["oi"]) == (5, f"9{other}")


@pytest.mark.parametrize("symbol", [SPOT, FUTURES])
def test_balances_follow_the_account(symbol: str) -> None:
    exchange = exchange_for(private("balance"))
    known = exchange.unified_balances(USER)
    assert known["USDT"] == (Decimal(1_500_000), 0), "spot and futures wallet in one"

    def check() -> int:
        pushes = exchange.take_pushes()
        for push in pushes:
            data = push.data
            assert Decimal(data["b"]) == Decimal(data["a"]) + Decimal(data["h"])
            assert len(data["a"].partition(".")[2]) >= 10
            assert known[data["c"]] != (Decimal(data["a"]), Decimal(data["h"]))
            known[data["c"]] = Decimal(data["a"]), Decimal(data["h"])
        assert known == exchange.unified_balances(USER)
        return len(pushes)

    order = exchange.place(symbol, "buy", 2, "60000")
    assert check() == 1
    exchange.reduce(order, 1)
    assert check() == 1
    exchange.cancel(order)
    assert check() == 1
    exchange.place(symbol, "buy", 1)
    assert check() >= 2
    exchange.place(symbol, "sell", 1)
    assert check() >= 2


def test_positions_follow_the_fills() -> None:
    topics = ("/uta/positionAll.UNIFIED", "/uta/position.UNIFIED:XBTUSDTM")
    exchange = exchange_for(*topics)
    exchange.place(FUTURES, "buy", 5)
    pushes = exchange.take_pushes()
    assert {push.topic for push in pushes} == set(topics)
    assert {push.message()["T"] for push in pushes} == {"positionAll.UNIFIED"}
    data = pushes[-1].data
    assert (data["s"], data["q"]) == (FUTURES, "5")
    assert Decimal(data["eP"]) > 60_000
    opened = data["O"]
    exchange.place(FUTURES, "sell", 8)
    data = exchange.take_pushes()[-1].data
    assert (data["q"], data["O"]) == ("-3", opened)
    assert Decimal(data["rPL"]) < 0
    assert Decimal(data["eP"]) > 60_000
    exchange.place(FUTURES, "buy", 3)
    data = exchange.take_pushes()[-1].data
    assert (data["q"], Decimal(data["uPL"]), Decimal(data["iM"])) == ("0", 0, 0)


def test_nothing_private_is_pushed_for_strangers() -> None:
    exchange = Exchange((SPOT, FUTURES))
    exchange.wants = lambda topic: topic.startswith("/uta/") and "UNIFIED" in topic
    assert [push for _ in range(500) for push in exchange.step()] == []
