"""The matching engine of one symbol: price-time priority over two sides of resting orders.

Rules
- An incoming order trades with the best opposite price first, and at one price with the oldest order first,
  at the resting order's price. Hidden orders have their place in the queue, but are not shown.
- The remainder of a limit order rests; the remainder of a market order is cancelled. A post-only order that
  would trade is cancelled whole.
- Two orders of one owner never trade: the smaller is cancelled and the larger decreased by its size.
- Every event goes to `sink` at once, numbered. On spot each event takes the next sequence; on futures only an
  event that changes a visible level does, so that both level 2 feeds have no holes.

The engine reads no clock (`now_ns` is an argument), draws no random numbers, and knows no feeds or money.
"""

from __future__ import annotations

from collections.abc import Callable

from .orders import CHANGE, DONE, MATCH, OPEN, RECEIVED, Event, Level, Order, OrderRejected, Side
from .specs import Spec

__all__ = ["Engine"]


class Engine:
    """The book of one symbol.

    `sequence` is the number of the last event, `trades` that of the last trade; `orders` has the resting orders by id.
    `sink` must not call back into the engine.
    """

    def __init__(self, spec: Spec, sink: Callable[[Event], None], *, sequence: int = 0, trades: int = 0) -> None:
        self.spec = spec
        self.sequence = sequence
        self.trades = trades
        self.bids = Side("buy")
        self.asks = Side("sell")
        self.orders: dict[str, Order] = {}
        self._sink = sink
        self._counts_all = not spec.futures
        self._now_ns = 0
        self._rank = 0

    def __repr__(self) -> str:
        return f"Engine({self.spec.symbol}, sequence {self.sequence}, {len(self.orders)} orders)"

    def submit(self, order: Order, now_ns: int) -> None:
        """Match a new order; its remainder rests."""
        self._now_ns = now_ns
        self._rank += 1
        order.rank = self._rank
        self._emit(RECEIVED, order, order.size)
        if order.post_only and self._would_trade(order):
            self._finish(order)
            return
        self._match(order)
        if order.done:
            return
        if order.market or not order.remaining:
            self._finish(order)
        else:
            self._rest(order)

    def cancel(self, order_id: str, now_ns: int) -> bool:
        """Cancel a resting order; return False if there is none with this id."""
        order = self.orders.get(order_id)
        if order is None:
            return False
        self._now_ns = now_ns
        side = self._own_side(order)
        self._remove(order, side, side.level_of(order))
        return True

    def reduce(self, order_id: str, new_size: int, now_ns: int) -> None:
        """Decrease the remaining size of a resting order to `new_size`; it keeps its place in the queue."""
        order = self.orders.get(order_id)
        if order is None:
            raise OrderRejected(f"no order {order_id} rests in the book of {self.spec.symbol}")
        if not 0 < new_size < order.remaining:
            raise OrderRejected(f"order {order_id} can only be decreased, and not to 0")
        self._now_ns = now_ns
        self._shrink(order, new_size, self._own_side(order).level_of(order))

    def fill_cost(self, side: str, size: int, limit: int = 0) -> tuple[int, int]:
        """Return an upper bound for an order's immediate fill, as (price times size, size).

        The owner's own orders count, too, though they would not trade.
        """
        book = self.asks if side == "buy" else self.bids
        cost = filled = 0
        for key in reversed(book.keys):
            level = book.levels[key]
            if filled == size or (limit and key < limit * book.sign):
                break
            part = min(size - filled, sum(order.remaining for order in level.orders.values()))
            filled += part
            cost += part * level.price
        return cost, filled

    def _own_side(self, order: Order) -> Side:
        return self.bids if order.side == "buy" else self.asks

    def _opposite(self, order: Order) -> Side:
        return self.asks if order.side == "buy" else self.bids

    def _would_trade(self, order: Order) -> bool:
        book = self._opposite(order)
        return bool(book.keys) and (order.market or book.keys[-1] >= order.price * book.sign)

    def _match(self, incoming: Order) -> None:
        book = self._opposite(incoming)
        keys, levels = book.keys, book.levels
        limit = incoming.price * book.sign
        while keys and incoming.remaining and (incoming.market or keys[-1] >= limit):
            level = levels[keys[-1]]
            maker = next(iter(level.orders.values()))
            if maker.owner and maker.owner == incoming.owner:
                self._prevent_self_trade(incoming, maker, book, level)
            else:
                self._trade(incoming, maker, book, level)

    def _trade(self, incoming: Order, maker: Order, book: Side, level: Level) -> None:
        size = min(incoming.remaining, maker.remaining)
        incoming.remaining -= size
        incoming.filled += size
        maker.remaining -= size
        maker.filled += size
        if not maker.hidden:
            level.visible -= size
        self.trades += 1
        self._emit(MATCH, incoming, size, None if maker.hidden else level.visible, maker, maker.remaining)
        if not maker.remaining:
            book.remove(maker, level)
            del self.orders[maker.id]
            self._finish(maker)

    def _prevent_self_trade(self, incoming: Order, maker: Order, book: Side, level: Level) -> None:
        both = min(incoming.remaining, maker.remaining)
        cancels_incoming = incoming.remaining == both
        if maker.remaining > both:
            self._shrink(maker, maker.remaining - both, level)
        else:
            self._remove(maker, book, level)
        if cancels_incoming:
            self._finish(incoming)
        else:
            self._shrink(incoming, incoming.remaining - both, None)

    def _rest(self, order: Order) -> None:
        order.resting = True
        self.orders[order.id] = order
        level = self._own_side(order).add(order)
        self._emit(OPEN, order, order.remaining, None if order.hidden else level.visible)

    def _remove(self, order: Order, side: Side, level: Level) -> None:
        """Cancel a resting order."""
        side.remove(order, level)
        del self.orders[order.id]
        self._finish(order, None if order.hidden else level.visible)

    def _shrink(self, order: Order, remaining: int, level: Level | None) -> None:
        before = order.remaining
        order.remaining = remaining
        order.size -= before - remaining
        visible = None
        if level is not None and not order.hidden:
            level.visible -= before - remaining
            visible = level.visible
        self._emit(CHANGE, order, remaining, visible, None, before)

    def _finish(self, order: Order, level: int | None = None) -> None:
        unfilled = order.remaining
        order.remaining = 0
        order.resting = False
        order.done = True
        self._emit(DONE, order, unfilled, level)

    def _emit(
        self,
        kind: str,
        order: Order,
        size: int,
        level: int | None = None,
        maker: Order | None = None,
        rest: int = 0,
    ) -> None:
        if self._counts_all or level is not None:
            self.sequence += 1
        self._sink(Event(kind, self.sequence, self._now_ns, order, size, level, maker, rest, self.trades))

    def _check(self) -> None:
        """Assert every invariant of the book."""
        resting = 0
        for side in (self.bids, self.asks):
            side.check()
            for level in side.levels.values():
                resting += len(level.orders)
                for order in level.orders.values():
                    assert self.orders.get(order.id) is order, f"{order} is not in the index"
                    assert order.resting and not order.done and not order.market, order
                    assert 0 < order.remaining <= order.size <= order.origin, order
                    assert order.size == order.filled + order.remaining, order
        assert resting == len(self.orders), "the index holds an order that does not rest"
        if self.bids.keys and self.asks.keys:
            assert self.bids.keys[-1] < -self.asks.keys[-1], "the book is crossed"
