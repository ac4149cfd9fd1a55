"""The order of things: what is wanted now goes ahead, what came is read before it is judged, and nothing piles up."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kucoin_sync import Disconnected, Message, Stream
from kucoin_sync.recording import Recorder, RecordingError
from kucoin_sync.testing import KucoinServer
from kucoin_sync.testing.server.frames import frame

from ..end_to_end.conftest import Events
from ..support.threads import reached, until
from .clock import Clock
from .conftest import MakeStream
from .feed import ETH, publish

BTC = "/market/ticker:BTC-USDT"


def commands_naming(server: KucoinServer, topic: str) -> list[str]:
    """Return the types of the commands that the server got for a topic."""
    return [
        command.message["type"]
        for command in server.received
        if topic.partition(":")[2] in str(command.message.get("topic"))
    ]


# Subscribed and unsubscribed again and again


@pytest.mark.parametrize("how", ["a subscription", "by name", "in a tunnel", "tunnels"])
def test_a_topic_that_comes_and_goes_600_times_does_not_delay_another(
    server: KucoinServer, stream: Stream, how: str
) -> None:
    holder = stream.tunnel("t") if how == "in a tunnel" else stream
    subscription = holder.subscribe(BTC)
    for _ in range(600):
        if how == "a subscription":
            subscription.close()
            subscription = stream.subscribe(BTC, timeout=0)
        elif how == "by name":
            stream.unsubscribe(BTC)
            stream.subscribe(BTC, timeout=0)
        elif how == "in a tunnel":
            subscription.close()
            subscription = holder.subscribe(BTC, timeout=0)
        else:
            with stream.tunnel("again") as again:
                again.subscribe(BTC, timeout=0)
    stream.subscribe(ETH)
    assert len([each for each in commands_naming(server, BTC) if each == "subscribe"]) <= 50


# A pause of the process


def push(number: int, size: int = 0) -> bytes:
    data = {"n": f"{number:08}", "padding": "-" * size}
    return json.dumps({"type": "message", "topic": ETH, "subject": "trade.ticker", "data": data}).encode()


def pings(server: KucoinServer) -> list[str]:
    return [command.message["id"] for command in server.received if command.message["type"] == "ping"]


def disconnected(events: Events) -> list[Disconnected]:
    return [event for event in events.all if isinstance(event, Disconnected)]


class Paused:
    """A stream whose thread stands still in a callback while things come, and for which a minute has gone by then."""

    def __init__(self, server: KucoinServer, stream: Stream, clock: Clock) -> None:
        self.server = server
        self.stream = stream
        self.clock = clock
        self.got: list[int] = []
        self._entered, self._go = threading.Event(), threading.Event()
        stream.subscribe(ETH, callback=self._take, inline=True)

    def _take(self, message: Message) -> None:
        self.got.append(int(message.data["n"]))
        if self.got[-1] == 0:
            self._entered.set()
            reached(self._go, "the pause has not ended")

    def pass_by(self, seconds: float, until: Callable[[KucoinServer], object]) -> None:
        """Let seconds go by, and have the stream look at the time."""
        self.clock.seconds += seconds
        self.stream.subscribe("/market/ticker:ANY-USDT", timeout=0)
        self.server.wait_for(until)

    def pause(self, begin: bytes, meanwhile: Callable[[], object]) -> None:
        """Stand still from the message that begins it until something has come, for a minute."""
        self.server.send_bytes(begin)
        reached(self._entered, "the message has not come")
        meanwhile()
        self.clock.seconds += 60
        self._go.set()


def answer_ping(paused: Paused) -> None:
    paused.server.mute()
    paused.pass_by(10, lambda s: pings(s))
    (ping,) = pings(paused.server)

    def meanwhile() -> None:
        publish(paused.server, range(1, 6001))
        paused.server.send_raw(json.dumps({"id": ping, "type": "pong"}))
        paused.server.unmute()

    paused.pause(frame(push(0)), meanwhile)


def answer_command(paused: Paused) -> None:
    asked = "/market/ticker:ASKED-USDT"
    paused.server.mute(pong=False, ack=True)
    paused.stream.subscribe(asked, timeout=0)
    paused.server.wait_for(lambda s: len(commands_naming(s, asked)) == 1)
    for tries in (2, 3):
        paused.server.send_raw(json.dumps({"id": "none", "type": "pong"}))
        paused.pass_by(10, lambda s, tries=tries: len(commands_naming(s, asked)) == tries)  # type: ignore[misc]
    sent = [command.message["id"] for command in paused.server.received if command.message.get("topic") == asked]

    def meanwhile() -> None:
        publish(paused.server, range(1, 6001))
        paused.server.send_raw(json.dumps({"id": sent[-1], "type": "ack"}))
        paused.server.unmute()

    paused.pause(frame(push(0)), meanwhile)


def rest_of_a_message(paused: Paused) -> None:
    long = frame(push(1, 40_000))
    paused.pause(frame(push(0)) + long[:1000], lambda: paused.server.send_bytes(long[1000:]))
    publish(paused.server, range(2, 6001))


@pytest.mark.parametrize("what", [answer_ping, answer_command, rest_of_a_message])
def test_what_came_during_a_pause_of_the_process_is_read_before_the_peer_is_given_up(
    server: KucoinServer,
    make_stream: MakeStream,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
    what: Callable[[Paused], None],
) -> None:
    paused = Paused(server, make_stream(), Clock(monkeypatch, by_hand=True))
    what(paused)
    until(lambda: len(paused.got) >= 6001 or disconnected(events), "the messages have not come")
    assert not disconnected(events)
    assert paused.got == list(range(6001))


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


BAD = b'{"type":"message","topic":"/market/ticker:ETH-USDT","subject":"trade.ticker","data":{"n":"00000009",,}}'


def good(number: int) -> bytes:
    return frame(
        b'{"type":"message","topic":"/market/ticker:ETH-USDT","subject":"trade.ticker","data":{"n":"%08d"}}' % number
    )


SEQUENCES: dict[str, tuple[list[bytes], list[int]]] = {
    "behind a good one": ([good(2), frame(BAD)], [2]),
    "together with a good one": ([good(2) + frame(BAD)], [2]),
    "several, together": ([good(2) + good(3) + frame(BAD) + frame(BAD)], [3]),
    "several, one by one": ([good(2), frame(BAD), frame(BAD), good(3), frame(BAD)], [3]),
    "before a good one": ([frame(BAD), good(2)], [2]),
    "alone": ([frame(BAD)], []),
    "only such": ([frame(BAD) + frame(BAD), frame(BAD)], []),
}


@pytest.mark.parametrize("reader", ["get", "iterator", "callback"])
@pytest.mark.parametrize(("overflow", "maxsize"), [("latest", 1), ("latest", 10), ("drop_oldest", 1)])
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_frame_that_can_not_be_read_replaces_nothing_and_holds_up_nobody(
    server: KucoinServer, stream: Stream, overflow: Any, maxsize: int, sequence: str, reader: str
) -> None:
    got: list[int] = []
    go, entered = threading.Event(), threading.Event()

    def take(message: Message) -> None:
        got.append(int(message.data["n"]))
        entered.set()
        reached(go, "the rest has not come")

    callback = take if reader == "callback" else None
    subscription = stream.subscribe(ETH, overflow=overflow, maxsize=maxsize, callback=callback)
    behind = stream.subscribe("/market/ticker:BTC-USDT")
    server.send_bytes(good(0) + good(1))  # from which the beginning of such a frame is learned
    server.publish("/market/ticker:BTC-USDT", {})
    behind.get(timeout=20)
    if reader == "callback":
        reached(entered, "the callback was not called")
    else:
        take_one = subscription.get if reader == "get" else subscription.__next__
        go.set()
        take(take_one())
        while subscription.pending:
            take(take_one())
    frames, left = SEQUENCES[sequence]
    for each in frames:
        server.send_bytes(each)
        server.publish("/market/ticker:BTC-USDT", {})
        behind.get(timeout=20)
    go.set()
    if reader != "callback":
        for _ in left:
            take(take_one())
    until(lambda: got[-1:] == (left or [1]), "the good one was replaced, or somebody is stuck")
    server.send_bytes(good(7))
    if reader != "callback":
        take(take_one())
    until(lambda: got[-1] == 7, "somebody is stuck")
