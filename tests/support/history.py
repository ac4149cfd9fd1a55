"""What feeds pushed on small markets, the exchange's book at each sequence, and a network that loses some of it."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from kucoin_sync.books import FUTURES_LEVEL2, LEVEL2, LEVEL3, Calibration, Level3Book
from kucoin_sync.testing.exchange import Exchange

__all__ = ["CONTRACT", "FEEDS", "SPOT", "History", "LossyFeed", "history_of", "read", "snapshot_of", "truth_of"]

SPOT, CONTRACT = "BTC-USDT", "XBTUSDTM"

FEEDS = {
    f"/market/level2:{SPOT}": LEVEL2,
    f"/contractMarket/level2:{CONTRACT}": FUTURES_LEVEL2,
    f"/market/level3:{SPOT}": LEVEL3,
    f"/spotMarket/level3:{SPOT}": LEVEL3,
}


def truth_of(exchange: Exchange, symbol: str, feed: Any) -> tuple[Any, ...]:
    """Return the exchange's own book: levels, and for level 3 the orders too."""
    sequence, bids, asks = exchange.level2(symbol)
    if feed is not LEVEL3:
        return sequence, bids, asks
    orders = exchange.level3(symbol)
    return sequence, bids, asks, orders.bids, orders.asks


def read(calibration: Calibration[Any, Any]) -> tuple[Any, ...]:
    """Return what a live book says, in the form of `truth_of`."""
    book = calibration.book
    if not isinstance(book, Level3Book):
        return calibration.sequence, book.bids(), book.asks()
    bids, asks = (
        [(o.id, o.price, o.size, o.time_ns) for o in orders] for orders in (book.bid_orders(), book.ask_orders())
    )
    return calibration.sequence, book.bids(), book.asks(), bids, asks


def snapshot_of(exchange: Exchange, symbol: str, feed: Any, depth: int | None = None) -> dict[str, Any]:
    return exchange.level3_snapshot(symbol) if feed is LEVEL3 else exchange.level2_snapshot(symbol, depth)


class History:
    """What one feed pushed on a small market, and the exchange's book at each sequence."""

    def __init__(self, topic: str, steps: int) -> None:
        self.feed: Any = FEEDS[topic]
        symbol = topic.partition(":")[2]
        exchange = Exchange((symbol,), seed=31, levels=4)
        exchange.wants = {topic}.__contains__
        self.updates: list[tuple[dict[str, Any], str]] = []
        self.snapshots: list[tuple[int, Any]] = []
        self.truths: dict[int, tuple[Any, ...]] = {}
        follower = Calibration(self.feed)
        follower.snapshot(snapshot_of(exchange, symbol, self.feed))
        self.truths[follower.sequence] = truth_of(exchange, symbol, self.feed)
        for _ in range(steps):
            self.snapshots.append(
                (len(self.updates), functools.partial(self.cut, snapshot_of(exchange, symbol, self.feed)))
            )
            for push in exchange.step():
                self.updates.append((push.data, push.subject))
                # Within an action only the events themselves tell the orders; its end is compared with the exchange.
                assert follower.push(push.data, push.subject)
                self.truths[follower.sequence] = read(follower)
            self.truths[follower.sequence] = truth_of(exchange, symbol, self.feed)
            assert read(follower) == self.truths[follower.sequence]

    @staticmethod
    def cut(whole: dict[str, Any], depth: int | None) -> dict[str, Any]:
        """Return a snapshot, or the best `depth` levels of it."""
        return {**whole, "bids": whole["bids"][:depth], "asks": whole["asks"][:depth]}

    def merged(self, first: int, last: int) -> dict[str, Any]:
        """Return one level 2 update that covers several, the rows of each price that count only."""
        parts = [data for data, _ in self.updates[first : last + 1]]
        changes = {}
        for side in ("asks", "bids"):
            newest = {row[0]: row for part in parts for row in part["changes"][side]}
            changes[side] = list(newest.values())[::-1]
        return {"sequenceStart": parts[0]["sequenceStart"], "sequenceEnd": parts[-1]["sequenceEnd"], "changes": changes}


history_of = functools.cache(History)


class LossyFeed(RuleBasedStateMachine):
    """A feed whose updates come late, twice, in another order, or not at all.

    A subclass sets `history` when it begins, and says with `put` where an update goes.
    """

    history: History
    next = 0  # the update that the exchange tells next

    def put(self, at: int) -> None:
        raise NotImplementedError

    def left(self) -> int:
        return len(self.history.updates) - self.next

    def snapshot(self, back: int, depth: int | None) -> dict[str, Any]:
        """Return a snapshot that is more or less old, or newer than what was delivered."""
        places = [place for place, (first, _) in enumerate(self.history.snapshots) if first <= self.next + 6]
        _, make = self.history.snapshots[places[max(len(places) - 1 - back, 0)]]
        cut: dict[str, Any] = make(depth)
        return cut

    @rule(count=st.integers(1, 12))
    def deliver(self, count: int) -> None:
        for _ in range(min(count, self.left())):
            self.put(self.next)
            self.next += 1

    @rule(count=st.integers(1, 6))
    def drop(self, count: int) -> None:
        self.next += min(count, self.left())

    @precondition(lambda self: self.next)
    @rule(back=st.integers(1, 30), count=st.integers(1, 5))
    def deliver_again(self, back: int, count: int) -> None:
        first = max(self.next - back, 0)
        for at in range(first, min(first + count, self.next)):
            self.put(at)

    @rule(order=st.permutations(range(4)))
    def deliver_in_another_order(self, order: list[int]) -> None:
        for place in order:
            if place < self.left():
                self.put(self.next + place)
        self.next += min(4, self.left())
