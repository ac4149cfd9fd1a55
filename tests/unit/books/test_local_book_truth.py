"""Each book equals the exchange's own levels and orders after every event of a long, seeded market.

The market runs for 10,000 events, by default for a quarter of that, or for the number in the environment variable
KUCOIN_SYNC_TRUTH_EVENTS. Orders are received, opened, matched partly or completely, decreased by self-trade prevention,
and cancelled; some are hidden.
Updates take the way that they take in a program, from the bytes of a frame to the user's book, without sockets and
threads.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from kucoin_sync.testing.exchange import Exchange
from kucoin_sync.testing.exchange.orders import Event
from kucoin_sync.testing.exchange.push import Push

from ...support.books import contents, truth
from ...support.followers import FollowedBook
from ...support.selection import examples

EVENTS = int(os.environ.get("KUCOIN_SYNC_TRUTH_EVENTS", examples(10_000)))
SPOT, CONTRACT = "BTC-USDT", "XBTUSDTM"


class Market:
    """A spot and a futures market with the books that follow them."""

    def __init__(self, seed: int) -> None:
        self.exchange = Exchange((SPOT, CONTRACT), seed=seed, levels=6)
        self.old, self.new = FollowedBook(SPOT, level=3, generation=1), FollowedBook(SPOT, level=3)
        self.level2, self.futures = FollowedBook(SPOT), FollowedBook(CONTRACT)
        self.lines = {followed.source.topic: followed for followed in (self.old, self.new, self.level2, self.futures)}
        self.exchange.wants = self.lines.__contains__
        for followed in self.lines.values():
            followed.follower.on_subscribed()
            symbol, level = followed.source.symbol, followed.source.level
            followed.fetch((self.exchange.level3_snapshot if level == 3 else self.exchange.level2_snapshot)(symbol))
            assert contents(followed.book) == truth(self.exchange, symbol, level)
        self.happened: Counter[str] = Counter()
        for market in self.exchange._markets.values():
            sink = market.engine._sink
            market.engine._sink = lambda event, sink=sink: self.on_event(event, sink)

    def on_event(self, event: Event, sink) -> None:  # type: ignore[no-untyped-def]
        """Render and apply the event at once, while the engine still has the state after it."""
        sink(event)
        self.happened[event.kind] += 1
        self.happened["hidden"] += (event.maker or event.order).hidden
        self.deliver(self.exchange._outbox.take())

    def deliver(self, pushes: list[Push]) -> None:
        """Push the pending updates and compare each changed book."""
        for push in pushes:
            followed = self.lines[push.topic]
            followed.push(push.data, push.subject)
            assert followed.book.sequence == self.exchange.level2(followed.source.symbol).sequence
            assert contents(followed.book) == truth(self.exchange, followed.source.symbol, followed.source.level)


@pytest.mark.timeout(60 + EVENTS / 100)
def test_every_book_equals_the_exchanges_after_every_event() -> None:
    market = Market(seed=404)
    while sum(market.happened.values()) - market.happened["hidden"] < EVENTS:
        market.deliver(market.exchange.step())
        level2 = market.level2.book.snapshot()
        for followed in (market.old, market.new):
            orders = followed.book.snapshot()
            assert (orders.sequence, orders.bids, orders.asks) == (level2.sequence, level2.bids, level2.asks)
    assert all(followed.book.resyncs == 0 for followed in market.lines.values())
    assert {"received", "open", "match", "change", "done", "hidden"} <= {kind.lower() for kind in market.happened}
