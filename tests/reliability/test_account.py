"""A local account equals the exchange's after each reconciliation, whatever was missed and however late REST is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from kucoin_sync import AccountChange, LocalAccount, Stream
from kucoin_sync.account import lists, spot
from kucoin_sync.net import reconnecting
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.accounts import SYMBOLS, USER, SimulatedAccount, Trader, fills_of, held, truth
from ..support.selection import first
from ..support.streams import FAST
from ..support.threads import LIMIT, until


def _fill_keys(account: SimulatedAccount) -> Counter[tuple[str, str, str]]:
    fills = [change.fill for change in account.changes if change.fill is not None]
    return Counter((fill.symbol, fill.trade_id, fill.order_id) for fill in fills)


def walk(seed: int, cuts: int, *, early_cuts: int = 0, **odds: float) -> SimulatedAccount:
    """Trade while the connections are cut at random instants; check the account after each reconciliation.

    Args:
        early_cuts: how many cuts there are before the account is ready for the first time.
        odds: what happens to pushes; see `SimulatedAccount`.
    """
    account = SimulatedAccount(seed)
    for _ in range(20):
        account.trader.act()  # what was before the start is no change
    account.run(6.0)
    before = set(fills_of(account.exchange))
    states = [follower.part.state for follower in account.followers.values()]

    def check() -> None:
        nonlocal before
        happened = [key for key in fills_of(account.exchange) if key not in before]
        if account.reconciled == 1:  # fills of orders of which nothing was pushed are part of the start state
            before |= {key for key in happened if key[2] not in account.pushed_orders}
            happened = [key for key in happened if key not in before]
        if any(state.doubts for state in states) or "lost" in account.odds:
            return
        assert held(account.followers.values()) == truth(account.exchange)
        assert _fill_keys(account) == Counter(happened)

    account.on_reconciled = check
    rng = account.rng
    for market in account.followers:
        account.connect(market)
    for _ in range(early_cuts):
        for _ in range(rng.randrange(4)):
            account.trade()
            account.run(rng.uniform(0, 0.8))
        for market in account.followers:
            account.cut(market)
        for _ in range(rng.randrange(4)):
            account.trade()
            account.run(rng.uniform(0, 0.8))
        for market in account.followers:
            account.connect(market)
    account.run(20.0)
    account.odds = odds
    for _ in range(cuts):
        for _ in range(rng.randrange(8)):
            account.trade()
            account.run(rng.uniform(0, 0.5))
        for market in rng.choice([("spot",), ("futures",), ("spot", "futures")]):
            account.cut(market)
        for _ in range(rng.randrange(12)):
            account.trade()
            account.run(rng.uniform(0, 0.6))
        for market, connected in account.connected.items():
            if not connected:
                account.connect(market)
        if rng.random() < 0.7:
            for _ in range(rng.randrange(10)):
                account.trade()
                account.run(rng.uniform(0, 1.0))
            account.run(20.0)
    account.odds = {}
    for market in account.followers if odds else ():  # a match that no later push reveals is found now
        account.cut(market)
        account.connect(market)
    account.run(30.0)
    check()
    assert account.reconciled > cuts // 3
    assert all(follower.live for follower in account.followers.values())
    assert not any(state.doubts for state in states)
    assert "unreadable" in odds or not [change for change in account.changes if change.kind == "unknown"]
    _check_endings(account.changes)
    return account


def _check_endings(changes: list[AccountChange]) -> None:
    """Check that each ending is told once, and after all fills of its order."""
    ended: set[str] = set()
    for change in changes:
        told = change.fill or change.order
        assert told is None or told.order_id not in ended
        if change.kind == "order" and change.order is not None and change.order.active is False:
            ended.add(change.order.order_id)


@pytest.mark.parametrize("seed", range(2))
def test_it_equals_the_exchange_after_each_reconciliation(seed: int) -> None:
    account = walk(seed, cuts=15)
    recovered = [change.kind for change in account.changes if change.recovered]
    assert {"fill", "order", "balance"} <= set(recovered)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("lost", [0.0, 0.1])
def test_it_equals_the_exchange_although_pushes_are_repeated_swapped_lost_or_partial(seed: int, lost: float) -> None:
    walk(seed, cuts=15, repeated=0.2, swapped=0.2, partial=0.5, **({"lost": lost} if lost else {"unreadable": 0.02}))


@pytest.mark.parametrize(("seed", "early_cuts"), [(7, 3), (11, 2), (16, 2), (20, 1)])
def test_it_equals_the_exchange_although_its_start_is_cut(seed: int, early_cuts: int) -> None:
    walk(seed, cuts=2, early_cuts=early_cuts)


@pytest.mark.parametrize("seed", range(2))
def test_it_equals_the_exchange_although_orders_come_and_go_between_the_pages_of_a_list(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spot, "by_last_id", partial(lists.by_last_id, limit=3))
    monkeypatch.setattr(spot, "by_page", partial(lists.by_page, size=3))
    walk(seed, cuts=15)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 14))
def test_it_equals_the_exchange_after_each_of_200_cuts(seed: int) -> None:
    walk(seed, cuts=200)


REST_LAG = 0.4  # seconds that the account over real connections gives REST


def _differences(account: LocalAccount, server: KucoinServer) -> list[tuple[str, Any, Any]]:
    """Return in what an account differs from the exchange, which stands still meanwhile."""
    now = account.snapshot(timeout=LIMIT)
    with server.trading() as exchange:
        there, history = exchange.balances(USER), exchange.account_history(USER)
        rows = [
            row for futures in (False, True) for row in history.orders(exchange.now_ns, futures=futures, active=True)
        ]
        positions = {row["symbol"]: row["currentQty"] for row in history.positions(exchange.now_ns)}
    pairs = {
        "balances": ({e.currency: (e.available, e.hold) for e in now.balances if e.account == "trade"}, there),
        "orders": (
            {(order.order_id, order.filled_size) for order in now.orders},
            {(row["id"], Decimal(row["dealSize"])) for row in rows},
        ),
        "positions": ({e.symbol: int(e.size if e.side == "long" else -e.size) for e in now.positions}, positions),
    }
    return [(name, here, exchanges) for name, (here, exchanges) in pairs.items() if here != exchanges]


@pytest.mark.parametrize("cuts", first(3, 15))
def test_it_equals_the_exchange_after_cuts_of_real_connections(
    make_server: Callable[..., KucoinServer],
    make_stream: Callable[..., Stream],
    rng: random.Random,
    monkeypatch: pytest.MonkeyPatch,
    cuts: int,
) -> None:
    monkeypatch.setattr(reconnecting, "_STABLE_SECONDS", 0.0)  # else the pauses grow with each cut
    server = make_server(exchange=Exchange(SYMBOLS, seed=rng.random(), accounts=[USER]))
    stream = make_stream(server, limits=FAST)
    with server.trading() as exchange:
        trader = Trader(exchange, rng)

    def trade(times: int) -> None:
        for _ in range(times):
            with server.trading():
                server.publish_many(trader.act())

    trade(20)
    before = set(fills_of(exchange))
    told: list[Any] = []
    account = stream.account(rest_lag=REST_LAG, on_change=told.append).wait_ready(LIMIT)
    changes = iter(account)
    for number in range(cuts):
        server.lag_rest(rng.uniform(0, REST_LAG / 2))
        trade(rng.randrange(10))
        server.drop_connections()
        trade(rng.randrange(20))
        while changes.get(2 * LIMIT).reconciliations < number + 2:
            trade(rng.randrange(2))
        until(lambda: not _differences(account, server), "the account differs")  # pushes may be under way
    happened = Counter(key for key in fills_of(exchange) if key not in before)

    def fills() -> Counter[tuple[str, str, str]]:
        told_of = [change.fill for change in list(told) if change.fill is not None]
        return Counter((fill.symbol, fill.trade_id, fill.order_id) for fill in told_of)

    until(lambda: fills().total() >= happened.total(), "fills are missing")
    assert fills() == happened == Counter((each.symbol, each.trade_id, each.order_id) for each in account.fills)
