"""The crowd does everything that traders do, and keeps the market in shape."""

import random

from kucoin_sync.testing.exchange.actors import Crowd
from kucoin_sync.testing.exchange.engine import Engine
from kucoin_sync.testing.exchange.orders import Event
from kucoin_sync.testing.exchange.specs import spec_for


def crowd(events: list[Event], levels: int = 20, seed: int = 1) -> tuple[Crowd, Engine]:
    engine = Engine(spec_for("BTC-USDT"), events.append)
    ids = iter(range(10**9))
    return Crowd(engine, random.Random(seed), lambda: str(next(ids)), levels), engine


def test_the_first_book_has_the_levels_asked_for_and_no_trades() -> None:
    events: list[Event] = []
    traders, engine = crowd(events)
    traders.populate(1)
    assert len(engine.bids.visible()) == len(engine.asks.visible()) == 20
    assert engine.trades == 0
    assert len(engine.orders) > 40


def test_every_kind_of_action_comes_up() -> None:
    events: list[Event] = []
    traders, engine = crowd(events)
    traders.populate(1)
    for now in range(4_000):
        traders.act(now)
    orders = {event.order.id: event.order for event in events}.values()
    assert {event.kind for event in events} == {"received", "open", "match", "change", "done"}
    assert any(order.hidden and order.filled for order in orders)
    assert any(order.post_only and order.resting for order in orders)
    assert any(order.market for order in orders)
    assert any(event.maker and event.rest for event in events), "a partial fill"
    prevented = [event for event in events if event.kind == "change" and not event.order.resting]
    assert prevented, "self-trade prevention met an order that did not rest yet"
    engine._check()


def test_an_empty_book_is_filled_first() -> None:
    events: list[Event] = []
    traders, engine = crowd(events)
    for now in range(30):
        traders.act(now)
    assert {event.kind for event in events} >= {"received", "open"}
    assert engine.bids.keys
    for now in range(200):
        traders.act(now)
    assert engine.asks.keys


def test_a_crowd_that_lost_all_its_orders_goes_on() -> None:
    events: list[Event] = []
    traders, engine = crowd(events)
    for id in list(engine.orders):
        engine.cancel(id, 0)
    traders._cancel(1)
    traders._decrease(1)
    assert events == []


def test_the_number_of_orders_settles() -> None:
    traders, engine = crowd([], levels=30)
    traders.populate(1)
    counts = []
    for now in range(6_000):
        traders.act(now)
        counts.append(len(engine.orders))
    assert 25 < min(counts[1_000:]) < max(counts[1_000:]) < 150
