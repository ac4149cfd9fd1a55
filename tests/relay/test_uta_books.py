"""Books of the UTA feed over a relay: KuCoin pushes the snapshot again for each reader that lacks it."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import Disconnected, LocalBook, topics
from kucoin_sync.books import pushed_snapshots
from kucoin_sync.relay import jobs
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.books import is_true
from ..support.relays import MakeReader, MakeRelay
from ..support.streams import Events
from ..support.threads import LIMIT, until

SPOT = "BTC-USDT"


@pytest.fixture
def exchange_options() -> dict[str, Any]:
    return {"symbols": (SPOT, "XBTUSDTM"), "seed": 5, "levels": 120}


@pytest.fixture
def server_options(exchange: Exchange) -> dict[str, Any]:
    return {"exchange": exchange}


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
