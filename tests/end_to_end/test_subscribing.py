"""All the ways to subscribe and to read, against the local KuCoin."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable

import pytest

from kucoin_sync import InvalidTopic, Limits, Message, Stream, StreamClosed, topics
from kucoin_sync.testing import KucoinServer

ETH = "/market/ticker:ETH-USDT"
BTC = "/market/ticker:BTC-USDT"


def ticker(number: int) -> dict[str, object]:
    return {
        "sequence": str(number), "price": f"{number}.5", "size": "0.1", "bestAsk": "2", "bestAskSize": "1",
        "bestBid": "1", "bestBidSize": "3", "Time": 1700000000000 + number,
    }  # fmt: skip


def publish(server: KucoinServer, topic: str, *numbers: int) -> None:
    for number in numbers:
        server.publish(topic, ticker(number), subject="trade.ticker")


def sequence(message: Message) -> int:
    return int(message["data"]["sequence"])


def test_iterating_gives_every_message_in_order(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(ETH)
    publish(server, ETH, *range(100))
    got = []
    for message in subscription:
        got.append(sequence(message))
        if len(got) == 100:
            break
    assert got == list(range(100))


def test_a_message_reads_as_json_as_attributes_and_as_a_struct(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(ETH)
    publish(server, ETH, 7)
    message = subscription.get(timeout=5)
    assert message["data"]["price"] == message.data["price"] == str(message.payload.price) == "7.5"
    assert (message["topic"], message.topic, message.subject) == (ETH, ETH, "trade.ticker")
    assert message.payload.time_ns == 1700000000007 * 1_000_000
    assert (message.epoch, message.lost) == (1, 0)
    assert message.raw.startswith(b"{")


def test_the_end_of_the_stream_ends_iterators_after_what_was_received(server: KucoinServer, stream: Stream) -> None:
    subscription, later = stream.subscribe(ETH), stream.subscribe(ETH)
    publish(server, ETH, 1, 2, 3)
    assert [sequence(later.get(timeout=5)) for _ in range(3)] == [1, 2, 3]
    stream.close()
    assert [sequence(message) for message in subscription] == [1, 2, 3]
    assert subscription.closed
    with pytest.raises(StreamClosed, match="is closed"):
        subscription.get(timeout=1)


def test_with_closes_what_it_opened(server: KucoinServer, make_stream: Callable[..., Stream]) -> None:
    with make_stream() as stream:
        with stream.subscribe(ETH) as subscription:
            publish(server, ETH, 1)
            assert sequence(subscription.get(timeout=5)) == 1
        assert subscription.closed
        server.wait_for(lambda s: any(c.message["type"] == "unsubscribe" for c in s.received))
    assert stream.closed


def test_several_threads_share_one_subscription(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(ETH)
    got: list[list[int]] = [[], [], []]
    count = threading.Semaphore(0)

    def read(mine: list[int]) -> None:
        for message in subscription:
            mine.append(sequence(message))
            count.release()

    readers = [threading.Thread(target=read, args=(mine,)) for mine in got]
    for reader in readers:
        reader.start()
    publish(server, ETH, *range(300))
    assert all(count.acquire(timeout=5) for _ in range(300))
    stream.close()
    for reader in readers:
        reader.join(5)
    assert sorted(number for mine in got for number in mine) == list(range(300))
    assert all(mine == sorted(mine) for mine in got)


def test_each_of_two_subscriptions_to_a_topic_gets_every_message_over_one_wire_subscription(
    server: KucoinServer, stream: Stream
) -> None:
    first, second = stream.subscribe(ETH), stream.subscribe(ETH)
    publish(server, ETH, 1, 2)
    assert [sequence(first.get(5)), sequence(first.get(5))] == [1, 2]
    assert [sequence(second.get(5)), sequence(second.get(5))] == [1, 2]
    assert sum(command.message["type"] == "subscribe" for command in server.received) == 1
    first.close()
    publish(server, ETH, 3)
    assert sequence(second.get(5)) == 3
    assert not any(command.message["type"] == "unsubscribe" for command in server.received)


def test_get_times_out_with_a_sentence(stream: Stream) -> None:
    subscription = stream.subscribe(ETH)
    with pytest.raises(TimeoutError, match=r"no message came on /market/ticker:ETH-USDT within 0.01 s"):
        subscription.get(timeout=0.01)


def test_callbacks_run_in_order_on_the_streams_callback_thread(server: KucoinServer, stream: Stream) -> None:
    got: list[tuple[int, str]] = []
    complete = threading.Event()

    def callback(message: Message) -> None:
        got.append((sequence(message), threading.current_thread().name))
        if len(got) == 50:
            complete.set()

    stream.subscribe(ETH, callback=callback)
    publish(server, ETH, *range(50))
    assert complete.wait(5)
    assert got == [(number, "kucoin-callbacks") for number in range(50)]


def test_a_decorated_function_is_a_callback(server: KucoinServer, stream: Stream) -> None:
    came = threading.Event()

    @stream.on(ETH)
    def trade(message: Message) -> None:
        came.set()

    publish(server, ETH, 1)
    assert came.wait(5)
    assert trade.__name__ == "trade"


def test_an_inline_callback_runs_on_the_io_thread(server: KucoinServer, stream: Stream) -> None:
    names: list[str] = []
    came = threading.Event()

    def callback(message: Message) -> None:
        names.append(threading.current_thread().name)
        came.set()

    stream.subscribe(ETH, callback=callback, inline=True)
    publish(server, ETH, 1)
    assert came.wait(5)
    assert names[0].startswith("kucoin-io-")


def test_an_inline_callback_may_subscribe_and_does_not_wait_for_the_answer(
    server: KucoinServer, stream: Stream
) -> None:
    got: list[int] = []
    came = threading.Event()

    def second(message: Message) -> None:
        got.append(sequence(message))
        came.set()

    def first(message: Message) -> None:
        if not got:
            stream.subscribe(BTC, callback=second)

    stream.subscribe(ETH, callback=first, inline=True)
    publish(server, ETH, 1)
    server.wait_subscribed(BTC)
    publish(server, BTC, 2)
    assert came.wait(5)
    assert got == [2]


def test_unsubscribing_by_name_ends_the_subscription_and_tells_the_server(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(ETH, BTC)
    stream.unsubscribe(ETH)
    assert subscription.topics == (BTC,)
    assert not subscription.closed
    stream.unsubscribe(BTC)
    assert list(subscription) == []
    server.wait_for(
        lambda s: [c.message["topic"] for c in s.received if c.message["type"] == "unsubscribe"] == [ETH, BTC]
    )


def test_unsubscribing_a_subscription_leaves_others_to_its_topic(server: KucoinServer, stream: Stream) -> None:
    one, other = stream.subscribe(ETH, BTC), stream.subscribe(ETH)
    stream.unsubscribe(one)
    assert one.closed
    server.publish(ETH, {"n": 1})
    assert other.get(5).data == {"n": 1}
    assert stream.stats()["topics"] == 1


def test_unsubscribing_what_nobody_has_is_harmless(stream: Stream) -> None:
    stream.unsubscribe(ETH)


def test_one_call_takes_spot_and_futures_public_and_private_topics(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(
        ETH, topics.account_balance(), topics.futures.ticker("XBTUSDTM"), topics.futures.orders()
    )
    connections = {(c.market, c.private) for c in server.connections}
    assert connections == {("spot", False), ("spot", True), ("futures", False), ("futures", True)}
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("kucoin-io")]
    assert len(names) == 4, "one I/O thread for each connection"
    user = server.USER
    assert server.publish("/account/balance", {"total": "1"}, subject="account.balance", user=user) == 1
    assert subscription.get(5)["userId"] == user


def test_private_asks_for_the_private_channel_of_a_public_topic(server: KucoinServer, stream: Stream) -> None:
    stream.subscribe("/market/level3:BTC-USDT", private=True)
    [command] = [command for command in server.received if command.message["type"] == "subscribe"]
    assert command.message["privateChannel"] is True
    assert command.connection.private


def test_any_number_of_topics_may_be_in_one_call(server: KucoinServer, stream: Stream) -> None:
    symbols = [f"A{number}-USDT" for number in range(250)]
    subscription = stream.subscribe(topics.ticker(*symbols))
    assert len(subscription.topics) == 250
    commands = [c.message["topic"] for c in server.received if c.message["type"] == "subscribe"]
    assert [topic.count(",") + 1 for topic in commands] == [100, 100, 50]


def test_a_plain_script_needs_five_lines(server: KucoinServer) -> None:
    script = (
        "from kucoin_sync import Stream\n"
        "with Stream() as stream:\n"
        "    for message in stream.subscribe('/market/ticker:ETH-USDT'):\n"
        "        print(message['data']['price'], message.data['price'], message.payload.price)\n"
        "        break\n"
    )
    environment = {"KUCOIN_SYNC_REST_URL": server.rest_url, "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        server.wait_subscribed(ETH, timeout=20)
        publish(server, ETH, 4)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("4.5 4.5 4.5\n", "", 0)


def test_a_closed_stream_with_messages_that_nobody_took_is_freed(
    server: KucoinServer, make_stream: Callable[..., Stream]
) -> None:
    stream = Stream(**server.stream_options)
    subscription, other = stream.subscribe(ETH), stream.subscribe(ETH)
    publish(server, ETH, *range(10))
    assert [sequence(other.get(timeout=5)) for _ in range(10)] == list(range(10))
    stream.close()
    gone = weakref.ref(stream._subscription_manager)
    del stream, subscription, other
    gc.collect()
    assert gone() is None


def test_the_numbers_stay_when_the_stream_is_closed(server: KucoinServer, stream: Stream) -> None:
    subscription = stream.subscribe(ETH)
    publish(server, ETH, 1, 2, 3)
    assert [sequence(subscription.get(timeout=5)) for _ in range(3)] == [1, 2, 3]
    stream.close()
    stats = stream.stats()
    assert (stats["messages"], stats["connects"]) == (3, 1)


def test_a_subscription_that_was_refused_at_once_is_watched_by_nobody(
    server: KucoinServer, make_stream: Callable[..., Stream]
) -> None:
    stream = make_stream(limits=Limits(topics_per_connection=1, connections_per_minute=1000))
    with stream.tunnel("bt1") as tunnel, pytest.raises(InvalidTopic, match="is full with 1 topics"):
        tunnel.subscribe(ETH, BTC, stale_after=5.0)
    assert not stream._subscription_manager._watches
    assert stream.stats()["topics"] == 0
