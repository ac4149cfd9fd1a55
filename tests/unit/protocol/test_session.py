"""The session: commands, answers, deadlines and pushes of one connection, with time as a number."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync import payloads
from kucoin_sync.exceptions import (
    AuthenticationError,
    ConnectionFailed,
    ProtocolError,
    SubscriptionRejected,
    TokenError,
)
from kucoin_sync.limits import Limits
from kucoin_sync.protocol.classic import CLASSIC, Classic, decode_message
from kucoin_sync.protocol.commands import ACK_TIMEOUT
from kucoin_sync.protocol.dialect import Answer
from kucoin_sync.protocol.envelopes import EnvelopePrefix, FrameBatch, Pushes, RawPush
from kucoin_sync.protocol.envelopes import opened as opened_pushes
from kucoin_sync.protocol.message import Arrival, Message, Origin
from kucoin_sync.protocol.session import Session
from kucoin_sync.protocol.session_events import (
    Acked,
    ConnectionFull,
    Proved,
    ServerError,
    SessionEvent,
    TopicKey,
    TopicRefused,
    Unsubscribed,
    Welcomed,
)

from ...support.selection import examples

INTERVAL, TIMEOUT = 18.0, 10.0
WELCOME = b'{"id":"hQvf8jkno","type":"welcome"}'
PUSH = b'{"type":"message","topic":"/market/ticker:BTC-USDT","subject":"trade.ticker","data":{"price":"70.5"}}'
PER_SESSION = "exceed max subscription count limitation of 300 per session"
TOO_FAST = "exceed max permits per second"
BUSY = "service busy, please retry later"


def key(symbol: str, tunnel: str | None = None) -> TopicKey:
    return TopicKey(f"/market/ticker:{symbol}-USDT", tunnel)


BTC, ETH, KCS = key("BTC"), key("ETH"), key("KCS")


def singles(count: int) -> list[TopicKey]:
    """Return keys that share no command."""
    return [TopicKey(f"/contractMarket/tickerV2:C{number}USDTM") for number in range(count)]


def opening(**options: Any) -> Session:
    """Return a session whose handshake ended at the instant 0."""
    return Session(CLASSIC, ids=itertools.count(1), ping_interval=INTERVAL, ping_timeout=TIMEOUT, now=0.0, **options)


def opened(**options: Any) -> Session:
    """Return a session that was welcomed at the instant 0."""
    session = opening(**options)
    receive(session, WELCOME)
    assert session.events() == [Welcomed()]
    return session


def subscribed(*keys: TopicKey, **options: Any) -> Session:
    """Return a session with active subscriptions."""
    session = opened(**options)
    session.subscribe(keys)
    for command in sent(session):
        acknowledge(session, command["id"])
    assert all(session.is_active(each) for each in keys)
    session.events()
    return session


def messages_of(pushes: Pushes) -> list[Message]:
    return opened_pushes(pushes)


def receive(session: Session, *frames: bytes, now: float = 0.0) -> list[Message]:
    return messages_of(session.receive(list(frames), Arrival(1, 0), now))


def sent(session: Session, now: float = 0.0) -> list[dict[str, Any]]:
    """Return the commands that leave at `now`."""
    return [json.loads(frame) for frame in session.frames_to_send(now)]


def topics(session: Session, now: float = 0.0) -> list[tuple[str, str]]:
    """Return type and topic of the commands that leave at `now`."""
    return [(command["type"], command.get("topic", "")) for command in sent(session, now)]


def acknowledge(session: Session, command_id: str, now: float = 0.0) -> None:
    receive(session, json.dumps({"id": command_id, "type": "ack"}).encode(), now=now)


def refuse(session: Session, command_id: str | None, code: int, text: str, now: float = 0.0) -> None:
    receive(session, json.dumps({"id": command_id, "type": "error", "code": code, "data": text}).encode(), now=now)


def pong(session: Session, now: float) -> None:
    """Ping where it is due, and let the pong come at once; time goes on without the peer being lost."""
    session.handle_deadline(now)
    for command in sent(session, now):
        if command["type"] == "ping":
            receive(session, json.dumps({"id": command["id"], "type": "pong"}).encode(), now=now)


def refused_topics(events: Iterable[SessionEvent]) -> list[str]:
    return [event.key.topic for event in events if isinstance(event, TopicRefused)]


# Welcome


def test_nothing_is_sent_before_the_welcome() -> None:
    session = opening()
    session.subscribe([BTC])
    session.handle_deadline(9.5)
    assert sent(session, 9.5) == []
    assert not session.settled
    assert not session.welcomed


def test_after_the_welcome_the_commands_go() -> None:
    session = opening()
    session.subscribe([BTC, ETH])
    assert receive(session, WELCOME, now=1.0) == []
    assert session.welcomed
    assert session.events() == [Welcomed()]
    assert session.events() == []
    assert sent(session, 1.0) == [
        {
            "id": "1",
            "type": "subscribe",
            "topic": "/market/ticker:BTC-USDT,ETH-USDT",
            "privateChannel": False,
            "response": True,
        }
    ]


def test_a_second_welcome_changes_nothing() -> None:
    session = opened()
    receive(session, WELCOME)
    assert session.events() == []


@pytest.mark.parametrize(("limits", "late"), [(None, 10.0), (Limits(step_timeout=2.5), 2.5)])
def test_a_welcome_that_does_not_come_within_the_step_timeout_ends_the_connection(
    limits: Limits | None, late: float
) -> None:
    session = opening(limits=limits)
    assert session.next_deadline() == late
    session.handle_deadline(late - 0.001)
    assert session.lost is None
    session.handle_deadline(late)
    assert isinstance(session.lost, ConnectionFailed)
    assert session.lost.retriable
    assert str(session.lost) == f"the server sent no welcome within {late:g} s of the handshake"


def test_a_refused_connection_is_lost_with_the_servers_words() -> None:
    session = opening()
    refuse(session, "other", 509, "exceed max session count limitation of 50")
    assert isinstance(session.lost, ConnectionFailed)
    assert str(session.lost) == "KuCoin refused the connection: exceed max session count limitation of 50 (code 509)"


def test_a_lost_session_sends_no_commands_and_stays_lost_for_the_same_reason() -> None:
    session = opening()
    session.subscribe([BTC])
    session.handle_deadline(10.0)
    reason = session.lost
    receive(session, WELCOME, now=10.0)
    session.handle_deadline(1000.0)
    assert sent(session, 1000.0) == []
    assert session.lost is reason


def test_no_key_is_confirmed_that_is_not_wanted_any_more_when_the_owner_asks() -> None:
    session = subscribed(BTC, ETH)
    session.unsubscribe([BTC, ETH])
    session.subscribe([BTC, ETH])
    session.unsubscribe([BTC])
    assert session.events() == [Acked((ETH,))]
    session.unsubscribe([ETH])
    session.subscribe([ETH])
    session.unsubscribe([ETH])
    assert session.events() == []


# Proofs, and bytes that were not read yet


def test_a_proof_is_told_by_its_number_when_its_pong_comes() -> None:
    session = opened()
    for number, due, answered_at in ((1, 0.0, 0.1), (2, 0.2, 0.3)):  # the first ping at once, the next 0.2 s later
        assert session.prove() == number
        assert session.next_deadline() == due
        session.handle_deadline(due)
        [ping] = sent(session, due)
        receive(session, json.dumps({"id": ping["id"], "type": "pong"}).encode(), now=answered_at)
        assert session.events() == [Proved(number, answered=True)]


def test_a_proof_without_a_pong_is_told_a_second_later() -> None:
    session = opened()
    session.prove()
    session.handle_deadline(0.5)
    assert session.next_deadline() == 1.5
    session.handle_deadline(1.5)
    assert session.events() == [Proved(1, answered=False)]
    assert session.lost is None


def test_behind_unread_bytes_only_pings_are_due() -> None:
    session = opened()
    session.handle_deadline(5.0, behind=True)
    assert sent(session, 5.0) == []
    session.handle_deadline(9.0, behind=True)
    assert [command["type"] for command in sent(session, 9.0)] == ["ping"]
    assert not session.is_overdue(18.9)
    assert session.is_overdue(19.0)
    session.handle_deadline(19.0, behind=True)
    assert session.lost is None
    opening().handle_deadline(99.0, behind=True)


# Login, and what a welcome may say


class Chatty(Classic):
    """The classic dialect with a welcome that names the ping interval."""

    def answer(self, frame: bytes) -> Answer:
        answer = super().answer(frame)
        return answer._replace(ping_interval=4.0, ping_timeout=3.0) if answer.kind == "welcome" else answer


def logging_in() -> Session:
    """Return a session that was welcomed at the instant 1 and has sent its login."""
    session = opening(private=True, login=lambda command_id: json.dumps({"id": command_id, "op": "auth"}).encode())
    session.subscribe([BTC])
    assert sent(session, 1.0) == []
    receive(session, WELCOME, now=1.0)
    assert sent(session, 1.0) == [{"id": "2", "op": "auth"}]
    return session


def test_nothing_else_is_sent_before_the_login_is_acknowledged() -> None:
    session = logging_in()
    receive(session, WELCOME, now=1.5)
    assert sent(session, 1.5) == []
    assert not session.welcomed
    assert session.events() == []
    acknowledge(session, "2", now=2.0)
    assert session.welcomed
    assert session.events() == [Welcomed()]
    assert topics(session, 2.0) == [("subscribe", BTC.topic)]


@pytest.mark.parametrize(("code", "text"), [(400004, "invalid passphrase (code 400004)"), (0, "invalid passphrase")])
def test_a_refused_login_ends_the_connection_for_good(code: int, text: str) -> None:
    session = logging_in()
    refuse(session, "2", code, "invalid passphrase", now=2.0)
    assert isinstance(session.lost, AuthenticationError)
    assert not session.lost.retriable
    assert session.lost.code == (str(code) if code else None)
    assert str(session.lost) == f"KuCoin refused the login: {text}"


def test_a_login_without_an_answer_ends_the_connection() -> None:
    session = logging_in()
    assert session.next_deadline() == 11.0
    assert not session.is_overdue(10.9)
    session.handle_deadline(10.9)
    assert session.lost is None
    session.handle_deadline(11.0)
    assert isinstance(session.lost, ConnectionFailed)
    assert str(session.lost) == "the server answered no login within 10 s of the welcome"


def test_a_welcome_may_say_how_often_to_ping() -> None:
    session = Session(Chatty(), ids=itertools.count(1), ping_interval=INTERVAL, ping_timeout=TIMEOUT, now=0.0)
    receive(session, WELCOME)
    assert session.next_deadline() == 2.0
    session.handle_deadline(2.0)
    assert session.next_deadline() == 4.0
    assert session.heartbeat.lost_at() == 5.0


# Ping and pong


def test_a_ping_goes_at_half_the_interval() -> None:
    session = opened()
    assert session.next_deadline() == 9.0
    session.handle_deadline(8.999)
    assert sent(session, 8.999) == []
    session.handle_deadline(9.0)
    assert sent(session, 9.0) == [{"id": "1", "type": "ping"}]
    assert sent(session, 9.0) == []


def test_a_ping_goes_ahead_of_every_other_command() -> None:
    session = opened()
    session.subscribe([BTC])
    session.handle_deadline(9.0)
    session.subscribe([ETH])
    assert topics(session, 9.0) == [
        ("ping", ""),
        ("subscribe", "/market/ticker:BTC-USDT"),
        ("subscribe", "/market/ticker:ETH-USDT"),
    ]


def test_pings_go_however_much_data_flows() -> None:
    session = opened()
    for tenth in range(1, 90):
        receive(session, PUSH, now=tenth / 10)
        session.handle_deadline(tenth / 10)
        assert sent(session, tenth / 10) == []
    session.handle_deadline(9.0)
    assert [command["type"] for command in sent(session, 9.0)] == ["ping"]


def test_a_silent_peer_is_lost_a_timeout_after_the_ping() -> None:
    session = opened()
    session.handle_deadline(9.0)
    sent(session, 9.0)
    session.handle_deadline(18.0)
    sent(session, 18.0)
    assert session.next_deadline() == 19.0
    session.handle_deadline(18.999)
    assert session.lost is None
    session.handle_deadline(19.0)
    assert isinstance(session.lost, ConnectionFailed)
    assert str(session.lost) == "the server has answered no ping for 10.0 s (its last frame came 19.0 s ago)"


def test_a_peer_that_sends_data_but_no_pong_is_lost_after_interval_and_timeout() -> None:
    session = opened()
    for half in range(1, 56):
        session.handle_deadline(half / 2)
        sent(session, half / 2)
        receive(session, PUSH, now=half / 2)
    assert session.lost is None
    assert session.next_deadline() == INTERVAL + TIMEOUT
    session.handle_deadline(INTERVAL + TIMEOUT)
    assert isinstance(session.lost, ConnectionFailed)
    assert "answered no ping for 19.0 s (its last frame came 0.5 s ago)" in str(session.lost)


def test_a_pong_keeps_the_connection_and_tells_the_latency() -> None:
    session = opened()
    session.handle_deadline(9.0)
    (ping,) = sent(session, 9.0)
    receive(session, json.dumps({"id": ping["id"], "type": "pong", "timestamp": 17}).encode(), now=9.25)
    assert session.heartbeat.latency == 0.25
    assert session.next_deadline() == 18.0
    session.handle_deadline(18.0)
    assert session.lost is None


# The pace


def test_commands_leave_at_the_pace_with_places_kept_for_pings() -> None:
    session = opened()
    session.subscribe(singles(200))
    assert len(sent(session, 0.0)) == 85
    assert sent(session, 5.0) == []
    assert session.next_deadline() == 9.0
    session.handle_deadline(9.0)
    assert [command["type"] for command in sent(session, 9.0)] == ["ping"]
    assert session.next_deadline() == 10.0
    assert len(sent(session, 10.0)) == 84


def test_in_no_ten_seconds_go_more_than_ninety_commands_and_pings() -> None:
    session = opened()
    keys = singles(400)
    session.subscribe(keys)
    instants: list[float] = []
    for half in range(200):
        now = half / 2
        session.handle_deadline(now)
        for command in sent(session, now):
            instants.append(now)
            kind = "pong" if command["type"] == "ping" else "ack"
            receive(session, json.dumps({"id": command["id"], "type": kind}).encode(), now=now)
    assert session.settled
    assert all(session.is_active(each) for each in keys)
    assert len(instants) == 400 + 11
    assert max(sum(start <= instant < start + 10 for instant in instants) for start in instants) <= 90


def test_a_small_pace_still_lets_a_command_through_and_all_pings() -> None:
    session = opened(limits=Limits(commands_per_10s=5))
    session.subscribe(singles(3))
    assert len(sent(session, 0.0)) == 1
    pong(session, 9.0)
    assert sent(session, 18.999) == []
    assert len(sent(session, 19.0)) == 1


# Acks


def test_an_ack_makes_the_topics_of_its_command_active() -> None:
    session = opened()
    session.subscribe([BTC, ETH])
    (command,) = sent(session)
    assert not session.is_active(BTC)
    assert not session.settled
    acknowledge(session, command["id"])
    assert session.events() == [Acked((BTC, ETH))]
    assert session.is_active(BTC)
    assert session.settled


def test_the_id_of_an_ack_may_come_as_a_number() -> None:
    session = opened()
    session.subscribe([BTC])
    sent(session)
    receive(session, b'{"id":1,"type":"ack"}')
    assert session.events() == [Acked((BTC,))]


def test_an_ack_that_comes_twice_counts_once() -> None:
    session = subscribed(BTC)
    acknowledge(session, "1")
    assert session.events() == []
    assert session.is_active(BTC)


@pytest.mark.parametrize("frame", [b'{"id":"99","type":"ack"}', b'{"type":"ack"}', b'{"id":null,"type":"ack"}'])
def test_an_ack_for_nothing_that_was_sent_changes_nothing(frame: bytes) -> None:
    session = opened()
    session.subscribe([BTC])
    sent(session)
    receive(session, frame)
    assert session.events() == []
    assert not session.is_active(BTC)


def test_a_late_answer_to_an_earlier_session_fits_no_command_of_the_next_one() -> None:
    ids = itertools.count(1)
    earlier, later = (
        Session(CLASSIC, ids=ids, ping_interval=INTERVAL, ping_timeout=TIMEOUT, now=now) for now in (0.0, 50.0)
    )
    for session, now in ((earlier, 0.0), (later, 50.0)):
        session.subscribe([BTC])
        receive(session, WELCOME, now=now)
    (old,), (new,) = sent(earlier, 0.0), sent(later, 50.0)
    assert later.events() == [Welcomed()]
    assert (old["topic"], new["topic"]) == (BTC.topic, BTC.topic)
    acknowledge(later, old["id"], now=50.0)
    assert later.events() == []
    acknowledge(later, new["id"], now=50.0)
    assert later.events() == [Acked((BTC,))]


def test_an_ack_for_a_command_that_is_still_queued_changes_nothing() -> None:
    session = opening()
    session.subscribe([BTC])
    acknowledge(session, "1")
    receive(session, WELCOME)
    assert session.events() == [Welcomed()]
    assert len(sent(session)) == 1


def test_a_topic_that_is_wanted_is_not_subscribed_again() -> None:
    session = opened()
    session.subscribe([BTC, BTC])
    session.subscribe([BTC])
    assert topics(session) == [("subscribe", "/market/ticker:BTC-USDT")]
    acknowledge(session, "1")
    session.subscribe([BTC])
    assert sent(session) == []


def test_a_private_connection_asks_for_the_private_channel() -> None:
    session = opened(private=True)
    session.subscribe([TopicKey("/account/balance")])
    (command,) = sent(session)
    assert command["privateChannel"] is True
    assert command["topic"] == "/account/balance"


def test_a_command_names_as_many_topics_as_the_limit_allows() -> None:
    session = opened()
    session.subscribe([key(f"A{number}") for number in range(250)])
    assert [command["topic"].count(",") + 1 for command in sent(session)] == [100, 100, 50]
    session = opened(limits=Limits(topics_per_command=2))
    session.subscribe([BTC, ETH, KCS])
    assert [command["topic"] for command in sent(session)] == [
        "/market/ticker:BTC-USDT,ETH-USDT",
        "/market/ticker:KCS-USDT",
    ]


# Answers that do not come


def lose(session: Session, instant: float) -> list[dict[str, Any]]:
    """Let time go on to `instant` with pongs but without other answers; return the commands that leave then."""
    for half in range(1, math.ceil(instant * 2)):
        pong(session, half / 2)
    session.handle_deadline(instant)
    return [command for command in sent(session, instant) if command["type"] != "ping"]


def test_a_command_without_an_answer_is_sent_three_times_and_then_the_peer_is_lost() -> None:
    session = opened()
    session.subscribe([BTC, ETH])
    (first,) = sent(session)
    assert lose(session, 9.5) == []
    assert lose(session, 10.0) == [first]
    assert lose(session, 20.0) == [first]
    assert session.lost is None
    assert lose(session, 30.0) == []
    assert isinstance(session.lost, ProtocolError)
    assert str(session.lost) == (
        "the server has not answered subscribe /market/ticker:BTC-USDT, /market/ticker:ETH-USDT in 3 tries of 10 s"
    )


def test_the_deadline_of_an_answer_bounds_the_wait() -> None:
    session = opened()
    pong(session, 9.0)
    session.subscribe([BTC])
    sent(session, 7.0)
    assert session.next_deadline() == 7.0 + ACK_TIMEOUT


def test_a_late_ack_is_as_good() -> None:
    session = opened()
    session.subscribe([BTC])
    sent(session)
    assert len(lose(session, 10.0)) == 1
    acknowledge(session, "1", now=10.5)
    assert session.events() == [Acked((BTC,))]
    assert lose(session, 25.0) == []
    acknowledge(session, "1", now=25.0)
    assert session.events() == []


def test_a_complaint_about_many_topics_names_three() -> None:
    session = opened()
    session.subscribe([key(name) for name in "ABCDE"])
    sent(session)
    lose(session, 30.0)
    assert str(session.lost).count("/market/ticker:") == 3


def test_an_unsubscribe_without_an_answer_is_sent_again_too() -> None:
    session = subscribed(BTC)
    session.unsubscribe([BTC])
    (first,) = sent(session)
    assert lose(session, 10.0) == [first]
    assert lose(session, 20.0) == [first]
    lose(session, 30.0)
    assert "not answered unsubscribe /market/ticker:BTC-USDT in 3 tries" in str(session.lost)


@pytest.mark.parametrize("close", [False, True])
def test_commands_about_a_tunnel_without_an_answer_are_sent_again_too(close: bool) -> None:
    session = opened()
    session.subscribe([key("BTC", "t")])
    opens, subscribes = sent(session)
    acknowledge(session, subscribes["id"])
    if close:
        acknowledge(session, opens["id"])
        session.close_tunnel("t")
        (opens,) = sent(session)
    assert lose(session, 10.0) == [opens]
    assert lose(session, 20.0) == [opens]
    lose(session, 30.0)
    assert f"not answered {'closeTunnel' if close else 'openTunnel'} t in 3 tries" in str(session.lost)


def test_a_command_is_not_sent_again_for_what_nobody_wants_any_more() -> None:
    session = opened()
    session.subscribe([BTC, ETH])
    (first,) = sent(session)
    session.unsubscribe([BTC])
    (second,) = sent(session)
    acknowledge(session, second["id"])
    assert [command["topic"] for command in lose(session, 10.0)] == ["/market/ticker:ETH-USDT"]
    session.unsubscribe([ETH])
    (third,) = sent(session, 10.0)
    acknowledge(session, third["id"], now=10.0)
    assert lose(session, 25.0) == []
    assert session.lost is None
    acknowledge(session, first["id"], now=25.0)
    assert session.events() == [Unsubscribed((BTC,)), Unsubscribed((ETH,))]


def test_a_shortened_command_still_counts_its_tries() -> None:
    session = opened()
    session.subscribe([BTC, ETH, KCS])
    sent(session)
    for instant, gone in ((5.0, BTC), (15.0, ETH)):
        session.unsubscribe([gone])
        (command,) = sent(session, instant)
        acknowledge(session, command["id"], now=instant)
        lose(session, instant + 5.0)
    assert session.lost is None
    lose(session, 30.0)
    assert "not answered subscribe /market/ticker:KCS-USDT in 3 tries" in str(session.lost)


def test_an_unsubscribe_is_not_sent_again_for_what_is_wanted_again() -> None:
    session = subscribed(BTC, ETH)
    session.unsubscribe([BTC, ETH])
    sent(session)
    session.subscribe([BTC])
    (command,) = sent(session, 5.0)
    acknowledge(session, command["id"], now=5.0)
    assert [(again["type"], again["topic"]) for again in lose(session, 10.0)] == [
        ("unsubscribe", "/market/ticker:ETH-USDT")
    ]
    session.subscribe([ETH])
    (command,) = sent(session, 15.0)
    acknowledge(session, command["id"], now=15.0)
    assert lose(session, 20.0) == []
    assert session.is_active(BTC)
    assert session.is_active(ETH)


def test_commands_about_a_tunnel_are_not_sent_again_after_a_change_of_mind() -> None:
    session = opened()
    session.subscribe([key("BTC", "t")])
    sent(session)
    session.close_tunnel("t")
    (closes,) = sent(session)
    assert lose(session, 10.0) == [closes]
    session.subscribe([key("BTC", "t")])
    opens, subscribes = sent(session, 15.0)
    assert (opens["type"], subscribes["type"]) == ("openTunnel", "subscribe")
    for command in (opens, subscribes):
        acknowledge(session, command["id"], now=15.0)
    assert lose(session, 35.0) == []
    assert session.lost is None


def test_what_is_sent_again_keeps_its_place_before_later_commands() -> None:
    session = opened(limits=Limits(commands_per_10s=7))
    keys = singles(4)
    session.subscribe(keys)
    assert [command["topic"] for command in sent(session)] == [each.topic for each in keys[:2]]
    acknowledge(session, "2")
    assert [command["topic"] for command in lose(session, 10.0)] == [keys[0].topic]


# Unsubscribing


def test_an_unsubscribe_names_what_was_subscribed() -> None:
    session = subscribed(BTC, ETH, KCS)
    session.unsubscribe([BTC, KCS, BTC])
    (command,) = sent(session)
    assert command == {
        "id": "2",
        "type": "unsubscribe",
        "topic": "/market/ticker:BTC-USDT,KCS-USDT",
        "privateChannel": False,
        "response": True,
    }
    assert not session.settled
    assert not session.is_active(BTC)
    assert session.is_active(ETH)
    acknowledge(session, command["id"])
    assert session.events() == [Unsubscribed((BTC, KCS))]
    assert session.settled


def test_before_the_welcome_a_topic_is_only_taken_back() -> None:
    session = opening()
    session.subscribe([BTC, ETH])
    session.unsubscribe([BTC])
    receive(session, WELCOME)
    assert topics(session) == [("subscribe", "/market/ticker:ETH-USDT")]


def test_a_topic_that_was_not_yet_sent_is_only_taken_back() -> None:
    session = opened()
    session.subscribe([BTC, ETH])
    session.unsubscribe([BTC])
    assert topics(session) == [("subscribe", "/market/ticker:ETH-USDT")]


def test_when_everything_is_taken_back_nothing_is_sent_and_the_session_is_settled() -> None:
    session = opened()
    session.subscribe([BTC])
    session.unsubscribe([BTC])
    assert session.settled
    assert sent(session) == []


def test_a_topic_that_was_sent_is_unsubscribed_even_before_its_ack() -> None:
    session = opened()
    session.subscribe([BTC])
    (command,) = sent(session)
    session.unsubscribe([BTC])
    assert topics(session) == [("unsubscribe", "/market/ticker:BTC-USDT")]
    acknowledge(session, command["id"])
    assert session.events() == []
    assert not session.is_active(BTC)


def test_what_is_not_wanted_can_not_be_unsubscribed() -> None:
    session = opened()
    session.unsubscribe([BTC])
    assert session.settled
    assert sent(session) == []


def test_a_topic_that_was_taken_back_can_be_wanted_again() -> None:
    session = opened()
    session.subscribe([BTC, ETH])
    session.unsubscribe([BTC])
    session.subscribe([BTC])
    assert topics(session) == [("subscribe", "/market/ticker:ETH-USDT"), ("subscribe", "/market/ticker:BTC-USDT")]
    session.unsubscribe([BTC])
    assert topics(session) == [("unsubscribe", "/market/ticker:BTC-USDT")]


def test_a_topic_that_was_unsubscribed_before_is_only_taken_back_too() -> None:
    session = subscribed(BTC, key("BTC", "t"))
    session.unsubscribe([BTC])
    session.close_tunnel("t")
    for command in sent(session):
        acknowledge(session, command["id"])
    session.subscribe([BTC, key("BTC", "t")])
    session.unsubscribe([BTC, key("BTC", "t")])
    assert [command["type"] for command in sent(session)] == ["openTunnel"]


def test_subscribe_unsubscribe_subscribe_leave_in_this_order_where_each_was_sent() -> None:
    session = subscribed(BTC)
    session.unsubscribe([BTC])
    assert [kind for kind, _ in topics(session)] == ["unsubscribe"]
    session.subscribe([BTC])
    assert [kind for kind, _ in topics(session)] == ["subscribe"]
    acknowledge(session, "2")
    acknowledge(session, "3")
    assert session.events() == [Unsubscribed((BTC,)), Acked((BTC,))]
    assert session.is_active(BTC)


def test_an_unsubscribe_that_was_not_yet_sent_is_taken_back_when_the_topic_is_wanted_again() -> None:
    session = subscribed(BTC, ETH)
    session.unsubscribe([BTC, ETH])
    assert not session.is_active(BTC)
    session.subscribe([BTC])
    assert session.is_active(BTC)
    assert session.events() == [Acked((BTC,))]
    assert topics(session) == [("unsubscribe", ETH.topic)]


def test_a_topic_that_is_wanted_again_before_its_first_answer_is_confirmed_by_that() -> None:
    session = opened()
    session.subscribe([BTC])
    (command,) = sent(session)
    session.unsubscribe([BTC])
    session.subscribe([BTC])
    assert sent(session) == []
    assert session.events() == []
    acknowledge(session, command["id"])
    assert session.events() == [Acked((BTC,))]


def test_an_answer_that_comes_while_a_topic_is_not_wanted_counts_when_it_is_wanted_again() -> None:
    session = opened()
    session.subscribe([BTC])
    (command,) = sent(session)
    session.unsubscribe([BTC])
    acknowledge(session, command["id"])
    assert session.events() == []
    session.subscribe([BTC])
    assert session.events() == [Acked((BTC,))]
    assert sent(session) == []


def test_a_lost_unsubscribe_and_a_newer_one_of_the_same_topic_are_one_command() -> None:
    session = subscribed(BTC)
    session.unsubscribe([BTC])
    sent(session)
    session.subscribe([BTC])
    (command,) = sent(session, 1.0)
    acknowledge(session, command["id"], now=1.0)
    for half in range(2, 20):
        pong(session, half / 2)
    session.unsubscribe([BTC])
    session.handle_deadline(10.0)
    assert topics(session, 10.0) == [("unsubscribe", BTC.topic)]


@pytest.mark.parametrize("tunnel", [None, "t"])
def test_600_pairs_of_one_topic_leave_one_command_at_most_and_do_not_delay_another(tunnel: str | None) -> None:
    session = subscribed(key("BTC", tunnel))
    for number in range(600):
        session.unsubscribe([key("BTC", tunnel)])
        session.subscribe([key("BTC", tunnel)])
        if number % 2:
            sent(session, 1.0)  # as far as the pace lets them
    session.unsubscribe([key("BTC", tunnel)])
    session.subscribe([ETH])
    assert len(session._commands.waiting) <= 2
    assert ("subscribe", ETH.topic) in topics(session, 1.0)


def test_what_comes_and_goes_leaves_half_of_the_pace_to_others() -> None:
    session = opened()
    commands = 0
    for _ in range(600):
        session.subscribe([BTC])
        commands += len(sent(session))
        session.unsubscribe([BTC])
        commands += len(sent(session))
    assert commands <= 46
    session.subscribe(singles(30))
    assert len([kind for kind, _ in topics(session) if kind == "subscribe"]) == 30


def test_600_tunnels_of_one_name_leave_two_commands_at_most() -> None:
    session = subscribed(key("BTC", "t"))
    for _ in range(600):
        session.close_tunnel("t")
        session.subscribe([key("BTC", "t")])
    session.close_tunnel("t")
    assert [command["type"] for command in sent(session)] == ["closeTunnel"]


def test_an_unsubscribe_that_is_queued_holds_for_a_topic_that_is_taken_back_again() -> None:
    session = subscribed(BTC)
    session.unsubscribe([BTC])
    session.subscribe([BTC])
    session.unsubscribe([BTC])
    assert {kind for kind, _ in topics(session)} == {"unsubscribe"}


def test_the_answer_to_an_overtaken_command_says_nothing_of_the_later_one() -> None:
    session = opened()
    session.subscribe([BTC])
    session.frames_to_send(0.0)
    session.unsubscribe([BTC])
    (unsubscribes,) = sent(session)
    session.subscribe([BTC])
    (subscribes,) = sent(session)
    refuse(session, "1", 404, "topic does not exist")
    assert session.events() == []
    acknowledge(session, unsubscribes["id"])
    acknowledge(session, subscribes["id"])
    assert session.events() == [Unsubscribed((BTC,)), Acked((BTC,))]


def test_a_refused_unsubscribe_is_over() -> None:
    session = subscribed(BTC)
    session.unsubscribe([BTC])
    (command,) = sent(session)
    refuse(session, command["id"], 404, "topic does not exist")
    assert session.events() == [Unsubscribed((BTC,))]
    assert session.settled


# Error answers


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (400, "topic is invalid"),
        (400, "topic /market/ticker:BTC-USDT is invalid"),
        (403, "login is required"),
        (404, "topic /market/ticker:BTC-USDT is not found"),
        (404, "topic does not exist"),
        (406, "topic is required"),
        (509, "exceed max subscription count limitation of 100 per time"),
        (509, PER_SESSION),
        (400, PER_SESSION),
        (400, "data format is invalid"),
        (415, "type is not supported"),
        (415, "command type is invalid"),
        (0, "something new"),
    ],
)
def test_a_refused_topic_is_reported_with_the_servers_words_and_no_longer_wanted(code: int, text: str) -> None:
    session = opened()
    session.subscribe([BTC])
    (command,) = sent(session)
    refuse(session, command["id"], code, text)
    (event,) = session.events()
    assert isinstance(event, TopicRefused)
    assert event.key == BTC
    assert isinstance(event.error, SubscriptionRejected)
    assert (event.error.topic, event.error.code, event.error.reason) == (BTC.topic, code, text)
    assert session.settled
    assert session.lost is None
    session.subscribe([BTC])
    assert topics(session) == [("subscribe", BTC.topic)]


@pytest.mark.parametrize("command_id", ["1", "77", None])
@pytest.mark.parametrize(
    ("code", "text"), [(401, "token is invalid"), (401, "token is expired"), (401, "something new")]
)
def test_a_refused_token_ends_the_connection_whatever_the_answer_belongs_to(
    command_id: str | None, code: int, text: str
) -> None:
    for session in (opening(), opened()):
        session.subscribe([BTC])
        sent(session)
        refuse(session, command_id, code, text)
        assert isinstance(session.lost, TokenError)
        assert session.lost.retriable
        assert str(session.lost) == f"KuCoin refused the connect token: {text} (code 401)"
        assert session.events() == []


def test_a_ping_timeout_ends_the_connection() -> None:
    session = opened()
    refuse(session, None, 400, "ping timeout")
    assert isinstance(session.lost, ConnectionFailed)
    assert str(session.lost) == "KuCoin ended the connection: ping timeout (code 400)"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (400, "data format is invalid"),
        (415, "type is not supported"),
        (500, "system error"),
        (509, TOO_FAST),
        (509, BUSY),
        (404, "topic does not exist"),
        (509, PER_SESSION),
    ],
)
@pytest.mark.parametrize("command_id", ["77", None])
def test_an_error_that_belongs_to_no_command_is_passed_on(code: int, text: str, command_id: str | None) -> None:
    session = subscribed(BTC)
    refuse(session, command_id, code, text)
    assert session.events() == [ServerError(code, text)]
    assert session.lost is None
    assert session.is_active(BTC)


def test_an_error_without_code_and_text_is_passed_on() -> None:
    session = opened()
    receive(session, b'{"type":"error"}')
    assert session.events() == [ServerError(0, "")]


def test_a_command_that_was_too_fast_is_sent_again_after_a_pause_that_grows() -> None:
    session = opened()
    session.subscribe([BTC])
    (command,) = sent(session)
    now = 0.0
    for pause in range(1, 9):
        refuse(session, command["id"], 509, TOO_FAST, now=now)
        assert session.next_deadline() <= now + pause
        assert sent(session, now + pause - 0.001) == []
        now += pause
        pong(session, now - 0.001)
        assert sent(session, now) == [command]
    acknowledge(session, command["id"], now=now)
    assert session.events() == [Acked((BTC,))]


def test_during_a_pause_no_command_leaves_but_pings_do() -> None:
    session = opened()
    session.subscribe([BTC])
    (command,) = sent(session, 8.5)
    refuse(session, command["id"], 509, TOO_FAST, now=8.5)
    session.subscribe([ETH])
    session.handle_deadline(9.0)
    assert topics(session, 9.0) == [("ping", "")]
    assert session.next_deadline() == 9.5
    assert topics(session, 9.5) == [
        ("subscribe", "/market/ticker:BTC-USDT"),
        ("subscribe", "/market/ticker:ETH-USDT"),
    ]


def test_commands_that_were_too_fast_keep_their_order() -> None:
    session = opened()
    keys = singles(4)
    session.subscribe(keys[:3])
    first = sent(session)
    session.subscribe(keys[3:])
    for command in first:
        refuse(session, command["id"], 509, TOO_FAST)
    assert [command["topic"] for command in sent(session, 1.0)] == [each.topic for each in keys]


def test_a_tunnel_that_was_too_fast_is_opened_before_its_topics() -> None:
    session = opened()
    session.subscribe([key("BTC", "t")])
    for command in sent(session):
        refuse(session, command["id"], 509, TOO_FAST)
    assert [command["type"] for command in sent(session, 1.0)] == ["openTunnel", "subscribe"]
    assert session.events() == []


@pytest.mark.parametrize("text", [TOO_FAST, BUSY])
def test_an_unsubscribe_that_was_too_fast_is_sent_again(text: str) -> None:
    session = subscribed(BTC)
    session.unsubscribe([BTC])
    (command,) = sent(session)
    refuse(session, command["id"], 509, text)
    assert not session.settled
    assert sent(session, 1.0) == [command]


def test_a_topic_whose_unsubscribe_was_too_fast_is_unsubscribed_after_a_change_of_mind() -> None:
    session = subscribed(BTC)
    session.unsubscribe([BTC])
    (command,) = sent(session)
    session.subscribe([BTC])
    refuse(session, command["id"], 509, TOO_FAST)
    session.unsubscribe([BTC])
    assert [each["type"] for each in sent(session, 1.0)] == ["unsubscribe"]


def test_an_answer_that_says_later_starts_the_count_of_tries_anew() -> None:
    session = opened()
    session.subscribe([BTC])
    sent(session)
    for instant in (1.0, 2.0, 5.0):
        refuse(session, "1", 509, TOO_FAST, now=instant)
        pong(session, instant + 3.0)
    assert session.lost is None
    lose(session, 35.0)
    assert session.lost is None
    lose(session, 38.0)
    assert isinstance(session.lost, ProtocolError)


@pytest.mark.parametrize(
    ("code", "text"), [(509, BUSY), (500, "system error"), (509, "exceed max session count limitation of 50")]
)
def test_a_busy_server_is_asked_three_times_and_then_the_topic_is_refused(code: int, text: str) -> None:
    session = opened()
    session.subscribe([BTC])
    (command,) = sent(session)
    refuse(session, "1", code, text)
    assert session.events() == []
    assert sent(session, 0.999) == []
    assert sent(session, 1.0) == [command]
    refuse(session, "1", code, text, now=1.0)
    assert sent(session, 2.999) == []
    assert sent(session, 3.0) == [command]
    refuse(session, "1", code, text, now=3.0)
    assert refused_topics(session.events()) == [BTC.topic]
    assert session.settled


def test_a_refusal_for_the_pace_that_names_no_command_makes_all_wait() -> None:
    session = opened()
    refuse(session, None, 509, TOO_FAST, now=5.0)
    session.subscribe([BTC])
    assert sent(session, 5.9) == []
    assert session.next_deadline() == 6.0
    assert topics(session, 6.0) == [("subscribe", BTC.topic)]
    refuse(session, "a ping", 509, BUSY, now=7.0)
    session.subscribe([ETH])
    assert topics(session, 7.0) == [("subscribe", ETH.topic)], "only the pace is a reason"


@pytest.mark.parametrize("text", ["topic does not exist", PER_SESSION, TOO_FAST, BUSY])
def test_a_refusal_of_what_nobody_wants_any_more_is_not_reported(text: str) -> None:
    session = subscribed(KCS)
    session.subscribe([BTC])
    (command,) = sent(session)
    session.unsubscribe([BTC])
    refuse(session, command["id"], 509, text)
    assert session.events() == []
    assert topics(session, 5.0) == [("unsubscribe", BTC.topic)]


# Narrowing down


def converse(session: Session, bad: set[str], *, named: bool = False, now: float = 0.0) -> list[int]:
    """Answer commands as a server that knows no `bad` topic; return the sizes of the commands."""
    sizes: list[int] = []
    while commands := sent(session, now):
        for command in commands:
            if command["type"] == "ping":
                receive(session, json.dumps({"id": command["id"], "type": "pong"}).encode(), now=now)
                continue
            prefix, _, symbols = command["topic"].partition(":")
            asked = [f"{prefix}:{symbol}" for symbol in symbols.split(",")]
            sizes.append(len(asked))
            wrong = next((topic for topic in asked if topic in bad), None)
            if wrong is None:
                acknowledge(session, command["id"], now)
            else:
                text = f"topic {wrong} is not found" if named else "topic does not exist"
                refuse(session, command["id"], 404, text, now)
    return sizes


def test_a_refused_command_of_a_hundred_is_halved_until_the_bad_topic_is_alone() -> None:
    session = opened()
    keys = [key(f"A{number}") for number in range(100)]
    session.subscribe(keys)
    sizes = converse(session, {keys[37].topic})
    assert sizes[:3] == [100, 50, 50]
    assert len(sizes) <= 1 + 2 * 7
    assert refused_topics(session.events()) == [keys[37].topic]
    assert [each for each in keys if not session.is_active(each)] == [keys[37]]
    assert session.settled


def test_a_topic_that_the_refusal_names_is_tried_alone_at_once() -> None:
    session = opened()
    keys = [key(f"A{number}") for number in range(100)]
    session.subscribe(keys)
    assert converse(session, {keys[37].topic}, named=True) == [100, 99, 1]
    assert refused_topics(session.events()) == [keys[37].topic]


def test_a_topic_whose_name_is_only_the_beginning_of_the_one_at_fault_is_not_meant() -> None:
    session = opened()
    keys = [TopicKey(f"/market/ticker:{symbol}") for symbol in ("BTC-USD", "BTC-USDT", "ETH-USDT")]
    session.subscribe(keys)
    (command,) = sent(session)
    refuse(session, command["id"], 404, "topic /market/ticker:BTC-USDT is not found")
    assert [again["topic"] for again in sent(session)] == [
        "/market/ticker:BTC-USD,ETH-USDT",
        "/market/ticker:BTC-USDT",
    ]


def test_a_refusal_that_names_the_whole_list_names_nobody() -> None:
    session = opened()
    session.subscribe([BTC, ETH, KCS])
    (command,) = sent(session)
    refuse(session, command["id"], 404, f"topic {command['topic']} is not found")
    assert [again["topic"] for again in sent(session)] == [
        "/market/ticker:BTC-USDT,ETH-USDT",
        "/market/ticker:KCS-USDT",
    ]


def test_a_refusal_that_names_every_topic_is_halved() -> None:
    session = opened()
    session.subscribe([BTC, ETH, KCS])
    (command,) = sent(session)
    refuse(session, command["id"], 404, f"topics {BTC.topic} and {ETH.topic} and {KCS.topic} are not found")
    assert [again["topic"] for again in sent(session)] == ["/market/ticker:BTC-USDT,ETH-USDT", KCS.topic]


def test_too_many_topics_in_one_command_are_asked_for_in_smaller_ones() -> None:
    session = opened()
    session.subscribe([key(f"A{number}") for number in range(8)])
    (command,) = sent(session)
    refuse(session, command["id"], 509, "exceed max subscription count limitation of 5 per time")
    assert [again["topic"].count(",") + 1 for again in sent(session)] == [4, 4]


def test_what_is_left_of_a_refused_command_is_never_blamed_for_what_was_taken_back() -> None:
    session = opened()
    session.subscribe([BTC, ETH])
    (command,) = sent(session)
    session.unsubscribe([ETH])
    refuse(session, command["id"], 404, "topic does not exist")
    assert session.events() == []
    assert topics(session) == [("subscribe", BTC.topic), ("unsubscribe", ETH.topic)]


def test_parts_of_a_refused_command_go_before_later_commands() -> None:
    session = opened()
    session.subscribe([BTC, ETH])
    (command,) = sent(session)
    session.unsubscribe([ETH])
    session.subscribe([ETH, TopicKey("/market/match:BTC-USDT")])
    refuse(session, command["id"], 404, "topic does not exist")
    assert topics(session) == [
        ("subscribe", BTC.topic),
        ("subscribe", ETH.topic),
        ("subscribe", "/market/match:BTC-USDT"),
    ]


@settings(max_examples=examples(40), deadline=None)
@given(bad=st.sets(st.integers(0, 59), max_size=12), named=st.booleans())
def test_narrowing_finds_exactly_the_bad_topics(bad: set[int], named: bool) -> None:
    session = opened()
    keys = [key(f"A{number}") for number in range(60)]
    session.subscribe(keys)
    now = 0.0
    while not session.settled:
        session.handle_deadline(now)
        converse(session, {keys[number].topic for number in bad}, named=named, now=now)
        now += 1.0
    assert sorted(refused_topics(session.events())) == sorted(keys[number].topic for number in bad)
    assert {number for number in range(60) if not session.is_active(keys[number])} == bad


# Full connections


@pytest.mark.parametrize("code", [509, 400])
def test_a_full_connection_gives_topics_back_to_be_placed_elsewhere(code: int) -> None:
    session = subscribed(KCS)
    session.subscribe([BTC, ETH])
    (command,) = sent(session)
    refuse(session, command["id"], code, PER_SESSION)
    assert session.events() == [ConnectionFull((BTC, ETH))]
    assert session.settled
    assert session.is_active(KCS)
    session.subscribe([BTC])
    assert topics(session) == [("subscribe", BTC.topic)]


def test_only_what_is_still_wanted_has_to_move() -> None:
    session = subscribed(KCS)
    session.subscribe([BTC, ETH])
    (command,) = sent(session)
    session.unsubscribe([ETH])
    refuse(session, command["id"], 509, PER_SESSION)
    assert session.events() == [ConnectionFull((BTC,))]


def test_a_connection_that_carries_nothing_is_not_full_but_asked_for_less() -> None:
    session = opened()
    session.subscribe([BTC, ETH])
    (command,) = sent(session)
    refuse(session, command["id"], 509, PER_SESSION)
    first, second = sent(session)
    assert (first["topic"], second["topic"]) == (BTC.topic, ETH.topic)
    acknowledge(session, first["id"])
    refuse(session, second["id"], 509, PER_SESSION)
    assert session.events() == [Acked((BTC,)), ConnectionFull((ETH,))]


def test_topics_of_a_tunnel_can_not_move_and_are_refused_one_by_one() -> None:
    session = subscribed(KCS)
    inside = [key("BTC", "t"), key("ETH", "t")]
    session.subscribe(inside)
    opens, subscribes = sent(session)
    acknowledge(session, opens["id"])
    refuse(session, subscribes["id"], 509, PER_SESSION)
    first, second = sent(session)
    acknowledge(session, first["id"])
    refuse(session, second["id"], 509, PER_SESSION)
    acked, refused = session.events()
    assert acked == Acked((inside[0],))
    assert isinstance(refused, TopicRefused)
    assert refused.key == inside[1]
    assert "300 per session" in str(refused.error)


# Tunnels


def test_a_tunnel_is_opened_once_before_its_first_topic() -> None:
    session = opened()
    session.subscribe([key("BTC", "t"), ETH, key("KCS", "t")])
    session.subscribe([key("ETH", "t")])
    assert sent(session) == [
        {"id": "1", "type": "openTunnel", "newTunnelId": "t", "response": True},
        {
            "id": "2",
            "type": "subscribe",
            "topic": "/market/ticker:BTC-USDT,KCS-USDT",
            "privateChannel": False,
            "tunnelId": "t",
            "response": True,
        },
        {
            "id": "3",
            "type": "subscribe",
            "topic": "/market/ticker:ETH-USDT",
            "privateChannel": False,
            "response": True,
        },
        {
            "id": "4",
            "type": "subscribe",
            "topic": "/market/ticker:ETH-USDT",
            "privateChannel": False,
            "tunnelId": "t",
            "response": True,
        },
    ]
    for command_id in "1234":
        acknowledge(session, command_id)
    assert session.events() == [Acked((key("BTC", "t"), key("KCS", "t"))), Acked((ETH,)), Acked((key("ETH", "t"),))]


def test_a_topic_in_a_tunnel_and_outside_are_unsubscribed_apart() -> None:
    session = subscribed(BTC, key("BTC", "t"), key("ETH", "t"))
    session.unsubscribe([BTC, key("ETH", "t")])
    assert [(command["topic"], command.get("tunnelId")) for command in sent(session)] == [
        (BTC.topic, None),
        (ETH.topic, "t"),
    ]
    assert session.is_active(key("BTC", "t"))


def test_closing_a_tunnel_ends_all_that_is_in_it_with_one_command() -> None:
    session = subscribed(BTC, key("BTC", "t"), key("ETH", "t"))
    session.close_tunnel("t")
    (command,) = sent(session)
    assert command == {"id": command["id"], "type": "closeTunnel", "tunnelId": "t", "response": True}
    assert session.is_active(BTC)
    assert not session.is_active(key("BTC", "t"))
    acknowledge(session, command["id"])
    assert session.settled
    session.unsubscribe([key("BTC", "t")])
    assert sent(session) == []


def test_a_tunnel_that_is_not_open_can_not_be_closed() -> None:
    session = opened()
    session.close_tunnel("t")
    assert session.settled


def test_topics_on_their_way_into_a_closed_tunnel_are_taken_back() -> None:
    session = opened()
    session.subscribe([key("BTC", "t")])
    session.close_tunnel("t")
    assert sent(session) == []
    assert session.settled


def test_a_closed_tunnel_can_be_opened_again() -> None:
    session = subscribed(key("BTC", "t"))
    session.close_tunnel("t")
    session.subscribe([key("BTC", "t")])
    assert [command["type"] for command in sent(session)] == ["closeTunnel", "openTunnel", "subscribe"]


def test_a_refused_tunnel_refuses_all_that_was_to_be_in_it() -> None:
    session = opened()
    session.subscribe([key("BTC", "t"), key("ETH", "t"), KCS])
    opens, first, outside = sent(session)
    session.subscribe([TopicKey("/market/match:BTC-USDT", "t")])
    refuse(session, opens["id"], 509, "exceed max tunnel count limitation of 5 per session")
    events = session.events()
    assert sorted(refused_topics(events)) == ["/market/match:BTC-USDT", BTC.topic, ETH.topic]
    for event in events:
        assert isinstance(event, TopicRefused)
        assert "its tunnel 't' was refused: exceed max tunnel count" in str(event.error)
    refuse(session, first["id"], 404, "tunnel t is not found")
    acknowledge(session, outside["id"])
    assert session.events() == [Acked((KCS,))]
    assert session.settled
    session.subscribe([key("BTC", "t")])
    assert [command["type"] for command in sent(session)] == ["openTunnel", "subscribe"]


def test_the_refusal_of_a_tunnel_that_was_closed_meanwhile_says_nothing_of_the_new_one() -> None:
    session = opened()
    session.subscribe([key("BTC", "t")])
    sent(session)
    session.close_tunnel("t")
    session.subscribe([key("BTC", "t")])
    _, _, subscribes = sent(session)
    refuse(session, "1", 509, "exceed max tunnel count limitation of 5 per session")
    assert session.events() == []
    acknowledge(session, subscribes["id"])
    assert session.events() == [Acked((key("BTC", "t"),))]


# What comes


def test_pushes_come_out_in_order_with_their_frame_and_batch() -> None:
    session, arrival = opened(), Arrival(4, 99)
    other = PUSH.replace(b"BTC", b"ETH")
    messages = messages_of(session.receive([PUSH, b'{"type":"pong","id":"9"}', other], arrival, 1.0))
    assert [message.topic for message in messages] == [BTC.topic, ETH.topic]
    assert [message.raw for message in messages] == [PUSH, other]
    assert all(message.origin.arrival is arrival for message in messages)
    assert (session.unreadable, session.unknown) == (0, 0)


def test_frames_that_begin_as_pushes_before_them_are_a_batch() -> None:
    session, arrival = opened(), Arrival(4, 99)
    session.eventful = False  # the welcome was one
    other = PUSH.replace(b"BTC", b"ETH")
    assert session.recognise([PUSH, other], arrival) is None, "none came yet"
    pushes = session.receive([PUSH, other], arrival, 1.0)
    assert [type(push) is RawPush for push in pushes] == [False, False]
    for count in (2, 3):
        mixed = session.recognise([PUSH, other, PUSH], arrival)
        assert isinstance(mixed, FrameBatch)
        assert [(push.frame, push.arrival) for push in mixed] == [(PUSH, arrival), (other, arrival), (PUSH, arrival)]
        assert mixed.prefix is None and mixed.prefixes is not None
        assert mixed.prefixes[0] is mixed.prefixes[2] is not mixed.prefixes[1]
        alike = session.recognise([PUSH] * count, arrival)
        assert isinstance(alike, FrameBatch)
        assert alike.prefix is mixed.prefixes[0] and alike.prefixes is None
        assert [(push.frame, push.arrival, push.prefix) for push in alike] == [(PUSH, arrival, alike.prefix)] * count
        assert (mixed.text, alike.text) == (PUSH + other + PUSH, PUSH * count)
    assert not session.eventful


def test_what_is_known_and_what_is_not_come_out_in_order() -> None:
    session, arrival = opened(), Arrival(4, 99)
    session.eventful = False
    other, pong = PUSH.replace(b"BTC", b"ETH"), b'{"type":"pong","id":"9"}'
    receive(session, PUSH, other)
    frames = [PUSH, PUSH, other, pong, other, PUSH]
    assert session.recognise(frames, arrival) is None
    pushes = session.receive(frames, arrival, 1.0)
    assert all(isinstance(push, RawPush) for push in pushes)
    assert [message.raw for message in opened_pushes(pushes)] == [PUSH, PUSH, other, other, PUSH]
    assert session.eventful


def test_what_is_not_recognised_changes_nothing() -> None:
    session = opened()
    receive(session, PUSH)
    session.eventful = False
    deadline = session.next_deadline()
    for frames in ([b"\xff"], [b""], [PUSH, b"{"], [PUSH, PUSH.replace(b"BTC", b"ETH")], [b'{"type":"pong","id":"9"}']):
        assert session.recognise(frames, Arrival()) is None
    assert (session.next_deadline(), session.eventful, session.unreadable) == (deadline, False, 0)


def test_a_raw_push_is_text_or_nothing() -> None:
    session = opened()
    receive(session, PUSH)
    accented, broken = (PUSH.replace(b'"data":{', b'"data":{"x":"%s",' % text) for text in ("é".encode(), b"\xff"))
    for each in (accented, broken):
        assert session.recognise([each], Arrival()) is None
        assert session.recognise([PUSH, each], Arrival()) is None
    assert receive(session, PUSH, broken, accented) == [decode_message_of(PUSH), decode_message_of(accented)]
    assert session.unreadable == 1


def recognised(session: Session, frame: bytes, now: float = 1.0) -> EnvelopePrefix | None:
    """Return the prefix by which a frame that came alone is known."""
    arrival = Arrival()
    pushes = session.recognise([frame], arrival)
    if pushes is None:
        return None
    assert isinstance(pushes, tuple)
    [push] = pushes
    assert (push.frame, push.arrival) == (frame, arrival)
    return push.prefix


def test_a_push_that_comes_alone_and_begins_as_the_last_one_is_known_by_its_prefix() -> None:
    session = opened()
    assert recognised(session, PUSH) is None, "none came yet"
    receive(session, PUSH)
    receive(session, PUSH)
    prefix = recognised(session, PUSH, 2.0)
    assert prefix is not None
    assert prefix.channel == (BTC.topic, "trade.ticker")
    assert recognised(session, PUSH.replace(b"BTC", b"ETH"), 2.0) is None
    assert recognised(session, PUSH.replace(b"70.5", b"70\xff"), 2.0) is None, "it might be no text"


def test_so_is_one_that_begins_as_any_before_it() -> None:
    session = opened()
    other = PUSH.replace(b"BTC", b"ETH")
    receive(session, PUSH)
    receive(session, other)
    receive(session, other)
    first, second = recognised(session, PUSH), recognised(session, other)
    assert first is not None and second is not None
    assert (first.channel[0], second.channel[0]) == (BTC.topic, BTC.topic.replace("BTC", "ETH"))
    assert recognised(session, PUSH) is first
    assert recognised(session, PUSH.replace(b"70.5", b"70\xff")) is None, "it might be no text"
    assert recognised(session, PUSH.replace(b"BTC", b"KCS")) is None


def decode_message_of(frame: bytes) -> Message:
    message = decode_message(frame)
    message.raw, message.origin = frame, Origin(Arrival())
    return message


def test_a_frame_without_a_type_is_a_push() -> None:
    (message,) = receive(opened(), b'{"topic":"/a/b","data":1}')
    assert (message.type, message.topic, message.data) == ("message", "/a/b", 1)


def test_an_empty_receive_counts_as_life() -> None:
    session = opened()
    session.handle_deadline(9.0)
    assert len(session.receive([], Arrival(), 12.0)) == 0
    assert session.next_deadline() == 18.0
    session.handle_deadline(18.0)
    assert session.next_deadline() == 22.0


DEEP = b"[" * 200_000 + b"]" * 200_000
DIGITS = b"9" * 5000


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b" ",
        b"{",
        b"not json",
        b"[]",
        b"[1,2]",
        b"7",
        b"-1.5e3",
        b'"message"',
        b"null",
        b"true",
        b"\xff\xff",
        b'{"type":7}',
        b'{"type":["message"]}',
        b'{"type":"message","topic":7}',
        b'{"type":"message","topic":{"a":1}}',
        b'{"type":"message","subject":[]}',
        b'{"type":"message","tunnelId":1}',
        b'{"type":"message","topic":"/a/b","data":NaN}',
        b'{"type":"message","topic":"/a/b","data":-Infinity}',
        b'{"type":"message","topic":"/a/b","data":{"a":1,}}',
        b'{"type":"message","data":"\\ud800"}',
        b'{"type":"message","topic":"/a/b","data":"cut \xc3"}',
        b'{"type":"message","topic":"/a/b\xff","data":1}',
        b'{"type":"message","topic":"/a/b","data":{"\xed\xa0\x80":1}}',
        b'{"type":"message","topic":"/a/b","data":"\xc3\xa9 and \xe9"}',
        b'{"type":"message","topic":"/a/b","data":' + DEEP + b"}",
        b'{"type":"error","code":400,"data":' + DEEP + b"}",
        DEEP,
        b'{"type":"ack","id":1.5}',
        b'{"type":"ack","id":[]}',
        b'{"type":"error","code":{}}',
        b'{"type":"ack","id":' + DIGITS + b"}",
        b'{"type":"error","code":400,"data":"cut \xc3"}',
        b'{"type":"notice","data":"\xff"}',
        *(
            f'{{"type":"message","topic":"/a/b","{name}":{value}}}'.encode()
            for name in ("~origin", "~lost", "~data", "~payload", "~whole")
            for value in ("null", "5")
        ),
    ],
    ids=lambda bad: f"{bad[:60]!r}({len(bad)})",
)
def test_a_frame_that_can_not_be_read_is_counted_and_its_neighbours_are_delivered(bad: bytes) -> None:
    session = opened()
    session.subscribe([BTC])
    sent(session)
    messages = receive(session, PUSH, bad, b'{"id":"1","type":"ack"}', bad, PUSH)
    assert [message.raw for message in messages] == [PUSH, PUSH]
    assert (session.unreadable, session.unknown) == (2, 0)
    assert session.events() == [Acked((BTC,))]
    assert session.lost is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":""}',
        b'{"type":"notice","data":{"a":1}}',
        b'{"type":"command","id":"7"}',
        b'{"type":"MESSAGE","topic":"/a/b"}',
        b'{"topic":7,"data":1}',
        b'{"topic":"/a/b","~lost":1}',
    ],
)
def test_a_frame_of_an_unknown_type_is_passed_by_and_counted(frame: bytes) -> None:
    session = opened()
    assert receive(session, frame) == []
    assert (session.unreadable, session.unknown) == (0, 1)
    assert session.events() == []
    assert session.lost is None


@pytest.mark.parametrize(
    "data",
    [
        DIGITS,
        b"-" + DIGITS,
        b"1e999",
        b"1" * 400 + b".5",
        b'"\xc3\xa9\xf0\x9f\x98\x80"',
        b'"\\u00e9\\ud83d\\ude00"',
        b"null",
        b"[" * 500 + b"]" * 500,
    ],
    ids=lambda data: f"{data[:20]!r}({len(data)})",
)
def test_a_strange_payload_is_delivered_and_can_be_read(data: bytes) -> None:
    session = opened()
    (message,) = receive(session, b'{"type":"message","topic":"/market/ticker:BTC-USDT","data":' + data + b"}")
    assert session.unreadable == 0
    assert isinstance(message.payload, payloads.Ticker)
    assert (message.payload.price, message.payload.time_ns) == (None, 0)
    assert message["data"] is message.data


@pytest.mark.parametrize("opens", [b"[", b'{"a":'])
def test_no_depth_of_nesting_makes_receiving_raise(opens: bytes) -> None:
    session = opened()
    closes = b"]" if opens == b"[" else b"}"
    for depth in range(880, 1010):
        nested = opens * depth + b"1" + closes * depth
        frames = [b'{"type":"%s","id":"x","data":%s}' % (kind, nested) for kind in (b"error", b"message", b"notice")]
        read = len(receive(session, *frames)) + len(session.events()) + session.unreadable + session.unknown
        assert read == 3
        session.unreadable = session.unknown = 0
        assert session.lost is None


@pytest.mark.parametrize("code", [b"null", b'"509"', b'"x"', b"1e3", b"-1", b'"' + DIGITS + b'"'])
def test_a_strange_error_code_is_no_error_of_ours(code: bytes) -> None:
    session = opened()
    receive(session, b'{"type":"error","code":' + code + b',"data":"strange"}')
    assert session.unreadable + len(session.events()) == 1


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode)), max_size=6))
def test_no_bytes_make_receiving_raise(junk: list[bytes]) -> None:
    session = opened()
    messages = receive(session, PUSH, *junk, PUSH)
    assert len(messages) + session.unreadable + session.unknown >= 2
    assert (messages[0].raw, messages[-1].raw) == (PUSH, PUSH)


# A random walk


BAD = "/market/ticker:BAD-USDT"
WALK_KEYS = [
    *(TopicKey(f"/market/ticker:{name}-USDT") for name in ("A", "B", "C", "BAD")),
    *(TopicKey(f"/contractMarket/tickerV2:{name}USDTM") for name in ("X", "Y")),
    *(TopicKey(f"/market/ticker:{name}-USDT", "t") for name in ("A", "B", "BAD")),
]


class Peer:
    """A server that carries commands out when they come, and answers in its own time; sane, or not quite."""

    def __init__(self) -> None:
        self.carries: set[TopicKey] = set()
        self.tunnels: set[str] = set()
        self.answers: list[dict[str, Any]] = []
        self.capacity = 100

    def take(self, command: dict[str, Any], verdict: str) -> None:
        kind, command_id = command["type"], command["id"]
        if kind == "ping":
            self.answers.append({"type": "pong", "id": command_id})
        elif verdict == "deaf" and kind.endswith("subscribe"):
            pass
        elif verdict in ("pace", "busy") and kind != "closeTunnel":
            text = TOO_FAST if verdict == "pace" else BUSY
            self.answers.append({"type": "error", "id": command_id, "code": 509, "data": text})
        else:
            error = self._carry_out(command)
            if error:
                self.answers.append({"type": "error", "id": command_id, "code": error[0], "data": error[1]})
            elif verdict != "mute":
                self.answers.append({"type": "ack", "id": command_id})

    def _carry_out(self, command: dict[str, Any]) -> tuple[int, str] | None:
        tunnel = command.get("tunnelId")
        if command["type"] == "openTunnel":
            self.tunnels.add(command["newTunnelId"])
            return None
        if tunnel is not None and tunnel not in self.tunnels:
            return 404, f"tunnel {tunnel} is not found"
        if command["type"] == "closeTunnel":
            self.tunnels.discard(tunnel)
            self.carries -= {held for held in self.carries if held.tunnel == tunnel}
            return None
        prefix, _, names = command["topic"].partition(":")
        asked = {TopicKey(f"{prefix}:{name}", tunnel) for name in names.split(",")}
        if command["type"] == "unsubscribe":
            self.carries -= asked
        elif any(each.topic == BAD for each in asked):
            return 404, "topic does not exist"
        elif len(self.carries | asked) > self.capacity:
            return 509, PER_SESSION
        else:
            self.carries |= asked
        return None


class Walk:
    """A session and its peer, step by step, beside what its owner wants."""

    def __init__(self, *, sane: bool) -> None:
        self.session = opened(limits=Limits(commands_per_10s=12, topics_per_command=3))
        self.peer = Peer()
        self.wanted: set[TopicKey] = set()
        self.now = 0.0
        self.sane = sane

    def subscribe(self, keys: list[TopicKey]) -> None:
        self.wanted |= set(keys)
        self.session.subscribe(keys)

    def unsubscribe(self, keys: list[TopicKey]) -> None:
        self.wanted -= set(keys)
        self.session.unsubscribe(keys)

    def close_tunnel(self, _: object) -> None:
        self.wanted = {each for each in self.wanted if each.tunnel is None}
        self.session.close_tunnel("t")

    def capacity(self, capacity: int) -> None:
        self.peer.capacity = max(capacity, len(self.peer.carries))

    def advance(self, seconds: float, verdict: str = "ack") -> None:
        if self.sane:
            self.answer(1000)
        self.now += seconds
        self.send(verdict)

    def send(self, verdict: str) -> None:
        self.session.handle_deadline(self.now)
        for command in sent(self.session, self.now):
            self.peer.take(command, verdict)
        if self.session.lost is None and not self.session.settled:
            assert self.session.next_deadline() > self.now

    def answer(self, count: int) -> None:
        frames = [json.dumps(answer).encode() for answer in self.peer.answers[:count]]
        del self.peer.answers[:count]
        receive(self.session, *frames, now=self.now)
        for event in self.session.events():
            if isinstance(event, TopicRefused):
                assert event.key in self.wanted
                self.wanted.discard(event.key)
            elif isinstance(event, ConnectionFull):
                assert set(event.keys) <= self.wanted
                self.wanted -= set(event.keys)
            elif isinstance(event, Acked):
                assert set(event.keys) <= self.wanted

    def junk(self, frame: bytes) -> None:
        receive(self.session, frame, now=self.now)

    def come_to_rest(self) -> None:
        """Let a healthy peer answer everything."""
        for _ in range(400):
            self.answer(1000)
            if self.session.settled or self.session.lost is not None:
                return
            self.now += 1.0
            self.send("ack")
        raise AssertionError(f"{self.session!r} does not come to rest")


def steps(verdicts: list[str]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    keys = st.lists(st.sampled_from(WALK_KEYS), min_size=1, max_size=5)
    return st.lists(
        st.one_of(
            st.tuples(st.just("subscribe"), keys),
            st.tuples(st.just("unsubscribe"), keys),
            st.tuples(st.just("send"), st.sampled_from(verdicts)),
            st.tuples(st.just("send"), st.sampled_from(verdicts)),
            st.tuples(st.just("answer"), st.integers(1, 4)),
            st.tuples(st.just("answer"), st.integers(1, 4)),
            st.tuples(st.just("advance"), st.sampled_from([0.5, 3.0, 6.0]), st.sampled_from(verdicts)),
            st.tuples(st.just("close_tunnel"), st.none()),
            st.tuples(st.just("capacity"), st.integers(2, 8)),
            st.tuples(st.just("junk"), st.sampled_from([b"?", b"{}", PUSH, b'{"type":"ack","id":"no"}'])),
        ),
        max_size=40,
    )


@settings(max_examples=examples(150), deadline=None)
@given(steps=steps(["ack", "ack", "ack", "pace", "busy", "mute", "deaf"]))
def test_a_random_walk_never_raises_and_never_loses_a_wanted_topic(steps: list[tuple[Any, ...]]) -> None:
    walk = Walk(sane=False)
    for step, *arguments in steps:
        getattr(walk, step)(*arguments)
        if walk.session.lost is not None:
            assert isinstance(walk.session.lost, (ProtocolError, ConnectionFailed))
            return
    walk.come_to_rest()
    if walk.session.lost is None:
        assert {each for each in WALK_KEYS if walk.session.is_active(each)} == walk.wanted
        assert walk.wanted <= walk.peer.carries


@settings(max_examples=examples(150), deadline=None)
@given(steps=steps(["ack", "ack", "ack", "pace", "busy"]))
def test_a_peer_that_answers_in_time_carries_exactly_what_is_wanted_in_the_end(steps: list[tuple[Any, ...]]) -> None:
    walk = Walk(sane=True)
    for step, *arguments in steps:
        getattr(walk, step)(*arguments)
        assert walk.session.lost is None
        queued = [each for command in walk.session._commands.waiting for each in command.keys]
        assert len(queued) == len(set(queued)), "two commands of one key are queued"
    walk.come_to_rest()
    assert walk.session.lost is None
    assert {each for each in WALK_KEYS if walk.session.is_active(each)} == walk.wanted
    assert walk.peer.carries == walk.wanted
