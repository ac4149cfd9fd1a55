"""The newest message of a few topics."""

from __future__ import annotations

from typing import Any

import pytest

from kucoin_sync import Stream, StreamClosed, SubscriptionRejected
from kucoin_sync.contrib.last import LastValues
from kucoin_sync.testing import KucoinServer

from ..support.streams import MakeStream
from ..support.threads import LIMIT, Task, until

A, B, C = ("/market/ticker:A-USDT", "/market/ticker:B-USDT", "/market/ticker:C-USDT")


@pytest.fixture
def last_values(stream: Stream) -> LastValues:
    return LastValues(lambda: stream, 2)


def get(values: LastValues, server: KucoinServer, topic: str, number: int) -> Any:
    """Return the data of a topic's message; push the message repeatedly until it arrives."""
    reading = Task(values.get, topic, LIMIT)
    while not reading.done.wait(0.02):
        server.publish(topic, {"n": number})
    return reading.result().data


def until_newest(values: LastValues, topic: str, number: int) -> None:
    until(lambda: values.get(topic, LIMIT).data == {"n": number}, f"message {number} is not the last value")


def test_it_waits_for_the_first_and_then_has_the_newest_at_once(
    server: KucoinServer, stream: Stream, last_values: LastValues
) -> None:
    assert get(last_values, server, A, 1) == {"n": 1}
    for number in range(2, 6):
        server.publish(A, {"n": number})
    until_newest(last_values, A, 5)
    assert last_values.get(A, 0.0).data == {"n": 5}, "again"
    assert stream.stats()["subscriptions"] == 1


def test_concurrent_first_readers_get_the_same_message(server: KucoinServer, last_values: LastValues) -> None:
    readers = [Task(last_values.get, A, LIMIT) for _ in range(5)]
    server.wait_subscribed(A, timeout=LIMIT)
    server.publish(A, {"n": 1})
    assert [reader.result().data for reader in readers] == [{"n": 1}] * 5
    readers[0].result().data.clear()
    last_values.get(A, LIMIT)["data"]["n"] = 7
    assert last_values.get(A, LIMIT).data == readers[1].result().data == {"n": 1}, "each gets one of its own"


def test_the_newest_is_the_newest_of_all_subjects(
    server: KucoinServer, stream: Stream, last_values: LastValues
) -> None:
    assert get(last_values, server, A, 1) == {"n": 1}
    for number, subject in ((2, "x"), (3, "y"), (4, "x")):  # "x" keeps its place before "y"
        before = stream.stats()["messages"]
        server.publish(A, {"n": number}, subject)
        until(lambda before=before: stream.stats()["messages"] > before, "it did not come")
    until_newest(last_values, A, 4)


def test_each_reader_gets_a_timeout_if_no_message_arrives(last_values: LastValues) -> None:
    first = Task(last_values.get, A, 0.3)
    for reader in (first, Task(last_values.get, A, 0.05)):
        with pytest.raises(TimeoutError):
            reader.result()


def test_the_least_recently_read_topic_is_evicted(server: KucoinServer, last_values: LastValues) -> None:
    for topic in (A, B, A, C):
        get(last_values, server, topic, 1)
    server.wait_for(lambda s: s.connections[0].topics == {A, C}, LIMIT, "the end of B")
    assert get(last_values, server, B, 2) == {"n": 2}


def test_a_waiting_reader_of_an_evicted_topic_subscribes_it_again(
    server: KucoinServer, last_values: LastValues
) -> None:
    waiting = Task(last_values.get, A, LIMIT)
    server.wait_subscribed(A, timeout=LIMIT)
    for topic in (B, C):
        get(last_values, server, topic, 1)
    while not waiting.done.wait(0.02):
        server.publish(A, {"n": 7})
    assert waiting.result().data == {"n": 7}


def test_a_topic_evicted_while_it_is_being_subscribed_is_closed(server: KucoinServer, stream: Stream) -> None:
    class Slow:
        """A client that subscribes two other topics before the first one."""

        closed, busy = False, False

        def subscribe(self, topic: str, **options: Any) -> Any:
            if not self.busy:
                self.busy = True
                for other in (B, C):
                    get(values, server, other, 1)
            return stream.subscribe(topic, **options)

    slow: Any = Slow()
    values = LastValues(lambda: slow, 2)
    assert get(values, server, A, 1) == {"n": 1}
    assert stream.stats()["subscriptions"] == 2


def test_a_cut_does_not_make_it_wait(server: KucoinServer, stream: Stream, last_values: LastValues) -> None:
    get(last_values, server, A, 1)
    server.drop_connections()
    until(lambda: stream.stats()["disconnects"], "the cut was not noticed")
    assert last_values.get(A, 0.0).data == {"n": 1}, "how old it is, received_ns tells"
    server.wait_subscribed(A, timeout=LIMIT)
    server.publish(A, {"n": 2})
    until_newest(last_values, A, 2)


def test_the_next_reader_retries_a_topic_that_kucoin_refused(server: KucoinServer, last_values: LastValues) -> None:
    server.reject_next(404, "no such topic")
    with pytest.raises(SubscriptionRejected):
        last_values.get(A, LIMIT)
    assert get(last_values, server, A, 1) == {"n": 1}


def test_a_topic_that_is_refused_later_has_no_value(server: KucoinServer, last_values: LastValues) -> None:
    get(last_values, server, A, 1)
    server.reject_next(404, "no such topic any more")
    server.drop_connections()

    def reason() -> Any:
        try:
            last_values.get(A, 0.0)
        except SubscriptionRejected as error:
            return error

    assert "no such topic any more" in str(until(reason, "it was not refused"))
    assert get(last_values, server, A, 2) == {"n": 2}


def test_a_closed_client_is_an_error_and_a_new_one_is_taken(server: KucoinServer, make_stream: MakeStream) -> None:
    streams = [make_stream(), make_stream()]
    values = LastValues(lambda: streams[0], 2)
    get(values, server, A, 1)
    streams[0].close()
    with pytest.raises(StreamClosed):
        values.get(A, LIMIT)
    values = LastValues(lambda: streams[0], 2)
    del streams[0]
    get(values, server, A, 1)
    streams.insert(0, make_stream())
    streams[1].close()
    assert get(values, server, A, 2) == {"n": 2}
