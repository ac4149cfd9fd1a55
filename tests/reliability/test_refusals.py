"""A server that refuses, postpones, or answers late, twice, or never: who asked is told, everybody else goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import AckTimeout, Rejected, Resubscribed, Retrying, ServerNotice, Stream, SubscriptionRejected
from kucoin_sync.protocol import commands as commands_module
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.streams import Events
from ..support.threads import Task, until
from .feed import UTA, Feed, numbers, on_both, publish

# Resubscribing


REFUSALS: dict[str, dict[str, Any]] = {
    "404": {"code": 404},
    "403": {"code": 403},
    "400": {"code": 400, "text": "topic is invalid"},
    "406": {"code": 406},
}
UTA_REFUSALS: dict[str, dict[str, Any]] = {
    "message": {"text": "invalid request data"},
    "reason": {"text": "symbols are not supported for topic trade", "member": "reason"},
    "msg": {"text": "OLD-USDT is not here", "member": "msg"},
    "empty": {"text": ""},
}


@on_both("how", REFUSALS, UTA_REFUSALS)
def test_a_topic_that_is_refused_after_a_reconnect_ends_its_subscription_with_the_reason_and_no_other(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, how: str, feed: Feed
) -> None:
    doomed, good, both = (
        stream.subscribe(feed.match),
        stream.subscribe(feed.eth),
        stream.subscribe(feed.match, feed.eth),
    )
    publish(server, [1], feed.match)
    publish(server, [1], feed.eth)
    assert numbers(good, 1) == [1], "and what came before it has come"
    refusal = UTA_REFUSALS[how] if feed.is_uta else REFUSALS[how]
    server.reject_next(**refusal, topic=feed.match)
    proxy.reset()
    assert events.wait(Rejected).topic == feed.match
    events.wait(Resubscribed)
    publish(server, [2], feed.eth)
    assert numbers(good, 1) == [2]
    assert numbers(doomed, 1) == [1], "what was received comes first"
    with pytest.raises(SubscriptionRejected, match=re.escape(feed.match)) as caught:
        doomed.get(5)
    assert (caught.value.topic, caught.value.code) == (feed.match, 0 if feed.is_uta else refusal["code"])
    assert refusal.get("text", "") in str(caught.value)
    assert "code 0" not in str(caught.value)
    assert doomed.closed
    until(lambda: both.pending == 3, "one subscription gets a message after the other")
    assert numbers(both, 3) == [1, 1, 2]
    with pytest.raises(SubscriptionRejected, match=re.escape(feed.match)):
        both.get(5)
    assert both.topics == (feed.eth,)
    publish(server, [3], feed.eth)
    assert numbers(both, 1) == numbers(good, 1) == [3]


def test_a_refused_topic_takes_none_of_its_command_with_it(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, feed: Feed
) -> None:
    bad = f"{feed.ticker}:OLD-USDT"
    doomed, good = stream.subscribe(bad), stream.subscribe(feed.eth)
    server.reject_next(404, topic=bad, times=2)
    proxy.reset()
    events.wait(Resubscribed)
    assert feed.commands(server, "subscribe")[2:] == [f"{bad},ETH-USDT", bad, feed.eth]
    assert [event.topic for event in events.all if isinstance(event, Rejected)] == [bad]
    publish(server, [1], feed.eth)
    assert numbers(good, 1) == [1]
    assert doomed.closed


POSTPONED = [
    "exceed max permits per second", "service busy, please retry later", "system error", "Service Unavailable",
    "Too Many Requests",
]  # fmt: skip


@on_both("text", POSTPONED)
def test_a_topic_that_is_put_off_after_a_reconnect_is_asked_for_again(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, text: str, feed: Feed
) -> None:
    subscriptions = stream.subscribe(feed.match), stream.subscribe(feed.eth)
    server.reject_next(509, text, topic=feed.match)
    proxy.reset()
    events.wait(Resubscribed)
    for subscription in subscriptions:
        publish(server, [1], subscription.topics[0])
        assert numbers(subscription, 1) == [1]
    assert not [event for event in events.all if isinstance(event, Rejected)]


def test_a_connection_that_is_full_after_a_reconnect_sends_its_topics_to_another(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, feed: Feed
) -> None:
    # A topic that shares no command with others is asked for first.
    early, late = (feed.match, feed.eth) if feed.is_uta else (feed.eth, feed.match)
    subscriptions = stream.subscribe(early), stream.subscribe(late)
    server.reject_next(509, "exceed max subscription count limitation of 300 per session", topic=late)
    proxy.reset()
    server.wait_for(lambda s: [sorted(c.topics) for c in s.connections] == [[early], [late]], timeout=10)
    for subscription in subscriptions:
        publish(server, [1], subscription.topics[0])
        assert numbers(subscription, 1) == [1]


def test_a_command_with_too_many_topics_for_the_server_is_split(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, feed: Feed
) -> None:
    subscription = stream.subscribe(f"{feed.ticker}:A-USDT,B-USDT,C-USDT")
    server.reject_next(509, "exceed max subscription count limitation of 2 per time")
    proxy.reset()
    events.wait(Resubscribed)
    assert feed.commands(server, "subscribe")[-3:] == [
        f"{feed.ticker}:A-USDT,B-USDT,C-USDT",
        f"{feed.ticker}:A-USDT,B-USDT",
        f"{feed.ticker}:C-USDT",
    ]
    for symbol in "ABC":
        publish(server, [1], f"{feed.ticker}:{symbol}-USDT")
    assert numbers(subscription, 3) == [1, 1, 1]


def test_a_server_with_too_many_sessions_is_tried_again(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, events: Events, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    server.no_welcome(times=1)
    proxy.reset()
    server.wait_for(lambda s: len(s.handshakes) == 2 and s.connections, timeout=10)
    server.send_raw(feed.error(509, "exceed max session count limitation of 50"))
    assert "exceed max session count" in str(events.wait(Retrying).error)
    events.wait(Resubscribed)
    publish(server, [1], feed.eth)
    assert numbers(subscription, 1) == [1]


def test_a_complaint_about_the_pace_that_names_no_command_makes_the_stream_pause(
    server: KucoinServer, stream: Stream, events: Events, feed: Feed
) -> None:
    stream.subscribe(feed.eth)
    server.send_raw(feed.error(509, "exceed max permits per second"))
    assert events.wait(ServerNotice).code == (0 if feed.is_uta else 509)
    stream.subscribe(feed.match)
    first, second = server.received
    assert second.received_ns - first.received_ns >= 0.9e9


# Acks


def test_an_ack_that_is_lost_is_an_ack_timeout_and_leaves_no_phantom(
    server: KucoinServer, stream: Stream, feed: Feed
) -> None:
    stream.subscribe(feed.match)
    server.withhold_acks(1)
    with pytest.raises(AckTimeout, match=f"did not confirm {feed.eth}") as caught:
        stream.subscribe(feed.eth, timeout=0.5)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.retriable
    server.wait_for(lambda s: feed.commands(s, "unsubscribe") == [feed.eth])
    assert stream.stats()["subscriptions"] == stream.stats()["topics"] == 1
    assert server.connections[0].topics == {feed.match}


def test_an_ack_that_is_lost_is_asked_for_again(
    server: KucoinServer, stream: Stream, monkeypatch: pytest.MonkeyPatch, feed: Feed
) -> None:
    assert commands_module.ACK_TIMEOUT == 10.0
    monkeypatch.setattr(commands_module, "ACK_TIMEOUT", 0.2)
    server.withhold_acks(2)
    subscription = stream.subscribe(feed.eth)
    assert feed.commands(server, "subscribe") == [feed.eth] * 3
    publish(server, [1], feed.eth)
    assert numbers(subscription, 1) == [1]


@pytest.mark.parametrize("result", [True, "true", "True"], ids=repr)
@pytest.mark.parametrize("of", [str, int])
def test_an_ack_of_the_uta_feed_counts_in_any_spelling(
    server: KucoinServer, stream: Stream, result: object, of: Callable[[str], object]
) -> None:
    server.withhold_acks(1)
    subscribing = Task(stream.subscribe, UTA.eth)
    (command,) = server.wait_for(lambda s: s.received)
    server.send_raw(json.dumps({"id": of(command.message["id"]), "result": result}))
    assert not subscribing.result().closed
    publish(server, [1], UTA.eth)
    assert numbers(subscribing.result(), 1) == [1]
    assert stream.stats()["unreadable"] == stream.stats()["unknown_types"] == 0


def test_an_ack_that_comes_too_late_makes_no_phantom(
    server: KucoinServer, proxy: FaultProxy, stream: Stream, feed: Feed
) -> None:
    other = stream.subscribe(feed.match)
    proxy.to_client.hold()
    with pytest.raises(AckTimeout):
        stream.subscribe(feed.eth, timeout=0.5)
    server.wait_for(lambda s: feed.commands(s, "unsubscribe") == [feed.eth])
    publish(server, [1], feed.match)
    proxy.heal()
    assert numbers(other, 1) == [1], "behind the late ack"
    assert stream.stats()["topics"] == stream.stats()["subscriptions"] == 1
    again = stream.subscribe(feed.eth)
    publish(server, [2], feed.eth)
    assert numbers(again, 1) == [2]


def test_acks_that_come_twice_or_are_of_no_command_change_nothing(
    server: KucoinServer, stream: Stream, events: Events, feed: Feed
) -> None:
    other = stream.subscribe(feed.match)
    for frame in (feed.ack("424242"), feed.ack(424242), feed.ack(), feed.ack("").replace('""', "null"), feed.ack("")):
        server.send_raw(frame)
    server.duplicate_acks(2)
    subscription = stream.subscribe(feed.eth)
    other.close()
    publish(server, [1], feed.eth)
    assert numbers(subscription, 1) == [1]
    assert stream.stats()["topics"] == stream.stats()["subscriptions"] == 1
    assert stream.stats()["unreadable"] == stream.stats()["reconnects"] == 0
