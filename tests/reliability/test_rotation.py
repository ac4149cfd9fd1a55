"""A connection is replaced: each message is delivered when it first comes over either of two, once and in order."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kucoin_sync import BookResyncing, Limits, Message, Rotated, Stream
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import KucoinServer
from kucoin_sync.testing.server import ServerLimits
from kucoin_sync.testing.server.connection import Connection

from ..support.streams import Events, MakeServer, MakeStream
from ..support.threads import LIMIT, Task, until
from .clock import Clock
from .feed import CLASSIC, UTA, Feed, pushed

DAY = 24 * 3600.0


class Kind(NamedTuple):
    """A topic, what its pushes look like, and another topic that shares its connection."""

    topic: str
    subject: str
    data: Callable[[int], dict[str, Any]]
    other: str
    feed: Feed = CLASSIC


KINDS = {
    "ticker": Kind(
        "/market/ticker:ETH-USDT",
        "trade.ticker",
        lambda n: {"sequence": str(n), "price": "1"},
        "/market/ticker:WAKE-USDT",
    ),
    "candles": Kind(
        "/market/candles:BTC-USDT_1min",
        "trade.candles.update",
        lambda n: {"symbol": "BTC-USDT", "candles": ["1729757700", "1", "2", "3", "4", str(n), "6"], "time": n},
        "/market/ticker:WAKE-USDT",
    ),
    "level 2": Kind(
        "/market/level2:BTC-USDT",
        "trade.l2update",
        lambda n: {"changes": {"asks": [["1", "2", str(n)]], "bids": []}, "sequenceStart": n, "sequenceEnd": n},
        "/market/ticker:WAKE-USDT",
    ),
    "futures level 2": Kind(
        "/contractMarket/level2:XBTUSDTM",
        "level2",
        lambda n: {"sequence": n, "change": "99,buy,2", "timestamp": 1},
        "/contractMarket/tickerV2:WAKEUSDTM",
    ),
    "orders": Kind(
        "/spotMarket/tradeOrdersV2", "orderChange", lambda n: {"orderId": str(n), "type": "open"}, "/account/balance"
    ),
    "uta ticker": Kind(
        "/uta/ticker.SPOT:ETH-USDT",
        "ticker.SPOT",
        lambda n: {"s": "ETH-USDT", "E": n, "l": "1"},
        "/uta/ticker.SPOT:WAKE-USDT",
        UTA,
    ),
    "uta book": Kind(
        "/uta/obu.SPOT:BTC-USDT_increment@10ms",
        "obu.SPOT",
        lambda n: {"s": "BTC-USDT", "O": n, "C": n, "a": [["1", "2"]], "b": []},
        "/uta/ticker.SPOT:WAKE-USDT",
        UTA,
    ),
    "uta orders": Kind(
        "/uta/orderAll.UNIFIED", "orderAll.UNIFIED", lambda n: {"oi": str(n), "eT": "OPEN"}, "/uta/balance.UNIFIED", UTA
    ),
}


class Rotation:
    """A rotation step by step: the old connection carries all, the new one has subscribed all and waits for the acks.

    Attributes:
        got: the numbers that were delivered.
    """

    def __init__(self, server: KucoinServer, stream: Stream, clock: Clock | None, kind: Kind) -> None:
        self.server = server
        self.stream = stream
        self.kind = kind
        self.got: list[int] = []
        self._sent = 0
        self._clock = clock

    def begin(self) -> None:
        self.server.mute(pong=False, ack=True)
        if self._clock is not None:
            self._clock.seconds += DAY
        self.stream.subscribe(self.kind.other, timeout=0)  # which has the connection look at the time
        self.old, self.new = self.server.wait_for(self._both, timeout=LIMIT)

    def _both(self, server: KucoinServer) -> list[Connection] | None:
        wanted = {self.kind.topic, self.kind.other}
        there = [each for each in server.connections if each.topics >= wanted]
        return there if len(there) == 2 else None

    def send(self, connection: Connection, *numbers: int) -> None:
        """Send messages over one connection only."""
        for number in numbers:
            assert connection.send(self._message({**self.kind.data(number), "n": number}))

    def _message(self, data: dict[str, Any]) -> dict[str, Any]:
        if self.kind.feed is UTA:
            depth = {"dp": "increment@10ms", "t": "delta"} if "C" in data else {}
            self._sent += 1  # the time of a push differs between two connections
            return {"T": self.kind.subject, **depth, "P": 1790114460967760880 + self._sent, "d": data}
        return {"type": "message", "topic": self.kind.topic, "subject": self.kind.subject, "data": data}

    def take(self, message: Message) -> None:
        self.got.append(message.data["n"])

    def comes(self, *numbers: int) -> None:
        """Wait until all of these were delivered, and nothing else."""
        until(lambda: len(self.got) >= len(numbers), f"not all of {numbers} were delivered")
        assert self.got == list(numbers)

    def confirm(self, *, pongs: bool = True) -> None:
        """Confirm all that the new connection has subscribed; answer pings from now on, or none."""
        self.server.mute(pong=not pongs, ack=False)
        for command in self.server.received:
            if command.connection is self.new and "id" in command.message and "ping" not in command.message.values():
                self.new.send_raw(self.kind.feed.ack(command.message["id"]))

    def end(self, events: Events) -> None:
        """Confirm, and wait until the old connection has left."""
        self.confirm()
        events.wait(Rotated)
        self.server.wait_for(lambda server: server.connections == [self.new], timeout=LIMIT)


# What happens. Each is given the rotation, and tells what has to be delivered in the end.


def the_old_one_is_faster(rotation: Rotation, events: Events) -> int:
    rotation.send(rotation.old, 1, 2, 3)
    rotation.comes(1, 2, 3)
    rotation.send(rotation.new, 1, 2, 3)
    rotation.end(events)
    rotation.send(rotation.new, 4)
    return 4


def the_new_one_is_faster(rotation: Rotation, events: Events) -> int:
    rotation.send(rotation.old, 1)
    rotation.comes(1)
    rotation.send(rotation.new, 1, 2, 3)
    rotation.comes(1, 2, 3)
    rotation.send(rotation.old, 2, 3, 4)
    rotation.comes(1, 2, 3, 4)
    rotation.send(rotation.new, 4, 5)
    rotation.comes(1, 2, 3, 4, 5)
    rotation.send(rotation.old, 5)
    rotation.end(events)
    return 5


def the_old_one_is_open_and_silent(rotation: Rotation, events: Events) -> int:
    rotation.send(rotation.new, 1, 2)
    rotation.comes(1, 2)
    assert rotation.old in rotation.server.connections
    rotation.send(rotation.new, 3)
    rotation.comes(1, 2, 3)
    rotation.end(events)
    return 3


def the_old_one_is_open_and_does_not_answer(rotation: Rotation, events: Events) -> int:
    rotation.server.mute(pong=True, ack=True)
    rotation.send(rotation.new, 1, 2)
    rotation.comes(1, 2)
    assert rotation.old in rotation.server.connections
    rotation.end(events)
    return 2


def the_old_one_has_something_from_before(rotation: Rotation, events: Events) -> int:
    """It was on its way when the new one was subscribed."""
    rotation.server.mute(pong=True, ack=True)
    rotation.send(rotation.new, 3, 4)
    rotation.send(rotation.old, 1, 2, 3)
    rotation.comes(1, 2, 3, 4)
    rotation.send(rotation.old, 4, 5)
    rotation.send(rotation.new, 5)
    rotation.end(events)
    return 5


def the_old_one_has_something_from_before_when_all_is_confirmed(rotation: Rotation, events: Events) -> int:
    """It does not leave before it has proved that it has brought everything."""

    def ping(server: KucoinServer) -> list[str]:
        sent = [each.message for each in server.received if each.connection is rotation.old]
        return [message["id"] for message in sent if "ping" in message.values()][before:]

    before = 0
    before = len(ping(rotation.server))
    rotation.confirm(pongs=False)
    (asked,) = rotation.server.wait_for(ping, timeout=LIMIT)
    rotation.send(rotation.old, 1, 2)
    rotation.old.send_raw(rotation.kind.feed.pong(asked))
    events.wait(Rotated)
    rotation.server.unmute()
    rotation.send(rotation.new, 3)
    return 3


def the_old_one_dies(rotation: Rotation, events: Events) -> int:
    rotation.server.mute(pong=True, ack=True)
    rotation.send(rotation.old, 1, 2)
    rotation.comes(1, 2)
    rotation.send(rotation.new, 3, 4)
    rotation.old.drop()
    rotation.comes(1, 2, 3, 4)
    events.wait(Rotated)
    rotation.confirm()
    return 4


def the_new_one_dies(rotation: Rotation, events: Events) -> int:
    rotation.send(rotation.old, 1)
    rotation.send(rotation.new, 1, 2)
    rotation.comes(1, 2)
    rotation.new.drop()
    rotation.send(rotation.old, 2, 3)
    rotation.comes(1, 2, 3)
    rotation.old, rotation.new = rotation.server.wait_for(rotation._both, timeout=LIMIT)
    rotation.server.mute(pong=True, ack=True)  # else a pong may say that the old one has nothing from before
    rotation.send(rotation.new, 5)
    rotation.send(rotation.old, 4, 5)
    rotation.comes(1, 2, 3, 4, 5)
    rotation.end(events)
    rotation.send(rotation.new, 6)
    return 6


SCENES = [
    the_old_one_is_faster,
    the_new_one_is_faster,
    the_old_one_is_open_and_silent,
    the_old_one_is_open_and_does_not_answer,
    the_old_one_has_something_from_before,
    the_old_one_has_something_from_before_when_all_is_confirmed,
    the_old_one_dies,
    the_new_one_dies,
]
READERS = ["inline", "iterator", "callback", "recorder"]
ALL = list(itertools.product(KINDS, READERS, SCENES))
SOME = [
    each
    for number, each in enumerate(ALL)
    if each[:2] in (("ticker", "iterator"), ("orders", "callback"))
    or each == ("uta ticker", "iterator", the_new_one_is_faster)
    or (each[1] == "inline" and number % 5 == 0)
]


def walk(
    rotation: Rotation,
    events: Events,
    tmp_path: Path,
    reader: str,
    scene: Callable[[Rotation, Events], int],
) -> None:
    topic, stream = rotation.kind.topic, rotation.stream
    epochs: list[int] = []

    def take(message: Message) -> None:
        epochs.append(message.epoch)
        rotation.take(message)

    recorder = Recorder(stream, tmp_path / "rotation.jsonl") if reader == "recorder" else None
    if reader in ("inline", "callback"):
        stream.subscribe(topic, callback=take, inline=reader == "inline")
        reading = None
    else:
        subscription = stream.subscribe(topic)
        reading = Task(lambda: [take(message) for message in subscription])
    rotation.begin()
    count = scene(rotation, events)
    rotation.comes(*range(1, count + 1))
    if recorder is not None:
        recorder.close()
    stream.close()
    if reading is not None:
        reading.result()
    assert rotation.got == list(range(1, count + 1))
    assert epochs == sorted(epochs)
    if recorder is not None:
        with ReplayStream(tmp_path / "rotation.jsonl", None) as replay:
            recorded = replay.subscribe(topic)
            replay.start()
            assert [message.data["n"] for message in recorded] == rotation.got


@pytest.mark.parametrize(("kind", "reader", "scene"), SOME)
def test_each_message_comes_once_in_order_and_is_held_by_nobody(
    server: KucoinServer,
    make_stream: MakeStream,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    reader: str,
    scene: Callable[[Rotation, Events], int],
) -> None:
    rotation = Rotation(server, make_stream(), Clock(monkeypatch, by_hand=True), KINDS[kind])
    walk(rotation, events, tmp_path, reader, scene)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "reader", "scene"), [each for each in ALL if each not in SOME])
def test_each_message_of_every_kind_comes_once_to_every_reader(
    server: KucoinServer,
    make_stream: MakeStream,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    reader: str,
    scene: Callable[[Rotation, Events], int],
) -> None:
    rotation = Rotation(server, make_stream(), Clock(monkeypatch, by_hand=True), KINDS[kind])
    walk(rotation, events, tmp_path, reader, scene)


@pytest.mark.parametrize("ahead", ["old", "new"])
@pytest.mark.parametrize(
    ("symbol", "kind", "snapshot"),
    [
        ("XBTUSDTM", "futures level 2", {"sequence": 0, "ts": 1, "bids": [["100", 1]], "asks": [["101", 1]]}),
        ("BTC-USDT", "level 2", {"sequence": "0", "time": 1, "bids": [["1", "1"]], "asks": [["2", "1"]]}),
    ],
)
def test_a_book_is_never_behind_the_faster_connection_and_does_not_resync(
    server: KucoinServer,
    make_stream: MakeStream,
    events: Events,
    symbol: str,
    kind: str,
    snapshot: dict[str, Any],
    ahead: str,
) -> None:
    server.set_snapshot("level2/snapshot" if symbol == "XBTUSDTM" else "level2", symbol, snapshot)
    rotation = Rotation(server, make_stream(rotate_after=0.5), None, KINDS[kind])
    book = rotation.stream.book(symbol)
    server.wait_subscribed(rotation.kind.topic)
    rotation.send(server.connections[0], 1)
    book.wait_ready(timeout=LIMIT)
    rotation.begin()
    faster, slower = (rotation.old, rotation.new) if ahead == "old" else (rotation.new, rotation.old)
    for number in range(2, 20):
        rotation.send(faster, number)
        until(lambda number=number: book.sequence == number, f"the book is behind {number}")  # type: ignore[misc]
    rotation.send(slower, *range(2, 21))
    until(lambda: book.sequence == 20, "the book is behind")
    rotation.confirm()
    events.wait(Rotated)
    for number in (20, 21):
        server.publish(rotation.kind.topic, rotation.kind.data(number), rotation.kind.subject)
    until(lambda: book.sequence == 21, "the book is behind after the rotation")
    assert book.resyncs == 0
    assert not [event for event in events.all if isinstance(event, BookResyncing)]


@pytest.mark.parametrize(
    "topics",
    [
        [f"/contractMarket/tickerV2:T{number}USDTM" for number in range(100)],
        [f"/market/candles:T{number}-USDT_1min" for number in range(200)],
        [f"/uta/trade.SPOT:T{number}-USDT" for number in range(100)],
    ],
    ids=["100 futures topics", "200 candle topics", "100 uta topics"],
)
def test_the_old_connection_of_many_topics_leaves_at_once_and_without_a_command_for_each(
    make_server: MakeServer, make_stream: MakeStream, events: Events, topics: list[str]
) -> None:
    server = make_server(limits=ServerLimits(messages_per_10s=None, uta_messages_per_10s=None))
    stream = make_stream(server, limits=Limits(commands_per_10s=100_000), rotate_after=1.0)
    subscription = stream.subscribe(*topics, timeout=LIMIT, maxsize=10**6)
    old = server.connections[0]
    rotated, rounds = threading.Event(), 0
    waiting = Task(lambda: (events.wait(Rotated, timeout=LIMIT), rotated.set()))
    while not rotated.wait(0.01):
        rounds += 1
        for topic in topics:
            server.publish_many([pushed(topic, {"n": rounds})])
    waiting.result()
    numbers: dict[str | None, list[int]] = {}
    for _ in range(rounds * len(topics)):
        message = subscription.get(timeout=LIMIT)
        numbers.setdefault(message.topic, []).append(message.data["n"])
    assert numbers == {topic: list(range(1, rounds + 1)) for topic in topics}
    commands = [json.dumps(each.message) for each in server.received if each.connection is old]
    assert not [each for each in commands if '"unsubscribe"' in each.lower()]
