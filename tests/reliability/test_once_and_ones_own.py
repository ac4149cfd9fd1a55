"""Each event once for whoever wants its topic, and each message one's own: what one makes of it shows to no other."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from kucoin_sync import LocalBook, Message, Stream, Subscription
from kucoin_sync.recording import Recorder, ReplayStream
from kucoin_sync.testing import KucoinServer

from ..support.streams import MakeStream
from ..support.threads import LIMIT, until

PAIRS = [
    ("/spotMarket/tradeOrders", "/spotMarket/tradeOrdersV2", ("orderChange", "orderChange")),
    ("/callauction/level2Depth50:BTC-USDT", "/spotMarket/level2Depth50:BTC-USDT", ("level2", "level2")),
    ("/market/snapshot:BTC", "/market/snapshot:CHR-BTC", ("trade.snapshot", "trade.snapshot")),
    ("/market/snapshot:DeFi", "/market/snapshot:BTC", ("trade.snapshot", "trade.snapshot")),
    ("/contractMarket/tradeOrders", "/contractMarket/tradeOrders:XBTUSDTM", ("orderChange", "symbolOrderChange")),
    ("/contract/positionAll", "/contract/position:XBTUSDTM", ("position.settlement", "position.settlement")),
]
UTA_PAIRS = [
    ("/uta/orderAll.UNIFIED", "/uta/order.UNIFIED:XBTUSDTM", ("orderAll.UNIFIED", "order.UNIFIED")),
    ("/uta/positionAll.UNIFIED", "/uta/position.UNIFIED:XBTUSDTM", ("positionAll.UNIFIED", "position.UNIFIED")),
]
"""A topic, another one under whose name its pushes may come, and how the pushes' subjects are."""
TICKER = "/market/ticker:BTC-USDT"
COUNT = 4


def event(number: int) -> dict[str, Any]:
    """Return an event that both topics may tell of."""
    inner = {"symbol": "CHR-BTC", "market": "BTC", "markets": ["BTC", "DeFi"], "number": number}
    return {"s": "XBTUSDTM", "symbol": "XBTUSDTM", "type": "match", "number": number, "ts": number, "data": inner}


def send(server: KucoinServer, topic: str, subject: str, number: int, tunnel: str | None = None) -> None:
    """Push an event under a name, whatever the server thinks of who wants it."""
    if topic.startswith("/uta/"):
        server.send_raw(json.dumps({"T": subject, "P": time.time_ns(), "d": event(number)}))
        return
    push: dict[str, Any] = {"topic": topic, "type": "message", "subject": subject, "userId": server.USER}
    if tunnel is not None:
        push["tunnelId"] = tunnel
    server.send_raw(json.dumps({**push, "data": event(number)}))


def carried(server: KucoinServer, *topics: str) -> bool:
    """Whether a connection carries all of these."""
    return any(set(topics) <= set(each.topics) for each in server.connections)


def numbers(subscription: Subscription[Any], count: int) -> list[int]:
    return [subscription.get(timeout=LIMIT).data["number"] for _ in range(count)]


def settle(server: KucoinServer, stream: Stream) -> None:
    """Wait until all that was pushed has gone its way."""
    unknown = stream.stats()["unknown_types"]
    server.send_raw('{"type":"notice","data":"behind all that was pushed"}')
    until(lambda: stream.stats()["unknown_types"] > unknown, "the notice has not come")


@pytest.mark.parametrize(
    ("one", "other", "subjects", "where"),
    [
        *[(*pair, where) for pair in PAIRS for where in ("outside", "in a tunnel")],
        *[(*pair, "outside") for pair in UTA_PAIRS],
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ["one first", "other first"])
def test_an_event_that_is_pushed_under_two_names_comes_once_to_each_who_wants_one(
    server: KucoinServer,
    make_stream: MakeStream,
    one: str,
    other: str,
    subjects: tuple[str, str],
    order: str,
    where: str,
) -> None:
    with make_stream() as stream:
        subscribe, name = (stream.subscribe, None) if where == "outside" else (stream.tunnel("t1").subscribe, "t1")
        first, second, both = subscribe(one), subscribe(other), subscribe(one, other)
        pushes = [(one, subjects[0]), (other, subjects[1])]
        for number in range(COUNT):
            for topic, subject in pushes if order == "one first" else pushes[::-1]:
                send(server, topic, subject, number, name)
        assert numbers(first, COUNT) == numbers(second, COUNT) == list(range(COUNT))
        assert sorted(numbers(both, 2 * COUNT)) == sorted([*range(COUNT)] * 2), "it wants both feeds"
        settle(server, stream)
        assert [each.pending for each in (first, second, both)] == [0, 0, 0]
        second.close()
        both.close()
        for number in range(COUNT, 2 * COUNT):
            for topic, subject in pushes:  # what is under way when one is wanted no longer
                send(server, topic, subject, number, name)
        assert numbers(first, COUNT) == list(range(COUNT, 2 * COUNT))
        settle(server, stream)
        assert first.pending == 0


@pytest.mark.parametrize(("one", "other", "subjects"), [*PAIRS, *UTA_PAIRS], ids=str)
@pytest.mark.parametrize("times", [1, 2], ids=["once", "for each topic"])
def test_what_is_pushed_under_the_other_name_alone_reaches_both(
    server: KucoinServer, make_stream: MakeStream, one: str, other: str, subjects: tuple[str, str], times: int
) -> None:
    with make_stream() as stream:
        first, second, both = stream.subscribe(one), stream.subscribe(other), stream.subscribe(one, other)
        for number in range(COUNT):
            for _ in range(times):
                send(server, other, subjects[1], number)
        for each in (first, second):
            assert numbers(each, COUNT) == list(range(COUNT))
        assert sorted(numbers(both, COUNT * times)) == sorted([*range(COUNT)] * times)
        settle(server, stream)
        assert [each.pending for each in (first, second, both)] == [0, 0, 0]


@pytest.mark.parametrize(("one", "other", "subjects"), [*PAIRS, *UTA_PAIRS], ids=str)
def test_it_stays_once_after_a_cut(
    server: KucoinServer, make_stream: MakeStream, one: str, other: str, subjects: tuple[str, str]
) -> None:
    with make_stream() as stream:
        first, second = stream.subscribe(one), stream.subscribe(other)
        for epoch in range(2):
            for number in range(2):
                send(server, one, subjects[0], 2 * epoch + number)
                send(server, other, subjects[1], 2 * epoch + number)
            for each in (first, second):
                assert numbers(each, 2) == [2 * epoch, 2 * epoch + 1]
            if not epoch:
                server.drop_connections()
                until(lambda: carried(server, one, other), "the topics are not carried again")
        settle(server, stream)
        assert [first.pending, second.pending] == [0, 0]


@pytest.mark.parametrize(("one", "other", "subjects"), [*PAIRS, *UTA_PAIRS], ids=str)
def test_an_edit_of_what_came_under_the_other_name_makes_no_second_event(
    server: KucoinServer, make_stream: MakeStream, one: str, other: str, subjects: tuple[str, str]
) -> None:
    with make_stream() as stream:
        first, second = stream.subscribe(one), stream.subscribe(other)
        second.close()
        send(server, other, subjects[1], 0)
        message = first.get(timeout=LIMIT)
        message.data.clear()
        send(server, one, subjects[0], 0)
        send(server, one, subjects[0], 1)
        assert numbers(first, 1) == [1]


# One's own

VIEWS: dict[str, Callable[[Message[Any]], object]] = {
    "item": lambda message: message["data"].pop("price"),
    "nested item": lambda message: message["data"]["more"].append(7),
    "attribute": lambda message: message.data.update(price=0),
    "get": lambda message: message.get("data").clear(),
    "whole item": lambda message: [message["type"], message["data"].clear()],
    "to_dict": lambda message: message.to_dict()["data"].clear(),
    "payload that is plain": lambda message: message.payload["more"].clear(),
    "values": lambda message: [each.clear() for each in message.values() if isinstance(each, dict)],
}
"""How a program comes by something of a message that it can change."""
TOPIC = "/market/unknown:BTC-USDT"
DATA = {"price": "67000.1", "more": [1, {"deep": "2"}]}


def views(message: Message[Any]) -> list[Any]:
    """Return what a message says in each of its views."""
    return [
        message["data"], message.data, message.get("data"), message.to_dict()["data"], message.payload,
        json.loads(message.raw)["data"], dict(message.items())["data"],
    ]  # fmt: skip


def unspoilt(message: Message[Any]) -> None:
    assert views(message) == [DATA] * 7
    assert message.topic == TOPIC


def ways(stream: Stream, *kinds: str) -> Iterator[tuple[Callable[[], Message[Any]], Callable[[], Message[Any]]]]:
    """Yield two ways each to come by the next message: of one subscription, and of another one."""
    for kind in kinds:
        pair = []
        for _ in range(2):
            if kind in ("callback", "inline"):
                came: SimpleQueue[Message[Any]] = SimpleQueue()
                stream.subscribe(TOPIC, callback=came.put, inline=kind == "inline")
                pair.append(partial(came.get, timeout=LIMIT))
            else:
                subscription = stream.subscribe(TOPIC, overflow="latest" if kind == "latest" else "raise")
                pair.append(subscription.__next__ if kind == "next" else partial(subscription.get, timeout=LIMIT))
        yield pair[0], pair[1]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("frames", ["one by one", "together"])
def test_an_edit_of_one_subscriptions_message_shows_in_no_other(
    server: KucoinServer, make_stream: MakeStream, view: str, frames: str
) -> None:
    with make_stream() as stream:
        server.allow_topic("/market/unknown")
        kinds = ["get", "next", "callback", "inline", *(["latest"] if frames == "one by one" else [])]
        takers = list(itertools.chain.from_iterable(ways(stream, *kinds)))
        pushed = [json.dumps({"topic": TOPIC, "type": "message", "subject": "s", "data": DATA}) for _ in range(3)]
        for frame in pushed:
            server.send_raw(frame)
            if frames == "together":
                continue
            spoil(takers, view)
        for _ in pushed if frames == "together" else ():
            spoil(takers, view)


def spoil(takers: list[Callable[[], Message[Any]]], view: str) -> None:
    for take in takers:
        message = take()
        unspoilt(message)
        VIEWS[view](message)


@pytest.mark.parametrize("view", VIEWS)
def test_what_a_recorder_and_a_replay_bring_is_as_it_was_pushed(
    server: KucoinServer, make_stream: MakeStream, tmp_path: Path, view: str
) -> None:
    server.allow_topic("/market/unknown")
    path = tmp_path / "day.jsonl"
    with make_stream() as stream, Recorder(stream, path):
        one, other = stream.subscribe(TOPIC), stream.subscribe(TOPIC)
        server.send_raw(json.dumps({"topic": TOPIC, "type": "message", "subject": "s", "data": DATA}))
        for each in (one, other):
            message = each.get(timeout=LIMIT)
            unspoilt(message)
            VIEWS[view](message)
    with ReplayStream(path, speed=None) as replay:
        one, other = replay.subscribe(TOPIC), replay.subscribe(TOPIC)
        for each in (one, other):
            message = each.get(timeout=LIMIT)
            unspoilt(message)
            VIEWS[view](message)


def test_what_was_looked_at_to_find_whose_it_is_is_each_ones_own(server: KucoinServer, make_stream: MakeStream) -> None:
    with make_stream() as stream:
        one, other = stream.subscribe("/market/snapshot:BTC"), stream.subscribe("/market/snapshot:BTC")
        for number in range(3):
            send(server, "/market/snapshot:CHR-BTC", "trade.snapshot", number)
            message = one.get(timeout=LIMIT)
            assert message.data == event(number)
            message.data["data"].clear()
            assert other.get(timeout=LIMIT).data == event(number)


def test_a_change_of_a_book_is_one_listeners_own(server: KucoinServer, make_stream: MakeStream) -> None:
    server.set_snapshot("level2", "BTC-USDT", {"sequence": "10", "bids": [["99", "1"]], "asks": []})
    with make_stream() as stream:
        book: LocalBook[Any, Any] = stream.book("BTC-USDT").wait_ready(timeout=LIMIT)
        one, other = iter(book), iter(book)
        changes = {"bids": [["98", "2", "11"]], "asks": []}
        data = {"sequenceStart": 11, "sequenceEnd": 11, "changes": changes}
        server.publish("/market/level2:BTC-USDT", data, subject="trade.l2update")
        change = one.get(timeout=LIMIT)
        change.resyncs, change.sequence_end, change.lost = 7, 7, 7
        change = other.get(timeout=LIMIT)
        assert (change.resyncs, change.sequence_end, change.lost) == (0, 11, 0)
        assert [tuple(level) for level in change.bids] == [(98, 2, 11)]
