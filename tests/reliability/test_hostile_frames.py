"""Frames that no KuCoin would send: they are skipped and counted, or end the connection; what is good is delivered."""

from __future__ import annotations

import random
import threading

import pytest

from kucoin_sync import Connected, Disconnected, Limits, ProtocolError, Resubscribed, Retrying, Stream
from kucoin_sync.testing import FaultProxy, KucoinServer

from ..support.children import script
from ..support.frames import BINARY, CONT, PING, PONG, TEXT, frame
from ..support.streams import Events, MakeStream
from .feed import CLASSIC, UTA, Feed, numbers, on_both, publish

UNREADABLE: dict[str, bytes] = {
    "not JSON": b"<html>",
    "nothing": b"",
    "half of JSON": b'{"type":"message","topic":',
    "data that is not JSON": CLASSIC.push(b'{"n":tru}'),
    "NaN": CLASSIC.push(b'{"n":NaN}'),
    "Infinity": CLASSIC.push(b"-Infinity"),
    "bad UTF-8 in the envelope": b'{"type":"message","topic":"/market/ticker:\xff"}',
    "bad UTF-8 in the data": CLASSIC.push(b'{"n":"\xc3\x28"}'),
    "half of a surrogate pair in UTF-8": CLASSIC.push(b'{"n":"\xed\xa0\x80"}'),
    "nested 200,000 deep": b"[" * 200_000,
    "data nested 200,000 deep": CLASSIC.push(b'{"n":' * 200_000 + b"1" + b"}" * 200_000),
    "a list": b"[]",
    "a number of 5,000 digits": b"9" * 5000,
    "a topic that is a number": b'{"type":"message","topic":5,"data":{}}',
    "a tunnel that is a number": b'{"type":"message","topic":"/market/ticker:ETH-USDT","tunnelId":7,"data":{}}',
    "an error that is a list": b'{"type":"error","id":[],"code":{},"data":"x"}',
}
UTA_UNREADABLE: dict[str, bytes] = {
    "data that is not JSON": UTA.push(b'{"n":tru}'),
    "not JSON": b"<html>",
    "nothing": b"",
    "half of JSON": b'{"T":"ticker.SPOT","d":',
    "NaN": UTA.push(b'{"n":NaN}'),
    "Infinity": UTA.push(b"-Infinity", UTA.plain),
    "bad UTF-8 in the envelope": b'{"T":"ticker.\xff","d":{"s":"ETH-USDT"}}',
    "bad UTF-8 in the symbol": b'{"T":"ticker.SPOT","d":{"s":"ETH-\xff"}}',
    "bad UTF-8 in the data": UTA.push(b'{"n":"\xc3\x28"}'),
    "half of a surrogate pair in UTF-8": UTA.push(b'{"n":"\xed\xa0\x80"}'),
    "nested 200,000 deep": b"[" * 200_000,
    "data nested 200,000 deep": UTA.push(b'{"n":' * 200_000 + b"1" + b"}" * 200_000),
    "a list": b"[]",
    "a number of 5,000 digits": b"9" * 5000,
    "a number beside the data that is none": b'{"T":"ticker.SPOT","P":-,"d":{"s":"ETH-USDT"}}',
    "a channel that is a number": b'{"T":5,"P":1,"d":{}}',
    "a cut in the data": UTA.push(b'{"n":"00000001"}')[:-2],
    "something behind the end": UTA.push(b'{"n":"00000001"}') + b"}",
}
UNKNOWN: dict[str, bytes] = {
    "an unknown type": b'{"type":"fortune","topic":"/market/ticker:ETH-USDT","data":{"n":"7"}}',
    "notice": b'{"type":"notice","data":"maintenance"}',
    "command": b'{"type":"command","data":{"do":"nothing"}}',
}
UTA_UNKNOWN: dict[str, bytes] = {
    **UNKNOWN,
    "a channel without data": b'{"T":"ticker.SPOT","P":1}',
    "data without a channel": b'{"d":{"s":"ETH-USDT"},"P":1}',
    "an answer without a result": b'{"id":"7"}',
    "a result that is none": b'{"id":"7","result":null}',
    "nothing at all": b"{}",
}


@on_both("kind", UNREADABLE, UTA_UNREADABLE)
def test_a_frame_that_can_not_be_read_is_skipped_and_counted_and_its_neighbours_are_delivered(
    server: KucoinServer, stream: Stream, events: Events, kind: str, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    publish(server, [1], feed.eth)
    server.send_raw((UTA_UNREADABLE if feed.is_uta else UNREADABLE)[kind])
    publish(server, [2], feed.eth)
    assert numbers(subscription, 2) == [1, 2]
    assert (stream.stats()["unreadable"], stream.stats()["unknown_types"]) == (1, 0)
    assert not [event for event in events.all if isinstance(event, Disconnected)]


@on_both("kind", UNKNOWN, UTA_UNKNOWN)
def test_a_frame_of_an_unknown_type_is_skipped_and_counted(
    server: KucoinServer, stream: Stream, kind: str, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    server.send_raw((UTA_UNKNOWN if feed.is_uta else UNKNOWN)[kind])
    publish(server, [1], feed.eth)
    assert numbers(subscription, 1) == [1]
    assert (stream.stats()["unreadable"], stream.stats()["unknown_types"]) == (0, 1)


def test_what_was_skipped_is_counted_before_the_message_behind_it_is_delivered(
    server: KucoinServer, stream: Stream, feed: Feed
) -> None:
    arrived, go_on = threading.Event(), threading.Event()
    counted: list[int] = []

    def look(_: object) -> None:
        counted.append(stream.stats()["unreadable"])
        arrived.set()
        go_on.wait(10)  # so that what comes next is received together

    subscription = stream.subscribe(feed.eth, callback=look, inline=True)
    follower = stream.subscribe(feed.eth)
    publish(server, [1], feed.eth)
    assert arrived.wait(10)
    server.send_raw(UNREADABLE["not JSON"])
    publish(server, [2], feed.eth)
    go_on.set()
    assert numbers(follower, 2) == [1, 2]
    subscription.close()
    assert counted == [0, 1]


def test_binary_frames_pings_and_pongs_between_messages_disturb_nothing(
    server: KucoinServer, stream: Stream, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    for number, opcode in enumerate((BINARY, PING, PONG)):
        publish(server, [2 * number], feed.eth)
        server.send_raw(feed.push(b'{"n":"99"}'), opcode)  # what would be a message in a text frame
        publish(server, [2 * number + 1], feed.eth)
    assert numbers(subscription, 6 + feed.is_uta) == [0, *([99] if feed.is_uta else []), 1, 2, 3, 4, 5]
    stream.subscribe(feed.match)  # after which all that came has been counted
    assert stream.stats()["unreadable"] == (0 if feed.is_uta else 1)


STRANGE: dict[str, bytes] = {
    "a number of 5,000 digits": b'{"n":' + b"9" * 5000 + b"}",
    "a float beyond all floats": b'{"n":1e999999}',
    "a float of 5,000 digits": b'{"n":0.' + b"9" * 5000 + b"}",
    "null": b"null",
    "a number": b"7",
    "a text": b'"seven"',
    "a list": b"[1]",
    "escapes": rb'{"n":"\u0000\ud83d\ude00\uffff"}',
    "halves of a surrogate pair": rb'{"n":"\ude00\ud83d","\uDBFF":["\\\uD83D\ud83d\ude00","\\ud83d"],"a":1e999}',
    "types that are none of the topic's": b'{"price":{},"size":[],"time":"x","sequence":null}',
}


@on_both("kind", STRANGE)
def test_data_of_any_shape_is_delivered_and_reading_it_raises_nothing(
    server: KucoinServer, stream: Stream, kind: str, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.plain)
    server.send_raw(feed.push(STRANGE[kind], feed.plain))
    publish(server, [1], feed.plain)
    message = subscription.get(timeout=10)
    key = "d" if feed.is_uta else "data"
    assert message.data == message[key] == message.to_dict()[key]
    assert message.payload is not message, "it can be asked for"
    assert numbers(subscription, 1) == [1]
    assert stream.stats()["unreadable"] == 0


def test_data_nested_500_deep_can_be_read(server: KucoinServer, stream: Stream, feed: Feed) -> None:
    depth = 500
    subscription = stream.subscribe(feed.eth)
    server.send_raw(feed.push(b'{"n":' * depth + b"1" + b"}" * depth))
    assert subscription.get(timeout=10).data


def test_random_bytes_in_frames_leave_the_reader_alive(
    server: KucoinServer, stream: Stream, rng: random.Random, feed: Feed
) -> None:
    subscription = stream.subscribe(feed.eth)
    good = feed.push(b'{"n":"00000001","price":"1.5"}')
    expected = 0
    for _ in range(2000):
        damaged = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        expected += server.send_raw(bytes(damaged))
    end = feed.push(b'{"n":"the end"}')
    server.send_raw(end)
    received = 0
    while subscription.get(timeout=20).raw != end:
        received += 1
    stats = stream.stats()
    seen = received + stats["unreadable"] + stats["unknown_types"] + stats["unrouted"]
    assert seen == expected, "each was delivered or counted"
    assert stats["reconnects"] == 0


CAP = 50_000
# What is sent, in frames, by a peer that goes beyond the cap of CAP bytes.
EXCESSES: dict[str, list[bytes]] = {
    "a frame": [frame(b"x" * (CAP + 1))],
    "the head of a frame": [frame(b"x" * 70_000)[:10]],
    "the head of an absurd frame": [b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"],
    "fragments": [frame(b"x" * 30_000, TEXT, fin=False), frame(b"x" * 30_000, CONT, fin=False)],
    "many small fragments": [frame(b"", TEXT, fin=False)] + [frame(b"x" * 10, CONT, fin=False)] * (CAP // 10 + 1),
}


@on_both("kind", EXCESSES)
def test_a_message_beyond_the_cap_is_refused_with_1009_and_the_stream_comes_back(
    server: KucoinServer, make_stream: MakeStream, events: Events, kind: str, feed: Feed
) -> None:
    assert Limits().frame_bytes == 16 * 1024 * 1024
    stream = make_stream(limits=Limits(frame_bytes=CAP))
    subscription = stream.subscribe(feed.eth)
    publish(server, [1], feed.eth)
    server.send_bytes(b"".join(EXCESSES[kind]))
    event = events.wait(Disconnected)
    assert event.code == 1009
    assert isinstance(event.error, ProtocolError)
    assert f"more than the limit of {CAP}" in str(event)
    events.wait(Resubscribed)
    assert server.ended[0].end == "the client closed with 1009"
    publish(server, [2], feed.eth)
    assert numbers(subscription, 2) == [1, 2]


def test_a_message_within_the_cap_is_delivered_whole_or_in_fragments(
    server: KucoinServer, make_stream: MakeStream, feed: Feed
) -> None:
    stream = make_stream(limits=Limits(frame_bytes=CAP))
    subscription = stream.subscribe(feed.eth)
    text = feed.push(b'{"n":"00000001","pad":"%b"}' % (b"x" * (CAP - 300)))
    server.send_raw(text)
    server.send_raw(text[:100], feed.opcode, fin=0)
    server.send_raw(b"", PING)
    server.send_raw(text[100:], CONT)
    assert numbers(subscription, 2) == [1, 1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 200_000,
        b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: x\r\n" * 30_000,
        b"\x00" * 200_000,
    ],
    ids=["one line", "many lines", "no line"],
)
def test_an_answer_to_the_handshake_beyond_64_kilobytes_is_refused(
    server: KucoinServer, stream: Stream, events: Events, answer: bytes, feed: Feed
) -> None:
    server.answer_handshake(answer)
    stream.subscribe(feed.eth)
    assert "headers of more than 65536 bytes" in str(events.wait(Retrying).error)
    assert events.wait(Connected)


def test_memory_grows_by_less_than_twice_the_cap(server: KucoinServer, proxy: FaultProxy) -> None:
    """A peer that announces 300 MiB, and one that sends fragments without end, to a client with the default cap."""
    client = """
        import resource, sys
        from kucoin_sync import Disconnected, Stream

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        def tell(event):
            if isinstance(event, Disconnected):
                print(event.code, peak() - before, flush=True)

        stream = Stream(rest_url=sys.argv[1], on_event=tell)
        subscription = stream.subscribe("/market/ticker:ETH-USDT")
        before = peak()
        print("ready", flush=True)
        sys.stdin.read()
        stream.close()
    """
    with script(client, server.rest_url) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        piece = b"x" * (1 << 20)
        too_much = [
            (b"\x81\x7f" + (300 << 20).to_bytes(8, "big"), piece),
            (frame(piece, TEXT, fin=False), frame(piece, CONT, fin=False)),
        ]
        for ended, (head, body) in enumerate(too_much):
            server.wait_for(lambda s, ended=ended: len(s.ended) == ended, timeout=10)
            server.wait_subscribed(CLASSIC.eth, timeout=10)
            server.send_bytes(head)
            while server.send_bytes(body):
                pass
            code, growth = process.stdout.readline().split()
            assert code == "1009"
            assert int(growth) < 2 * 16 * 1024, "kilobytes"
        process.stdin.close()
        assert process.wait(30) == 0
