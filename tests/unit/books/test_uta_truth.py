"""The UTA feed's book equals the best levels of the exchange after every event of a long, seeded market, or refuses.

The market has more levels than the feed pushes. It runs for 2,000 events, or for the number in the environment
variable KUCOIN_SYNC_TRUTH_EVENTS, and in the rows that are not long for a quarter of that. Each event is a window of
its own, and some pushes are lost.
"""

from __future__ import annotations

import functools
import json
import os
import random
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync.books import UTA_LEVEL2, BookSource, PushedCalibration
from kucoin_sync.books.uta import UTA_DEPTH, read_uta_level2_frame
from kucoin_sync.payloads import Level
from kucoin_sync.testing.exchange import Exchange
from kucoin_sync.testing.exchange.push import Push

from ...support.selection import first

EVENTS = int(os.environ.get("KUCOIN_SYNC_TRUTH_EVENTS", "2000"))


def frame_of(push: Push) -> bytes:
    return json.dumps({"T": push.subject, **push.extra, "d": push.data}).encode()


class Market:
    """One symbol of an exchange, its book, and the lossy way between the two."""

    def __init__(self, symbol: str, *, entering: bool) -> None:
        self.exchange = Exchange((symbol,), seed=77, levels=UTA_DEPTH + 60)
        self.exchange.push_entering_levels = entering
        self.symbol = symbol
        self.topic = BookSource.of(symbol, feed="uta").topic
        self.exchange.wants = {self.topic}.__contains__
        self.engine = self.exchange._markets[symbol].engine
        self.book: PushedCalibration[Any, Any] = PushedCalibration(UTA_LEVEL2)
        self.chance = random.Random(5)
        self.certain = self.compared = self.lost = 0
        self.number = functools.cache(lambda value, scale: Decimal(value).scaleb(-scale))

    def sides(self) -> list[list[Level]]:
        """Return the best levels of the exchange."""
        spec = self.engine.spec
        return [
            [
                Level(self.number(p, spec.price_scale), self.number(s, spec.size_scale))
                for p, s in side.visible(UTA_DEPTH)
            ]
            for side in (self.engine.bids, self.engine.asks)
        ]

    def step(self) -> None:
        """Let one event happen, deliver what is pushed, and compare."""
        pushes = self.exchange.step()
        self.exchange.close_windows()
        pushes += self.exchange.take_pushes()
        assert len(pushes) <= 1, "one window, one push"
        for push in pushes:
            if self.chance.random() < 0.005:
                self.lost += 1
            else:
                self.book.push(read_uta_level2_frame(frame_of(push)))
                if self.book.live:
                    assert self.book.sequence == push.data["C"]
                    self.compare()
        if not self.book.live:
            self.book.push(frame_of(self.exchange.uta_book(self.symbol)))
            assert self.book.live
            self.compare()

    def compare(self) -> None:
        book = self.book.book
        self.compared += 1
        for known, true in zip((book.bids(), book.asks()), self.sides(), strict=True):
            certain = known.reliable_count
            assert certain
            assert known[:certain] == true[:certain]
            assert len(known) <= UTA_DEPTH
            assert set(known[certain:]) <= set(true[certain:])
            self.certain += certain


@pytest.mark.timeout(120 + EVENTS / 20)
@pytest.mark.parametrize(("entering", "events"), first((False, EVENTS // 4), (False, EVENTS), (True, EVENTS)))
@pytest.mark.parametrize("symbol", ["BTC-USDT", "XBTUSDTM"])
def test_the_book_equals_the_best_levels_of_the_exchange_after_every_event(
    symbol: str, entering: bool, events: int
) -> None:
    market = Market(symbol, entering=entering)
    for _ in range(events // 2):
        market.step()
    assert market.compared > events // 4
    assert market.lost
    assert market.book.resyncs >= market.lost // 2
    assert market.certain / market.compared > UTA_DEPTH, "of both sides together"
