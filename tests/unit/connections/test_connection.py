"""A connection and its owner, without a server."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from kucoin_sync.connections.connection import Connection
from kucoin_sync.net.websocket import ConnectionLost
from kucoin_sync.protocol.dialects import DIALECTS
from kucoin_sync.protocol.message import Message
from kucoin_sync.protocol.session_events import Acked, Proved, TopicKey, Unsubscribed

from ...support.threads import LIMIT

ONE, TWO = TopicKey("/market/level2:BTC-USDT"), TopicKey("/market/level2:ETH-USDT")


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.command_ids = self.epochs = itertools.count(1)
        self.confirmed: list[tuple[TopicKey, ...]] = []
        self.interruptions: list[tuple[TopicKey, ...]] = []

    def payload_mismatch(self, message: Message) -> None: ...
    def ended(self, source: Any) -> None: ...
    def aged(self, source: Any) -> bool:
        return True

    def acked(self, source: Any, keys: tuple[TopicKey, ...]) -> None:
        self.confirmed.append(keys)

    def interrupted(self, source: Any, keys: tuple[TopicKey, ...]) -> None:
        self.interruptions.append(keys)


class Session:
    """A session in which one key is confirmed and wanted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[TopicKey]]] = []

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        self.calls.append(("subscribe", list(keys)))

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        self.calls.append(("unsubscribe", list(keys)))

    def is_active(self, key: TopicKey) -> bool:
        return key == TWO


def made() -> tuple[Owner, Session, Connection]:
    owner: Any = Owner()
    options: Any = SimpleNamespace(dialects=DIALECTS, label="")
    connection = Connection(options, 1, "spot", False, owner, lambda source, pushes: None)
    session: Any = Session()
    connection._session = session
    return owner, session, connection


def test_a_confirmation_counts_only_for_what_was_not_unsubscribed_since() -> None:
    """Else the next `subscribe` of that topic would return before the server has its command."""
    owner, _, connection = made()
    connection._handle_session_event(Acked((ONE, TWO)))
    connection._handle_session_event(Acked((ONE,)))
    connection.close()
    connection.thread.join(LIMIT)
    assert owner.confirmed == [(TWO,)]


def test_what_is_to_begin_again_is_subscribed_after_the_answer_to_its_unsubscribe() -> None:
    owner, session, connection = made()
    connection.resubscribe([ONE, TWO])
    assert session.calls == [("unsubscribe", [TWO])], "the other one is not delivered now"
    connection._handle_session_event(Unsubscribed((ONE,)))
    assert owner.interruptions == []
    connection._handle_session_event(Unsubscribed((ONE, TWO)))
    assert owner.interruptions == [(TWO,)]
    assert session.calls[1:] == [("subscribe", [TWO])]
    connection._handle_session_event(Unsubscribed((TWO,)))
    assert len(session.calls) == 2
    connection.close()
    connection.thread.join(LIMIT)


def test_what_nobody_wants_any_more_does_not_begin_again() -> None:
    owner, session, connection = made()
    connection.resubscribe([TWO])
    connection.unsubscribe([TWO])
    connection._handle_session_event(Unsubscribed((TWO,)))
    assert owner.interruptions == []
    assert [kind for kind, _ in session.calls] == ["unsubscribe"] * 2
    connection.close()
    connection.thread.join(LIMIT)


def test_without_a_session_nothing_begins_again() -> None:
    _, session, connection = made()
    connection._session = None
    connection.resubscribe([TWO])
    assert session.calls == []
    connection.close()
    connection.thread.join(LIMIT)


def test_a_replaced_connection_that_does_not_answer_in_time_is_lost_and_has_not_just_ended() -> None:
    _, _, connection = made()
    session: Any = SimpleNamespace(
        is_overdue=lambda now: False,
        handle_deadline=lambda now, behind: None,
        frames_to_send=lambda now: [],
        events=list,
        next_deadline=lambda: float("inf"),
        delay_to_tell=lambda now: None,
        prove=lambda: 1,
        settled=False,
        lost=None,
    )
    transport: Any = SimpleNamespace(taken=0)
    options: Any = SimpleNamespace(lifetime=lambda: 1.0, retry=lambda now: math.inf)
    connection._session, connection._transport, connection._options = session, transport, options
    connection.retire(0.0)
    with pytest.raises(ConnectionLost, match="did not answer any more"):
        connection._run_session()
    connection._proof_to_leave = 0  # it was answered
    connection._run_session()
    connection._session = connection._transport = None
    connection.close()
    connection.thread.join(LIMIT)


def test_a_proof_that_the_last_session_owed_does_not_keep_a_replaced_connection() -> None:
    _, _, connection = made()
    connection._session = SimpleNamespace(prove=lambda: 2)  # type: ignore[assignment]
    connection.prove()
    connection._disconnect()
    connection._session = SimpleNamespace(prove=lambda: 1)  # type: ignore[assignment]
    connection.retire(LIMIT)
    connection._handle_session_event(Proved(1, answered=True))
    assert connection._proof_to_leave == 0
    connection._session = None
    connection.close()
    connection.thread.join(LIMIT)
