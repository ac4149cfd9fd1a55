"""Order books over the wire: each equals the exchange's book at its sequence, or a read says why it can't be read."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kucoin_sync import (
    AuthenticationError,
    BookFailed,
    BookNotReady,
    BookReady,
    BookResyncing,
    Connected,
    Credentials,
    Disconnected,
    InvalidTopic,
    LocalBook,
    Overflowed,
    RestError,
    Resubscribed,
    Rotated,
    SlowConsumer,
    SnapshotFailed,
    Stream,
    StreamClosed,
    SubscriptionRejected,
)
from kucoin_sync.books import manager, snapshot_fetcher
from kucoin_sync.testing import Exchange, KucoinServer, ServerLimits

from ..support.books import Changes, contents, truth
from ..support.streams import Events
from ..support.threads import LIMIT, Task, package_threads, reached, until

SPOT, CONTRACT = "BTC-USDT", "XBTUSDTM"
FULL, PART = "/api/v3/market/orderbook/level2", "/api/v1/market/orderbook/level2_100"
FUTURES, LEVEL3 = "/api/v1/level2/snapshot", "/api/v2/market/orderbook/level3"
TOPIC = f"/market/level2:{SPOT}"

KINDS: dict[str, dict[str, Any]] = {
    "spot": {"symbol": SPOT},
    "futures": {"symbol": CONTRACT},
    "level 3, first generation": {"symbol": SPOT, "level": 3, "generation": 1},
    "level 3, second generation": {"symbol": SPOT, "level": 3},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def exchange_options() -> dict[str, Any]:
    return {"symbols": (SPOT, CONTRACT), "seed": 5, "levels": 20}


@pytest.fixture
def server_options(exchange: Exchange) -> dict[str, Any]:
    return {"exchange": exchange}


def move(server: KucoinServer, symbol: str = SPOT, times: int = 30) -> int:
    """Let the crowd act until the book has changed; return the sequence that it is at then."""
    with server.trading() as exchange:
        reached = before = exchange.level2(symbol).sequence
    while reached < before + times:
        server.step_exchange(5)
        with server.trading() as exchange:
            reached = exchange.level2(symbol).sequence
    return reached


def refuses(book: LocalBook, because: str) -> bool:
    """Tell whether each read of the book fails with the reason."""
    reads: list[Callable[[], object]] = [
        lambda: book.best_bid,
        lambda: book.best_ask,
        lambda: book.spread,
        lambda: book.mid,
        lambda: book.bids_complete_to,
        lambda: book.asks_complete_to,
        book.bids,
        book.asks,
        book.cumulative_bids,
        book.cumulative_asks,
        lambda: book.bid_size(1),
        lambda: book.ask_size(1),
        lambda: book.price_to_buy(1),
        lambda: book.price_to_sell(1),
        book.snapshot,
    ]
    for read in reads:
        with pytest.raises(BookNotReady) as caught:
            read()
        assert because in str(caught.value)
        assert book.symbol in str(caught.value)
    return not book.ready


def paths(server: KucoinServer) -> Counter[str]:
    """Return how often which snapshot was asked for."""
    return Counter(request.path for request in server.requests if request.method == "GET")


# Following the exchange


@every_kind
def test_a_book_equals_the_exchanges(server: KucoinServer, stream: Stream, exchange: Exchange, kind: str) -> None:
    options = KINDS[kind]
    symbol, level = options["symbol"], options.get("level", 2)
    changes = Changes()
    with stream.book(**options, on_change=changes) as book:
        assert book.wait_ready(timeout=10) is book
        assert (book.symbol, book.level, book.partial, book.snapshot_depth, book.resyncs) == (
            symbol,
            level,
            False,
            None,
            0,
        )
        assert contents(book) == truth(exchange, symbol, level)
        for _ in range(10):
            changes.wait_to(move(server, symbol))
            assert contents(book) == truth(exchange, symbol, level)
        assert book.sequence == exchange.level2(symbol).sequence
        assert book.resyncs == 0
        assert book.best_bid == book.bids(1)[0] == exchange.level2(symbol).bids[0]
        assert book.received_ns > 0
        assert str(book.best_ask.price) in repr(book)
    wanted = {"spot": FULL, "futures": FUTURES}.get(kind, LEVEL3)
    assert paths(server) == {wanted: 1}
    topics = {"spot": TOPIC, "futures": f"/contractMarket/level2:{CONTRACT}"}
    generation = "/market" if options.get("generation") == 1 else "/spotMarket"
    first = next(command.message for command in server.received if command.message["type"] == "subscribe")
    assert first["topic"] == topics.get(kind, f"{generation}/level3:{SPOT}")


def test_a_level_3_book_adds_up_to_the_level_2_book(server: KucoinServer, stream: Stream) -> None:
    changes = [Changes() for _ in KINDS]
    books = [stream.book(**options, on_change=each) for options, each in zip(KINDS.values(), changes, strict=True)]
    for book in books:
        book.wait_ready(timeout=10)
    reached = move(server, times=200)
    for each, book in zip(changes, books, strict=True):
        if book.symbol == SPOT:
            each.wait_to(reached)
    spot, _, old, new = (book.snapshot() for book in books)
    assert (spot.bids, spot.asks) == (old.bids, old.asks) == (new.bids, new.asks)
    assert (old.bid_orders, old.ask_orders) == (new.bid_orders, new.ask_orders)


@pytest.mark.parametrize("generation", [1, 2])
def test_hidden_orders_and_activated_stop_orders_do_not_show(
    server: KucoinServer, stream: Stream, exchange: Exchange, generation: int
) -> None:
    changes = Changes()
    book = stream.book(SPOT, level=3, generation=generation, on_change=changes).wait_ready(timeout=10)
    visible = contents(book)[1:]
    with server.trading():
        best = exchange.level2(SPOT).bids[0][0]
        exchange.place(SPOT, "buy", "0.5", best, hidden=True, user="")
    changes.wait_to(exchange.level2(SPOT).sequence)
    assert contents(book)[1:] == visible
    # As an authorised connection gets them, with a sequence that is another's or none.
    topic = book._follower.source.topic
    for sequence in (0, book.sequence, book.sequence + 1):
        data = {"sequence": sequence, "type": "activated", "orderId": "stop", "side": "buy", "price": "1", "size": "2"}
        server.publish(topic, data, subject="trade.l3received" if generation == 1 else "received")
    changes.wait_to(move(server))
    assert contents(book) == truth(exchange, SPOT, 3)
    assert book.resyncs == 0


def test_orders_can_be_looked_up(server: KucoinServer, stream: Stream, exchange: Exchange) -> None:
    changes = Changes()
    book = stream.book(SPOT, level=3, on_change=changes).wait_ready(timeout=10)
    with server.trading():
        price = exchange.level2(SPOT).bids[0][0]
        mine = exchange.place(SPOT, "buy", "0.25", price, user="")
    changes.wait_to(exchange.level2(SPOT).sequence)
    queue = book.orders_at(price)
    assert [order.id for order in queue][-1] == mine
    assert book.order(mine) == queue[-1]
    position = book.queue_position(mine)
    assert position == (len(queue) - 1, sum(order.size for order in queue[:-1]))
    assert book.bid_orders(len(queue)) == queue
    assert book.ask_orders(1)[0].price == book.best_ask.price
    assert book.order("none") is book.queue_position("none") is None
    kinds = {(change.kind, change.order_id) for change in changes.all}
    assert {("received", mine), ("open", mine)} <= kinds


def test_without_a_key_a_book_is_partial_and_says_to_what_depth(
    make_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = Exchange((SPOT, CONTRACT), seed=5, levels=130)
    with KucoinServer(exchange=exchange) as server:
        stream = make_stream(
            credentials=None, rest_url=server.rest_url, futures_rest_url=server.futures_rest_url, proxy=""
        )
        changes = Changes()
        book = stream.book(SPOT, on_change=changes)
        assert book.partial
        assert book.snapshot_depth == 100
        book.wait_ready(timeout=10)
        assert book.partial
        assert book.bids_complete_to == exchange.level2(SPOT).bids[99][0]
        assert book.asks_complete_to == exchange.level2(SPOT).asks[99][0]
        assert not book.snapshot(depth=50).partial
        assert book.snapshot(depth=120).partial
        for _ in range(10):
            changes.wait_to(move(server))
            sequence, bids, asks = exchange.level2(SPOT)
            assert book.sequence == sequence
            for known, true in ((book.bids(), bids), (book.asks(), asks)):
                assert known.partial
                assert known.reliable_count > 50
                assert known[: known.reliable_count] == true[: known.reliable_count]
                assert set(known) <= set(true)
        assert not stream.book(CONTRACT).wait_ready(timeout=10).partial
        assert paths(server) == {PART: 1, FUTURES: 1}
        stream.close()


def test_other_reads_are_those_of_the_pure_book(server: KucoinServer, stream: Stream) -> None:
    book = stream.book(SPOT).wait_ready(timeout=10)
    bids, asks = book.bids(3), book.asks(3)
    assert book.spread == asks[0].price - bids[0].price
    assert book.mid == (asks[0].price + bids[0].price) / 2
    assert book.cumulative_bids(3)[2].size == sum(level.size for level in bids)
    assert book.cumulative_asks(3)[2].size == sum(level.size for level in asks)
    assert book.bid_size(bids[1].price) == bids[1].size
    assert book.ask_size(asks[1].price) == asks[1].size
    assert book.price_to_buy(asks[0].size) == asks[0].price
    assert book.price_to_sell(bids[0].size) == bids[0].price
    snapshot = book.snapshot(depth=3)
    assert (snapshot.bids, snapshot.asks, snapshot.sequence) == (bids, asks, book.sequence)
    assert (snapshot.spread, snapshot.mid) == (book.spread, book.mid)


# Changes


def test_iterating_gives_one_item_for_each_update_and_they_add_up_to_the_book(
    server: KucoinServer, stream: Stream
) -> None:
    book = stream.book(SPOT).wait_ready(timeout=10)
    first, second = iter(book), iter(book)
    before = book.snapshot()
    sides: dict[str, dict[Decimal, Decimal]] = {"bids": dict(before.bids), "asks": dict(before.asks)}
    reached = move(server, times=300)
    seen = []
    for change in first:
        seen.append((change.sequence_start, change.sequence_end))
        for name, changed in (("bids", change.bids), ("asks", change.asks)):
            for price, size, _ in changed:
                sides[name][price] = size
        if change.sequence_end == reached:
            break
    assert [start for start, _ in seen[1:]] == [end + 1 for _, end in seen[:-1]]
    after = book.snapshot()
    for name, levels in (("bids", after.bids), ("asks", after.asks)):
        assert {price: size for price, size in sides[name].items() if size} == dict(levels)
    assert [(change.sequence_start, change.sequence_end) for change in itertools.islice(second, len(seen))] == seen


def test_whoever_takes_changes_too_slowly_is_told_and_the_book_is_not_harmed(
    server: KucoinServer, stream: Stream, events: Events, exchange: Exchange
) -> None:
    changes = Changes()
    watched = stream.book(SPOT, on_change=changes)
    book = stream.book(SPOT, maxsize=5).wait_ready(timeout=10)
    watched.wait_ready(timeout=10)
    slow = iter(book)
    reached = move(server, times=60)
    changes.wait_to(reached)
    assert events.wait(Overflowed).topics == (f"the book of {SPOT}",)
    taken = list(itertools.islice(slow, 5))
    with pytest.raises(SlowConsumer, match=f"changes of the book of {SPOT} were dropped because 5 were waiting"):
        next(slow)
    changes.wait_to(move(server, times=1))
    assert next(slow).lost > 0
    assert taken[0].lost == 0
    assert contents(book) == truth(exchange, SPOT)
    assert book.resyncs == 0


def test_a_loop_that_was_left_costs_nothing_any_more(server: KucoinServer, stream: Stream) -> None:
    changes = Changes()
    book = stream.book(SPOT, on_change=changes).wait_ready(timeout=10)
    loop = iter(book)
    move(server)
    next(loop)
    del loop
    changes.wait_to(move(server))
    changes.wait_to(move(server))
    assert len(book._follower._listeners) == 1


# Before it is ready, and when it has to start again


def test_a_book_that_is_not_ready_says_why(server: KucoinServer, stream: Stream) -> None:
    server.fail_rest(FULL, hang=True)
    book = stream.book(SPOT)
    assert refuses(book, "until a new snapshot has come, because the first snapshot has not come yet")
    with pytest.raises(BookNotReady, match=r"the book of BTC-USDT was not ready within 0\.05 s, because the first"):
        book.wait_ready(timeout=0.05)
    with pytest.raises(BookNotReady, match="can't be read"):
        book.bids(timeout=0.05)
    assert "not ready, the first snapshot" in repr(book)
    assert book.sequence == 0


def test_reads_can_wait_until_the_book_is_ready(server: KucoinServer, stream: Stream, exchange: Exchange) -> None:
    book = stream.book(SPOT)
    assert book.bids(1, timeout=10) == exchange.level2(SPOT).bids[:1]
    assert stream.book(SPOT).snapshot(timeout=None).sequence == exchange.level2(SPOT).sequence
    assert stream.book(SPOT, level=3).order("none", timeout=10) is None


def test_no_snapshot_is_fetched_before_the_topic_is_confirmed(server: KucoinServer, stream: Stream) -> None:
    other = stream.book(CONTRACT)
    server.mute(ack=True)
    book = stream.book(SPOT)
    other_two = stream.book(SPOT, level=3)
    server.wait_subscribed(TOPIC)
    server.wait_subscribed(f"/spotMarket/level3:{SPOT}")
    assert not {FULL, LEVEL3} & paths(server).keys()
    server.unmute()
    server.drop_connections()
    for each in (book, other, other_two):
        each.wait_ready(timeout=10)


def test_a_missing_update_is_noticed_and_the_book_starts_again(
    server: KucoinServer, stream: Stream, events: Events, exchange: Exchange
) -> None:
    changes = Changes()
    book = stream.book(SPOT, on_change=changes).wait_ready(timeout=10)
    changes.wait_to(move(server))
    server.skip_sequence(TOPIC)
    move(server, times=50)
    event = events.wait(BookResyncing)
    assert (event.symbol, event.book_level) == (SPOT, 2)
    assert "the updates with the sequences" in event.reason
    assert events.wait(BookReady, 2).symbol == SPOT
    changes.wait_to(move(server))
    assert contents(book) == truth(exchange, SPOT)
    assert book.resyncs == changes.all[-1].resyncs == 1
    assert changes.all[0].resyncs == 0
    assert stream.stats()["book_resyncs"] == 1
    assert paths(server) == {FULL: 2}


@every_kind
def test_a_cut_makes_a_book_unreadable_at_once_and_then_it_starts_again(
    server: KucoinServer, stream: Stream, events: Events, exchange: Exchange, kind: str
) -> None:
    changes = Changes()
    options = KINDS[kind]
    book = stream.book(**options, on_change=changes).wait_ready(timeout=10)
    server.refuse_handshake(503, times=1)
    server.drop_connections()
    events.wait(BookResyncing)
    assert not book.ready
    assert refuses(book, "there is no connection to KuCoin")
    move(server, options["symbol"])
    book.wait_ready(timeout=10)
    changes.wait_to(move(server, options["symbol"]))
    assert contents(book) == truth(exchange, options["symbol"], options.get("level", 2))
    assert book.resyncs == 1


def test_a_quiet_book_starts_again_after_a_cut_without_any_update(
    server: KucoinServer, stream: Stream, events: Events, exchange: Exchange
) -> None:
    book = stream.book(SPOT).wait_ready(timeout=10)
    server.drop_connections()
    events.wait(Disconnected)
    move(server)
    events.wait(Resubscribed)
    assert events.wait(BookReady, 2).sequence == exchange.level2(SPOT).sequence
    assert contents(book) == truth(exchange, SPOT)


def test_a_connection_that_is_replaced_without_a_gap_costs_no_resync(
    server: KucoinServer, make_stream: Callable[..., Stream], events: Events, exchange: Exchange
) -> None:
    stream = make_stream(rotate_after=0.5)
    changes = Changes()
    book = stream.book(SPOT, on_change=changes).wait_ready(timeout=10)
    server.run_exchange(300)
    events.wait(Rotated, 3, timeout=30)
    changes.wait_to(move(server))
    assert book.resyncs == 0
    book.close()  # so that what is compared does not move
    assert paths(server) == {FULL: 1}


def test_a_connection_that_dies_while_it_is_replaced_costs_a_resync(
    server: KucoinServer, make_stream: Callable[..., Stream], events: Events, exchange: Exchange
) -> None:
    """What happens between its end and the confirmation of the one that takes over comes over neither."""
    stream = make_stream(rotate_after=0.5)
    changes = Changes()
    book = stream.book(SPOT, on_change=changes).wait_ready(timeout=10)
    server.withhold_acks(1)
    server.wait_for(lambda server: len(server.connections) == 2 and server.connections[1].topics, timeout=10)
    old, new = server.connections
    old.drop(rst=False)
    event = events.wait(BookResyncing)
    assert "there is no connection to KuCoin" in event.reason
    move(server)
    new.drop(rst=False)  # it was never confirmed
    book.wait_ready(timeout=10)
    changes.wait_to(move(server))
    assert contents(book) == truth(exchange, SPOT)


def test_a_topic_that_a_full_connection_refuses_is_followed_on_another(
    make_stream: Callable[..., Stream], exchange: Exchange
) -> None:
    with KucoinServer(exchange=exchange, limits=ServerLimits(topics_per_session=1)) as server:
        stream = make_stream(**server.stream_options)
        changes = Changes()
        books = [
            stream.book(SPOT, on_change=changes),
            stream.book(SPOT, level=3),
            stream.book(SPOT, level=3, generation=1),
        ]
        for book in books:
            book.wait_ready(timeout=10)
        changes.wait_to(move(server))
        assert contents(books[0]) == truth(exchange, SPOT)
        assert stream.stats()["connections"] == 3
        stream.close()


def test_what_was_dropped_on_the_way_to_a_book_counts_as_missing(
    server: KucoinServer, stream: Stream, events: Events, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "_OPTIONS", manager._OPTIONS._replace(maxsize=50))
    changes = Changes()
    book = stream.book(SPOT, on_change=changes).wait_ready(timeout=10)
    with book._follower.lock:
        move(server, times=500)
        events.wait(Overflowed)
    assert "came faster than they could be applied and were dropped" in events.wait(BookResyncing).reason
    events.wait(BookReady, 2)
    changes.wait_to(move(server, times=1))
    assert contents(book) == truth(exchange, SPOT)
    assert book.resyncs == 1


# What REST does


def test_a_snapshot_that_is_too_old_is_fetched_again_and_not_in_a_tight_loop(
    server: KucoinServer, stream: Stream, events: Events, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert snapshot_fetcher._FIRST_DELAY == 0.5
    monkeypatch.setattr(snapshot_fetcher, "_FIRST_DELAY", 0.05)
    old = exchange.level2_snapshot(SPOT)
    move(server)
    answers, opened = 0, threading.Event()

    def answer() -> dict[str, Any]:
        nonlocal answers
        answers += 1
        if answers == 1:
            move(server)
            reached(opened, "the book is not opened")
            until(lambda: book._follower.calibration._buffer, "the book has taken no update")
        return old if answers <= 3 else exchange.level2_snapshot(SPOT)

    server.set_snapshot("v3/market/orderbook/level2", SPOT, answer)
    book = stream.book(SPOT)
    opened.set()
    failed = events.wait(SnapshotFailed)
    assert "too old for the updates" in failed.reason
    assert 0.02 < failed.retry_in <= 0.05
    book.wait_ready(timeout=20)
    assert contents(book) == truth(exchange, SPOT)
    assert events.wait(SnapshotFailed, 3).retry_in > 0.09
    assert paths(server)[FULL] == 4


def test_rest_may_be_down_for_a_while(
    server: KucoinServer, stream: Stream, events: Events, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_fetcher, "_FIRST_DELAY", 0.02)
    monkeypatch.setattr(snapshot_fetcher, "_LONGEST_DELAY", 0.02)
    server.fail_rest(FULL, 500, "500000")
    server.fail_rest(FULL, drop=True)
    server.fail_rest(FULL, 403, body="<html>no", times=None)
    book = stream.book(SPOT)
    assert "500000" in events.wait(SnapshotFailed).reason
    assert "failed (" in events.wait(SnapshotFailed, 2).reason
    assert "403" in events.wait(SnapshotFailed, 3).reason
    with pytest.raises(BookNotReady, match="a snapshot could not be fetched: "):
        _ = book.best_bid
    server.reset_script()
    book.wait_ready(timeout=LIMIT)
    assert contents(book) == truth(exchange, SPOT)

    def failures() -> int:
        return sum(isinstance(event, SnapshotFailed) for event in events.all)

    until(lambda: paths(server)[FULL] == failures() + 1, "each attempt is told, and none follows the first success")


def test_when_kucoin_asks_to_slow_down_every_book_waits_as_long(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    server.fail_rest(FULL, 429, "429000", headers={"Retry-After": "2"})
    first = stream.book(SPOT)
    assert events.wait(SnapshotFailed).retry_in >= 1.9
    with pytest.raises(BookNotReady, match="429000"):
        first.bids()
    second = stream.book(SPOT, level=3)
    for book in (first, second):
        book.wait_ready(timeout=20)
    refused, *later = (request.received_ns for request in server.requests if request.path in (FULL, LEVEL3))
    assert len(later) == 2
    assert min(later) >= refused + 1.9e9


def test_a_symbol_that_rest_does_not_know_ends_its_book_and_no_other(
    server: KucoinServer, stream: Stream, events: Events, exchange: Exchange
) -> None:
    bad, good = stream.book("NONE-USDT"), stream.book(SPOT)
    waiting, iterating = Task(bad.wait_ready), Task(list, bad)
    with pytest.raises(RestError, match="900001"):
        waiting.result()
    with pytest.raises(RestError, match="900001"):
        iterating.result()
    with pytest.raises(RestError, match="900001"):
        bad.wait_ready(timeout=10)
    assert refuses(bad, "can't be read any more: KuCoin answered GET")
    with pytest.raises(BookNotReady, match="900001"):
        bad.bids(timeout=10)
    assert bad.closed
    assert bad.partial is False
    assert "ended" in repr(bad)
    assert "900001" in str(events.wait(BookFailed))
    good.wait_ready(timeout=10)
    assert contents(good) == truth(exchange, SPOT)
    server.wait_for(lambda server: any(c.message["type"] == "unsubscribe" for c in server.received))
    assert stream.stats()["subscriptions"] == 1


def test_a_symbol_that_rest_has_trouble_with_holds_up_no_other(
    server: KucoinServer, make_stream: Callable[..., Stream]
) -> None:
    server.fail_rest(LEVEL3, 500, "500000", times=None)
    stream = make_stream()
    bad = stream.book(SPOT, level=3)
    for symbol in ("AAA-USDT", "BBB-USDT", "CCC-USDT"):
        server.set_snapshot("v3/market/orderbook/level2", symbol, {"sequence": "1", "bids": [], "asks": []})
        stream.book(symbol).wait_ready(timeout=10)
    assert not bad.ready
    assert not bad.closed


def test_a_key_that_is_refused_ends_the_book(server: KucoinServer, make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(credentials=Credentials("key", "wrong", "wrong"))
    book = stream.book(SPOT)
    with pytest.raises(AuthenticationError, match="does not exist"):
        book.wait_ready(timeout=10)
    assert refuses(book, "does not exist")
    stream.book(CONTRACT).wait_ready(timeout=10)


def test_a_key_of_the_environment_makes_books_whole(
    server: KucoinServer, make_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make_stream(credentials=None)
    assert stream.book("ETH-USDT").snapshot_depth == 100
    monkeypatch.setenv("KUCOIN_API_KEY", server.KEY)
    monkeypatch.setenv("KUCOIN_API_SECRET", server.SECRET)
    monkeypatch.setenv("KUCOIN_API_PASSPHRASE", server.PASSPHRASE)
    book = stream.book(SPOT).wait_ready(timeout=10)
    assert not book.partial
    assert paths(server)[FULL] == 1


# Rejected, unsubscribed


def test_a_topic_that_is_refused_ends_its_book(server: KucoinServer, stream: Stream, events: Events) -> None:
    server.reject_next(404, topic=TOPIC)
    book = stream.book(SPOT)
    with pytest.raises(SubscriptionRejected, match="KuCoin rejected the topic"):
        book.wait_ready(timeout=10)
    assert refuses(book, "KuCoin rejected the topic")
    events.wait(BookFailed)


def test_a_topic_that_is_refused_later_ends_its_book(server: KucoinServer, stream: Stream, events: Events) -> None:
    book = stream.book(SPOT).wait_ready(timeout=10)
    iterating = Task(list, book)
    server.reject_next(404, topic=TOPIC)
    server.drop_connections()
    with pytest.raises(SubscriptionRejected):
        iterating.result()
    assert refuses(book, "KuCoin rejected the topic")


def test_a_topic_that_is_unsubscribed_ends_its_book(server: KucoinServer, stream: Stream) -> None:
    book = stream.book(SPOT).wait_ready(timeout=10)
    iterating = Task(list, book)
    stream.unsubscribe(TOPIC)
    assert iterating.result() == []
    with pytest.raises(StreamClosed, match="the topic of the book of BTC-USDT was unsubscribed; open it again"):
        book.wait_ready(timeout=10)
    assert refuses(book, "was unsubscribed")
    assert stream.book(SPOT).wait_ready(timeout=10).ready


# Closing


def test_closing_wakes_all_who_wait_for_a_book(server: KucoinServer, stream: Stream) -> None:
    server.fail_rest(FULL, hang=True, times=None)
    book = stream.book(SPOT)
    server.wait_for(lambda server: any(request.path == FULL for request in server.requests))
    tasks = [Task(book.wait_ready), Task(book.bids, timeout=None), Task(list, book)]
    book.close()
    book.close()
    with pytest.raises(StreamClosed, match=f"the book of {SPOT} was closed"):
        tasks[0].result()
    with pytest.raises(BookNotReady, match="was closed"):
        tasks[1].result()
    assert tasks[2].result() == []
    assert list(book) == []
    assert refuses(book, "was closed")
    assert book.closed
    server.wait_for(lambda server: any(c.message["type"] == "unsubscribe" for c in server.received))
    assert stream.stats()["books"] == stream.stats()["subscriptions"] == 0


def test_closing_the_stream_wakes_all_who_wait_for_its_books(server: KucoinServer, stream: Stream) -> None:
    server.fail_rest(FULL, hang=True, times=None)
    book, ready = stream.book(SPOT), stream.book(CONTRACT).wait_ready(timeout=10)
    server.wait_for(lambda server: any(request.path == FULL for request in server.requests))
    tasks = [Task(book.wait_ready), Task(list, ready)]
    stream.close()
    with pytest.raises(StreamClosed, match="was closed with its stream"):
        tasks[0].result()
    assert tasks[1].result() == []
    for read in (ready.bids, lambda: ready.best_ask, lambda: ready.snapshot(5, timeout=1.0)):
        with pytest.raises(StreamClosed, match=r"can't be read any more: .* was closed with its stream"):
            read()
    with pytest.raises(StreamClosed, match="make a new one to open a book"):
        stream.book(SPOT)


@pytest.mark.parametrize("what", ["book", "stream"])
def test_a_callback_may_close(server: KucoinServer, stream: Stream, what: str) -> None:
    closed = threading.Event()

    def on_change(_: object) -> None:
        (book if what == "book" else stream).close()
        closed.set()

    book = stream.book(SPOT, on_change=on_change).wait_ready(timeout=10)
    move(server)
    assert closed.wait(10)
    assert book.closed


def test_an_event_may_close_the_book(server: KucoinServer, make_stream: Callable[..., Stream]) -> None:
    closed = threading.Event()

    def on_event(event: object) -> None:
        if isinstance(event, BookReady):
            book.close()
            closed.set()

    stream = make_stream(on_event=on_event)
    server.fail_rest(FULL, 200, "200000", delay=0.2)
    book = stream.book(SPOT)
    assert closed.wait(10)
    assert book.closed


def test_a_book_can_be_opened_on_an_io_thread(server: KucoinServer, stream: Stream) -> None:
    books: list[LocalBook] = []
    opened = threading.Event()

    def callback(_: object) -> None:
        books.append(stream.book(SPOT))
        opened.set()

    stream.subscribe("/market/ticker:ETH-USDT", callback=callback, inline=True)
    server.publish("/market/ticker:ETH-USDT", {"price": "1"}, subject="trade.ticker")
    assert opened.wait(10)
    assert books[0].wait_ready(timeout=10).ready


def test_two_books_of_one_topic_share_it_and_one_may_close(
    server: KucoinServer, stream: Stream, exchange: Exchange
) -> None:
    changes = Changes()
    one, two = stream.book(SPOT).wait_ready(timeout=10), stream.book(SPOT, on_change=changes).wait_ready(timeout=10)
    assert [c.message["topic"] for c in server.received if c.message["type"] == "subscribe"] == [TOPIC]
    with one:
        pass
    changes.wait_to(move(server))
    assert contents(two) == truth(exchange, SPOT)
    assert refuses(one, "was closed")


def test_the_threads_for_books_end_with_the_last_book_and_come_back(server: KucoinServer, stream: Stream) -> None:
    for symbol in (SPOT, CONTRACT):
        with stream.book(symbol) as book:
            book.wait_ready(timeout=10)
            threads = [each for each in threading.enumerate() if each.name in ("kucoin-snapshots", "kucoin-books")]
            assert len(threads) == 2
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()


# What is asked for


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ({"symbol": "btc-usdt"}, InvalidTopic, "did you mean BTC-USDT"),
        ({"symbol": "xbtusdtm"}, InvalidTopic, "did you mean XBTUSDTM"),
        ({"symbol": 5}, InvalidTopic, "a symbol such as"),
        ({"symbol": "BTC-USDT,ETH-USDT"}, InvalidTopic, "does not take"),
        ({"symbol": CONTRACT, "level": 3}, InvalidTopic, "has no book of level 3"),
        ({"symbol": SPOT, "level": 1}, ValueError, "level is 1"),
        ({"symbol": SPOT, "level": 3, "generation": 3}, ValueError, "generation is 3"),
        ({"symbol": SPOT, "maxsize": 0}, ValueError, "maxsize is 0"),
        ({"symbol": SPOT, "on_change": 5}, TypeError, "on_change must be callable, not int"),
    ],
)
def test_nonsense_is_refused_before_anything_is_dialled(
    stream: Stream, arguments: dict[str, Any], error: type[Exception], hint: str
) -> None:
    with pytest.raises(error, match=hint):
        stream.book(**arguments)
    assert stream.stats()["books"] == stream.stats()["connections"] == 0


# Many


def test_a_hundred_books_break_no_limit(make_stream: Callable[..., Stream], events: Events) -> None:
    symbols = [f"C{number}-USDT" for number in range(60)] + [f"C{number}USDTM" for number in range(40)]
    exchange = Exchange(symbols, seed=9, levels=5)
    # KuCoin grants a weight of 2000, and a snapshot weighs up to 3.
    limits = ServerLimits(connections_per_minute=30, requests_per_30s=2000 // 3)
    with KucoinServer(exchange=exchange, limits=limits) as server:
        stream = make_stream(**server.stream_options, limits=None)
        server.run_exchange(500)
        books = [stream.book(symbol) for symbol in symbols]
        for book in books:
            book.wait_ready(timeout=30)
        stats = stream.stats()
        assert (stats["books"], stats["books_ready"], stats["connections"]) == (100, 100, 2)
        assert stats["book_resyncs"] == 0
        # Nothing was refused: no request, no connection, no command.
        assert {type(event) for event in events.all} == {Connected, BookReady}
        assert (stats["failed_attempts"], stats["disconnects"], len(server.ended)) == (0, 0, 0)
        assert len(server.requests) == 2 + stats["book_snapshots"]
        assert stats["book_snapshots"] == 100
        threads = Counter(package_threads())
        assert threads["kucoin-books"] == 1
        assert threads["kucoin-snapshots"] <= 4
        stream.close()
        server.check()
