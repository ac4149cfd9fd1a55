"""The level 3 book: orders, queues and levels, and equal to the exchange's at every single event."""

from __future__ import annotations

import doctest
import random
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest

from kucoin_sync.books import l3, price_index
from kucoin_sync.books.codec import WireLevel3Event, read_level2, read_level3
from kucoin_sync.books.l2 import Level2Book
from kucoin_sync.books.l3 import Level3Book, Order, QueuePosition
from kucoin_sync.payloads import Level
from kucoin_sync.testing.exchange.actors import Crowd
from kucoin_sync.testing.exchange.engine import Engine
from kucoin_sync.testing.exchange.feeds import SpotFeed
from kucoin_sync.testing.exchange.history import History
from kucoin_sync.testing.exchange.ids import Ids
from kucoin_sync.testing.exchange.orders import Event, Side
from kucoin_sync.testing.exchange.push import Outbox, Push
from kucoin_sync.testing.exchange.snapshots import level2_snapshot, level3_snapshot
from kucoin_sync.testing.exchange.specs import spec_for
from kucoin_sync.testing.exchange.units import exact

from ...support.selection import examples, first, spread

EVENTS = examples(14_000)
"""Events in a replay. The part that an event changed is compared after it, the whole book after the first `WHOLE`."""

WHOLE = 2_000

LONG = "2.00000000000000000001"  # no float distinguishes this price from 2


def loaded(switched: bool = False) -> Level3Book:
    """Return a book of three bids and two asks; with `switched` its keys are decimals."""
    book = Level3Book()
    book.load(
        [("b1", "2.0", "5", 1), ("b2", "2", "6", "2"), ("b3", "1", "7", 3)], [("a1", "3", "8", 4), ("a2", "4", "9", 5)]
    )
    if switched:
        for side in ("buy", "sell"):
            book.open("odd", side, LONG, "1")
            book.done("odd")
    return book


books = pytest.mark.parametrize("switched", [False, True], ids=["floats", "decimals"])


def ids(orders: list[Order]) -> list[str]:
    return [order.id for order in orders]


def sizes(book: Level3Book) -> dict[str, Decimal]:
    return {order.id: order.size for order in [*book.bid_orders(), *book.ask_orders()]}


BEGINNING = {"b1": Decimal(5), "b2": Decimal(6), "b3": Decimal(7), "a1": Decimal(8), "a2": Decimal(9)}


def test_the_examples_of_the_docstrings_are_right() -> None:
    assert doctest.testmod(l3).attempted
    assert not doctest.testmod(l3).failed


@books
def test_orders_are_in_the_order_in_which_they_would_trade(switched: bool) -> None:
    book = loaded(switched)
    assert ids(book.bid_orders()) == ["b1", "b2", "b3"]
    assert ids(book.bid_orders(2)) == ["b1", "b2"]
    assert ids(book.ask_orders()) == ["a1", "a2"]
    assert ids(book.ask_orders(1)) == ["a1"]
    assert book.bids() == [Level(Decimal(2), Decimal(11)), Level(Decimal(1), Decimal(7))]
    assert book.best_ask == Level(Decimal(3), Decimal(8))
    assert len(book) == 5
    assert "b1" in book
    assert "b9" not in book
    book._check()


@books
def test_an_order_is_found_by_its_id(switched: bool) -> None:
    book = loaded(switched)
    assert book.order("b2") == Order("b2", "buy", Decimal(2), Decimal(6), 2)
    assert book.order("a1") == Order("a1", "sell", Decimal(3), Decimal(8), 4)
    assert book.order("b9") is None


@books
@pytest.mark.parametrize("price", ["2", "2.0", "2.00000000000000000000", "20e-1", 2, 2.0, Decimal("2.00")])
def test_spellings_of_a_price_are_one_queue(switched: bool, price: Any) -> None:
    book = loaded(switched)
    assert ids(book.orders_at(price)) == ["b1", "b2"]
    book.open("b4", "buy", str(price), "1", 9)
    assert ids(book.orders_at("2.000")) == ["b1", "b2", "b4"]
    assert book.orders_at("2.5") == []
    assert ids(book.orders_at("4.0")) == ["a2"]
    book._check()


def test_a_malformed_price_raises_when_looking_for_orders() -> None:
    assert loaded().orders_at("0") == []
    with pytest.raises(ValueError):
        loaded().orders_at("x")


@books
def test_the_queue_position_counts_the_orders_that_trade_first(switched: bool) -> None:
    book = loaded(switched)
    book.open("b4", "buy", "2", "1")
    assert book.queue_position("b1") == QueuePosition(0, Decimal(0))
    assert book.queue_position("b4") == QueuePosition(2, Decimal(11))
    book.match("b1", "4.5")
    assert book.queue_position("b4") == QueuePosition(2, Decimal("6.5"))
    book.done("b1")
    assert book.queue_position("b4") == QueuePosition(1, Decimal(6))
    assert book.queue_position("b1") is None


@books
def test_a_match_reduces_the_maker_exactly(switched: bool) -> None:
    book = loaded(switched)
    book.open("fine", "sell", "3", "0.3")
    with localcontext() as context:
        context.prec = 2
        book.match("fine", "0.10000000000000000000000000000000000001")
        book.match("a1", "1.25", "6.750")
        book._check()
    assert str(sizes(book)["fine"]) == "0.19999999999999999999999999999999999999"
    assert sizes(book)["a1"] == Decimal("6.75")
    assert str(book.ask_size("3")) == "6.94999999999999999999999999999999999999"


@books
@pytest.mark.parametrize("remaining", ["", "0", "0.000"])
def test_an_order_without_size_is_gone_and_a_later_done_is_ignored(switched: bool, remaining: str) -> None:
    book = loaded(switched)
    book.match("b3", "7.0", remaining)
    assert "b3" not in book
    assert book.bid_count == 1
    book.done("b3")
    book.match("a1", "8", remaining)
    assert book.best_ask == Level(Decimal(4), Decimal(9))
    assert ids(book.bid_orders()) == ["b1", "b2"]
    book._check()


@books
def test_a_change_sets_the_size_and_keeps_the_position(switched: bool) -> None:
    book = loaded(switched)
    book.resize("b1", "1.50", "5.0")
    book.resize("a1", "9")
    assert ids(book.bid_orders()) == ["b1", "b2", "b3"]
    assert sizes(book) == {**BEGINNING, "b1": Decimal("1.5"), "a1": Decimal(9)}
    assert book.bid_size(2) == Decimal("7.5")
    book.resize("b1", "0")
    assert "b1" not in book
    book._check()


@books
def test_events_of_orders_that_are_not_on_the_book_change_nothing(switched: bool) -> None:
    book = loaded(switched)
    book.match("hidden", "3", "0")
    book.resize("taker", "2", "4")
    book.done("taker")
    book.open("hidden", "buy", "", "0")
    book.open("hidden", "buy", "", "")
    book.open("hidden", "sell", "5", "0")
    book.open("hidden", "sell", "0", "5")
    assert sizes(book) == BEGINNING
    book._check()


@pytest.mark.parametrize(
    "change",
    [
        lambda book: book.open("b1", "buy", "2", "5"),
        lambda book: book.open("new", "bids", "2", "5"),
        lambda book: book.open("new", "", "2", "5"),
        lambda book: book.open("new", "buy", "x", "5"),
        lambda book: book.open("new", "buy", "-2", "5"),
        lambda book: book.open("new", "buy", "nan", "5"),
        lambda book: book.open("new", "buy", "2", "-5"),
        lambda book: book.open("new", "buy", "2", ""),
        lambda book: book.open("new", "buy", "2", "inf"),
        lambda book: book.match("b1", "5.00000001"),
        lambda book: book.match("b1", "2", "2.9"),
        lambda book: book.match("b1", "5", "1"),
        lambda book: book.match("b1", "-1"),
        lambda book: book.match("b1", ""),
        lambda book: book.match("b1", "2", "x"),
        lambda book: book.match("hidden", "x"),
        lambda book: book.resize("b1", "4", "6"),
        lambda book: book.resize("b1", "-4"),
        lambda book: book.resize("b1", "", "5"),
        lambda book: book.resize("hidden", "nan"),
        lambda book: book.apply(WireLevel3Event(1, order_id="b1")),
        lambda book: book.load([("b9", "9", "9", 9)], [("a", "1", "x", 1)]),
        lambda book: book.load([("b9", "9", "9", 9)], [("b9", "1", "1", 1)]),
        lambda book: book.load([("b9", "9", "9")], []),
    ],
)
def test_an_event_that_contradicts_the_book_is_refused_and_changes_nothing(
    change: Callable[[Level3Book], None],
) -> None:
    book = loaded()
    with pytest.raises(ValueError):
        change(book)
    assert sizes(book) == BEGINNING
    assert ids(book.bid_orders()) == ["b1", "b2", "b3"]
    book._check()


@pytest.mark.parametrize("odd", [None, "", "soon", 1.5, "1.5", [], {}, True, "1" * 5000])
def test_a_time_of_a_snapshot_that_can_not_be_read_is_0(odd: object) -> None:
    book = Level3Book()
    book.load([("b1", "9", "1", odd), ("b2", "9", "1", "7")], [("a1", "10", "1", 8, "a column more")])
    assert [order.time_ns for order in (*book.bid_orders(), *book.ask_orders())] == [0, 7, 8]


def test_a_price_that_has_no_float_gets_its_own_queue() -> None:
    book = loaded()
    book.open("b4", "buy", LONG, "1")
    book.open("b5", "buy", "1.99999999999999999999", "1")
    assert ids(book.bid_orders()) == ["b4", "b1", "b2", "b5", "b3"]
    book.done("b1")
    book.done("b2")
    assert ids(book.bid_orders()) == ["b4", "b5", "b3"]
    assert book.ask_orders() == loaded().ask_orders()
    book._check()


def event(subject: str, **data: Any) -> WireLevel3Event:
    return read_level3({"sequence": 1, **data}, subject)


@pytest.mark.parametrize("generation", ["trade.l3", ""])
def test_events_of_both_generations_are_applied(generation: str) -> None:
    book = loaded()
    book.apply(event(generation + "received", orderId="x", side="buy", price="9", size="9"))
    book.apply(event("trade.l3received", orderId="b1", type="activated", size="9"))
    assert sizes(book) == BEGINNING
    book.apply(event(generation + "open", orderId="x", side="buy", price="2", size="3", ts=7))
    assert book.order("x") == Order("x", "buy", Decimal(2), Decimal(3), 7)
    left = {} if generation else {"remainSize": "2.5"}
    book.apply(event(generation + "match", orderId="b1", makerOrderId="x", takerOrderId="a1", size="0.5", **left))
    changed = {"newSize": "1", "oldSize": "2.5"} if generation else {"size": "1"}
    book.apply(event(generation + ("change" if generation else "update"), orderId="x", **changed))
    assert sizes(book) == {**BEGINNING, "x": Decimal(1)}
    book.apply(event(generation + "done", orderId="x", reason="canceled", size="1"))
    book.apply(event(generation + "done", orderId="x", reason="filled"))
    assert sizes(book) == BEGINNING


@pytest.mark.parametrize("seed", spread(range(4)))
def test_random_actions_keep_the_invariants(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_index, "_CHUNK_SIZE", 6)
    draw = random.Random(seed)
    book = Level3Book()
    model: dict[str, list[Any]] = {}
    for step in range(600):
        what = draw.random() * (0.9 if step % 300 < 200 else 0.5)
        if what > 0.4 or not model:
            price = f"{draw.randrange(1, 20)}.{draw.choice(['0', '00', '5', '50', '00000000000000000001'])}"
            size = f"{draw.randrange(1, 500)}e-{draw.randrange(3)}"
            side = "buy" if draw.random() < 0.5 else "sell"
            book.open(str(step), side, price, size)
            model[str(step)] = [side, Decimal(price), Decimal(size)]
        else:
            name = draw.choice(list(model))
            part = model[name][2] / draw.choice([1, 2, 4])
            if what < 0.1:
                book.done(name)
                part = model[name][2]
            elif what < 0.2:
                book.resize(name, str(model[name][2] - part), draw.choice(["", str(model[name][2])]))
            else:
                book.match(name, str(part), draw.choice(["", str(model[name][2] - part)]))
            model[name][2] -= part
            if not model[name][2]:
                del model[name]
        book._check()
        bids = [(name, price, size) for name, (side, price, size) in model.items() if side == "buy"]
        asks = [(name, price, size) for name, (side, price, size) in model.items() if side == "sell"]
        assert [(o.id, o.price, o.size) for o in book.bid_orders()] == sorted(bids, key=lambda row: -row[1])
        assert [(o.id, o.price, o.size) for o in book.ask_orders()] == sorted(asks, key=lambda row: row[1])


class Replay:
    """A matching engine with simulated traders, and books that follow its feeds event by event.

    Each event is rendered and applied at once, while the engine still has the orders as the event left them.
    """

    def __init__(self, symbol: str, seed: int) -> None:
        self.spec = spec_for(symbol)
        self.outbox = Outbox()
        self.events = 0
        self.kinds: set[str] = set()
        self.topics = {f"/market/level3:{symbol}": Level3Book(), f"/spotMarket/level3:{symbol}": Level3Book()}
        self.outbox.wants = lambda topic: False
        self.engine = Engine(self.spec, self.on_event, sequence=1000)
        rng = random.Random(seed)
        names = Ids(self.spec, 0, seed, 0)
        self.feed = SpotFeed(self.engine, History(self.spec, rng, 0), names, self.outbox)
        self.crowd = Crowd(self.engine, rng, names.order, levels=10)
        self.crowd.populate(0)
        snapshot = level3_snapshot(self.engine, 0)
        for book in self.topics.values():
            book.load(snapshot["bids"], snapshot["asks"])
        self.outbox.wants = {*self.topics, f"/market/level2:{symbol}"}.__contains__
        self.level2 = Level2Book()
        snapshot = level2_snapshot(self.engine, None, 0)
        self.level2.load(snapshot["bids"], snapshot["asks"])

    def run(self) -> None:
        now = 0
        while self.events < EVENTS:
            now += 5_000_000
            self.feed.begin()
            self.crowd.act(now)
            self.feed.finish(now)
            self.add_up()

    def on_event(self, event: Event) -> None:
        self.feed.record(event)
        for push in self.outbox.take():
            self.follow(push, event)
        self.events += 1

    def follow(self, push: Push, event: Event) -> None:
        book = self.topics[push.topic]
        update = read_level3(push.data, push.subject)
        assert update.sequence_end == event.sequence
        book.apply(update)
        self.kinds.add(push.subject)
        self.compare_touched(book, event)
        if self.events < WHOLE or self.events % 16 == 0:
            self.compare(book)

    def add_up(self) -> None:
        """Compare the levels of the orders with the level 2 feed, which has one update per action."""
        for push in self.outbox.take():
            self.level2.apply(read_level2(push.data))
        bids, asks = self.level2.bids(), self.level2.asks()
        for book in self.topics.values():
            assert (book.bids(), book.asks()) == (bids, asks)

    def compare_touched(self, book: Level3Book, event: Event) -> None:
        resting = event.maker or event.order
        side = self.engine.bids if resting.side == "buy" else self.engine.asks
        level = side.levels.get(resting.price * side.sign)
        size = exact(level.visible if level else 0, self.spec.size_scale)
        price = exact(resting.price, self.spec.price_scale)
        assert (book.bid_size if resting.side == "buy" else book.ask_size)(price) == size
        found = book.order(resting.id)
        if resting.hidden or not resting.resting or not resting.remaining:
            assert found is None
        else:
            assert found == Order(
                resting.id, resting.side, price, exact(resting.remaining, self.spec.size_scale), resting.time_ns
            )
        for best, own in ((book.best_bid, self.engine.bids), (book.best_ask, self.engine.asks)):
            units = own.best_visible()
            assert (best or (0, 0)) == (exact(units[0], self.spec.price_scale), exact(units[1], self.spec.size_scale))

    def compare(self, book: Level3Book) -> None:
        scales = self.spec.price_scale, self.spec.size_scale
        sides: list[tuple[Side, list[Order], list[Level]]] = [
            (self.engine.bids, book.bid_orders(), book.bids()),
            (self.engine.asks, book.ask_orders(), book.asks()),
        ]
        for side, orders, levels in sides:
            visible = [order for order in side.visible_orders() if order.remaining]
            assert ids(orders) == [order.id for order in visible]
            assert [order.size for order in orders] == [exact(order.remaining, scales[1]) for order in visible]
            assert levels == [(exact(price, scales[0]), exact(size, scales[1])) for price, size in side.visible()]
        book._check()


@pytest.mark.parametrize("symbol", first("BTC-USDT", "KCS-BTC"))
def test_both_generations_equal_the_exchanges_book_at_every_event(symbol: str) -> None:
    replay = Replay(symbol, seed=7)
    replay.run()
    kinds = {"received", "open", "match", "done"}
    assert replay.kinds == {*kinds, "update", *(f"trade.l3{kind}" for kind in kinds), "trade.l3change"}
