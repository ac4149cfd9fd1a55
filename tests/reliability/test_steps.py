"""No memory for a moment at one step of what the package's threads do, where no caller waits for it.

Each step raises once. Then the book or the account equals the exchange's again by itself; messages that should have
been recovered have come, or it was told that some may be missing.
"""

from __future__ import annotations

import importlib
import itertools
import random
import threading
from queue import SimpleQueue
from typing import Any

import pytest

from kucoin_sync import RecoveryIncomplete, topics
from kucoin_sync.books import manager, pushed_snapshots, snapshot_fetcher
from kucoin_sync.internal import backoff, check_thread
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.accounts import USER, Trader
from ..support.streams import FAST, Events, MakeStream
from ..support.threads import LIMIT, until
from ..support.trades import sequences, trade

SPOT, OTHER = "BTC-USDT", "KCS-USDT"


class Step:
    """A method of the package that raises MemoryError once, at its next call on threads with some name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, thread: str) -> None:
        module, owner, method = name.rsplit(".", 2)
        self.met = threading.Event()
        self.is_armed = False
        self._thread = thread
        kind = getattr(importlib.import_module(f"kucoin_sync.{module}"), owner)
        real = getattr(kind, method)

        def call(*args: Any, **options: Any) -> Any:
            if self.is_armed and threading.current_thread().name.startswith(self._thread):
                self.is_armed = False
                self.met.set()
                raise MemoryError
            return real(*args, **options)

        monkeypatch.setattr(kind, method, call)


class Queue(SimpleQueue[Any]):
    """A queue whose `put` can be replaced."""

    def put(self, item: Any, *_: Any) -> None:
        super().put(item)


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange((SPOT, OTHER), seed=5, levels=20, accounts=[USER])}


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "retry_delays", lambda *_: itertools.repeat(0.005))
    monkeypatch.setattr(manager, "SimpleQueue", Queue)
    monkeypatch.setattr(snapshot_fetcher, "_MIN_INTERVAL", 0.0)
    monkeypatch.setattr(pushed_snapshots, "_WAIT", 0.2)
    monkeypatch.setattr(check_thread, "_RETRY_DELAY", 0.005)


BOOKS, SNAPSHOTS, PUSHED = "kucoin-books", "kucoin-snapshots", "kucoin-pushed"


@pytest.mark.parametrize(
    ("feed", "thread", "name"),
    [
        ("classic", BOOKS, "books.manager.BookManager._serve"),
        ("classic", BOOKS, "books.follower.Follower.apply_pending"),
        ("classic", BOOKS, "delivery.queue.MessageQueue.call"),
        ("classic", BOOKS, "delivery.queue.MessageQueue.has_messages"),
        ("uta", BOOKS, "delivery.queue.MessageQueue.call"),
        ("classic", BOOKS, "books.manager.SimpleQueue.put"),
        ("classic", "kucoin-io", "books.manager.SimpleQueue.put"),
        ("classic", "kucoin-io", "books.manager.BookManager.lost"),
        ("classic", "kucoin-io", "books.follower.Follower.on_connection_lost"),
        ("classic", "kucoin-io", "books.follower.Follower.on_subscribed"),
        ("classic", SNAPSHOTS, "internal.backoff.SlidingWindow.record"),
        ("classic", SNAPSHOTS, "books.follower.Follower.snapshot_attempt"),
        ("classic", SNAPSHOTS, "books.follower.Follower._change"),
        ("classic", SNAPSHOTS, "books.snapshot_fetcher.SnapshotQueue._finish_job"),
        ("classic", BOOKS, "net.workers.WorkerPool.job_added"),
        ("uta", PUSHED, "books.follower.Follower.snapshot_attempt"),
        ("uta", PUSHED, "connections.groups.ConnectionGroups.resubscribe"),
    ],
)
def test_a_book_follows_again(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, feed: str, thread: str, name: str
) -> None:
    step = Step(monkeypatch, name, thread)
    stream = make_stream(limits=FAST)
    books = [stream.book(symbol, feed=feed).wait_ready(timeout=LIMIT) for symbol in (SPOT, OTHER)]
    topic = "/uta/obu.SPOT:{}_increment@10ms" if feed == "uta" else "/market/level2:{}"
    step.is_armed = True
    if "on_" in name or "lost" in name:
        server.drop_connections()
    elif not name.startswith(("delivery", "books.manager")):
        for symbol in (SPOT, OTHER):
            server.skip_sequence(topic.format(symbol))

    def follow() -> bool:
        server.step_exchange(5 if step.met.is_set() else 500)  # much is waiting where a book has to be queued again
        with server.trading() as exchange:
            now = [exchange.level2(symbol).sequence for symbol in (SPOT, OTHER)]
        return step.met.is_set() and all(book.ready for book in books) and [book.sequence for book in books] == now

    until(follow, "a book does not follow the market any more")


ACCOUNT, REST = "kucoin-account", "kucoin-account-rest"


@pytest.mark.parametrize(
    ("thread", "name"),
    [
        *((ACCOUNT, f"account.keeper.AccountKeeper.{each}") for each in ("_carried", "_lost", "_serve", "_publish")),
        *((ACCOUNT, f"account.part_follower.PartFollower.{each}") for each in ("carried", "lost", "answers", "_begin")),
        (ACCOUNT, "account.rest_calls.RestCalls.ask"),
        (ACCOUNT, "internal.timed_queue.TimedQueue.get"),
        *((REST, f"account.rest_calls.RestCalls.{each}") for each in ("_next_job", "_make_call", "_finish")),
        (REST, "account.keeper.AccountKeeper._on_answers"),
        (REST, "internal.timed_queue.TimedQueue.put"),
        (REST, "internal.backoff.SlidingWindow.record"),
        (REST, "net.workers.WorkerPool.job_added"),
        ("kucoin-io", "account.keeper.AccountKeeper.carried"),
        ("kucoin-io", "account.keeper.AccountKeeper.lost"),
        ("kucoin-io", "internal.timed_queue.TimedQueue.put"),
    ],
)
def test_an_account_is_reconciled_again(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, thread: str, name: str
) -> None:
    step = Step(monkeypatch, name, thread)
    account = make_stream(limits=FAST).account(rest_lag=0).wait_ready(LIMIT)
    before = account.reconciliations
    step.is_armed = True
    server.drop_connections()
    until(lambda: account.reconciliations > before and account.ready, "the account is not reconciled any more")
    assert step.met.is_set(), "the step is not taken"

    def equal() -> bool:
        with server.trading() as exchange:
            there, history = exchange.balances(USER), exchange.account_history(USER)
            orders = {row["id"] for row in history.orders(exchange.now_ns, futures=False, active=True)}
        now = account.snapshot(timeout=LIMIT)
        same = {each.currency: (each.available, each.hold) for each in now.balances if each.account == "trade"} == there
        return same and {order.order_id for order in now.orders} == orders

    with server.trading() as exchange:
        trader = Trader(exchange, random.Random(5))
    for _ in range(10):
        with server.trading():
            server.publish_many(trader.act())
    until(equal, "the account differs from the exchange's")


IO, MATCH = "kucoin-io", topics.match(SPOT)


@pytest.mark.parametrize(
    ("thread", "name"),
    [
        *((SNAPSHOTS, f"recovery.gate.RecoveryGate.{each}") for each in ("_make", "step", "flush", "_flush")),
        *((SNAPSHOTS, f"recovery.gate.RecoveringTopic.{each}") for each in ("put", "_settle_epoch", "next_outgoing")),
        *((SNAPSHOTS, f"recovery.trades.TradeJoin.{each}") for each in ("answered", "_extend")),
        (SNAPSHOTS, "delivery.queue.MessageQueue.put_many"),
        (IO, "delivery.queue.MessageQueue.put"),
        (IO, "recovery.gate.RecoveryGate.admit"),
        (IO, "recovery.gate.RecoveryGate._remember"),
        (SNAPSHOTS, "connections.dispatch.Dispatcher.route_some"),
        (SNAPSHOTS, "connections.dispatch.Dispatcher.route"),
        *((IO, f"recovery.gate.RecoveryGate.{each}") for each in ("lost", "carried", "_take", "_mark_of", "_put")),
        *((IO, f"recovery.gate.RecoveringTopic.{each}") for each in ("keep_epoch", "settle", "put")),
        *((IO, f"recovery.trades.TradeJoin.{each}") for each in ("__init__", "pushed")),
        (IO, "recovery.rows.TradeRows.join"),
    ],
)
def test_what_a_cut_has_hidden_comes_or_it_is_told(
    server: KucoinServer, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch, thread: str, name: str
) -> None:
    step, events = Step(monkeypatch, name, thread), Events()
    subscription = make_stream(limits=FAST, on_event=events).subscribe(MATCH, recover=True)
    trade(server)
    numbers = [int(subscription.get(timeout=LIMIT).payload.sequence)]
    step.is_armed = True
    if name.endswith((".put", ".admit", "._remember")):  # of a push that passes
        trade(server)
        until(lambda: step.met.is_set() or "RecoveringTopic" in name, "the step is not taken")
    server.stop()
    trade(server, times=5)
    server.start()

    def is_up_to_date() -> bool:
        trade(server)
        while subscription.pending:
            numbers.append(int(subscription.get(timeout=LIMIT).payload.sequence))
        return step.met.is_set() and numbers[-1] > reached[0]

    reached = [sequences(server)[-1]]
    until(lambda: is_up_to_date() or not step.is_armed, "the step is not taken")
    reached = [sequences(server)[-1]]
    until(is_up_to_date, "no trade comes any more")
    happened = [each for each in sequences(server) if numbers[0] <= each <= numbers[-1]]
    assert numbers == sorted(set(numbers))
    if numbers != happened:
        events.wait(RecoveryIncomplete)
