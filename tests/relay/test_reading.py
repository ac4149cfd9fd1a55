"""A reader of a relay behaves as a stream of KuCoin: iterators, `get`, callbacks, messages, refusals."""

from __future__ import annotations

import re
import socket
import threading

import pytest

from kucoin_sync import (
    AckTimeout,
    ConnectionFailed,
    Disconnected,
    InvalidTopic,
    Message,
    SlowConsumer,
    Stale,
    StreamClosed,
    Subscription,
    SubscriptionRejected,
)
from kucoin_sync.relay import Relay, RelayStream, codec, leadership, source
from kucoin_sync.relay import server as relay_server
from kucoin_sync.relay.buffer import RelayedTopic
from kucoin_sync.relay.keys import Keys, shard_of
from kucoin_sync.relay.stream import NAMESPACE
from kucoin_sync.testing import KucoinServer

from ..support.redis import LocalRedis
from ..support.relays import MakeReader, MakeRelay
from ..support.streams import Events
from ..support.threads import LIMIT, Task, reached, until

TOPIC = "/market/match:BTC-USDT"
OTHER = "/market/match:ETH-USDT"
TICKER = "/market/ticker:BTC-USDT"
FUTURES = "/contractMarket/execution:XBTUSDTM"


def send(server: KucoinServer, *numbers: int, topic: str = TOPIC) -> None:
    for number in numbers:
        assert server.publish(topic, {"n": number}, subject="trade.l3match") == 1


def numbers(messages: list[Message]) -> list[int]:
    return [each.data["n"] for each in messages]


def take(subscription: Subscription, count: int) -> list[Message]:
    return [subscription.get(timeout=LIMIT) for _ in range(count)]


def wait_for_reason(reader: RelayStream, pattern: str, topic: str = TOPIC) -> None:
    """Wait until the error of a subscription that is not confirmed has a text."""
    waiting = reader.subscribe(topic, timeout=0)

    def says_so() -> bool:
        with pytest.raises((ConnectionFailed, AckTimeout)) as caught:
            reader.subscribe(topic, timeout=0.05)
        return caught.type is ConnectionFailed and re.search(pattern, str(caught.value)) is not None

    until(says_so, f"the error does not say {pattern!r}")
    waiting.close()


def test_a_reader_gets_what_kucoin_sends(server: KucoinServer, reader: RelayStream) -> None:
    subscription = reader.subscribe(TOPIC, OTHER)
    send(server, *range(50))
    send(server, 50, topic=OTHER)
    got = [message for _, message in zip(range(51), subscription, strict=False)]
    assert sorted(numbers(got)) == list(range(51))
    assert numbers([each for each in got if each.topic == TOPIC]) == list(range(50))
    message = next(each for each in got if each.topic == OTHER)
    assert message["topic"] == OTHER and message["data"]["n"] == 50 and message.subject == "trade.l3match"
    assert message.to_dict() == {"topic": OTHER, "type": "message", "subject": "trade.l3match", "data": {"n": 50}}
    assert message.received_ns > 0
    assert {each.epoch for each in got} == {1}
    assert {each.lost for each in got} == {0}
    assert reader.stats()["messages"] == 51


def test_the_bytes_are_those_that_kucoin_sent(server: KucoinServer, reader: RelayStream) -> None:
    subscription = reader.subscribe(TOPIC)
    frame = (
        b'{"topic":"%s", "type":"message",\n "subject":"s", "data":{"a":1.50,"b":"\\u00fc \xc3\xbc"}}' % TOPIC.encode()
    )
    server.send_raw(frame)
    assert subscription.get(timeout=LIMIT).raw == frame


@pytest.mark.parametrize("together", [True, False], ids=["in one subscription", "in two"])
@pytest.mark.parametrize("names", ["both", "the other one"])
def test_an_event_that_two_topics_may_have_comes_once_to_each(
    server: KucoinServer, reader: RelayStream, together: bool, names: str
) -> None:
    auction, depth = "/callauction/level2Depth50:BTC-USDT", "/spotMarket/level2Depth50:BTC-USDT"
    one = reader.subscribe(auction, depth) if together else reader.subscribe(auction)
    other = reader.subscribe(depth)
    until(lambda: all(any(each in c.topics for c in server.connections) for each in (auction, depth)), "not carried")
    for number in range(4):
        for name in (auction, depth) if names == "both" else (depth,):
            server.send_raw(b'{"topic":"%s","type":"message","data":{"n":%d}}' % (name.encode(), number))
    assert numbers(take(other, 4)) == [0, 1, 2, 3]
    expected = [0, 0, 1, 1, 2, 2, 3, 3] if together and names == "both" else [0, 1, 2, 3]
    assert sorted(numbers(take(one, len(expected)))) == expected
    seen = reader.stats()["messages"]
    last = reader.subscribe(TICKER)
    send(server, 9, topic=TICKER)
    assert numbers(take(last, 1)) == [9]
    assert reader.stats()["messages"] > seen
    assert (one.pending, other.pending) == (0, 0)


def test_a_lost_record_of_one_of_two_topics_that_share_pushes_is_told_and_nothing_comes_twice(
    server: KucoinServer, reader: RelayStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    auction, depth = "/callauction/level2Depth50:BTC-USDT", "/spotMarket/level2Depth50:BTC-USDT"
    usual = RelayedTopic.forward

    def forward(self: RelayedTopic, frame: bytes, *arguments: int, **options: bool) -> None:
        if self.topic == auction and b'"n":1}' in frame:
            self.sequence += 1  # as if the buffer were full
        else:
            usual(self, frame, *arguments, **options)

    monkeypatch.setattr(RelayedTopic, "forward", forward)
    one, other = reader.subscribe(auction), reader.subscribe(depth)
    until(lambda: all(any(each in c.topics for c in server.connections) for each in (auction, depth)), "not carried")
    for number in range(5):
        server.send_raw(b'{"topic":"%s","type":"message","data":{"n":%d}}' % (depth.encode(), number))
    messages = take(one, 4)
    assert [(message.data["n"], message.lost) for message in messages] == [(0, 0), (2, 1), (3, 0), (4, 0)]
    assert {message.topic for message in messages} == {depth}
    assert numbers(take(other, 5)) == [0, 1, 2, 3, 4]
    assert (one.pending, other.pending) == (0, 0)


def test_an_event_that_two_topics_may_have_comes_once_to_a_reader_of_one_of_them(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    auction, depth = "/callauction/level2Depth50:BTC-USDT", "/spotMarket/level2Depth50:BTC-USDT"
    make_relay(topics=(auction, depth))
    reader = make_reader()
    one, last = reader.subscribe(auction), reader.subscribe(TICKER)
    for number in range(4):
        for name in (auction, depth):
            server.send_raw(b'{"topic":"%s","type":"message","data":{"n":%d}}' % (name.encode(), number))
    assert numbers(take(one, 4)) == [0, 1, 2, 3]
    send(server, 9, topic=TICKER)
    assert numbers(take(last, 1)) == [9]
    assert one.pending == 0


def test_callbacks_run_on_the_threads_that_they_were_registered_for(server: KucoinServer, reader: RelayStream) -> None:
    got: dict[str, str] = {}
    both = threading.Barrier(3)

    @reader.on(TOPIC)
    def _(message: Message) -> None:
        got["called"] = threading.current_thread().name
        both.wait(LIMIT)

    def inline(message: Message) -> None:
        got["inline"] = threading.current_thread().name
        both.wait(LIMIT)

    reader.subscribe(OTHER, callback=inline, inline=True)
    send(server, 1)
    send(server, 1, topic=OTHER)
    both.wait(LIMIT)
    assert got["called"].startswith("kucoin-callbacks")
    assert got["inline"].startswith("kucoin-redis")


def test_spot_and_futures_come_over_one_relay(server: KucoinServer, reader: RelayStream) -> None:
    subscription = reader.subscribe(TICKER, FUTURES)
    server.publish(TICKER, {"price": "1.5"}, subject="trade.ticker")
    server.publish(FUTURES, {"price": "2.5"}, subject="match")
    got = {message.topic: message.data["price"] for message in take(subscription, 2)}
    assert got == {TICKER: "1.5", FUTURES: "2.5"}


def test_a_message_pushed_under_another_topic_is_delivered_once(server: KucoinServer, reader: RelayStream) -> None:
    every = reader.subscribe("/market/snapshot:BTC")
    server.publish("/market/snapshot:ETH-BTC", {"data": {"market": "BTC", "symbol": "ETH-BTC"}})
    server.publish("/market/snapshot:BTC", {"data": {"market": "BTC", "symbol": "KCS-BTC"}})
    got = take(every, 2)
    assert [each.data["data"]["symbol"] for each in got] == ["ETH-BTC", "KCS-BTC"]


def test_readers_share_one_subscription_at_kucoin(
    server: KucoinServer, reader: RelayStream, make_reader: MakeReader
) -> None:
    subscriptions = [each.subscribe(TOPIC) for each in (reader, make_reader(), make_reader())]
    (connection,) = server.connections
    assert connection.topics == {TOPIC}
    send(server, 1, 2, 3)
    for subscription in subscriptions:
        assert numbers(take(subscription, 3)) == [1, 2, 3]


def test_a_late_joiner_gets_the_last_value_first_and_misses_nothing_after_it(
    server: KucoinServer, reader: RelayStream, make_reader: MakeReader
) -> None:
    first = reader.subscribe(TOPIC)
    send(server, 1, 2, 3)
    assert numbers(take(first, 3)) == [1, 2, 3]
    late = make_reader().subscribe(TOPIC)
    assert late.pending == 1
    send(server, 4)
    got = take(late, 2)
    assert numbers(got) == [3, 4]
    assert [each.lost for each in got] == [0, 0]
    assert numbers(take(first, 1)) == [4]


def test_an_unwanted_topic_is_dropped_and_can_be_subscribed_again(
    short_wants: None, server: KucoinServer, relay: Relay, make_reader: MakeReader
) -> None:
    with make_reader() as reader:
        reader.subscribe(TOPIC, OTHER)
        keeping = make_reader().subscribe(OTHER)
    server.wait_for(lambda s: s.connections[0].topics == {OTHER}, LIMIT, "what is unwanted to be dropped")
    until(lambda: relay.topics == (OTHER,), "the relay still passes it on")
    again = make_reader().subscribe(TOPIC)
    send(server, 7)
    send(server, 8, topic=OTHER)
    assert numbers(take(again, 1)) == [7]
    assert numbers(take(keeping, 1)) == [8]


def test_named_topics_are_passed_on_before_anybody_asks(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    make_relay(topics=[f"{TOPIC},ETH-USDT"])
    server.wait_for(lambda s: s.connections and s.connections[0].topics == {TOPIC, OTHER}, LIMIT, "named topics")
    send(server, 1)
    late = make_reader().subscribe(TOPIC)
    send(server, 2)
    assert numbers(take(late, 1))[0] in (1, 2)


def test_the_first_subscription_to_a_topic_alone_begins_with_the_last_value(
    server: KucoinServer, reader: RelayStream
) -> None:
    first = reader.subscribe(TOPIC)
    send(server, 1)
    assert numbers(take(first, 1)) == [1]
    second = reader.subscribe(TOPIC)
    send(server, 2)
    assert numbers(take(second, 1)) == [2]
    assert numbers(take(first, 1)) == [2]


def test_a_refusal_of_kucoins_reaches_the_reader_and_no_other_topic(server: KucoinServer, reader: RelayStream) -> None:
    subscription = reader.subscribe(TOPIC)
    with pytest.raises(SubscriptionRejected, match="/market/nothing:X") as caught:
        reader.subscribe("/market/nothing:X")
    assert caught.value.code == 404
    send(server, 1)
    assert numbers(take(subscription, 1)) == [1]
    mixed = reader.subscribe(OTHER, "/market/nothing:X", timeout=0)
    with pytest.raises(SubscriptionRejected):
        mixed.get(timeout=LIMIT)
    send(server, 2, topic=OTHER)
    assert numbers(take(mixed, 1)) == [2]


def test_private_topics_come_only_from_a_relay_that_was_told_to(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    make_relay(credentials=server.credentials, namespace="shy")
    with pytest.raises(SubscriptionRejected, match="does not pass private topics on"):
        make_reader(namespace="shy").subscribe("/account/balance")
    make_relay(credentials=server.credentials, namespace="open", private=True)
    subscription = make_reader(namespace="open").subscribe("/account/balance")
    server.publish("/account/balance", {"total": "1"}, user=KucoinServer.USER)
    assert subscription.get(timeout=LIMIT).data == {"total": "1"}


def test_a_private_topic_that_kucoin_does_not_confirm_in_time_is_tried_again(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "_CONFIRM_SECONDS", 0.1)
    server.mute(ack=True)
    make_relay(credentials=server.credentials, private=True, lease_seconds=1)
    reader = make_reader()
    wait_for_reason(reader, "carries /account/balance: KuCoin did not confirm", "/account/balance")
    server.unmute()
    monkeypatch.setattr(leadership, "_CONFIRM_SECONDS", LIMIT)
    subscription = reader.subscribe("/account/balance", timeout=LIMIT)
    server.publish("/account/balance", {"total": "1"}, user=KucoinServer.USER)
    assert subscription.get(timeout=LIMIT).data == {"total": "1"}


def test_records_for_other_readers_in_the_same_redis_stream_are_skipped(
    server: KucoinServer, reader: RelayStream, make_reader: MakeReader
) -> None:
    same = next(topic for n in range(1000) if shard_of(topic := f"/market/match:A{n}-USDT") == shard_of(TOPIC))
    one, other = reader.subscribe(TOPIC), make_reader().subscribe(same)
    send(server, 1, topic=same)
    send(server, 2)
    assert numbers(take(one, 1)) == [2]
    assert numbers(take(other, 1)) == [1]
    assert reader.stats()["messages"] == 1


def test_while_the_relay_has_no_connection_to_kucoin_the_error_says_so(
    server: KucoinServer, relay: Relay, reader: RelayStream
) -> None:
    server.stop()
    wait_for_reason(reader, "the relay has no connection to KuCoin that carries")


def test_a_relayed_stream_is_for_one_relay_and_keeps_no_books(relay: Relay, redis: LocalRedis) -> None:
    with pytest.raises(ValueError, match="use a stream of its own"):
        Relay(relay._stream, redis.url).start()
    with pytest.raises(ValueError, match="open books on another stream"):
        relay._stream.book("BTC-USDT")


def test_a_relay_without_a_key_refuses_private_topics(make_relay: MakeRelay, make_reader: MakeReader) -> None:
    make_relay(private=True)
    with pytest.raises(SubscriptionRejected, match="API key"):
        make_reader().subscribe("/account/balance")


def test_features_that_relays_lack_are_refused(reader: RelayStream) -> None:
    with pytest.raises(InvalidTopic, match="through a relay"):
        reader.tunnel("t1")
    with pytest.raises(SubscriptionRejected, match="private=True"):
        reader.subscribe(TOPIC, private=True)


def test_without_a_relay_the_error_says_so(make_reader: MakeReader) -> None:
    wait_for_reason(make_reader(), "no relay holds the lease in Redis at .*; start one with")


def test_without_redis_the_error_says_so(redis: LocalRedis, make_reader: MakeReader) -> None:
    redis.kill()
    wait_for_reason(make_reader(), "Redis at .* does not answer: .*; check that it runs")


def test_a_subscription_that_waits_for_a_relay_gets_one(
    server: KucoinServer, make_reader: MakeReader, make_relay: MakeRelay, events: Events
) -> None:
    subscribing = Task(make_reader().subscribe, TOPIC, timeout=LIMIT)
    make_relay()
    subscription = subscribing.result()
    send(server, 1)
    assert numbers(take(subscription, 1)) == [1]


def test_messages_trimmed_before_they_were_read_are_counted_as_lost(
    server: KucoinServer, make_relay: MakeRelay, make_reader: MakeReader
) -> None:
    relay = make_relay(length=1)
    reader = make_reader()
    got: list[Message] = []
    stuck, go_on, last = threading.Event(), threading.Event(), threading.Event()

    def slow(message: Message) -> None:
        got.append(message)
        stuck.set()
        assert go_on.wait(LIMIT)
        if message.data["n"] == 20:
            last.set()

    reader.subscribe(TOPIC, callback=slow, inline=True)
    send(server, 0)
    reached(stuck, "nothing came")
    for number in range(1, 21):
        send(server, number)
        until(lambda number=number: relay.stats()["published"] == number + 1, "it was not passed on")
    go_on.set()
    reached(last, "the last message did not come")
    assert numbers(got) == [0, 20]
    assert got[1].lost == 19
    assert got[1].epoch > got[0].epoch
    send(server, 21)
    until(lambda: len(got) == 3, "the next one did not come")
    assert got[2].lost == 0
    assert got[2].epoch == got[1].epoch


def test_oversized_entries_are_counted_and_not_decoded(
    server: KucoinServer, redis: LocalRedis, reader: RelayStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "MAX_BYTES", 100_000)
    subscription = reader.subscribe(TOPIC)
    send(server, 1)
    assert numbers(take(subscription, 1)) == [1]
    foreign = b'[99999999999999,[["%s",9,9,9,{"topic":"%s","data":{"n":666}}]]]' % ((TOPIC.encode(),) * 2)
    redis.call("XADD", Keys(NAMESPACE).shard(TOPIC), "*", codec.FIELD, foreign.ljust(100_001))
    until(lambda: reader.stats()["unreadable"] == 1, "it was not counted")
    send(server, 2)
    assert [(each.data["n"], each.lost) for each in take(subscription, 1)] == [(2, 0)]


def test_a_slow_consumer_is_told_as_by_a_stream(server: KucoinServer, reader: RelayStream) -> None:
    subscription = reader.subscribe(TOPIC, maxsize=2)
    send(server, *range(5))
    until(lambda: subscription.dropped == 3, "nothing was dropped")
    assert numbers(take(subscription, 2)) == [0, 1]
    with pytest.raises(SlowConsumer):
        subscription.get(timeout=LIMIT)
    send(server, 5)
    (message,) = take(subscription, 1)
    assert message.lost == 3


def test_silence_is_reported(reader: RelayStream, events: Events) -> None:
    reader.subscribe(TOPIC, stale_after=0.2)
    assert events.wait(Stale).topics == (TOPIC,)


@pytest.mark.parametrize("hung", [False, True], ids=["idle", "while Redis hangs"])
def test_close_ends_every_wait(
    hung: bool,
    redis: LocalRedis,
    relay: Relay,
    make_reader: MakeReader,
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = relay_server.RedisServer.client
    monkeypatch.setattr(
        relay_server.RedisServer, "client", lambda self, closed: client(self, closed, timeout=3600.0)
    )  # for the reader that is made from now on
    reader = make_reader()
    subscription = reader.subscribe(TOPIC)
    waiting = Task(subscription.get, timeout=LIMIT)
    if hung:
        redis.pause()
    reader.close(timeout=LIMIT)
    with pytest.raises(StreamClosed):
        waiting.result()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kucoin-redis")]
    if hung:
        redis.resume()
    assert not any(isinstance(event, Disconnected) for event in events.all)


def test_a_connection_without_topics_ends_after_a_while(
    server: KucoinServer, reader: RelayStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_IDLE_SECONDS", 0.1)
    reader.subscribe(TOPIC).close()
    until(lambda: reader.stats()["connections"] == 0, "the connection to Redis is there still")
    until(lambda: not any(each.name.startswith("kucoin-redis") for each in threading.enumerate()), "so is its thread")
    again = reader.subscribe(OTHER)
    send(server, 1, topic=OTHER)
    assert numbers(take(again, 1)) == [1]


def test_repr_names_the_redis_server(redis: LocalRedis, relay: Relay, reader: RelayStream) -> None:
    assert repr(relay) == f"<Relay through {redis.url.removeprefix('unix://')}: holds the lease>"
    assert repr(reader).startswith(f"<RelayStream of {redis.url.removeprefix('unix://')}: open")


def test_a_redis_that_says_nothing_is_named(nothing_left_behind: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"127.0.0.1:{silent.getsockname()[1]}"
        with RelayStream(f"redis://{name}") as reader:
            wait_for_reason(reader, f"Redis at {name} has not answered yet")
