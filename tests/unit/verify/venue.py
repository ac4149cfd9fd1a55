"""A venue as this package believes, played by the simulated exchange; tests change what it sends."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from kucoin_sync import Message
from kucoin_sync.protocol.classic import decode_message
from kucoin_sync.protocol.message import Arrival, Origin
from kucoin_sync.protocol.uta_push import decode_push
from kucoin_sync.testing import Exchange
from kucoin_sync.verify.books import BookLog
from kucoin_sync.verify.plan import CONTRACT, SYMBOL, topics_of
from kucoin_sync.verify.questions import CLOSE, questions
from kucoin_sync.verify.seen import Answered, BookSeen, SessionSeen, TopicSeen
from kucoin_sync.verify.sequences import sources_of
from kucoin_sync.verify.topic_log import TopicLog

__all__ = ["BOOKS", "Frames", "book_seen", "frames_of", "message_of", "session_seen", "snapshots_of", "topic_seen"]

Frames = list[dict[str, Any]]
BOOKS = {source.topic: source for symbol in (SYMBOL, CONTRACT) for source in sources_of(symbol) if source.level == 2}


class _Played(NamedTuple):
    frames: dict[str, Frames]
    snapshots: dict[str, list[Any]]


@cache
def _played() -> _Played:
    exchange = Exchange((SYMBOL, CONTRACT), seed=1)
    frames: dict[str, Frames] = {topic: [] for topic in topics_of("all")}
    exchange.wants = frames.__contains__
    snapshots: dict[str, list[Any]] = {topic: [] for topic in BOOKS}

    def snapshot() -> None:
        for topic, source in BOOKS.items():
            if not source.feed.pushed:
                snapshots[topic].append(exchange.level2_snapshot(source.symbol, source.depth))

    for topic, source in BOOKS.items():
        if source.feed.pushed:
            frames[topic].append(exchange.uta_book(source.symbol).message())
    exchange.take_pushes()
    for step in range(150):
        if step == 50:
            snapshot()
        pushes = exchange.step()
        if step % 10 == 0:
            exchange.close_windows()
            pushes += [*exchange.take_pushes(), *exchange.heartbeat()]
        for push in pushes:
            frames[push.topic].append(json.loads(json.dumps(push.message())))
    snapshot()
    return _Played(frames, snapshots)


def frames_of(topic: str) -> Frames:
    """Return what the venue sends of a topic."""
    return copy.deepcopy(_played().frames[topic])


def snapshots_of(topic: str) -> list[Any]:
    """Return two snapshots of a book, one of them later than some updates."""
    return copy.deepcopy(_played().snapshots[topic])


def message_of(frame: dict[str, Any], epoch: int = 1) -> Message:
    """Return the message of a frame."""
    raw = json.dumps(frame).encode()
    made = decode_push(raw) if "T" in frame else decode_message(raw)
    made.raw = raw
    if "T" not in frame:
        made.origin = Origin(Arrival(epoch))
    return made


def topic_seen(topic: str, frames: Frames) -> TopicSeen:
    """Return what is seen of a topic that brings these frames."""
    log = TopicLog(topic)
    for frame in frames:
        log.add(message_of(frame))
    return log.seen()


def book_seen(topic: str, change: Callable[[Frames], object] = list, at: str = "") -> BookSeen:
    """Return what is seen of a book if the frames of its topic, or of the topic `at`, are changed."""
    log = BookLog(BOOKS[topic])
    frames = {name: frames_of(name) for name in log.topics}
    change(frames[at or topic])
    # The best levels first: what counts is the order of the updates.
    for name in reversed(log.topics):
        for frame in frames[name]:
            log.add(message_of(frame))
    for data in snapshots_of(topic):
        log.add_snapshot(data)
    return log.seen()


def session_seen(
    market: str, dialect: Any, change: Callable[[dict[str, list[Any]]], object] = list, **more: Any
) -> Any:
    """Return what is seen of a service whose answers, by the name of the question, are changed."""
    classic = dialect.name == "classic"
    answers: dict[str, list[Any]] = {}
    for question in questions(dialect, market):
        ack: dict[str, Any] = {"id": question.command_id, "type": "ack"}
        error: dict[str, Any] = {"type": "error", "code": question.code, "data": "refused"}
        if question.command_id:
            error["id"] = question.command_id
        if not classic:
            ack, error = {"id": question.command_id, "result": True}, {"id": question.command_id, "result": False}
        welcome: dict[str, Any] = {"id": "connect-id", "type": "welcome"}
        pong: dict[str, Any] = {"id": "v1", "type": "pong", "timestamp": 1790113097443000}
        if not classic:
            welcome = {"sessionId": "session-id", "message": "welcome", "pingInterval": 18000}
            pong = {"id": "v1", "type": "pong", "ts": 1790113097443000000}
        frames = {"welcome": welcome, "pong": pong, "ack": ack, "error": error}
        answers[question.name] = [0.1, *([frames[question.kind]] if question.kind else [])]
    answers[CLOSE] = [None]
    server = {
        "endpoint": "wss://ws-api-spot.kucoin.com/", "encrypt": True, "protocol": "websocket",
        "pingInterval": 18000, "pingTimeout": 10000,
    }  # fmt: skip
    token = {"token": "removed", "instanceServers": [server]} if classic else None
    seen = {"token": token, "clock": 0.1 if classic else None, "code": 1000, **more}
    change(answers)
    told = [Answered(name, [json.dumps(frame) for frame in frames], took) for name, (took, *frames) in answers.items()]
    return SessionSeen(market, dialect.name, told, **seen)
