"""Spot accounts: the fields of each order event, money on hold and settled, stop orders."""

import random
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange, OrderRejected, Push

from ..support.books import best_prices

SYMBOL = "BTC-USDT"
FEE = Decimal("0.001")


@pytest.fixture
def exchange_options() -> dict[str, Any]:
    return {"symbols": (SYMBOL, "KCS-BTC"), "seed": 21, "accounts": ("alice", "bob")}


def orders(pushes: list[Push], topic: str = "/spotMarket/tradeOrdersV2") -> list[dict[str, Any]]:
    return [push.data for push in pushes if push.topic == topic]


def money(pushes: list[Push]) -> list[dict[str, Any]]:
    return [push.data for push in pushes if push.topic == "/account/balance"]


def room(exchange: Exchange) -> tuple[Decimal, Decimal]:
    """Let a stranger take the lowest asks until some ticks are free, and return the best prices."""
    bid, ask = best_prices(exchange, SYMBOL)
    while ask - bid < Decimal("0.5"):
        size = exchange.level2(SYMBOL).asks[0][1]
        exchange.place(SYMBOL, "buy", size, ask, user="")
        bid, ask = best_prices(exchange, SYMBOL)
    exchange.take_pushes()
    return bid, ask


def test_a_resting_order_is_received_and_open(exchange: Exchange) -> None:
    bid, _ = best_prices(exchange, SYMBOL)
    id = exchange.place(SYMBOL, "buy", "0.5", bid - 100, client_oid="mine")
    received, opened = orders(exchange.take_pushes())
    assert received == {
        "symbol": SYMBOL, "orderId": id, "clientOid": "mine", "side": "buy", "orderType": "limit",
        "type": "received", "status": "new", "price": str(bid - 100), "originSize": "0.5",
        "orderTime": exchange.now_ns // 1_000_000, "ts": exchange.now_ns,
    }  # fmt: skip
    assert (opened["type"], opened["status"]) == ("open", "open")
    progress = [opened[name] for name in ("size", "remainSize", "filledSize", "canceledSize")]
    assert progress == ["0.5", "0.5", "0", "0"]


def test_a_taker_is_matched_and_filled(exchange: Exchange) -> None:
    _, ask = room(exchange)
    exchange.place(SYMBOL, "sell", "0.3", ask - Decimal("0.1"), user="")
    exchange.place(SYMBOL, "buy", "0.1")
    events = orders(exchange.take_pushes())
    assert [(e["type"], e["status"]) for e in events] == [
        ("received", "new"),
        ("match", "match"),
        ("filled", "done"),
    ]
    match = events[1]
    fields = ("liquidity", "feeType", "matchPrice", "matchSize", "filledSize", "remainSize")
    assert [match[f] for f in fields] == ["taker", "takerFee", str(ask - Decimal("0.1")), "0.1", "0.1", "0"]
    assert "price" not in match


def test_a_maker_is_matched_as_open_and_filled_later(exchange: Exchange) -> None:
    bid, _ = room(exchange)
    price = bid + Decimal("0.1")
    exchange.place(SYMBOL, "buy", "0.3", price, post_only=True)
    exchange.take_pushes()
    exchange.place(SYMBOL, "sell", "0.1", user="")
    (match,) = orders(exchange.take_pushes())
    assert (match["status"], match["liquidity"], match["remainSize"]) == ("open", "maker", "0.2")
    exchange.place(SYMBOL, "sell", "0.2", user="")
    assert [e["type"] for e in orders(exchange.take_pushes())] == ["match", "filled"]


def test_a_decrease_is_an_update_and_the_rest_can_be_cancelled(exchange: Exchange) -> None:
    bid, _ = best_prices(exchange, SYMBOL)
    id = exchange.place(SYMBOL, "buy", "0.5", bid - 10)
    exchange.take_pushes()
    exchange.reduce(id, "0.2")
    (update,) = orders(exchange.take_pushes())
    fields = ("type", "status", "oldSize", "size", "remainSize", "canceledSize", "originSize")
    assert [update[f] for f in fields] == ["update", "open", "0.5", "0.2", "0.2", "0.3", "0.5"]
    assert exchange.cancel(id)
    (canceled,) = orders(exchange.take_pushes())
    assert [canceled[f] for f in fields if f != "oldSize"] == ["canceled", "done", "0.2", "0", "0.5", "0.5"]


def test_two_orders_of_an_account_update_each_other(exchange: Exchange) -> None:
    bid, _ = room(exchange)
    price = bid + Decimal("0.1")
    exchange.place(SYMBOL, "buy", "0.5", price)
    exchange.take_pushes()
    exchange.place(SYMBOL, "sell", "0.7", price)
    events = [(e["type"], e["status"], e["side"]) for e in orders(exchange.take_pushes())]
    assert events[:3] == [
        ("received", "new", "sell"),
        ("canceled", "done", "buy"),
        ("update", "match", "sell"),
    ]
    assert exchange.balances("alice")["USDT"][1] == 0


def test_the_older_topic_carries_the_same_without_received(exchange: Exchange) -> None:
    bid, _ = best_prices(exchange, SYMBOL)
    exchange.cancel(exchange.place(SYMBOL, "buy", "0.5", bid - 10))
    pushes = exchange.take_pushes()
    assert orders(pushes, "/spotMarket/tradeOrders") == orders(pushes)[1:]


def test_only_the_account_concerned_is_told(exchange: Exchange) -> None:
    bid, _ = room(exchange)
    price = bid + Decimal("0.1")
    exchange.place(SYMBOL, "buy", "0.3", price, user="alice", post_only=True)
    exchange.place(SYMBOL, "sell", "0.3", price, user="bob")
    private = [push for push in exchange.take_pushes() if push.private]
    assert all(push.user == push.extra["userId"] for push in private if not push.topic.startswith("/uta/"))
    told = {
        user: [p.data["type"] for p in private if p.user == user and p.topic == "/spotMarket/tradeOrdersV2"]
        for user in ("alice", "bob")
    }
    assert told == {"alice": ["received", "open", "match", "filled"], "bob": ["received", "match", "filled"]}


def test_a_stranger_causes_no_private_pushes(exchange: Exchange) -> None:
    exchange.place(SYMBOL, "buy", "0.3", user="")
    assert not [push for push in exchange.take_pushes() if push.private]


def test_a_buy_holds_its_worst_cost_with_the_fee_and_gets_the_rest_back(exchange: Exchange) -> None:
    before, _ = exchange.balances("alice")["USDT"]
    bid, _ = room(exchange)
    price = bid + Decimal("0.1")
    exchange.place(SYMBOL, "sell", "0.2", price, user="bob", post_only=True)
    exchange.take_pushes()
    limit = price + 5
    id = exchange.place(SYMBOL, "buy", "0.2", limit)
    hold, spent, got, back = money([p for p in exchange.take_pushes() if p.user == "alice"])
    worst, cost = limit * Decimal("0.2") * (1 + FEE), price * Decimal("0.2") * (1 + FEE)
    assert (hold["relationEvent"], Decimal(hold["holdChange"]), Decimal(hold["availableChange"])) == (
        "trade.hold", worst, -worst,
    )  # fmt: skip
    assert (spent["relationEvent"], Decimal(spent["holdChange"]), spent["availableChange"]) == (
        "trade.setted",
        -cost,
        "0",
    )
    assert (got["currency"], got["availableChange"], got["holdChange"]) == ("BTC", "0.2", "0")
    assert spent["relationContext"].keys() == {"symbol", "orderId", "tradeId"}
    assert (Decimal(back["availableChange"]), back["hold"]) == (worst - cost, "0")
    assert back["relationContext"] == {"symbol": SYMBOL, "orderId": id}
    assert exchange.balances("alice")["USDT"] == (before - cost, Decimal(0))


def test_a_sell_holds_what_it_delivers_and_pays_the_fee_from_the_proceeds(exchange: Exchange) -> None:
    bid, _ = best_prices(exchange, SYMBOL)
    usdt, _ = exchange.balances("bob")["USDT"]
    btc, _ = exchange.balances("bob")["BTC"]
    exchange.place(SYMBOL, "buy", 1, bid, user="")
    exchange.place(SYMBOL, "sell", "0.01", bid, user="bob")
    assert exchange.balances("bob")["BTC"] == (btc - Decimal("0.01"), Decimal(0))
    assert exchange.balances("bob")["USDT"] == (usdt + bid * Decimal("0.01") * (1 - FEE), Decimal(0))


def test_an_order_beyond_the_balance_is_refused_and_leaves_no_trace(exchange: Exchange) -> None:
    before = exchange.balances("alice"), exchange.level3(SYMBOL)
    for side, size in (("buy", 100), ("sell", 13)):
        with pytest.raises(OrderRejected, match="not enough"):
            exchange.place(SYMBOL, side, size, 66_000)
    assert (exchange.balances("alice"), exchange.level3(SYMBOL)) == before
    assert exchange.take_pushes() == []


def test_ids_of_balance_changes_never_repeat(exchange: Exchange) -> None:
    for _ in range(5):
        exchange.place(SYMBOL, "buy", "0.01")
    changes = [push for push in exchange.take_pushes() if push.topic == "/account/balance"]
    ids = [push.extra["id"] for push in changes]
    assert len(set(ids)) == len(ids)
    assert ids == [push.data["relationEventId"] for push in changes]
    numbers = {(push.data["accountId"], push.data["currency"]) for push in changes}
    assert len(numbers) == 2


def test_balances_follow_from_their_changes_and_never_go_below_zero(exchange: Exchange) -> None:
    rng = random.Random(1)
    start = {user: exchange.balances(user) for user in ("alice", "bob")}
    totals = {user: {c: sum(b) for c, b in start[user].items()} for user in start}
    changes: list[Push] = []
    mine: list[str] = []
    for _ in range(400):
        symbol, size = rng.choice(((SYMBOL, 0.02), ("KCS-BTC", 60.0)))
        bid, ask = best_prices(exchange, symbol)
        price = rng.choice((None, bid, ask, bid * 2 - ask))
        hidden = price is not None and rng.random() < 0.1
        side, user = rng.choice(("buy", "sell")), rng.choice(("alice", "bob"))
        size = round(size * (1 + rng.random()), 4)
        mine.append(exchange.place(symbol, side, size, price, user=user, hidden=hidden))
        if rng.random() < 0.3:
            exchange.cancel(rng.choice(mine))
        changes += [push for push in exchange.step() if push.topic == "/account/balance"]
        exchange._check()
    for id in mine:
        exchange.cancel(id)
    changes += [push for push in exchange.take_pushes() if push.topic == "/account/balance"]
    assert len(changes) > 800
    for push in changes:
        data = {k: Decimal(v) for k, v in push.data.items() if k in ("total", "available", "hold")}
        assert min(data.values()) >= 0
        assert data["total"] == data["available"] + data["hold"]
        assert push.user is not None
        change = Decimal(push.data["availableChange"]) + Decimal(push.data["holdChange"])
        totals[push.user][push.data["currency"]] += change
        assert totals[push.user][push.data["currency"]] == data["total"]
    for user, expected in totals.items():
        assert {c: sum(b) for c, b in exchange.balances(user).items()} == expected
        assert all(hold == 0 for _, hold in exchange.balances(user).values())


def test_trades_between_accounts_move_money_and_cost_only_the_fees(exchange: Exchange) -> None:
    def sums() -> dict[str, Decimal]:
        both = [exchange.balances(user) for user in ("alice", "bob")]
        return {c: sum((b[c][0] + b[c][1] for b in both), Decimal(0)) for c in both[0]}

    before = sums()
    volume = Decimal(0)
    for number in range(20):
        bid, _ = room(exchange)
        price = bid + Decimal("0.1")
        exchange.place(SYMBOL, "sell", "0.01", price, user="alice", hidden=number % 2 == 0)
        exchange.place(SYMBOL, "buy", "0.01", price, user="bob")
        matches = [e for e in orders(exchange.take_pushes()) if e["type"] == "match"]
        assert len(matches) == 2
        volume += price * Decimal("0.01")
    after = sums()
    assert after["BTC"] == before["BTC"]
    assert after["USDT"] == before["USDT"] - 2 * FEE * volume


def test_money_is_booked_even_when_nobody_listens(exchange: Exchange) -> None:
    exchange.wants = lambda topic: False
    before, _ = exchange.balances("alice")["USDT"]
    exchange.cancel(exchange.place(SYMBOL, "buy", "0.1", stop_price=1))
    exchange.place(SYMBOL, "buy", "0.1", stop_price=best_prices(exchange, SYMBOL)[1])
    exchange.place(SYMBOL, "buy", "0.1", user="")
    assert exchange.take_pushes() == []
    assert exchange.balances("alice")["USDT"][0] < before


def test_an_account_says_whose_it_is(exchange: Exchange) -> None:
    account = exchange._accounts["bob"]
    assert repr(account).startswith("Account(bob, {'BTC': Balance(12")
    assert len(exchange._accounts) == 2
