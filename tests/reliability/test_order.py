"""The order of things: what is wanted now goes ahead, what came is read before it is judged, and nothing piles up."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import Disconnected, Message, Stream
from kucoin_sync.recording import Recorder, RecordingError
from kucoin_sync.testing import KucoinServer

from ..support.streams import Events, MakeStream
from ..support.threads import reached, until
from .clock import Clock
from .feed import ETH, Feed, on_both, publish

BTC = "/market/ticker:BTC-USDT"


def commands_naming(server: KucoinServer, topic: str) -> list[str]:
    """Return the ids of the subscribe commands that the server got for the symbol of a topic."""
    return [
        message["id"]
        for message, *_ in server.received
        if (message.get("action") or message["type"]).lower() == "subscribe" and topic.partition(":")[2] in str(message)
    ]


# Subscribed and unsubscribed again and again


@on_both("how", ["a subscription", "by name", "in a tunnel", "tunnels"], ["a subscription", "by name"])
def test_a_topic_that_comes_and_goes_600_times_does_not_delay_another(
    server: KucoinServer, stream: Stream, how: str, feed: Feed
) -> None:
    holder = stream.tunnel("t") if how == "in a tunnel" else stream
    subscription = holder.subscribe(feed.btc)
    for _ in range(600):
        if how == "a subscription":
            subscription.close()
            subscription = stream.subscribe(feed.btc, timeout=0)
        elif how == "by name":
            stream.unsubscribe(feed.btc)
            stream.subscribe(feed.btc, timeout=0)
        elif how == "in a tunnel":
            subscription.close()
            subscription = holder.subscribe(feed.btc, timeout=0)
        else:
            with stream.tunnel("again") as again:
                again.subscribe(feed.btc, timeout=0)
    stream.subscribe(feed.eth)
    assert len(commands_naming(server, feed.btc)) <= (135 if feed.is_uta else 50), "half of what 10 s allow"


# A pause of the process

#: Messages that fill the client's buffer several times, and for which its system has room.
MANY = 300
BUFFER = 8 * 1024


def push(feed: Feed, number: int, size: int = 0) -> bytes:
    """Return a frame with a numbered message."""
    return feed.frame(feed.push(json.dumps({"n": f"{number:08}", "padding": "-" * size}).encode()))


def disconnected(events: Events) -> list[Disconnected]:
    return [event for event in events.all if isinstance(event, Disconnected)]


class Paused:
    """A stream whose thread stands still in a callback while things come, and for which a minute has gone by then."""

    def __init__(self, feed: Feed, server: KucoinServer, stream: Stream, clock: Clock) -> None:
        self.feed = feed
        self.server = server
        self.stream = stream
        self.clock = clock
        self.got: list[int] = []
        self._entered, self._go = threading.Event(), threading.Event()
        stream.subscribe(feed.eth, callback=self._take, inline=True)

    def _take(self, message: Message) -> None:
        self.got.append(int(message.data["n"]))
        if self.got[-1] == 0:
            self._entered.set()
            reached(self._go, "the pause has not ended")

    def pass_by(self, seconds: float, until: Callable[[KucoinServer], object]) -> None:
        """Let seconds go by, and have the stream look at the time."""
        self.clock.seconds += seconds
        self.stream.subscribe(f"{self.feed.ticker}:ANY-USDT", timeout=0)
        self.server.wait_for(until)

    def pause(self, begin: bytes, meanwhile: Callable[[], object]) -> None:
        """Stand still from the message that begins it until something has come, for a minute."""
        self.server.send_bytes(begin)
        reached(self._entered, "the message has not come")
        meanwhile()
        until(self._all_have_come, "the system of the client has not got everything")
        self.clock.seconds += 60
        self._go.set()

    def _all_have_come(self) -> bool:
        """Return whether the client's system has confirmed all bytes that the server's has sent (Linux)."""
        import fcntl  # which Windows has not
        import termios

        socks = [connection._channel._sock for connection in self.server.connections]
        return not any(int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder) for sock in socks)


def answer_ping(paused: Paused) -> None:
    paused.server.mute()
    paused.pass_by(10, lambda s: paused.feed.commands(s, "ping"))
    (ping,) = paused.feed.commands(paused.server, "ping")

    def meanwhile() -> None:
        publish(paused.server, range(1, 1 + MANY), paused.feed.eth)
        paused.server.send_raw(paused.feed.pong(ping))
        paused.server.unmute()

    paused.pause(push(paused.feed, 0), meanwhile)


def answer_command(paused: Paused) -> None:
    asked = f"{paused.feed.ticker}:ASKED-USDT"
    paused.server.mute(pong=False, ack=True)
    paused.stream.subscribe(asked, timeout=0)
    paused.server.wait_for(lambda s: len(commands_naming(s, asked)) == 1)
    for tries in (2, 3):
        paused.server.send_raw(paused.feed.pong("none"))
        paused.pass_by(10, lambda s, tries=tries: len(commands_naming(s, asked)) == tries)  # type: ignore[misc]
    sent = commands_naming(paused.server, asked)

    def meanwhile() -> None:
        publish(paused.server, range(1, 1 + MANY), paused.feed.eth)
        paused.server.send_raw(paused.feed.ack(sent[-1]))
        paused.server.unmute()

    paused.pause(push(paused.feed, 0), meanwhile)


def rest_of_a_message(paused: Paused) -> None:
    long = push(paused.feed, 1, 40_000)
    paused.pause(push(paused.feed, 0) + long[:1000], lambda: paused.server.send_bytes(long[1000:]))
    publish(paused.server, range(2, 1 + MANY), paused.feed.eth)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what has come")
@on_both("what", [answer_ping, answer_command, rest_of_a_message])
def test_what_came_during_a_pause_of_the_process_is_read_before_the_peer_is_given_up(
    server: KucoinServer,
    make_stream: MakeStream,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
    what: Callable[[Paused], None],
    feed: Feed,
) -> None:
    monkeypatch.setattr("kucoin_sync.net.framing._SIZE", BUFFER)
    paused = Paused(feed, server, make_stream(), Clock(monkeypatch, by_hand=True))
    what(paused)
    until(lambda: len(paused.got) > MANY or disconnected(events), "the messages have not come")
    assert not disconnected(events)
    assert paused.got == list(range(1 + MANY))


# Two of one name


def recorded_numbers(paths: list[Path]) -> list[int]:
    found = [
        int(record["data"]["n"])
        for path in paths
        for record in map(json.loads, path.read_bytes().splitlines())
        if isinstance(record, dict)
    ]
    return sorted(found)


@pytest.mark.parametrize("rotation", [{"rotate_size": 200}, {"rotate_time": 1e-6}], ids=["size", "time"])
@pytest.mark.parametrize("others", ["a recorder", "files", "a folder"])
def test_recorders_of_one_name_rotate_beside_each_other_and_nobody_is_stuck(
    server: KucoinServer, make_stream: MakeStream, tmp_path: Path, rotation: dict[str, Any], others: str
) -> None:
    streams = [make_stream(), make_stream()] if others == "a recorder" else [make_stream()]
    subscriptions = [stream.subscribe(ETH) for stream in streams]
    path = tmp_path / "day.jsonl"
    recorders = [Recorder(stream, path, flush_every=0.001, **rotation) for stream in streams]
    for number in range(20):
        taken = path.with_name(f"day-{int(recorders[0].path.stem[-4:]) + 1:04}.jsonl")
        if others == "files":
            taken.touch()
        elif others == "a folder":
            taken.mkdir(exist_ok=True)
        publish(server, [number])
        for subscription in subscriptions:
            subscription.get(timeout=20)
        for recorder in recorders:
            until(lambda: recorder.stats()["messages"] > number, "a recorder is stuck")  # noqa: B023 - called at once
    for recorder in recorders:
        recorder.close()
        assert recorder.dropped == 0
    files = [each for each in tmp_path.glob("day-*.jsonl") if each.is_file()]
    assert recorded_numbers(files) == sorted(list(range(20)) * len(recorders))


def test_a_second_recorder_of_one_file_is_told_so_and_the_first_goes_on(
    server: KucoinServer, stream: Stream, tmp_path: Path
) -> None:
    subscription = stream.subscribe(ETH)
    path = tmp_path / "day.jsonl"
    with Recorder(stream, path):
        with pytest.raises(RecordingError, match="it already exists; choose another name"):
            Recorder(stream, path)
        publish(server, [1])
        subscription.get(timeout=20)
    assert recorded_numbers([path]) == [1]


# What can't be read


BAD = -1
#: What is sent together, in which BAD stands for a frame that can't be read, and what is left.
SEQUENCES: dict[str, tuple[list[list[int]], list[int]]] = {
    "behind a good one": ([[2], [BAD]], [2]),
    "together with a good one": ([[2, BAD]], [2]),
    "several, together": ([[2, 3, BAD, BAD]], [3]),
    "several, one by one": ([[2], [BAD], [BAD], [3], [BAD]], [3]),
    "before a good one": ([[BAD], [2]], [2]),
    "alone": ([[BAD]], []),
    "only such": ([[BAD, BAD], [BAD]], []),
}


def frames_of(feed: Feed, numbers: list[int]) -> bytes:
    """Return the frames of some messages."""
    data = [b'{"n":"00000009",,}' if number == BAD else b'{"n":"%08d"}' % number for number in numbers]
    return b"".join(feed.frame(feed.push(each)) for each in data)


@on_both(
    "sequence, overflow, maxsize, reader",
    [
        (sequence, overflow, maxsize, reader)
        for sequence in SEQUENCES
        for overflow, maxsize in (("latest", 1), ("latest", 10), ("drop_oldest", 1))
        for reader in ("get", "iterator", "callback")
    ],
)
def test_a_frame_that_can_not_be_read_replaces_nothing_and_holds_up_nobody(
    server: KucoinServer, stream: Stream, overflow: Any, maxsize: int, sequence: str, reader: str, feed: Feed
) -> None:
    got: list[int] = []
    go, entered = threading.Event(), threading.Event()

    def take(message: Message) -> None:
        got.append(int(message.data["n"]))
        entered.set()
        reached(go, "the rest has not come")

    callback = take if reader == "callback" else None
    subscription = stream.subscribe(feed.eth, overflow=overflow, maxsize=maxsize, callback=callback)
    behind = stream.subscribe(feed.btc)
    server.send_bytes(frames_of(feed, [0, 1]))  # from which the beginning of such a frame is learned
    publish(server, [0], feed.btc)
    behind.get(timeout=20)
    if reader == "callback":
        reached(entered, "the callback was not called")
    else:
        take_one = subscription.get if reader == "get" else subscription.__next__
        go.set()
        take(take_one())
        while subscription.pending:
            take(take_one())
    rest, left = SEQUENCES[sequence]
    for numbers in rest:
        server.send_bytes(frames_of(feed, numbers))
        publish(server, [0], feed.btc)
        behind.get(timeout=20)
    go.set()
    if reader != "callback":
        for _ in left:
            take(take_one())
    until(lambda: got[-1:] == (left or [1]), "the good one was replaced, or somebody is stuck")
    server.send_bytes(frames_of(feed, [7]))
    if reader != "callback":
        take(take_one())
    until(lambda: got[-1] == 7, "somebody is stuck")
