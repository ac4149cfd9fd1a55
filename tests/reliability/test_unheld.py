"""A stream that nobody closed: it goes on while somebody holds something of it, and ends with a warning afterwards."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import Connected, Event, Stream
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import KucoinServer

from ..support.recordings import numbers, push, write
from ..support.selection import first, spread
from ..support.threads import LIMIT, package_threads, until
from .feed import CLASSIC, ETH, UTA, Feed, pushed

#: What a user may hold of a stream alone, and that keeps it going.
HELD: dict[str, Callable[[Stream, Feed], Any]] = {
    "the stream": lambda stream, feed: (stream.subscribe(feed.eth), stream)[1],
    "a subscription": lambda stream, feed: stream.subscribe(feed.eth),
    "a loop": lambda stream, feed: iter(stream.subscribe(feed.eth)),
    "a tunnel": lambda stream, feed: (stream.subscribe(feed.eth), stream.tunnel("bt1"))[1],
    "a subscription in a tunnel": lambda stream, feed: (
        stream.subscribe(feed.eth),
        stream.tunnel("bt1").subscribe(feed.eth),
    )[1],
    "a book": lambda stream, feed: (stream.subscribe(feed.eth), stream.book("BTC-USDT", feed=feed.name))[1],
    "changes of a book": lambda stream, feed: (
        stream.subscribe(feed.eth),
        iter(stream.book("BTC-USDT", feed=feed.name)),
    )[1],
    "a recorder": lambda stream, feed: (stream.subscribe(feed.eth), Recorder(stream, "recorded.jsonl"))[1],
}


def serve_snapshot(server: KucoinServer) -> None:
    snapshot = {"sequence": "1", "bids": [["1", "1"]], "asks": [["2", "1"]]}
    server.set_snapshot("orderbook/level2", "BTC-USDT", snapshot)


def ended(server: KucoinServer, warned: list[warnings.WarningMessage]) -> None:
    """Check that nothing runs, and that this was told once."""
    until(lambda: (gc.collect(), not package_threads())[1], "threads run on")  # a callback may end a moment later
    server.wait_for(lambda s: not s.connections, timeout=LIMIT)
    told = [str(each.message) for each in warned if each.category is ResourceWarning]
    assert len(told) == 1
    assert told[0].startswith(f"nothing refers to the Stream of {server.rest_url} any more, and it was not closed")
    assert re.search(rf"It was made at {__file__}, line \d+$", told[0])


@pytest.mark.parametrize(
    ("feed", "what"),
    [
        *spread([(CLASSIC, what) for what in HELD], 6),
        *spread([(UTA, what) for what in HELD if "tunnel" not in what], len(HELD)),
    ],
    ids=str,
)
def test_it_goes_on_as_long_as_something_is_held(
    server: KucoinServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, feed: Feed
) -> None:
    monkeypatch.chdir(tmp_path)
    serve_snapshot(server)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        held = HELD[what](Stream(**server.stream_options), feed)
        gc.collect()
        assert not warned
        before = len(server.received)
        server.publish_many([pushed(feed.eth, {"n": 1})])
        assert server.connections
        assert len(server.received) >= before
        if what == "a loop":
            assert next(held).data["n"] == 1
        if what == "a recorder":
            held.close()
        del held
        ended(server, warned)


@pytest.mark.parametrize("inline", first(False, True))
def test_it_goes_on_as_long_as_a_callback_is_registered(server: KucoinServer, inline: bool) -> None:
    got: list[int] = []
    called = threading.Semaphore(0)

    def begin() -> None:
        stream = Stream(**server.stream_options)

        @stream.on(ETH, inline=inline)
        def call(message: Any) -> None:
            got.append(message["data"]["n"])
            called.release()
            if message["data"]["n"] == 2:
                stream.unsubscribe(ETH)  # on the callback's thread: nothing refers to the stream when it returns

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        begin()
        for number in (1, 2):
            gc.collect()
            server.publish(ETH, {"n": number})
            assert called.acquire(timeout=LIMIT)
        assert got == [1, 2]
        ended(server, warned)


class Bot:
    """A program that holds a stream which tells it of events."""

    def __init__(self, server: KucoinServer) -> None:
        self.events: list[Event] = []
        self.stream = Stream(**server.stream_options, on_event=self.on_event)
        self.subscription = self.stream.subscribe(ETH)

    def on_event(self, event: Event) -> None:
        self.events.append(event)


def test_who_is_told_of_its_events_does_not_keep_it_going(server: KucoinServer) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        bot = Bot(server)
        events = bot.events
        until(lambda: any(isinstance(each, Connected) for each in events), "no event is told")
        del bot
        ended(server, warned)


def test_the_last_message_of_a_topic_does_not_keep_it_going(server: KucoinServer) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        stream = Stream(**server.stream_options)
        with pytest.raises(TimeoutError):
            stream.last(ETH, timeout=0.0)
        server.wait_for(lambda s: s.connections, timeout=LIMIT)
        reference = weakref.ref(stream)
        gc.disable()
        try:
            del stream
            assert reference() is None, "it waits for the garbage collector"
        finally:
            gc.enable()
        ended(server, warned)


@pytest.mark.long
def test_a_book_with_a_callback_goes_on_until_it_is_refused(server: KucoinServer) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        Stream(**server.stream_options).book("NO-SUCH", on_change=print)  # which REST refuses
        gc.collect()
        ended(server, warned)


def test_one_that_was_closed_or_has_no_connection_ends_in_silence(server: KucoinServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Stream(**server.stream_options)
        with Stream(**server.stream_options) as stream:
            stream.subscribe(ETH)
        del stream
        gc.collect()
        until(lambda: not package_threads(), f"{package_threads()} run on")


def test_a_program_ends_in_silence_whatever_it_holds(server: KucoinServer) -> None:
    program = f"""
from kucoin_sync import Connected, Event, Stream
stream = Stream(rest_url="{server.rest_url}", proxy="")
loop = iter(stream.subscribe("{ETH}"))
stream.subscribe("{ETH}", callback=print)
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=LIMIT)
    assert (ran.returncode, ran.stderr.replace("connected: spot public connection 1 to 127.0.0.1\n", "")) == (0, "")


MATCHES = "/market/match:BTC-USDT"
#: What a user may hold of a replay alone, and that keeps it going.
HELD_OF_A_REPLAY: dict[str, Callable[[ReplayStream], Any]] = {
    "the replay": lambda replay: (replay.subscribe(MATCHES), replay)[1],
    "a subscription": lambda replay: replay.subscribe(MATCHES),
    "a loop": lambda replay: iter(replay.subscribe(MATCHES)),
    "a book": lambda replay: (replay.subscribe(MATCHES), replay.book("BTC-USDT"))[1],
}


def replay_has_ended(warned: list[warnings.WarningMessage]) -> None:
    """Check that nothing runs, and that this was told once."""
    until(lambda: (gc.collect(), not package_threads())[1], "threads run on")
    [told] = [str(each.message) for each in warned if each.category is ResourceWarning]
    assert told.startswith("nothing refers to the ReplayStream of a.jsonl any more, and it was not closed")


@pytest.mark.parametrize("what", HELD_OF_A_REPLAY)
def test_a_replay_goes_on_as_long_as_something_is_held(tmp_path: Path, what: str) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)], topics=[MATCHES, "/market/level2:BTC-USDT"])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        replay = ReplayStream(path, 0.001)
        held = HELD_OF_A_REPLAY[what](replay)
        replay.start()
        del replay
        gc.collect()
        assert "kucoin-replay" in package_threads()
        assert not warned
        del held
        replay_has_ended(warned)


def test_a_replay_goes_on_to_its_end_as_long_as_a_callback_is_registered(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)], [push(2)])
    got: list[Any] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        replay = ReplayStream(path, None)
        replay.subscribe(MATCHES, callback=got.append)
        replay.start()
        del replay
        replay_has_ended(warned)
    assert numbers(got) == [1, 2]


def test_a_replay_ends_after_its_last_message_when_nothing_is_held(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [push(1)], [push(2)])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert numbers(list(ReplayStream(path, None).subscribe(MATCHES))) == [1, 2]
        replay_has_ended(warned)
