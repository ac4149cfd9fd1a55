"""Books of the UTA feed on a connection that loses, repeats, delays and ends: they equal the exchange's, or refuse."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import BookNotReady, LocalBook, Subscription, topics
from kucoin_sync.books import pushed_snapshots
from kucoin_sync.testing import Exchange, FaultProxy, KucoinServer

from ..support.selection import first
from ..support.streams import MakeServer, MakeStream
from ..support.threads import LIMIT, until

SYMBOLS = ("BTC-USDT", "XBTUSDTM")


class Market:
    """The exchange's best levels at each sequence, by symbol; they are noted after each action of the crowd."""

    def __init__(self, server: KucoinServer) -> None:
        self.server = server
        self.truths: dict[str, dict[int, Any]] = {symbol: {} for symbol in SYMBOLS}
        self.now: dict[str, int] = {}
        self.note()

    def act(self, times: int) -> None:
        for _ in range(times):
            self.server.step_exchange()
            self.note()

    def note(self) -> None:
        with self.server.trading() as exchange:
            for symbol, truths in self.truths.items():
                sequence = exchange.level2(symbol).sequence
                if sequence != self.now.get(symbol):
                    found = exchange.level2(symbol)
                    self.now[symbol] = sequence
                    truths[sequence] = found.bids[:500], found.asks[:500]

    def check(self, book: LocalBook) -> bool:
        """Compare what a book says with the truth at its sequence; return whether it is up to date."""
        try:
            snapshot = book.snapshot()
        except BookNotReady:
            return False
        truth = self.truths[book.symbol][snapshot.sequence]
        for known, true in zip((snapshot.bids, snapshot.asks), truth, strict=True):
            assert known.reliable_count
            assert known[: known.reliable_count] == true[: known.reliable_count]
            assert set(known) <= set(true)
        return snapshot.sequence == self.now[book.symbol]


@pytest.mark.parametrize("seed", first(*range(4)))
def test_a_book_equals_the_exchanges_at_its_sequence_or_refuses(
    make_server: MakeServer,
    make_proxy: Callable[[KucoinServer], FaultProxy],
    make_stream: MakeStream,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setattr(pushed_snapshots, "_LONGEST_DELAY", 0.1)
    monkeypatch.setattr(pushed_snapshots, "_WAIT", 1.0)
    chance = random.Random(seed)
    server = make_server(exchange=Exchange(SYMBOLS, seed=seed, levels=505))
    market, proxy = Market(server), make_proxy(server)
    with make_stream(server) as stream:
        books = [stream.book(symbol, feed="uta") for symbol in SYMBOLS]
        for book in books:
            book.wait_ready(LIMIT)
        others: list[Subscription[Any] | LocalBook] = []
        for _ in range(60):
            topic = str(topics.uta.book(chance.choice(SYMBOLS)))
            fault = chance.randrange(12)
            if fault == 0:
                server.skip_sequence(topic)
            elif fault == 1:
                server.repeat_sequence(topic, chance.randint(1, 3))
            elif fault == 2:
                server.drop_connections()
            elif fault == 3:
                proxy.to_client.reset_after(chance.randint(0, 3000))
            elif fault == 4:
                proxy.heal()
            elif fault == 5:
                others.append(stream.subscribe(topic, overflow="drop_oldest", timeout=0))
            elif fault == 6:
                others.append(stream.book(chance.choice(SYMBOLS), feed="uta"))
            elif fault == 7 and others:
                others.pop(chance.randrange(len(others))).close()
            market.act(chance.randint(1, 6))
            for book in books:
                market.check(book)
        proxy.heal()
        server.reset_script()

        def settled() -> bool:
            market.act(2)
            kept = [*books, *(other for other in others if isinstance(other, LocalBook))]
            return sum(map(market.check, kept)) == len(kept)

        until(settled, f"{books} to be up to date")
        assert all(book.resyncs for book in books)
