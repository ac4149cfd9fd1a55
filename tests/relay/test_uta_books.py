"""Books of the UTA feed over a relay: KuCoin pushes the snapshot again for each reader that lacks it."""

from __future__ import annotations

import pytest

from kucoin_sync import BookNotReady, Disconnected, LocalBook, topics
from kucoin_sync.books import pushed_snapshots
from kucoin_sync.relay import jobs
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.threads import LIMIT, until
from .conftest import Events, MakeReader, MakeRelay

SPOT = "BTC-USDT"


def is_true(book: LocalBook, exchange: Exchange) -> bool:
    """Return whether a book is at the exchange's sequence; fail if it says what is not so."""
    sequence, bids, asks = exchange.level2(book.symbol)
    try:
        snapshot = book.snapshot()
    except BookNotReady:
        return False
    if snapshot.sequence != sequence:
        return False
    assert (snapshot.bids, snapshot.asks) == (bids, asks)
    return True


def test_readers_keep_books_of_the_uta_feed(
    server: KucoinServer,
    exchange: Exchange,
    make_relay: MakeRelay,
    make_reader: MakeReader,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pushed_snapshots, "_WAIT", 1.0)
    monkeypatch.setattr(jobs, "_AGAIN_SECONDS", 1.0)
    make_relay()
    books = []
    for _ in range(2):  # the second reader comes when the relay has the topic
        book: LocalBook = make_reader().book(SPOT, feed="uta")
        books.append(book.wait_ready(LIMIT))

    def follows() -> bool:
        server.step_exchange(20)
        return all(is_true(book, exchange) for book in books)

    until(follows, f"{books} to be at the exchange's sequence")
    resyncs = [book.resyncs for book in books]
    server.skip_sequence(str(topics.uta.book(SPOT)))
    until(lambda: follows() and all(map(int.__lt__, resyncs, [book.resyncs for book in books])), f"{books} to go on")
    assert not any(isinstance(event, Disconnected) for event in events.all), "a topic was subscribed again, no more"
