"""The exchange as a whole: determinism, what is rendered, the simulated clock, snapshots, plausibility."""

import itertools
import json
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange, OrderRejected, Push


def wire(pushes: list[Push]) -> list[str]:
    return [json.dumps(push.message()) for push in pushes]


def session(seed: int) -> list[str]:
    exchange = Exchange(seed=seed)
    lines: list[str] = []
    for number in range(600):
        lines += wire(exchange.step())
        if number % 100 == 0:
            exchange.place("BTC-USDT", "buy", "0.01")
            exchange.place("XBTUSDTM", "sell", 2)
            lines += wire(exchange.heartbeat())
    return lines


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert session(9) == session(9)


def test_another_seed_gives_another_market() -> None:
    assert session(9) != session(10)


def test_a_symbol_goes_its_way_whatever_others_do() -> None:
    alone, along = Exchange(("BTC-USDT",), seed=1), Exchange(("BTC-USDT", "ETH-USDT"), seed=1)
    for _ in range(200):
        alone.step("BTC-USDT")
        along.step("BTC-USDT")
        along.step("ETH-USDT")
    assert alone.level2("BTC-USDT") == along.level2("BTC-USDT")


def test_what_nobody_wants_is_not_rendered() -> None:
    exchange = Exchange(seed=2)
    asked: set[str] = set()

    def wants(topic: str) -> bool:
        asked.add(topic)
        return topic in ("/market/match:BTC-USDT", "/market/candles:KCS-BTC_1min")

    exchange.wants = wants
    assert exchange.wants is wants
    pushes = [push for _ in range(400) for push in exchange.step()] + exchange.heartbeat()
    assert {push.topic for push in pushes} == {"/market/match:BTC-USDT", "/market/candles:KCS-BTC_1min"}
    assert {"/market/level3:ETH-USDT", "/contractMarket/level2:XBTUSDTM", "/market/ticker:all"} < asked
    assert not [topic for topic in asked if "," in topic]


def test_wants_can_change_between_steps() -> None:
    exchange = Exchange(("ETH-USDT",), seed=3)
    exchange.wants = lambda topic: False
    assert exchange.step() == []
    exchange.wants = None
    assert exchange.step()


def test_the_clock_advances_by_some_milliseconds_a_step_and_stands_still_in_a_heartbeat() -> None:
    exchange = Exchange(seed=4, start_ns=5_000_000_000)
    assert exchange.now_ns == 5_000_000_000
    before = exchange.now_ns
    for _ in range(100):
        exchange.step()
        assert 500_000 <= exchange.now_ns - before <= 8_000_000
        before = exchange.now_ns
    exchange.heartbeat()
    assert exchange.now_ns == before


def test_pushes_are_handed_out_once() -> None:
    exchange = Exchange(seed=5)
    exchange.place("BTC-USDT", "buy", "0.01", 60_000)
    assert {push.user for push in exchange.take_pushes()} == {None, "demo-user"}
    assert exchange.take_pushes() == []


def test_step_and_heartbeat_hand_out_what_users_caused_before() -> None:
    exchange = Exchange(("BTC-USDT",), seed=5)
    for hand_out in (exchange.step, exchange.heartbeat):
        exchange.place("BTC-USDT", "buy", "0.01", 60_000)
        assert [push for push in hand_out() if push.private]


def test_an_order_that_makes_no_sense_is_refused() -> None:
    exchange = Exchange(seed=6)
    refused: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        (("BTC-USDT", "both", 1), {}, "buy or sell"),
        (("BTC-USDT", "buy", 0), {}, "positive"),
        (("BTC-USDT", "buy", 1, -1), {}, "positive"),
        (("BTC-USDT", "buy", "0.000000001"), {}, "finer"),
        (("BTC-USDT", "buy", 1, "0.05"), {}, "finer"),
        (("XBTUSDTM", "buy", "0.5"), {}, "finer"),
        (("BTC-USDT", "buy", 1), {"user": "nobody"}, "no account"),
        (("BTC-USDT", "buy", 1), {"hidden": True}, "market order"),
        (("BTC-USDT", "buy", 1), {"post_only": True}, "market order"),
        (("BTC-USDT", "buy", 1), {"stop_price": 0}, "stop"),
        (("BTC-USDT", "buy", 1), {"stop_price": 9, "user": ""}, "stop"),
    ]
    for arguments, options, reason in refused:
        with pytest.raises(OrderRejected, match=reason):
            exchange.place(*arguments, **options)
    assert exchange.take_pushes() == []


def test_what_is_not_there_cannot_be_changed() -> None:
    exchange = Exchange(seed=6)
    assert not exchange.cancel("nothing")
    with pytest.raises(OrderRejected, match="no order nothing"):
        exchange.reduce("nothing", 1)
    id = exchange.place("BTC-USDT", "buy", 1, 60_000)
    with pytest.raises(OrderRejected, match="decreased"):
        exchange.reduce(id, 2)
    waiting = exchange.place("BTC-USDT", "buy", 1, 60_000, stop_price=70_000)
    with pytest.raises(OrderRejected, match="rests"):
        exchange.reduce(waiting, "0.5")
    with pytest.raises(ValueError, match="not traded here"):
        exchange.step("DOGE-USDT")


def test_an_exchange_needs_a_symbol_and_a_level() -> None:
    with pytest.raises(ValueError, match="at least one symbol"):
        Exchange(())
    with pytest.raises(ValueError, match="at least one level"):
        Exchange(levels=0)


def test_without_accounts_everybody_is_a_stranger() -> None:
    exchange = Exchange(("BTC-USDT",), seed=1, accounts=())
    exchange.place("BTC-USDT", "buy", 1)
    assert not [push for push in exchange.take_pushes() if push.private]


def test_any_number_of_symbols_can_be_traded() -> None:
    symbols = [f"S{number}-USDT" for number in range(40)]
    exchange = Exchange(symbols, levels=5)
    for _ in range(200):
        exchange.step()
    exchange._check()
    assert exchange.symbols == tuple(symbols)
    assert repr(exchange).startswith("Exchange(S0-USDT, S1-USDT")


def test_rest_snapshots_have_the_types_of_their_market() -> None:
    exchange = Exchange(seed=7)
    spot = exchange.level2_snapshot("BTC-USDT", 20)
    assert spot.keys() == {"sequence", "time", "bids", "asks"}
    assert [type(value) for value in (spot["sequence"], spot["time"], *spot["bids"][0])] == [
        str,
        int,
        str,
        str,
    ]
    assert len(spot["bids"]) == len(spot["asks"]) == 20
    futures = exchange.level2_snapshot("XBTUSDTM")
    assert futures.keys() == {"sequence", "symbol", "ts", "bids", "asks"}
    assert {type(price) for price, _ in futures["asks"]} <= {int, float}
    assert {type(value) for value in (futures["sequence"], futures["ts"], *[s for _, s in futures["bids"]])} == {int}
    orders = exchange.level3_snapshot("BTC-USDT")
    assert orders.keys() == {"sequence", "time", "bids", "asks"}
    assert [type(value) for value in orders["asks"][0]] == [str, str, str, int]
    assert int(spot["sequence"]) == orders["sequence"] == exchange.level2("BTC-USDT").sequence


def test_snapshots_are_ordered_as_the_book_trades() -> None:
    exchange = Exchange(seed=8)
    for _ in range(500):
        exchange.step()
    _, bids, asks = exchange.level2("ETH-USDT")
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0][0] < asks[0][0]
    for side in exchange.level3("ETH-USDT")[1:]:
        places = [(abs(order.price - side[0].price), order.time_ns) for order in side]
        assert places == sorted(places)


def test_an_emptied_side_is_shown_empty_and_fills_up_again() -> None:
    exchange = Exchange(("BTC-USDT", "XBTUSDTM"), seed=9, levels=6)
    for symbol in exchange.symbols:
        exchange.place(symbol, "buy", 1_000_000, user="")
        assert exchange.level2(symbol).asks == []
    latest = {push.topic: push for push in [*exchange.take_pushes(), *exchange.heartbeat()]}
    assert latest["/market/ticker:BTC-USDT"].data["bestAsk"] == "0"
    assert latest["/spotMarket/level1:BTC-USDT"].data["asks"] == []
    assert latest["/contractMarket/level2Depth5:XBTUSDTM"].data["asks"] == []
    exchange.place("BTC-USDT", "sell", 1_000_000, user="")
    exchange.place("XBTUSDTM", "sell", 1_000_000, user="")
    exchange.heartbeat()
    for _ in range(100):
        exchange.step()
    assert min(len(side) for symbol in exchange.symbols for side in exchange.level2(symbol)[1:]) >= 4
    exchange._check()


def test_the_market_looks_like_one() -> None:
    exchange = Exchange(seed=12)
    exchange.wants = "/market/match:BTC-USDT".__eq__
    tick = {"BTC-USDT": "0.1", "ETH-USDT": "0.01", "KCS-BTC": "0.00000001", "XBTUSDTM": "0.1"}
    start = {"BTC-USDT": "67000", "ETH-USDT": "2600", "KCS-BTC": "0.00014", "XBTUSDTM": "67000"}
    spreads: dict[str, list[Decimal]] = {symbol: [] for symbol in exchange.symbols}
    trades: list[Push] = []
    for _ in range(40):
        for _ in range(200):
            trades += exchange.step()
        for symbol in exchange.symbols:
            _, bids, asks = exchange.level2(symbol)
            spreads[symbol].append((asks[0][0] - bids[0][0]) / Decimal(tick[symbol]))
            assert abs(bids[0][0] / Decimal(start[symbol]) - 1) < Decimal("0.02")
            assert 20 < len(bids) < 120
            assert 20 < len(asks) < 120
    for widths in spreads.values():
        assert sorted(widths)[len(widths) // 2] <= 12
    assert len({trade.data["size"] for trade in trades}) > len(trades) / 2
    assert {trade.data["side"] for trade in trades} == {"buy", "sell"}
    prices = [Decimal(trade.data["price"]) for trade in trades]
    assert len(trades) > 200
    assert max(abs(a - b) / b for a, b in itertools.pairwise(prices)) < Decimal("0.002")


def test_a_market_says_what_it_is() -> None:
    exchange = Exchange(("BTC-USDT",), seed=1)
    assert repr(exchange._markets["BTC-USDT"]).startswith("Market(Engine(BTC-USDT, sequence")
