"""Stop orders wait, trigger and become orders, and only their owner is told."""

from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange, Push

from ..support.books import best_prices

SYMBOL = "BTC-USDT"


@pytest.fixture
def exchange_options() -> dict[str, Any]:
    return {"symbols": (SYMBOL,), "seed": 21, "accounts": ("alice", "bob")}


def orders(pushes: list[Push]) -> list[dict[str, Any]]:
    return [push.data for push in pushes if push.topic == "/spotMarket/tradeOrdersV2"]


def stops(pushes: list[Push]) -> list[tuple[str, str]]:
    return [(p.data["type"], p.data["stop"]) for p in pushes if p.topic == "/spotMarket/advancedOrders"]


def activated(pushes: list[Push]) -> list[Push]:
    return [p for p in pushes if p.subject == "trade.l3received" and p.data["type"] == "activated"]


def test_a_stop_waits_without_holding_money_and_can_be_cancelled(exchange: Exchange) -> None:
    _, ask = best_prices(exchange, SYMBOL)
    before = exchange.balances("alice")
    id = exchange.place(SYMBOL, "buy", "0.1", ask + 200, stop_price=ask + 100)
    assert exchange.balances("alice") == before
    assert exchange.cancel(id)
    assert not exchange.cancel(id)
    pushes = exchange.take_pushes()
    assert stops(pushes) == [("open", "entry"), ("cancel", "entry")]
    assert not activated(pushes)


def test_a_stop_triggers_privately_and_becomes_an_order(exchange: Exchange) -> None:
    bid, ask = best_prices(exchange, SYMBOL)
    last = Decimal(exchange.heartbeat()[0].data["bids"][0])
    id = exchange.place(SYMBOL, "sell", "0.1", bid + 500, stop_price=ask + 3, user="bob", client_oid="stop-1")
    exchange.place(SYMBOL, "buy", 9, ask + 5, user="")
    pushes = exchange.take_pushes()
    assert last < ask
    assert stops(pushes) == [("open", "entry"), ("triggered", "entry")]
    (push,) = activated(pushes)
    assert (push.user, push.private, push.topic) == ("bob", True, f"/market/level3:{SYMBOL}")
    assert (push.data["orderId"], push.data["stopType"], push.data["clientOid"]) == (id, "entry", "stop-1")
    at = pushes.index(push)
    public = [p for p in pushes if p.topic == f"/market/level3:{SYMBOL}" and not p.private]
    assert push.data["sequence"] == max(p.data["sequence"] for p in public if pushes.index(p) < at)
    assert [e["type"] for e in orders(pushes)] == ["received", "open"]
    assert orders(pushes)[0]["orderId"] == id


def test_a_market_stop_below_the_price_is_a_loss_stop(exchange: Exchange) -> None:
    bid, _ = best_prices(exchange, SYMBOL)
    exchange.place(SYMBOL, "sell", "0.1", stop_price=bid - 3)
    exchange.place(SYMBOL, "sell", 9, bid - 5, user="")
    pushes = exchange.take_pushes()
    assert stops(pushes) == [("open", "loss"), ("triggered", "loss")]
    assert "price" not in activated(pushes)[0].data
    assert orders(pushes)[-1]["type"] in ("filled", "canceled")


def test_a_triggered_stop_without_the_money_is_cancelled(exchange: Exchange) -> None:
    bid, _ = best_prices(exchange, SYMBOL)
    exchange.place(SYMBOL, "sell", 50, bid + 500, stop_price=bid - 3)
    exchange.place(SYMBOL, "sell", 9, bid - 5, user="")
    assert [kind for kind, _ in stops(exchange.take_pushes())] == ["open", "triggered", "cancel"]


def test_one_stop_can_trigger_the_next(exchange: Exchange) -> None:
    bid, _ = best_prices(exchange, SYMBOL)
    for distance, size in ((2, 3), (6, 3)):
        exchange.place(SYMBOL, "sell", size, bid - 40, stop_price=bid - distance)
    exchange.place(SYMBOL, "sell", "9", bid - Decimal("2"), user="")
    triggered = [kind for kind, _ in stops(exchange.take_pushes())]
    assert triggered == ["open", "open", "triggered", "triggered"]
