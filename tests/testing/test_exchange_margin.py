"""Futures accounts: order changes, margin, profit and loss, stop orders."""

import random
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.testing.exchange import Exchange, OrderRejected, Push

from ..support.books import best_prices

SYMBOL = "XBTUSDTM"
LOT = Decimal("0.001")


@pytest.fixture
def exchange_options() -> dict[str, Any]:
    return {"symbols": (SYMBOL, "ETHUSDTM"), "seed": 31}


def orders(pushes: list[Push]) -> list[dict[str, Any]]:
    return [push.data for push in pushes if push.topic == f"/contractMarket/tradeOrders:{SYMBOL}"]


def wallets(pushes: list[Push]) -> list[dict[str, Decimal]]:
    return [
        {name: Decimal(value) for name, value in push.data.items() if name != "currency"}
        for push in pushes
        if push.topic == "/contractAccount/wallet"
    ]


def test_an_order_binds_margin_until_it_is_cancelled(exchange: Exchange) -> None:
    bid, _ = best_prices(exchange, SYMBOL)
    id = exchange.place(SYMBOL, "buy", 10, bid - 10, client_oid="mine")
    exchange.reduce(id, 4)
    exchange.cancel(id)
    pushes = exchange.take_pushes()
    value = (bid - 10) * 10 * LOT
    margin = value / 5 + value * Decimal("0.0006")
    assert [w["isolatedOrderMargin"] for w in wallets(pushes)] == [margin, margin * Decimal("0.4"), 0]
    assert [w["version"] for w in wallets(pushes)] == [1, 2, 3]
    events = orders(pushes)
    assert [(e["type"], e["status"]) for e in events] == [
        ("open", "open"),
        ("update", "open"),
        ("canceled", "done"),
    ]
    assert [e["clientOid"] for e in events] == ["mine"] * 3
    assert (events[1]["oldSize"], events[1]["size"], events[2]["canceledSize"]) == ("10", "4", "10")


def test_a_fill_turns_margin_into_a_position_and_a_fill_back_realises_profit(exchange: Exchange) -> None:
    start = Decimal(500_000)
    bid, _ = best_prices(exchange, SYMBOL)
    low, high = bid + Decimal("0.1"), bid + Decimal("0.1") - 30
    exchange.place(SYMBOL, "sell", 10, low, user="")
    exchange.place(SYMBOL, "buy", 10, low)
    state = wallets(exchange.take_pushes())[-1]
    fee = low * 10 * LOT * Decimal("0.0006")
    assert state["walletBalance"] == start - fee
    assert (state["isolatedPosMargin"], state["isolatedOrderMargin"]) == (low * 10 * LOT / 5, Decimal(0))
    assert exchange._accounts["demo-user"].wallet.lots(SYMBOL) == 10
    exchange.place(SYMBOL, "buy", 100_000, high, user="")
    exchange.place(SYMBOL, "sell", 4, high)
    state = wallets(exchange.take_pushes())[-1]
    assert exchange._accounts["demo-user"].wallet.lots(SYMBOL) == 6
    assert state["isolatedPosMargin"] == low * 6 * LOT / 5
    assert state["walletBalance"] < start - fee


def test_the_figures_of_a_wallet_fit_together(exchange: Exchange) -> None:
    rng = random.Random(4)
    mine: list[str] = []
    seen = []
    for _ in range(400):
        bid, ask = best_prices(exchange, SYMBOL)
        price = rng.choice((None, bid, ask, bid - 2, ask + 2))
        mine.append(exchange.place(SYMBOL, rng.choice(("buy", "sell")), 1 + int(rng.random() * 40), price))
        if rng.random() < 0.4:
            exchange.cancel(rng.choice(mine))
        seen += exchange.step(SYMBOL)
    for id in mine:
        exchange.cancel(id)
    seen += exchange.take_pushes()
    states = wallets(seen)
    for state in states:
        bound = state["isolatedPosMargin"] + state["isolatedOrderMargin"]
        assert state["availableBalance"] == state["walletBalance"] - bound == state["totalCrossMargin"]
        assert state["equity"] == state["walletBalance"] + state["isolatedUnPnl"]
        assert min(state["availableBalance"], state["isolatedPosMargin"], state["isolatedOrderMargin"]) >= 0
    assert states[-1]["isolatedOrderMargin"] == 0
    fills = sum(
        Decimal(push.data["matchSize"]) * (1 if push.data["side"] == "buy" else -1)
        for push in seen
        if push.subject == "symbolOrderChange" and push.data["type"] == "match"
    )
    assert exchange._accounts["demo-user"].wallet.lots(SYMBOL) == fills
    roles = {e["liquidity"] for e in orders(seen) if e["type"] == "match"}
    assert roles == {"maker", "taker"}


def test_a_position_can_turn_round_and_be_closed(exchange: Exchange) -> None:
    wallet = exchange._accounts["demo-user"].wallet
    assert wallet.lots("ETHUSDTM") == 0
    for side, size, lots in (("buy", 5, 5), ("sell", 12, -7), ("buy", 7, 0)):
        exchange.place("ETHUSDTM", side, size)
        assert wallet.lots("ETHUSDTM") == lots
    state = wallet.state()
    assert (state.position_margin, state.unrealised, state.order_margin) == (0, 0, 0)
    assert state.wallet == state.available < 500_000 * 10**18


def test_an_order_beyond_the_margin_is_refused(exchange: Exchange) -> None:
    with pytest.raises(OrderRejected, match="not enough margin"):
        exchange.place(SYMBOL, "buy", 40_000, 66_000)
    assert exchange.take_pushes() == []


def test_a_stop_order_is_told_and_triggers(exchange: Exchange) -> None:
    bid, ask = best_prices(exchange, SYMBOL)
    exchange.cancel(exchange.place(SYMBOL, "sell", 2, stop_price=bid - 50))
    exchange.place(SYMBOL, "buy", 2, ask + 100, stop_price=ask)
    exchange.place(SYMBOL, "buy", 1, user="")
    pushes = exchange.take_pushes()
    told = [(p.data["type"], p.data["stop"], p.data["size"]) for p in pushes if p.subject == "stopOrder"]
    assert told == [("open", "down", 2), ("cancel", "down", 2), ("open", "up", 2), ("triggered", "up", 2)]
    assert orders(pushes)[-1]["type"] == "filled"


def test_an_order_without_a_client_id_names_none(exchange: Exchange) -> None:
    exchange.place(SYMBOL, "buy", 1, client_oid="")
    assert not [event for event in orders(exchange.take_pushes()) if "clientOid" in event]


def test_the_wallet_is_kept_even_when_nobody_listens(exchange: Exchange) -> None:
    exchange.wants = lambda topic: False
    exchange.cancel(exchange.place(SYMBOL, "sell", 2, stop_price=1))
    exchange.place(SYMBOL, "buy", 3)
    assert exchange.take_pushes() == []
    assert exchange._accounts["demo-user"].wallet.lots(SYMBOL) == 3
