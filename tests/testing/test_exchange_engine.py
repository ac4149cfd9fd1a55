"""Price-time priority, hidden and post-only orders, self-trade prevention, numbering, invariants."""

import random
from dataclasses import dataclass

import pytest

from kucoin_sync.testing.exchange import Exchange
from kucoin_sync.testing.exchange.engine import Engine
from kucoin_sync.testing.exchange.orders import Event, Order, OrderRejected
from kucoin_sync.testing.exchange.specs import spec_for

from ..support.selection import first


class Book:
    """An engine whose events are kept; orders are named by the test."""

    def __init__(self, symbol: str = "BTC-USDT") -> None:
        self.events: list[Event] = []
        self.engine = Engine(spec_for(symbol), self.events.append, sequence=100)
        self.now_ns = 0

    def place(self, id: str, side: str, price: int, size: int, **options: object) -> Order:
        order = Order(id, side, price, size, self.now_ns, **options)  # type: ignore[arg-type]
        self.now_ns += 1
        self.engine.submit(order, self.now_ns)
        self.engine._check()
        return order

    def told(self) -> list[tuple[object, ...]]:
        """Return and forget the events: kind, order, size, and the maker and its rest where there is one."""
        told: list[tuple[object, ...]] = [
            (e.kind, e.order.id, e.size, *((e.maker.id, e.rest) if e.maker else ())) for e in self.events
        ]
        self.events.clear()
        return told


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_passive_order_rests(book: Book) -> None:
    order = book.place("a", "buy", 10, 5)
    assert book.told() == [("received", "a", 5), ("open", "a", 5)]
    assert order.resting
    assert book.engine.bids.visible() == [(10, 5)]


def test_the_best_price_trades_first_at_its_own_price(book: Book) -> None:
    for id, price in (("far", 13), ("best", 11), ("next", 12)):
        book.place(id, "sell", price, 2)
    book.told()
    book.place("taker", "buy", 12, 5)
    assert book.told() == [
        ("received", "taker", 5),
        ("match", "taker", 2, "best", 0),
        ("done", "best", 0),
        ("match", "taker", 2, "next", 0),
        ("done", "next", 0),
        ("open", "taker", 1),
    ]
    assert book.engine.bids.best_visible() == (12, 1)
    assert book.engine.asks.best_visible() == (13, 2)


def test_at_one_price_the_oldest_order_trades_first(book: Book) -> None:
    for id in ("first", "second", "third"):
        book.place(id, "buy", 10, 2)
    book.engine.reduce("first", 1, 0)
    book.told()
    book.place("taker", "sell", 10, 4)
    matches = [row for row in book.told() if row[0] == "match"]
    assert matches == [
        ("match", "taker", 1, "first", 0),
        ("match", "taker", 2, "second", 0),
        ("match", "taker", 1, "third", 1),
    ]


def test_what_a_market_order_cannot_fill_is_cancelled(book: Book) -> None:
    book.place("maker", "sell", 11, 2)
    book.told()
    taker = book.place("taker", "buy", 0, 5)
    assert book.told()[-1] == ("done", "taker", 3)
    assert (taker.filled, taker.remaining, taker.canceled) == (2, 0, 3)
    assert not book.engine.orders


def test_a_market_order_in_an_empty_book_is_cancelled_whole(book: Book) -> None:
    book.place("taker", "sell", 0, 5)
    assert book.told() == [("received", "taker", 5), ("done", "taker", 5)]


def test_a_post_only_order_rests_or_is_cancelled_but_never_takes(book: Book) -> None:
    book.place("maker", "sell", 11, 2)
    assert book.place("passive", "buy", 10, 1, post_only=True).resting
    book.told()
    book.place("crossing", "buy", 11, 1, post_only=True)
    assert book.told() == [("received", "crossing", 1), ("done", "crossing", 1)]
    assert book.engine.asks.visible() == [(11, 2)]


def test_a_hidden_order_trades_in_turn_but_is_never_shown(book: Book) -> None:
    book.place("hidden", "buy", 11, 3, hidden=True)
    book.place("shown", "buy", 10, 1)
    assert book.engine.bids.best_visible() == (10, 1)
    assert [order.id for order in book.engine.bids.visible_orders()] == ["shown"]
    assert [event.level for event in book.events] == [None, None, None, 1]
    book.events.clear()
    book.place("taker", "sell", 10, 4)
    assert [(event.kind, event.level) for event in book.events] == [
        ("received", None), ("match", None), ("done", None), ("match", 0), ("done", None), ("done", None),
    ]  # fmt: skip
    assert book.engine.bids.best_visible() == (0, 0)


def test_a_hidden_order_shares_its_level_with_shown_ones(book: Book) -> None:
    book.place("hidden", "sell", 12, 3, hidden=True)
    book.place("shown", "sell", 12, 2)
    assert book.engine.asks.visible() == [(12, 2)]
    book.engine.reduce("hidden", 1, 5)
    book.engine.cancel("hidden", 6)
    assert book.engine.asks.visible() == [(12, 2)]
    assert all(event.level is None for event in book.events[-2:])


@pytest.mark.parametrize(
    ("maker_size", "taker_size", "told"),
    [
        (5, 2, [("received", "t", 2), ("change", "m", 3), ("done", "t", 2)]),
        (2, 5, [("received", "t", 5), ("done", "m", 2), ("change", "t", 3), ("open", "t", 3)]),
        (3, 3, [("received", "t", 3), ("done", "m", 3), ("done", "t", 3)]),
    ],
)
def test_orders_of_one_owner_decrease_each_other_instead_of_trading(
    book: Book, maker_size: int, taker_size: int, told: list[tuple[object, ...]]
) -> None:
    book.place("m", "sell", 10, maker_size, owner="me")
    book.told()
    book.place("t", "buy", 10, taker_size, owner="me")
    assert book.told() == told
    assert book.engine.trades == 0


def test_self_trade_prevention_goes_on_with_the_next_order(book: Book) -> None:
    book.place("mine", "sell", 10, 2, owner="me")
    book.place("theirs", "sell", 10, 2, owner="you")
    taker = book.place("t", "buy", 0, 4, owner="me")
    assert (taker.filled, taker.canceled, taker.size) == (2, 2, 2)


def test_a_decrease_keeps_the_place_and_tells_both_sizes(book: Book) -> None:
    order = book.place("a", "buy", 10, 5)
    book.engine.reduce("a", 2, 7)
    event = book.events[-1]
    assert (event.kind, event.rest, event.size, event.level, event.now_ns) == ("change", 5, 2, 2, 7)
    assert (order.size, order.origin, order.canceled) == (2, 5, 3)


@pytest.mark.parametrize(("id", "size"), [("a", 0), ("a", 5), ("a", 6), ("b", 1)])
def test_a_decrease_to_nothing_to_more_or_of_no_order_is_refused(book: Book, id: str, size: int) -> None:
    book.place("a", "buy", 10, 5)
    with pytest.raises(OrderRejected, match="order"):
        book.engine.reduce(id, size, 0)


def test_cancelling_twice_does_nothing_the_second_time(book: Book) -> None:
    book.place("a", "buy", 10, 5)
    assert book.engine.cancel("a", 0)
    assert book.told()[-1] == ("done", "a", 5)
    assert not book.engine.cancel("a", 0)
    assert book.told() == []
    assert not book.engine.bids.keys


def test_every_spot_event_takes_the_next_sequence(book: Book) -> None:
    book.place("a", "buy", 10, 5)
    book.place("b", "sell", 10, 7)
    assert [event.sequence for event in book.events] == list(range(101, 101 + len(book.events)))


def test_on_futures_only_a_changed_level_takes_a_sequence() -> None:
    book = Book("XBTUSDTM")
    book.place("a", "buy", 10, 5)
    book.place("b", "sell", 10, 7)
    numbered = [(event.kind, event.sequence) for event in book.events]
    assert numbered == [
        ("received", 100), ("open", 101), ("received", 101), ("match", 102), ("done", 102), ("open", 103),
    ]  # fmt: skip


def test_the_cost_of_an_order_is_what_the_levels_in_its_reach_ask(book: Book) -> None:
    for id, price in (("a", 11), ("b", 12), ("c", 13)):
        book.place(id, "sell", price, 2)
    assert book.engine.fill_cost("buy", 3) == (2 * 11 + 12, 3)
    assert book.engine.fill_cost("buy", 9, limit=12) == (2 * 11 + 2 * 12, 4)
    assert book.engine.fill_cost("buy", 9) == (2 * 36, 6)
    assert book.engine.fill_cost("sell", 1) == (0, 0)


def test_reprs_say_where_things_stand(book: Book) -> None:
    order = book.place("a", "buy", 10, 5)
    assert repr(order) == "Order(a buy 5/5 @ 10, resting)"
    assert repr(Order("m", "sell", 0, 1, 0)) == "Order(m sell 1/1 @ market, new)"
    assert repr(book.engine) == "Engine(BTC-USDT, sequence 102, 1 orders)"
    assert repr(book.engine.bids) == "Side(buy, 1 levels, best (10, 5))"
    assert repr(book.engine.bids.level_of(order)) == "Level(10: 5 in 1 orders)"
    book.engine.cancel("a", 0)
    assert repr(order).endswith("done)")


@dataclass
class Row:
    id: str
    side: str
    price: int
    size: int


class PlainBook:
    """The rules again, written down as simply as possible: a list that is searched each time."""

    def __init__(self) -> None:
        self.resting: list[Row] = []  # in time order
        self.trades: list[tuple[str, str, int, int]] = []

    def place(self, id: str, side: str, price: int, size: int) -> None:
        sign = 1 if side == "buy" else -1
        while size:
            others = [
                row for row in self.resting if row.side != side and (not price or row.price * sign <= price * sign)
            ]
            if not others:
                break
            best = min(others, key=lambda row: row.price * sign)
            part = min(size, best.size)
            self.trades.append((id, best.id, best.price, part))
            size -= part
            best.size -= part
            if not best.size:
                self.resting.remove(best)
        if size and price:
            self.resting.append(Row(id, side, price, size))


def rank(order: Order) -> int:
    return order.rank


@pytest.mark.parametrize("seed", range(5))
def test_random_orders_trade_exactly_as_the_plain_rules_say(seed: int) -> None:
    rng = random.Random(seed)
    book, plain = Book(), PlainBook()
    for number in range(400):
        if plain.resting and rng.random() < 0.25:
            gone = plain.resting.pop(rng.randrange(len(plain.resting)))
            assert book.engine.cancel(gone.id, number)
            continue
        side = rng.choice(("buy", "sell"))
        price = 0 if rng.random() < 0.1 else rng.randint(90, 110)
        size = rng.randint(1, 20)
        plain.place(str(number), side, price, size)
        book.place(str(number), side, price, size)
        rests = [Row(o.id, o.side, o.price, o.remaining) for o in sorted(book.engine.orders.values(), key=rank)]
        assert rests == plain.resting
    trades = [(e.order.id, e.maker.id, e.maker.price, e.size) for e in book.events if e.maker]
    assert trades == plain.trades
    assert len(trades) > 100


def test_what_was_asked_for_is_filled_cancelled_or_still_there(book: Book) -> None:
    rng = random.Random(3)
    orders = []
    for number in range(500):
        price = 0 if rng.random() < 0.1 else rng.randint(95, 105)
        owner = rng.choice(("", "x", "y"))
        orders.append(book.place(str(number), rng.choice(("buy", "sell")), price, rng.randint(1, 9), owner=owner))
    traded = {side: sum(o.filled for o in orders if o.side == side) for side in ("buy", "sell")}
    assert traded["buy"] == traded["sell"] == sum(e.size for e in book.events if e.kind == "match")
    assert all(o.origin == o.filled + o.remaining + o.canceled for o in orders)
    assert all(bool(o.remaining) == o.resting for o in orders)


@pytest.mark.parametrize("symbol", first("XBTUSDTM", "BTC-USDT", "KCS-BTC"))
def test_every_invariant_holds_after_each_of_thousands_of_steps(symbol: str) -> None:
    exchange = Exchange((symbol,), seed=5, levels=12)
    exchange.wants = lambda topic: False
    engine = exchange._markets[symbol].engine
    for _ in range(10_000):
        exchange.step()
        engine._check()
