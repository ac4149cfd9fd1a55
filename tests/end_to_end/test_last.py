"""`stream.last`: the newest message of a topic, beside subscriptions that get every message."""

from __future__ import annotations

import threading

import pytest

from kucoin_sync import InvalidTopic, Stream, StreamClosed, topics
from kucoin_sync.testing import KucoinServer

from ..support.threads import LIMIT, Task, until

TOPIC = topics.ticker("BTC-USDT")


def push(server: KucoinServer, number: int) -> None:
    server.publish(TOPIC, {"sequence": str(number), "price": "1"}, "trade.ticker")


def test_it_takes_no_message_from_a_subscription(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(TOPIC)
    reading = Task(stream.last, TOPIC, None)
    until(lambda: stream.stats()["subscriptions"] == 2, "it does not subscribe")
    for number in range(1, 4):
        push(server, number)
    assert reading.result().payload.sequence in (1, 2, 3)
    until(lambda: stream.last(TOPIC).payload.sequence == 3, "it is not the newest")
    assert [subscription.get(timeout=LIMIT).payload.sequence for _ in range(3)] == [1, 2, 3]


def test_without_a_message_it_says_what_did_not_come(stream: Stream) -> None:
    stream.subscribe(TOPIC, timeout=LIMIT)  # so that the time is that of a message alone
    with pytest.raises(TimeoutError, match=r"no message .*on /market/ticker:BTC-USDT"):
        stream.last(TOPIC, timeout=0.05)


def test_it_is_asked_for_one_topic(stream: Stream) -> None:
    with pytest.raises(InvalidTopic, match="names 2 topics; ask for the last message of each"):
        stream.last(topics.ticker("BTC-USDT", "ETH-USDT"))
    with pytest.raises(InvalidTopic, match="is not a topic"):
        stream.last("nonsense")


def test_unsubscribe_ends_it_until_the_next_call(server: KucoinServer, stream: Stream) -> None:
    push_again = Task(stream.last, TOPIC, LIMIT)
    server.wait_subscribed(TOPIC, timeout=LIMIT)
    push(server, 1)
    push_again.result()
    stream.unsubscribe(TOPIC)
    assert stream.stats()["subscriptions"] == 0
    again = Task(stream.last, TOPIC, LIMIT)
    until(lambda: stream.stats()["subscriptions"] == 1, "it does not subscribe again")
    server.wait_subscribed(TOPIC, timeout=LIMIT)
    push(server, 2)
    assert again.result().payload.sequence == 2


def test_a_closed_stream_has_no_last_message(stream: Stream) -> None:
    stream.close()
    with pytest.raises(StreamClosed):
        stream.last(TOPIC)


def test_it_does_not_keep_the_stream_alive(server: KucoinServer) -> None:
    streams = [Stream(**server.stream_options)]
    reading = Task(streams[0].last, TOPIC, LIMIT)
    server.wait_subscribed(TOPIC, timeout=LIMIT)
    push(server, 1)
    reading.result()
    del reading
    with pytest.warns(ResourceWarning, match="was not closed"):
        streams.clear()
    until(lambda: not any(thread.name.startswith("kucoin-io") for thread in threading.enumerate()), "it goes on")
