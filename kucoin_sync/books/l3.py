"""The level 3 book: every visible order and its position in the queue of its price.

Pure data: it applies events and knows neither feeds nor the completeness of events; see `calibration`. Rules, from
KuCoin's documentation of both generations of the feed:

- `open` puts an order at the end of the queue of its price. An order with the price "" or the size "0" is hidden: it is
  not on the book.
- `match` reduces the maker's order by the traded size. The second generation also sends the remaining size, which must
  agree.
- `change` and `update` set an order's size; the order keeps its position.
- `done` removes an order. `received` and `activated` change nothing.
- `match`, `change` and `done` of orders that are not on the book (hidden orders, market orders, takers) change nothing.
- An order whose size becomes 0 is removed at once, not only by its `done`.
- The remaining and the old size of an event, which only confirm the book, count as unknown if they can't be read.

An event that contradicts the book raises ValueError and changes nothing: the book then differed from the exchange's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice, takewhile
from typing import Any, NamedTuple

from ..payloads import Level, Side
from .base import Book, BookSide, Number
from .codec import WireLevel3Event
from .numbers import EXACT, as_text, as_time, parse
from .price_index import PriceKey

__all__ = ["Level3Book", "Order", "QueuePosition"]

_ZERO = Decimal(0)


class Order(NamedTuple):
    """A visible order on the book; `size` is its remaining size, `time_ns` when it came."""

    id: str
    side: Side
    price: Decimal
    size: Decimal
    time_ns: int


class QueuePosition(NamedTuple):
    """The orders that trade before an order at its price: their number and their total size."""

    orders: int
    size: Decimal


class _OrderQueue:
    """The orders at one price, in the order in which they trade, and their total size."""

    __slots__ = ("key", "orders", "price", "size")

    def __init__(self, key: PriceKey, price: Decimal) -> None:
        self.key = key
        self.price = price
        self.size = Decimal(0)
        self.orders: dict[str, _RestingOrder] = {}


class _RestingOrder:
    """An order on the book."""

    __slots__ = ("id", "queue", "side", "size", "time_ns")

    def __init__(self, order_id: str, side: Side, queue: _OrderQueue, size: Decimal, time_ns: int) -> None:
        self.id = order_id
        self.side = side
        self.queue = queue
        self.size = size
        self.time_ns = time_ns

    def order(self) -> Order:
        """Return the order as it is now."""
        return Order(self.id, self.side, self.queue.price, self.size, self.time_ns)


class _Level3Side(BookSide[_OrderQueue]):
    """One side of the book: an order queue at each price."""

    __slots__ = ()

    def level(self, key: PriceKey) -> Level:
        queue = self.rows[key]
        return Level(queue.price, queue.size)

    def queue_for(self, key: PriceKey, price: str) -> _OrderQueue:
        """Return the queue of a price; make it if necessary."""
        queue = self.rows.get(key)
        if queue is None:
            queue = self.rows[key] = _OrderQueue(key, Decimal(price))
            self.insert(key)
        return queue

    def remove_queue(self, queue: _OrderQueue) -> None:
        """Remove the empty queue of a price."""
        del self.rows[queue.key]
        self.remove(queue.key)

    def orders(self) -> Iterator[Order]:
        """Yield all orders, best price first."""
        for key in self:
            for resting in self.rows[key].orders.values():
                yield resting.order()

    def _switch_to_decimals(self) -> None:
        super()._switch_to_decimals()
        for key, queue in self.rows.items():
            queue.key = key

    def _check(self) -> None:
        super()._check()
        for key, queue in self.rows.items():
            assert queue.key == key, f"the queue at {queue.price} has another price's key"
            assert queue.orders, f"the queue at {queue.price} is empty"
            total = Decimal(0)
            for resting in queue.orders.values():
                total = EXACT.add(total, resting.size)
            assert total == queue.size, f"the orders at {queue.price} add up to {total}, not {queue.size}"


class Level3Book(Book[_Level3Side]):
    """The orders of one symbol.

    >>> book = Level3Book()
    >>> book.open("a", "buy", "10.0", "3")
    >>> book.open("b", "buy", "10", "2")
    >>> book.match("a", "1")
    >>> book.best_bid
    Level(price=Decimal('10.0'), size=Decimal('4'))
    >>> book.queue_position("b")
    QueuePosition(orders=1, size=Decimal('2'))
    """

    __slots__ = ("_orders",)

    def __init__(self) -> None:
        super().__init__(_Level3Side(1), _Level3Side(-1))
        self._orders: dict[str, _RestingOrder] = {}

    def __len__(self) -> int:
        """Return the number of orders."""
        return len(self._orders)

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._orders

    # Reading

    def order(self, order_id: str) -> Order | None:
        """Return an order that rests on the book, None if there is none with that id."""
        resting = self._orders.get(order_id)
        return None if resting is None else resting.order()

    def queue_position(self, order_id: str) -> QueuePosition | None:
        """Return the orders that trade before an order at its price, None if it is not on the book: O(orders ahead)."""
        resting = self._orders.get(order_id)
        if resting is None:
            return None
        ahead, size = 0, _ZERO
        for other in takewhile(lambda other: other is not resting, resting.queue.orders.values()):
            ahead += 1
            size = EXACT.add(size, other.size)
        return QueuePosition(ahead, size)

    def orders_at(self, price: Number) -> list[Order]:
        """Return the orders at a price, in the order in which they would trade."""
        wanted = parse(as_text(price))
        found: list[Order] = []
        for side in (self._bids, self._asks):
            key = side.find(wanted)
            if key is not None:
                found += [resting.order() for resting in side.rows[key].orders.values()]
        return found

    def bid_orders(self, n: int | None = None) -> list[Order]:
        """Return the first `n` bids in the order in which they would trade, None for all."""
        return list(islice(self._bids.orders(), n))

    def ask_orders(self, n: int | None = None) -> list[Order]:
        """Return the first `n` asks in the order in which they would trade, None for all."""
        return list(islice(self._asks.orders(), n))

    # Changing

    def load(self, bids: Iterable[Sequence[Any]], asks: Iterable[Sequence[Any]]) -> None:
        """Replace all orders by a snapshot's rows of order id, price, size and time in nanoseconds.

        Rows of equal price come in the order in which they trade. A time that can't be read is 0. Raises ValueError,
        and changes nothing, if a row is invalid.
        """
        loaded = Level3Book()
        names: tuple[Side, Side] = ("buy", "sell")
        for name, rows in zip(names, (bids, asks), strict=True):
            for order_id, price, size, time_ns, *_ in rows:
                loaded.open(str(order_id), name, as_text(price), as_text(size), as_time(time_ns))
        self._bids, self._asks, self._orders = loaded._bids, loaded._asks, loaded._orders

    def apply(self, event: WireLevel3Event) -> None:
        """Apply an event of either generation."""
        effect = _EFFECTS.get(event.kind)
        if effect is None:
            raise ValueError(f"{event.kind!r} is not a kind of event")
        effect(self, event)

    def open(self, order_id: str, side: Side, price: str, size: str, time_ns: int = 0) -> None:
        """Add an order at the end of the queue of its price: O(log n)."""
        if not price:
            return
        amount = parse(size)
        on = self._side(side)
        if order_id in self._orders:
            raise ValueError(f"order {order_id} came to rest, and rests already")
        key = on.key_of(price)
        if not amount or key is None:
            return
        queue = on.queue_for(key, price)
        queue.size = EXACT.add(queue.size, amount)
        queue.orders[order_id] = self._orders[order_id] = _RestingOrder(order_id, side, queue, amount, time_ns)

    def match(self, maker_id: str, size: str, remaining: str = "") -> None:
        """Reduce the maker's order by a traded size; `remaining` is its size afterwards, "" if unknown."""
        resting = self._orders.get(maker_id)
        traded = parse(size)
        if resting is None:
            return
        left = EXACT.subtract(resting.size, traded)
        if left < 0 or (remaining and parse(remaining) != left):
            raise ValueError(
                f"order {maker_id} had {resting.size} left, {size} traded, which leaves no {remaining or left}"
            )
        self._set_size(resting, left)

    def resize(self, order_id: str, size: str, before: str = "") -> None:
        """Set the remaining size of an order, which keeps its position; `before` is the old size, "" if unknown."""
        resting = self._orders.get(order_id)
        amount = parse(size)
        if resting is None:
            return
        if before and parse(before) != resting.size:
            raise ValueError(f"order {order_id} has {resting.size} left on this book and {before} on the exchange")
        self._set_size(resting, amount)

    def done(self, order_id: str) -> None:
        """Remove an order, if it is on the book: O(log n)."""
        resting = self._orders.get(order_id)
        if resting is not None:
            self._set_size(resting, _ZERO)

    def _set_size(self, resting: _RestingOrder, size: Decimal) -> None:
        queue = resting.queue
        queue.size = EXACT.add(queue.size, EXACT.subtract(size, resting.size))
        resting.size = size
        if size:
            return
        del queue.orders[resting.id], self._orders[resting.id]
        if not queue.orders:
            self._side(resting.side).remove_queue(queue)

    def _check(self) -> None:
        """Assert every invariant."""
        super()._check()
        queued = {}
        for name, side in (("buy", self._bids), ("sell", self._asks)):
            for queue in side.rows.values():
                for order_id, resting in queue.orders.items():
                    assert (resting.id, resting.side, resting.queue) == (order_id, name, queue), (
                        f"{order_id} is in the wrong queue"
                    )
                    assert resting.size > 0, f"order {order_id} has no size"
                    queued[order_id] = resting
        assert queued == self._orders, "the index and the queues hold the same orders"


def _open(book: Level3Book, event: WireLevel3Event) -> None:
    if event.side not in ("buy", "sell") and isinstance(event.side, str):
        event.side = event.side.strip().lower()
    book.open(event.order_id, event.side, event.price, event.size, event.time_ns)


def _match(book: Level3Book, event: WireLevel3Event) -> None:
    _with_check(book.match, event.maker_order_id, event.size, event.remain_size)


def _change(book: Level3Book, event: WireLevel3Event) -> None:
    _with_check(book.resize, event.order_id, event.new_size or event.size, event.old_size)


def _with_check(effect: Callable[[str, str, str], None], order_id: str, size: str, check: str) -> None:
    """Have an event take effect; `check` is the size that only confirms the book, "" if it is unknown."""
    try:
        effect(order_id, size, check)
    except ValueError:
        if _is_readable(check):
            raise
        effect(order_id, size, "")


def _is_readable(size: str) -> bool:
    """Return whether a size is a number, or unknown."""
    try:
        return not size or parse(size) >= 0
    except ValueError:
        return False


_EFFECTS: dict[str, Callable[[Level3Book, WireLevel3Event], None]] = {
    "received": lambda book, event: None,
    "activated": lambda book, event: None,
    "open": _open,
    "match": _match,
    "change": _change,
    "done": lambda book, event: book.done(event.order_id),
}
