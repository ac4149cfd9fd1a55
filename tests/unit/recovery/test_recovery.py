"""The requests and deadlines of a stream's recovering topics."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from kucoin_sync import topics
from kucoin_sync.events import Event, RecoveryIncomplete
from kucoin_sync.exceptions import AuthenticationError, ConnectionFailed, InvalidTopic
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.protocol.envelopes import Pushes, opened
from kucoin_sync.protocol.message import Arrival
from kucoin_sync.protocol.session_events import TopicKey
from kucoin_sync.recovery import pacing
from kucoin_sync.recovery.gate import RecoveryGate
from kucoin_sync.recovery.recovery import RestRecovery
from tests.support.threads import LIMIT, until

TOPIC, FUTURES = str(topics.match("BTC-USDT")), str(topics.futures.match("XBTUSDTM"))
KEYS = [TopicKey(TOPIC)]


class Queue:
    """A queue of requests that a test answers."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.removed: list[Any] = []
        self.reached: list[str] = []
        self.closed = False
        self.refusals = 0

    def request_snapshot(self, request: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionFailed("no thread")
        request.snapshot_attempt()
        self.requests.append(request)

    def remove(self, request: Any) -> None:
        self.removed.append(request)

    def reachable(self, market: str) -> None:
        self.reached.append(market)

    def after_fork(self) -> Queue:
        return Queue()

    def close(self) -> list[Any]:
        self.closed = True
        return []

    def next(self) -> Any:
        until(lambda: len(self.requests) > 0, "a request")
        return self.requests.pop(0)


def row(sequence: int) -> dict[str, Any]:
    return {"sequence": str(sequence), "price": "1", "size": "1", "side": "buy", "time": sequence}


class Rig:
    """A recovery with one topic."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.events: list[Event] = []
        self.got: list[int] = []
        self.recovery = RestRecovery(self.queue, self.events.append, itertools.count(10))  # type: ignore[arg-type]
        self.gate: RecoveryGate = self.recovery.gate("spot", self.route)
        self.gate.add(TOPIC)

    def route(self, pushes: Pushes, recovering: bool) -> None:
        if recovering:
            self.got += [int(message.data["sequence"]) for message in opened(pushes)]

    def push(self, sequence: int) -> None:
        frame = {"topic": TOPIC, "type": "message", "subject": "trade.l3match", "data": row(sequence)}
        self.gate.admit([DIALECTS["classic"].reader().push(msgspec.json.encode(frame), Arrival(1, 1))])


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    for thread in rig.recovery.close():
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_a_cut_is_followed_by_a_request_and_its_answer_is_delivered(rig: Rig) -> None:
    rig.push(1)
    rig.recovery.lost([*KEYS, TopicKey(FUTURES), TopicKey(TOPIC, "tunnel")])
    request = rig.queue.next()
    source = request.source
    assert (source.market, source.path, source.query) == ("spot", "/api/v1/market/histories", {"symbol": "BTC-USDT"})
    assert (source.symbol, source.signed, request.was_live) == ("BTC-USDT", False, True)
    assert request.apply_snapshot([row(1), row(2)], 0) is False
    assert rig.got == [2]
    assert rig.queue.removed == [request]


def test_a_confirmed_topic_is_asked_for_at_once(rig: Rig) -> None:
    rig.push(1)
    rig.recovery.lost(KEYS)
    rig.queue.next().apply_snapshot([row(1)], 0)
    rig.recovery.carried(KEYS)
    assert rig.queue.reached == ["spot"]
    rig.queue.next()


def test_a_topic_may_be_unsubscribed_while_it_is_confirmed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    other = str(topics.match("ETH-USDT"))
    rig.gate.add(other)
    reached: list[str] = []

    def unsubscribe_meanwhile(market: str) -> None:
        reached.append(market)
        rig.gate.remove(other)

    monkeypatch.setattr(rig.queue, "reachable", unsubscribe_meanwhile)
    rig.recovery.carried([*KEYS, TopicKey(other)])
    assert reached == ["spot"]


@pytest.mark.parametrize("fatal", [False, True])
def test_a_failure_is_followed_by_another_request(rig: Rig, fatal: bool) -> None:
    rig.push(1)
    rig.recovery.lost(KEYS)
    request = rig.queue.next()
    if fatal:
        request.end(AuthenticationError("no"))
    else:
        request.snapshot_delayed(0.01, ConnectionFailed("down"))
        rig.queue.next().apply_snapshot([row(1), row(2)], 0)
        assert rig.got == [2]
    assert rig.queue.removed[0] is request


def test_a_request_that_can_not_begin_is_tried_again(rig: Rig) -> None:
    rig.queue.refusals = 1
    rig.push(1)
    rig.recovery.lost(KEYS)
    rig.queue.next()


def test_pushes_are_not_held_for_ever_while_rest_is_silent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "HOLD_SECONDS", 0.05)
    rig.push(1)
    rig.recovery.lost(KEYS)
    rig.queue.next()
    rig.push(5)
    until(lambda: rig.got == [5], "the held push")
    [event] = rig.events
    assert isinstance(event, RecoveryIncomplete)
    assert (event.last_sequence, event.first_sequence) == (1, 5)


def test_a_late_answer_or_failure_of_a_topic_that_is_live_changes_nothing(rig: Rig) -> None:
    rig.push(1)
    rig.recovery.lost(KEYS)
    request = rig.queue.next()
    rig.gate.remove(TOPIC)
    request.apply_snapshot([row(1), row(2)], 0)
    request.snapshot_delayed(1.0, None)
    assert not rig.got


def test_an_answer_that_an_earlier_gap_asked_for_is_not_for_the_next_one(rig: Rig) -> None:
    rig.push(1)
    rig.recovery.lost(KEYS)
    request = rig.queue.next()
    rig.gate.remove(TOPIC)
    rig.gate.add(TOPIC)
    rig.push(5)
    rig.recovery.lost(KEYS)
    fetch_at = rig.gate.joins()[0][1].fetch_at
    request.apply_snapshot([row(1), row(9)], 0)
    request.snapshot_delayed(3.0, ConnectionFailed("down"))
    assert rig.got == [] and rig.events == []
    assert rig.gate.joins()[0][1].fetch_at == fetch_at
    rig.queue.next().apply_snapshot([row(5), row(9)], 0)
    assert rig.got == [9]


@pytest.mark.parametrize("topic", [topics.ticker("BTC-USDT"), topics.uta.candles("BTC-USDT", "1min"), "/no/such"])
def test_other_topics_can_not_be_recovered(rig: Rig, topic: str) -> None:
    with pytest.raises(InvalidTopic, match="is for the topics of /market/match"):
        rig.recovery.check(topic)
    rig.recovery.check(TOPIC)


def test_a_forked_child_begins_without_the_parents_gates(rig: Rig) -> None:
    rig.push(1)
    rig.recovery.lost(KEYS)
    parent = rig.queue.next()
    [thread] = rig.recovery._thread.threads
    old = rig.recovery._thread
    rig.recovery.after_fork()
    rig.recovery.lost(KEYS)
    rig.recovery.carried(KEYS)
    assert not rig.recovery._thread.threads
    old.close()
    thread.join(LIMIT)
    parent.apply_snapshot([row(1)], 0)


def test_after_the_end_no_thread_is_started() -> None:
    rig = Rig()
    assert rig.recovery.close() == []
    assert rig.queue.closed
    rig.push(1)
    rig.recovery.lost(KEYS)
    assert not rig.recovery._thread.threads
