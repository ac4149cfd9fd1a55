"""The order of things: what is wanted now goes ahead, what came is read before it is judged, and nothing piles up."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from kucoin_sync import Disconnected, Message, Stream
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
    long = frame(push(1, 600_000))
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
    paused = Paused(server, make_stream(), Clock(monkeypatch))
    what(paused)
    until(lambda: len(paused.got) >= 6001 or disconnected(events), "the messages have not come")
    assert not disconnected(events)
    assert paused.got == list(range(6001))
