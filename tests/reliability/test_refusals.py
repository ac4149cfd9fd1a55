"""A server that refuses, postpones, or answers late, twice, or never: who asked is told, everybody else goes on."""

from __future__ import annotations

import pytest

from kucoin_sync import AckTimeout, Rejected, Resubscribed, Retrying, ServerNotice, Stream, SubscriptionRejected
from kucoin_sync.protocol import commands as commands_module
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..end_to_end.conftest import Events
from .feed import ETH, MATCH, numbers, publish


def commands(server: KucoinServer, kind: str) -> list[str]:
    """Return the topics of the commands of a kind, in order."""
    return [command.message["topic"] for command in server.received if command.message["type"] == kind]


# Resubscribing


@pytest.mark.parametrize(
    ("code", "text"),
    [(404, None), (403, None), (400, "topic is invalid"), (406, None)],
    ids=["404", "403", "400", "406"],
)
def test_a_topic_that_is_refused_after_a_reconnect_ends_its_subscription_with_the_reason_and_no_other(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, code: int, text: str | None
) -> None:
    doomed, good, both = stream.subscribe(MATCH), stream.subscribe(ETH), stream.subscribe(MATCH, ETH)
    publish(server, [1], MATCH)
    publish(server, [1])
    assert numbers(good, 1) == [1], "and what came before it has come"
    server.reject_next(code, text, topic=MATCH)
    proxy.reset()
    assert events.wait(Rejected).topic == MATCH
    events.wait(Resubscribed)
    publish(server, [2])
    assert numbers(good, 1) == [2]
    assert numbers(doomed, 1) == [1], "what was received comes first"
    with pytest.raises(SubscriptionRejected, match="OLD-USDT") as caught:
        doomed.get(5)
    assert (caught.value.topic, caught.value.code) == (MATCH, code)
    assert doomed.closed
    assert numbers(both, 3) == [1, 1, 2]
    with pytest.raises(SubscriptionRejected, match="OLD-USDT"):
        both.get(5)
    assert both.topics == (ETH,)
    publish(server, [3])
    assert numbers(both, 1) == numbers(good, 1) == [3]


def test_a_refused_topic_takes_none_of_its_command_with_it(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events
) -> None:
    bad = "/market/ticker:OLD-USDT"
    doomed, good = stream.subscribe(bad), stream.subscribe(ETH)
    server.reject_next(404, topic=bad, times=2)
    proxy.reset()
    events.wait(Resubscribed)
    assert commands(server, "subscribe")[2:] == ["/market/ticker:OLD-USDT,ETH-USDT", bad, ETH]
    assert [event.topic for event in events.all if isinstance(event, Rejected)] == [bad]
    publish(server, [1])
    assert numbers(good, 1) == [1]
    assert doomed.closed


POSTPONED = ["exceed max permits per second", "service busy, please retry later", "system error"]


@pytest.mark.parametrize("text", POSTPONED)
def test_a_topic_that_is_put_off_after_a_reconnect_is_asked_for_again(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, text: str
) -> None:
    subscriptions = stream.subscribe(MATCH), stream.subscribe(ETH)
    server.reject_next(509, text, topic=MATCH)
    proxy.reset()
    events.wait(Resubscribed)
    for subscription in subscriptions:
        publish(server, [1], subscription.topics[0])
        assert numbers(subscription, 1) == [1]
    assert not [event for event in events.all if isinstance(event, Rejected)]


def test_a_connection_that_is_full_after_a_reconnect_sends_its_topics_to_another(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events
) -> None:
    subscriptions = stream.subscribe(ETH), stream.subscribe(MATCH)
    server.reject_next(509, "exceed max subscription count limitation of 300 per session", topic=MATCH)
    proxy.reset()
    server.wait_for(lambda s: [sorted(c.topics) for c in s.connections] == [[ETH], [MATCH]], timeout=10)
    for subscription in subscriptions:
        publish(server, [1], subscription.topics[0])
        assert numbers(subscription, 1) == [1]


def test_a_command_with_too_many_topics_for_the_server_is_split(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events
) -> None:
    subscription = stream.subscribe("/market/ticker:A-USDT,B-USDT,C-USDT")
    server.reject_next(509, "exceed max subscription count limitation of 2 per time")
    proxy.reset()
    events.wait(Resubscribed)
    assert commands(server, "subscribe")[-3:] == [
        "/market/ticker:A-USDT,B-USDT,C-USDT",
        "/market/ticker:A-USDT,B-USDT",
        "/market/ticker:C-USDT",
    ]
    for symbol in "ABC":
        publish(server, [1], f"/market/ticker:{symbol}-USDT")
    assert numbers(subscription, 3) == [1, 1, 1]


def test_a_server_with_too_many_sessions_is_tried_again(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events
) -> None:
    subscription = stream.subscribe(ETH)
    server.no_welcome(times=1)
    proxy.reset()
    server.wait_for(lambda s: len(s.handshakes) == 2 and s.connections, timeout=10)
    server.send_raw('{"type":"error","code":509,"data":"exceed max session count limitation of 50"}')
    assert "exceed max session count" in str(events.wait(Retrying).error)
    events.wait(Resubscribed)
    publish(server, [1])
    assert numbers(subscription, 1) == [1]


def test_a_complaint_about_the_pace_that_names_no_command_makes_the_stream_pause(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    stream.subscribe(ETH)
    server.send_raw('{"type":"error","code":509,"data":"exceed max permits per second"}')
    assert events.wait(ServerNotice).code == 509
    stream.subscribe(MATCH)
    [first, second] = [command for command in server.received if command.message["type"] == "subscribe"]
    assert second.received_ns - first.received_ns >= 0.9e9


# Acks


def test_an_ack_that_is_lost_is_an_ack_timeout_and_leaves_no_phantom(server: KucoinServer, stream: Stream) -> None:
    server.withhold_acks(1)
    with pytest.raises(AckTimeout, match="did not confirm /market/ticker:ETH-USDT") as caught:
        stream.subscribe(ETH, timeout=2)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.retriable
    server.wait_for(lambda s: commands(s, "unsubscribe") == [ETH])
    assert stream.stats()["subscriptions"] == stream.stats()["topics"] == 0
    assert server.connections[0].topics == frozenset()


def test_an_ack_that_is_lost_is_asked_for_again(
    server: KucoinServer, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commands_module.ACK_TIMEOUT == 10.0
    monkeypatch.setattr(commands_module, "ACK_TIMEOUT", 0.2)
    server.withhold_acks(2)
    subscription = stream.subscribe(ETH)
    assert commands(server, "subscribe") == [ETH] * 3
    publish(server, [1])
    assert numbers(subscription, 1) == [1]


def test_an_ack_that_comes_too_late_makes_no_phantom(server: KucoinServer, proxy: FaultProxy, stream: Stream) -> None:
    other = stream.subscribe(MATCH)
    proxy.to_client.delay(1.0)
    with pytest.raises(AckTimeout):
        stream.subscribe(ETH, timeout=0.1)
    server.wait_for(lambda s: commands(s, "unsubscribe") == [ETH])
    publish(server, [1], MATCH)
    assert numbers(other, 1) == [1], "behind the late ack"
    assert stream.stats()["topics"] == stream.stats()["subscriptions"] == 1
    proxy.heal()
    again = stream.subscribe(ETH)
    publish(server, [2])
    assert numbers(again, 1) == [2]


def test_acks_that_come_twice_or_are_of_no_command_change_nothing(
    server: KucoinServer, stream: Stream, events: Events
) -> None:
    other = stream.subscribe(MATCH)
    for frame in (
        '{"id":"424242","type":"ack"}',
        '{"id":424242,"type":"ack"}',
        '{"type":"ack"}',
        '{"id":null,"type":"ack"}',
        '{"id":"","type":"ack"}',
    ):
        server.send_raw(frame)
    server.duplicate_acks(2)
    subscription = stream.subscribe(ETH)
    other.close()
    publish(server, [1])
    assert numbers(subscription, 1) == [1]
    assert stream.stats()["topics"] == stream.stats()["subscriptions"] == 1
    assert stream.stats()["unreadable"] == stream.stats()["reconnects"] == 0
