"""`dir`, and so tab completion, shows the names that users are meant to use, and no others."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

import kucoin_sync
from kucoin_sync import Message, Stream, topics
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import KucoinServer

STREAM = {"account", "book", "close", "closed", "last", "on", "resume", "stats", "subscribe", "tunnel", "unsubscribe"}
REPLAY = {"began", "duration", "missing", "position", "recorded", "seek", "start", "torn", "wait"}
TUNNEL = {"close", "closed", "name", "on", "subscribe", "unsubscribe"}
SUBSCRIPTION = {"close", "closed", "dropped", "get", "pending", "topics"}
MESSAGE = {
    "data", "epoch", "get", "items", "keys", "lost", "payload", "raw", "received_ns", "recovered", "subject", "symbol",
    "to_dict", "topic", "tunnel_id", "type", "values",
}  # fmt: skip
QUOTES = {
    "asks",
    "best_ask",
    "best_bid",
    "bids",
    "level",
    "micro_price",
    "mid",
    "partial",
    "received_ns",
    "sequence",
    "spread",
}
BOOK = {
    *QUOTES, "ask_size", "asks_complete_to", "bid_size", "bids_complete_to", "close", "closed", "cumulative_asks",
    "cumulative_bids", "imbalance", "price_to_buy", "price_to_sell", "ready", "resyncs", "snapshot", "snapshot_depth",
    "symbol", "to_frame", "wait_ready",
}  # fmt: skip
ORDERS = {"ask_orders", "bid_orders", "order", "orders_at", "queue_position"}


def visible(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_the_package_shows_its_public_names() -> None:
    assert dir(kucoin_sync) == sorted(kucoin_sync.__all__)


@pytest.mark.parametrize("module", [topics, topics.futures, topics.uta])
def test_the_topics_show_their_helpers(module: ModuleType) -> None:
    assert visible(module) == {*module.__all__}


def test_streams_tunnels_and_subscriptions_show_what_users_call(kucoin_stream: Stream) -> None:
    assert visible(kucoin_stream) == STREAM
    assert visible(kucoin_stream.tunnel("bt1")) == TUNNEL
    subscription = kucoin_stream.subscribe("/market/ticker:BTC-USDT")
    assert visible(subscription) == SUBSCRIPTION
    assert {"__enter__", "__iter__", "__next__"} <= {*dir(subscription)}


def test_a_message_shows_its_three_views(kucoin_server: KucoinServer, kucoin_stream: Stream) -> None:
    subscription = kucoin_stream.subscribe("/market/ticker:BTC-USDT")
    kucoin_server.publish("/market/ticker:BTC-USDT", {"price": "1"}, subject="trade.ticker")
    assert visible(subscription.get(timeout=20)) == visible(Message()) == MESSAGE


def test_books_show_what_users_read(kucoin_stream: Stream) -> None:
    with kucoin_stream.book("BTC-USDT") as book, kucoin_stream.book("BTC-USDT", level=3) as queues:
        assert visible(book) == BOOK
        assert visible(queues) == BOOK | ORDERS


def test_a_replay_shows_its_own_names_beside_those_of_a_stream(kucoin_stream: Stream, tmp_path: Path) -> None:
    with Recorder(kucoin_stream, tmp_path / "day.jsonl"):
        kucoin_stream.subscribe(topics.ticker("BTC-USDT"))
    with ReplayStream(tmp_path / "day.jsonl") as replay:
        assert visible(replay) == STREAM - {"account"} | REPLAY
