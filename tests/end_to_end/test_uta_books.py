"""`stream.book(symbol, feed="uta")` against a server of the UTA feed that pushes what a simulated market says."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import (
    BookNotReady,
    BookReady,
    BookResyncing,
    InvalidTopic,
    LocalBook,
    SnapshotFailed,
    Stream,
    topics,
)
from kucoin_sync.books import pushed_snapshots
from kucoin_sync.recording import Recorder, RecordingError, ReplayStream
from kucoin_sync.testing import Exchange, KucoinServer

from ..support.selection import first
from ..support.streams import FAST, Events
from ..support.threads import LIMIT, until
from ..support.uta import UtaServer
from ..support.uta_books import UtaMarket

SPOT, CONTRACT = "BTC-USDT", "XBTUSDTM"
TOPIC = "/uta/obu.SPOT:BTC-USDT_increment@10ms"


@pytest.fixture
def keyless_stream(uta: UtaServer, events: Events) -> Iterator[Stream]:
    with Stream(**uta.stream_options, on_event=events) as opened:  # type: ignore[arg-type]
        yield opened


def market_of(symbol: str = SPOT) -> UtaMarket:
    return UtaMarket(symbol, 500, levels=800, seed=7, moved_up="sometimes")


def actions(server: UtaServer) -> list[str]:
    return [command["action"] for command in server.commands]


def subscribed(server: UtaServer, count: int) -> None:
    """Wait until the server got so many commands; the last one is a subscribe."""
    until(lambda: len(server.commands) == count, f"command {count}")
    assert server.commands[-1]["action"] == "SUBSCRIBE"


def trade(server: UtaServer, market: UtaMarket, changes: int = 10) -> None:
    """Push what changes in a window."""
    for _ in range(changes):
        market.change()
    frame = market.delta()
    assert frame is not None
    server.push(frame.decode())


def lose(market: UtaMarket) -> None:
    """Let a window pass whose push is lost."""
    for _ in range(3):
        market.change()
    market.delta()


def ready(server: UtaServer, market: UtaMarket, book: LocalBook) -> None:
    server.push(market.snapshot().decode())
    book.wait_ready(LIMIT)


def equals(book: LocalBook, market: UtaMarket) -> None:
    """Wait until the book is at the market's sequence, and compare."""
    sequence, bids, asks = market.truth()
    until(lambda: book.sequence == sequence and book.ready, f"{book!r} to be at {sequence}")
    snapshot = book.snapshot()
    for known, true in ((snapshot.bids, bids), (snapshot.asks, asks)):
        assert known[: known.reliable_count] == true[: known.reliable_count]
        assert known.reliable_count > 400


@pytest.mark.parametrize("symbol", [SPOT, CONTRACT])
def test_a_book_is_made_of_pushes_alone(uta: UtaServer, keyless_stream: Stream, events: Events, symbol: str) -> None:
    market = market_of(symbol)
    with keyless_stream.book(symbol, feed="uta") as book:
        assert (book.symbol, book.level, book.snapshot_depth, book.partial) == (symbol, 2, 500, True)
        subscribed(uta, 1)
        with pytest.raises(BookNotReady, match="the first snapshot has not come yet"):
            _ = book.best_bid
        trade(uta, market)  # before the snapshot
        ready(uta, market, book)
        equals(book, market)
        assert book.partial
        assert book.bids_complete_to == book.bids()[-1].price
        assert len(book.asks()) == 500
        changes = iter(book)
        for _ in range(20):
            trade(uta, market)
        equals(book, market)
        assert changes.get(LIMIT).sequence_start <= market.sequence
    until(lambda: actions(uta) == ["SUBSCRIBE", "UNSUBSCRIBE"], "the unsubscribe")
    assert [type(event) for event in events.all if "Book" in type(event).__name__] == [BookReady]
    assert keyless_stream.stats()["book_snapshots"] == 0


def test_a_hole_has_the_topic_subscribed_again_after_the_answer_to_the_unsubscribe(
    uta: UtaServer, keyless_stream: Stream, events: Events
) -> None:
    market = market_of()
    book = keyless_stream.book(SPOT, feed="uta")
    subscribed(uta, 1)
    ready(uta, market, book)
    lose(market)
    trade(uta, market)
    subscribed(uta, 3)
    assert actions(uta) == ["SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"]
    assert {**uta.commands[0], "id": "", "action": ""} == {**uta.commands[1], "id": "", "action": ""}
    with pytest.raises(BookNotReady, match="are missing"):
        _ = book.best_bid
    ready(uta, market, book)
    trade(uta, market)
    equals(book, market)
    assert book.resyncs == 1
    until(
        lambda: isinstance(events.all[-1], BookReady) and len(events.all) > 3,
        "it is not told that the book is ready again",
    )
    assert [type(event) for event in events.all if "Book" in type(event).__name__] == [
        BookReady,
        BookResyncing,
        BookReady,
    ]
    assert keyless_stream.stats()["book_snapshots"] == 1


def test_others_who_share_the_topic_get_the_new_snapshot_and_what_follows(
    uta: UtaServer, keyless_stream: Stream
) -> None:
    market = market_of()
    reader = keyless_stream.subscribe(topics.uta.book(SPOT))
    book = keyless_stream.book(SPOT, feed="uta")
    subscribed(uta, 3)  # no snapshot is pushed for a topic that is subscribed already
    other = keyless_stream.book(SPOT, feed="uta")
    subscribed(uta, 5)
    ready(uta, market, book)
    other.wait_ready(LIMIT)
    trade(uta, market)
    equals(book, market)
    equals(other, market)
    assert [reader.get(LIMIT)["t"] for _ in range(2)] == ["snapshot", "delta"]
    lose(market)
    trade(uta, market)
    subscribed(uta, 7)
    with pytest.raises(BookNotReady):
        _ = other.mid
    ready(uta, market, book)
    other.wait_ready(LIMIT)
    assert [reader.get(LIMIT)["t"] for _ in range(2)] == ["delta", "snapshot"]
    reader.close()
    other.close()
    trade(uta, market)
    equals(book, market)
    assert len(uta.commands) == 7


def test_a_reader_that_leaves_meanwhile_leaves_nothing_behind(uta: UtaServer, keyless_stream: Stream) -> None:
    market = market_of()
    book = keyless_stream.book(SPOT, feed="uta")
    subscribed(uta, 1)
    ready(uta, market, book)
    uta.acknowledged = None  # no answer
    lose(market)
    trade(uta, market)
    until(lambda: len(uta.commands) == 2, "the unsubscribe")
    book.close()
    uta.acknowledged = True
    uta.push({"id": uta.commands[1]["id"], "result": True})
    ticker = keyless_stream.subscribe(topics.uta.ticker(SPOT), timeout=LIMIT)
    assert actions(uta) == ["SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"]
    assert uta.commands[-1]["channel"] == "ticker"
    ticker.close()


def test_without_a_snapshot_the_topic_is_subscribed_again(
    uta: UtaServer, keyless_stream: Stream, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushed_snapshots, "_WAIT", 0.2)
    market = market_of()
    book = keyless_stream.book(SPOT, feed="uta")
    subscribed(uta, 3)
    with pytest.raises(BookNotReady, match=r"a snapshot could not be fetched: KuCoin pushed none that fits within"):
        book.wait_ready(0.0)
    ready(uta, market, book)
    assert any(isinstance(event, SnapshotFailed) for event in events.all)
    assert book.resyncs == 0


def test_after_a_cut_the_pushes_that_waited_are_of_no_use(uta: UtaServer, keyless_stream: Stream) -> None:
    market = market_of()
    book = keyless_stream.book(SPOT, feed="uta")
    subscribed(uta, 1)
    ready(uta, market, book)
    uta.push(market.snapshot().decode())
    uta.connections[-1].close()
    subscribed(uta, 2)
    assert not book.ready
    trade(uta, market)
    assert not book.ready
    ready(uta, market, book)
    equals(book, market)
    assert book.resyncs == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"feed": "uta", "level": 3}, "the UTA feed has no books of level 3"),
        ({"feed": "pro"}, 'feed is \'pro\'; KuCoin\'s feeds are "classic" and "uta"'),
        ({"feed": "uta", "level": 4}, "level is 4"),
    ],
)
def test_what_there_is_not_is_a_value_error_that_says_so(keyless_stream: Stream, options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        keyless_stream.book(SPOT, **options)


def test_a_symbol_that_can_not_exist_is_an_invalid_topic(keyless_stream: Stream) -> None:
    with pytest.raises(InvalidTopic):
        keyless_stream.book("BTC USDT", feed="uta")


# Recordings


@pytest.fixture
def recording(uta: UtaServer, keyless_stream: Stream, tmp_path: Path) -> tuple[Path, list[Any]]:
    """A recording of a book that had a hole, and the changes that it had."""
    market, path = market_of(), tmp_path / "uta.jsonl"
    changes: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Recorder(keyless_stream, path):
        book = keyless_stream.book(SPOT, feed="uta", on_change=changes.put)
        subscribed(uta, 1)
        ready(uta, market, book)
        for _ in range(5):
            trade(uta, market)
        equals(book, market)
        lose(market)
        trade(uta, market)
        subscribed(uta, 3)
        ready(uta, market, book)
        for _ in range(5):
            trade(uta, market)
        equals(book, market)
        seen = [changes.get(timeout=LIMIT) for _ in range(10)]
    return path, [(change.sequence_end, change.bids, change.asks, change.resyncs) for change in seen]


def test_a_recorded_book_is_replayed(recording: tuple[Path, list[Any]]) -> None:
    path, expected = recording
    changes: list[Any] = []

    def note(change: Any) -> None:
        changes.append((change.sequence_end, change.bids, change.asks, change.resyncs))

    with ReplayStream(path, speed=None) as replay:
        book = replay.book(SPOT, feed="uta", on_change=note)
        assert replay.wait(LIMIT)
        assert book.ready
        assert book.sequence == expected[-1][0]
        until(lambda: len(changes) == len(expected), "all changes")
    assert changes == expected


def test_a_replay_that_is_moved_builds_the_book_from_the_pushed_snapshot_before(
    recording: tuple[Path, list[Any]],
) -> None:
    path, expected = recording
    with ReplayStream(path, speed=None) as replay:
        book = replay.book(SPOT, feed="uta")
        replay.seek(replay.duration)
        book.wait_ready(LIMIT)
        assert replay.wait(LIMIT)
        assert book.sequence == expected[-1][0]


def test_a_book_of_a_recording_without_its_snapshot_ends(recording: tuple[Path, list[Any]]) -> None:
    path, _ = recording
    text = path.read_bytes()
    path.write_bytes(b"".join(line for line in text.splitlines(keepends=True) if b'"snapshot"' not in line))
    with ReplayStream(path, speed=None) as replay:
        book = replay.book(SPOT, feed="uta")
        with pytest.raises(RecordingError, match="has no snapshot of it"):
            book.wait_ready(LIMIT)


# Against the local KuCoin, whose market has more levels than the feed pushes


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"exchange": Exchange((SPOT, CONTRACT), seed=9, levels=530)}


def is_true(kucoin: KucoinServer, book: LocalBook) -> bool:
    """Return whether a book is at the exchange's sequence; fail if it says what is not so."""
    with kucoin.trading() as exchange:
        sequence, *sides = exchange.level2(book.symbol)
        try:
            snapshot = book.snapshot()
        except BookNotReady:
            return False
    if snapshot.sequence != sequence:
        return False
    for known, true in zip((snapshot.bids, snapshot.asks), sides, strict=True):
        assert known[: known.reliable_count] == true[: known.reliable_count]
        assert known.reliable_count > 300
        assert len(known) <= 500
    return True


def move(kucoin: KucoinServer, symbol: str) -> None:
    """Let the crowd act until the book has changed, and end the window."""
    with kucoin.trading() as exchange:
        before = exchange.level2(symbol).sequence
    while True:
        kucoin.step_exchange(20)
        with kucoin.trading() as exchange:
            if exchange.level2(symbol).sequence > before:
                return


@pytest.mark.parametrize("symbol", [SPOT, CONTRACT])
@pytest.mark.parametrize("fault", first("a lost push", "none", "a repeated push", "a cut"))
def test_a_book_equals_the_exchanges_or_refuses(server: KucoinServer, symbol: str, fault: str) -> None:
    topic = str(topics.uta.book(symbol))
    with Stream(**server.stream_options, limits=FAST) as stream, stream.book(symbol, feed="uta") as book:
        book.wait_ready(LIMIT)
        assert book.partial
        for _ in range(5):
            move(server, symbol)
            until(lambda: is_true(server, book), f"{book!r} to be at the exchange's sequence")
        if fault == "a lost push":
            server.skip_sequence(topic)
        elif fault == "a repeated push":
            server.repeat_sequence(topic, 3)
        elif fault == "a cut":
            server.drop_connections()
        for _ in range(5):
            move(server, symbol)
        until(lambda: is_true(server, book) or move(server, symbol), f"{book!r} to be at the exchange's sequence")
        assert book.resyncs == (fault in ("a lost push", "a cut"))
    assert server.requests == [], "nothing was asked of REST"


def test_a_ladder_without_a_key(server: KucoinServer) -> None:
    with Stream(**server.stream_options) as stream, stream.book(SPOT, feed="uta") as book:
        ladder = book.wait_ready(LIMIT).snapshot(20)
        assert (len(ladder.bids), len(ladder.asks), ladder.partial) == (20, 20, False)
