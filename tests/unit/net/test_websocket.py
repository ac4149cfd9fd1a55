"""Frames, deadlines, limits and ends of `WebSocketConnection`, with real sockets on this machine."""

from __future__ import annotations

import select
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync import ConnectionFailed, Limits, ProtocolError
from kucoin_sync.net import direct_read as direct_read_module
from kucoin_sync.net import websocket as transport_module
from kucoin_sync.net.direct_read import ReadLease
from kucoin_sync.net.socket import CancellableSocket
from kucoin_sync.net.waker import Cancelled, Waker
from kucoin_sync.net.websocket import ConnectionLost, WebSocketConnection

from ...support.certificates import client_context, server_context
from ...support.dialling import receive
from ...support.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame, close, frame, read_frame
from ...support.selection import examples
from ...support.sockets import HOST, reset, tcp_pair
from ...support.threads import LIMIT, Task, reached

SHORT = 0.2  # seconds until a deadline that a test waits for


class Pair:
    """A transport past its handshake, and the server's socket."""

    def __init__(
        self, waker: Waker, secure: bool, limits: Limits | None = None, early: bytes = b"", *, binary: bool = False
    ) -> None:
        ours, self.server = tcp_pair()
        ours.setblocking(False)
        connected = CancellableSocket(ours, waker, time.monotonic() + LIMIT, "the peer")
        if secure:
            plain = self.server
            self.server = server_context().wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            shaking = Task(self.server.do_handshake)
            connected.start_tls(client_context(), HOST)
            shaking.result()
        self.transport = WebSocketConnection(connected, waker, limits or Limits(), early, binary=binary)

    def close(self) -> None:
        self.transport.after_fork()
        self.server.close()

    def send(self, *chunks: bytes) -> None:
        """Send each chunk on its own (over TLS as a record), and wait until it can be read."""
        for chunk in chunks:
            self.server.sendall(chunk)
            self.readable()

    def readable(self) -> None:
        fd = self.transport._socket.fileno()
        assert select.select([fd], [], [], LIMIT)[0], f"nothing came within {LIMIT:g} s"

    def look(self) -> list[bytes]:
        """Return what one receive finds, without waiting."""
        return self.transport.receive(time.monotonic())

    def receive(self, count: int) -> list[bytes]:
        """Return `count` messages."""
        return receive(self.transport, count)

    def end(self) -> tuple[list[bytes], ConnectionLost]:
        """Return the messages until the end of the connection, and the end."""
        return until_lost(self.transport)


@pytest.fixture
def make_pair(waker: Waker) -> Iterator[Callable[..., Pair]]:
    made: list[Pair] = []

    def make(secure: bool = False, limits: Limits | None = None, early: bytes = b"", *, binary: bool = False) -> Pair:
        made.append(Pair(waker, secure, limits, early, binary=binary))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


@pytest.fixture
def pair(make_pair: Callable[..., Pair], secure: bool) -> Pair:
    return make_pair(secure)


def until_lost(transport: WebSocketConnection) -> tuple[list[bytes], ConnectionLost]:
    deadline = time.monotonic() + LIMIT
    messages: list[bytes] = []
    while time.monotonic() < deadline:
        try:
            messages += transport.receive(deadline)
        except ConnectionLost as lost:
            return messages, lost
    raise AssertionError(f"the connection has not ended within {LIMIT:g} s")


def texts(count: int) -> list[bytes]:
    return [b'{"n":%d}' % n for n in range(count)]


class TestFrames:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 1024 * 1024])
    def test_a_text_of_any_size(self, pair: Pair, size: int) -> None:
        payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
        sending = Task(pair.server.sendall, frame(payload) + frame(b"next"))
        assert pair.receive(2) == [payload, b"next"]
        sending.result()

    def test_many_in_one_go(self, pair: Pair) -> None:
        sent = texts(5000)
        sending = Task(pair.server.sendall, b"".join(map(frame, sent)))
        assert pair.receive(5000) == sent
        sending.result()

    def test_a_cut_between_any_two_bytes(self, pair: Pair) -> None:
        stream = b"".join(
            [
                frame(b"short"),
                frame(b"x" * 130),
                frame(b"tick", PING),
                frame(b"first ", fin=False),
                frame(b"tock", PONG),
                frame(b"", CONT, fin=False),
                frame(b"last", CONT),
                frame(b"masked", mask=b"\x01\x02\x03\x04"),
                frame(b""),
            ]
        )
        for cut in range(1, len(stream)):
            pair.send(stream[:cut])
            early = pair.look()
            pair.send(stream[cut:])
            messages = early + pair.receive(5 - len(early))
            assert messages == [b"short", b"x" * 130, b"first last", b"masked", b""], f"cut at byte {cut}"
        assert pair.transport.controls == 2 * (len(stream) - 1)

    @settings(max_examples=examples(40), deadline=None)
    @given(
        payloads=st.lists(st.binary(max_size=300), min_size=1, max_size=8),
        pieces=st.lists(st.integers(1, 50), min_size=1, max_size=20),
        cuts=st.lists(st.integers(1, 400), max_size=12),
    )
    def test_any_fragments_and_any_cuts(self, payloads: list[bytes], pieces: list[int], cuts: list[int]) -> None:
        stream = b"".join(fragmented(payload, pieces) for payload in payloads)
        waker = Waker()
        pair = Pair(waker, secure=False)
        try:
            received: list[bytes] = []
            for cut in cuts:
                if stream[:cut]:
                    pair.send(stream[:cut])
                    received += pair.look()
                stream = stream[cut:]
            pair.server.sendall(stream)
            assert received + pair.receive(len(payloads) - len(received)) == payloads
        finally:
            pair.close()
            waker.close()

    def test_a_ping_inside_a_fragmented_message_is_answered_before_its_end(self, pair: Pair) -> None:
        pair.send(frame(b"one ", fin=False) + frame(b"alive?", PING))
        assert pair.look() == []
        assert pair.look() == []
        assert read_frame(pair.server) == Frame(PONG, b"alive?")
        pair.send(frame(b"two", CONT))
        assert pair.receive(1) == [b"one two"]
        assert pair.transport.controls == 1

    def test_a_pong_counts_as_life_and_is_not_answered(self, pair: Pair) -> None:
        pair.send(frame(b"unasked", PONG))
        assert pair.look() == []
        assert pair.transport.controls == 1
        pair.transport.send_text(b"next")
        assert read_frame(pair.server) == Frame(TEXT, b"next")

    def test_in_a_binary_feed_both_kinds_are_messages(self, make_pair: Callable[..., Pair], secure: bool) -> None:
        pair = make_pair(secure, binary=True)
        pair.send(
            frame(b"\0\1", BINARY)
            + frame(b"text")
            + frame(b"a", BINARY, fin=False)
            + frame(b"b", CONT)
            + frame(b"c" * 300, BINARY)
        )
        assert pair.receive(4) == [b"\0\1", b"text", b"ab", b"c" * 300]
        assert pair.transport.skipped == 0

    def test_binary_messages_are_skipped_and_counted(self, pair: Pair) -> None:
        pair.send(
            frame(b"one")
            + frame(b"\0\1", BINARY)
            + frame(b"\0", BINARY, fin=False)
            + frame(b"\1", CONT)
            + frame(b"two")
        )
        assert pair.receive(2) == [b"one", b"two"]
        assert pair.transport.skipped == 2

    @pytest.mark.parametrize(
        ("wrong", "what"),
        [
            (frame(b"x", reserved=4), "rsv"),
            (frame(b"x", reserved=1), "rsv"),
            (frame(b"x", 0x3), "opcode"),
            (frame(b"x", 0xB), "opcode"),
            (frame(b"x", CONT), "Illegal frame"),
            (frame(b"x", fin=False) + frame(b"y"), "Illegal frame"),
            (frame(b"x", PING, fin=False), "ping"),
            (frame(b"x" * 126, PING), "Ping"),
            (frame(b"x", CLOSE), "close"),
            (frame(b"\x03\xe8" + b"x" * 124, CLOSE), "close"),
            (close(1005), "close"),
            (close(999), "close"),
            (close(1000, b"\xff"), "close"),
        ],
    )
    def test_a_frame_against_the_rules_ends_the_connection_after_what_came_before(
        self, pair: Pair, wrong: bytes, what: str
    ) -> None:
        pair.send(frame(b"before") + wrong + frame(b"after"))
        messages, lost = pair.end()
        assert messages == [b"before"]
        assert isinstance(lost.error, ProtocolError)
        assert "the peer sent a frame that breaks the WebSocket protocol" in str(lost)
        assert what in str(lost)
        assert (lost.code, lost.reason, lost.retriable) == (1002, "", True)
        sent = read_frame(pair.server)
        assert (sent.opcode, sent.code) == (CLOSE, 1002)


def fragmented(payload: bytes, pieces: list[int]) -> bytes:
    """Return a text message as frames of these sizes."""
    frames = []
    rest, opcode = payload, TEXT
    for piece in pieces[:-1]:
        frames.append(frame(rest[:piece], opcode, fin=False))
        rest, opcode = rest[piece:], CONT
    return b"".join([*frames, frame(rest, opcode)])


class TestEnds:
    @pytest.mark.parametrize(
        ("sent", "code", "reason", "text"),
        [
            (close(1000, b"Bye"), 1000, "Bye", "the peer closed the connection (code 1000, 'Bye')"),
            (close(4001, "später".encode()), 4001, "später", "the peer closed the connection (code 4001, 'später')"),
            (close(1012), 1012, "", "the peer closed the connection (code 1012)"),
            (close(), 1005, "", "the peer closed the connection (code 1005)"),
        ],
    )
    def test_a_close_frame_is_answered_and_told_after_all_messages(
        self, pair: Pair, sent: bytes, code: int, reason: str, text: str
    ) -> None:
        pair.send(b"".join(map(frame, texts(3))) + sent + frame(b"after"))
        messages, lost = pair.end()
        assert messages == texts(3)
        assert (lost.code, lost.reason, str(lost)) == (code, reason, text)
        assert isinstance(lost.error, ConnectionFailed)
        assert read_frame(pair.server).opcode == CLOSE
        with pytest.raises(ConnectionLost) as again:
            pair.look()
        assert again.value is lost

    def test_a_close_frame_counts_and_not_the_end_behind_it(self, pair: Pair) -> None:
        pair.server.sendall(frame(b"last") + close(4001))
        socket.socket.shutdown(pair.server, socket.SHUT_WR)
        poller = select.poll()
        poller.register(pair.transport._socket.fileno(), select.POLLRDHUP)
        assert poller.poll(LIMIT * 1000), "the end never came"
        messages, lost = pair.end()
        assert (messages, lost.code) == ([b"last"], 4001)

    def test_a_close_frame_that_came_with_the_handshake(self, make_pair: Callable[..., Pair]) -> None:
        pair = make_pair(early=close(4001))
        with pytest.raises(ConnectionLost) as lost:
            pair.look()
        assert lost.value.code == 4001

    def test_an_end_without_a_close_frame_is_told_after_all_messages(self, pair: Pair) -> None:
        pair.server.sendall(b"".join(map(frame, texts(3))) + frame(b"never complete")[:-1])
        pair.server.close()
        messages, lost = pair.end()
        assert messages == texts(3)
        assert (lost.code, lost.reason) == (1006, "")
        assert str(lost) == "the peer closed the connection without a close frame"

    @pytest.mark.parametrize("count", [0, 1, 100])
    def test_a_reset_is_told_after_all_messages(self, pair: Pair, count: int) -> None:
        pair.server.sendall(b"".join(map(frame, texts(count))))
        reset(pair.server)
        messages, lost = pair.end()
        assert messages == texts(count)
        assert lost.code == 1006
        assert "the peer" in str(lost)
        assert isinstance(lost.error, ConnectionFailed)

    def test_a_reset_that_sending_meets_is_told_after_all_messages(self, pair: Pair) -> None:
        pair.send(b"".join(map(frame, texts(100))))
        reset(pair.server)
        for _ in range(3):
            pair.transport.send_text(b"ping")
        messages, lost = pair.end()
        assert messages == texts(100)
        assert lost.code == 1006

    def test_close_says_goodbye(self, pair: Pair) -> None:
        pair.transport.close()
        assert read_frame(pair.server) == Frame(CLOSE, b"\x03\xe8")
        assert pair.server.recv(1) == b""
        pair.transport.close()

    def test_the_answer_to_a_close_frame_is_told(self, pair: Pair) -> None:
        pair.transport.send_close()
        assert read_frame(pair.server) == Frame(CLOSE, b"\x03\xe8")
        pair.send(*map(frame, texts(2)), close(1000))
        messages, lost = pair.end()
        assert messages == texts(2)
        assert lost.code == 1000

    def test_close_after_the_end_says_no_more(self, pair: Pair) -> None:
        pair.send(close(1000))
        pair.end()
        pair.transport.close()
        assert read_frame(pair.server).opcode == CLOSE
        assert pair.server.recv(1) == b""

    def test_close_does_not_wait_for_a_peer_that_does_not_read(self, pair: Pair) -> None:
        Task(pair.transport.send_text, bytes(32 * 1024 * 1024)).result()
        Task(pair.transport.close).result()
        assert pair.transport._socket.fileno() == -1

    def test_a_forked_child_says_nothing(self, pair: Pair) -> None:
        pair.transport.after_fork()
        raw = pair.server
        assert socket.socket.recv(raw, 1) == b""  # not even a TLS alert


class TestDeadlines:
    @pytest.mark.usefixtures("way_of_waiting")
    def test_nothing_is_an_empty_list(self, pair: Pair) -> None:
        assert pair.look() == []
        assert Task(pair.transport.receive, time.monotonic() + SHORT).result() == []

    @pytest.mark.usefixtures("way_of_waiting")
    def test_wake_ends_a_receive_with_nothing(self, pair: Pair, waker: Waker, poll_begun: threading.Event) -> None:
        receiving = Task(pair.transport.receive, time.monotonic() + 1000 * LIMIT)
        reached(poll_begun, "the receive did not wait")
        waker.wake()
        assert receiving.result() == []
        pair.server.sendall(frame(b"next"))
        assert pair.receive(1) == [b"next"]

    @pytest.mark.parametrize("cancel", [False, True])
    def test_a_wake_while_messages_flow_is_noticed_before_the_next(
        self, pair: Pair, waker: Waker, cancel: bool
    ) -> None:
        for payload in texts(3):
            pair.send(frame(payload))
            assert pair.receive(1) == [payload]
        pair.send(frame(b"next"))
        if cancel:
            waker.cancel()
            with pytest.raises(Cancelled):
                pair.transport.receive(time.monotonic() + LIMIT)
        else:
            waker.wake()
            assert pair.transport.receive(time.monotonic() + LIMIT) == [b"next"]
            assert pair.transport.woken

    @pytest.mark.usefixtures("way_of_waiting")
    def test_cancel_ends_every_receive(self, pair: Pair, waker: Waker, poll_begun: threading.Event) -> None:
        receiving = Task(pair.transport.receive, time.monotonic() + 1000 * LIMIT)
        reached(poll_begun, "the receive did not wait")
        waker.cancel()
        with pytest.raises(Cancelled):
            receiving.result()
        with pytest.raises(Cancelled):
            Task(pair.transport.receive, time.monotonic() + 1000 * LIMIT).result()

    @pytest.mark.parametrize(
        "part", [b"\x81", frame(b"x" * 10)[:5], frame(b"x", fin=False), b"\x81\x7e\x01", b"\x01\x80"]
    )
    @pytest.mark.parametrize("before", [b"", frame(b"before")])
    def test_part_of_a_message_and_then_silence(
        self, make_pair: Callable[..., Pair], secure: bool, before: bytes, part: bytes
    ) -> None:
        pair = make_pair(secure, Limits(step_timeout=SHORT))
        pair.send(before + part)
        messages, lost = Task(pair.end).result()
        assert messages == ([b"before"] if before else [])
        assert isinstance(lost.error, ProtocolError)
        assert "the peer sent part of a message and not the rest within 0.2 s" in str(lost)
        assert lost.code == 1002

    def test_one_byte_now_and_then(self, make_pair: Callable[..., Pair], secure: bool) -> None:
        pair = make_pair(secure, Limits(step_timeout=SHORT))
        over = threading.Event()

        def drip() -> None:
            pair.server.sendall(frame(bytes(60_000))[:4])
            while not over.wait(0.01):
                pair.server.sendall(b"x")

        dripping = Task(drip)
        try:
            _, lost = Task(pair.end).result()
            assert "part of a message and not the rest" in str(lost)
        finally:
            over.set()
            dripping.result()

    def test_more_of_a_head_does_not_prolong_the_time(self, pair: Pair) -> None:
        head = frame(bytes(100_000))[:10]
        pair.send(head[:1])
        assert pair.look() == []
        since = pair.transport._partial_since
        assert since is not None
        for byte in head[1:]:
            pair.send(bytes([byte]))
            assert pair.look() == []
        assert pair.transport._partial_since == since

    def test_a_fragment_more_prolongs_the_time_and_a_ping_between_does_not(self, pair: Pair) -> None:
        pair.send(frame(b"mes", fin=False))
        assert pair.look() == []
        since = pair.transport._partial_since
        assert since is not None
        for ping in (frame(b"", PING), frame(b"x", PING)):
            pair.send(ping)
            assert pair.look() == []
            assert pair.transport._partial_since == since
        pair.send(frame(b"", CONT, fin=False))
        assert pair.look() == []
        assert pair.transport._partial_since is not None
        assert pair.transport._partial_since > since
        pair.send(frame(b"sage", CONT))
        assert pair.look() == [b"message"]
        assert pair.transport._partial_since is None

    def test_pings_without_end_are_no_rest_of_a_message(self, make_pair: Callable[..., Pair]) -> None:
        pair = make_pair(limits=Limits(step_timeout=SHORT))
        over = threading.Event()

        def ping() -> None:
            while not over.wait(SHORT / 10):
                pair.server.sendall(frame(b"", PING))

        pair.send(frame(b"mes", fin=False))
        pinging = Task(ping)
        try:
            messages, lost = pair.end()
            assert messages == []
            assert "part of a message and not the rest" in str(lost)
        finally:
            over.set()
            pinging.result()

    def test_the_time_counts_for_each_message_anew(self, pair: Pair) -> None:
        """A stream that is always in the middle of some message is no stalled one."""
        whole = frame(b"message")
        pair.send(whole[:3])
        assert pair.look() == []
        for _ in range(3):
            since = pair.transport._partial_since
            assert since is not None
            pair.send(whole[3:] + whole[:3])
            assert pair.look() == [b"message"]
            assert pair.transport._partial_since is not None
            assert pair.transport._partial_since > since
        pair.send(whole[3:])
        assert pair.look() == [b"message"]
        assert pair.transport._partial_since is None

    def test_a_complete_rest_ends_the_wait(self, make_pair: Callable[..., Pair]) -> None:
        pair = make_pair(limits=Limits(step_timeout=SHORT))
        pair.send(frame(b"message")[:4])
        assert pair.look() == []
        pair.send(frame(b"message")[4:])
        assert pair.look() == [b"message"]
        assert Task(pair.transport.receive, time.monotonic() + 2 * SHORT).result() == []


class TestCaps:
    LIMITS = Limits(frame_bytes=1000)

    def test_a_message_of_just_the_limit(self, make_pair: Callable[..., Pair], secure: bool) -> None:
        pair = make_pair(secure, self.LIMITS)
        pair.send(frame(b"x" * 1000) + frame(b"y"))
        assert pair.receive(2) == [b"x" * 1000, b"y"]

    @pytest.mark.parametrize(
        ("head", "size"),
        [
            (frame(b"x" * 1001), 1001),
            (frame(b"x" * 1001, mask=b"abcd"), 1001),
            (frame(b"x" * 1001, BINARY), 1001),
            (b"\x81\x7f" + (300 * 2**20).to_bytes(8, "big"), 300 * 2**20),
            (b"\x81\x7f" + b"\xff" * 8, 2**64 - 1),
        ],
    )
    def test_a_larger_one_is_refused_by_its_length(
        self, make_pair: Callable[..., Pair], secure: bool, head: bytes, size: int
    ) -> None:
        pair = make_pair(secure, self.LIMITS)
        pair.send(frame(b"before") + head)
        messages, lost = pair.end()
        assert messages == [b"before"]
        assert isinstance(lost.error, ProtocolError)
        assert f"the peer sent a message of {size} bytes, more than the limit of 1000" in str(lost)
        assert lost.code == 1009
        assert read_frame(pair.server).code == 1009

    def test_fragments_count_together(self, make_pair: Callable[..., Pair], secure: bool) -> None:
        pair = make_pair(secure, self.LIMITS)
        pair.send(frame(b"before") + frame(b"x" * 400, fin=False) + frame(b"x" * 400, CONT, fin=False))
        pair.send(frame(b"x" * 400, CONT, fin=False))
        messages, lost = pair.end()
        assert messages == [b"before"]
        assert isinstance(lost.error, ProtocolError)
        assert "more than the limit of 1000" in str(lost)
        assert lost.code == 1009
        assert read_frame(pair.server).code == 1009

    def test_messages_in_fragments_count_each_for_itself(self, make_pair: Callable[..., Pair]) -> None:
        pair = make_pair(limits=self.LIMITS)
        for _ in range(5):
            pair.send(frame(b"x" * 400, fin=False) + frame(b"y" * 400, CONT))
            assert pair.receive(1) == [b"x" * 400 + b"y" * 400]

    def test_a_flood_of_fragments_takes_bounded_memory(self, make_pair: Callable[..., Pair]) -> None:
        pair = make_pair(limits=Limits(frame_bytes=256 * 1024))
        flood = Task(pair.server.sendall, frame(b"x", fin=False) + frame(b"x" * 60_000, CONT, fin=False) * 500)
        tracemalloc.start()
        try:
            _, lost = pair.end()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert lost.code == 1009
        assert peak < 4 * 1024 * 1024
        pair.transport.close()
        with pytest.raises(OSError, match=r"reset|pipe"):  # most of it was never read
            flood.result()

    def test_a_length_alone_claims_no_memory(self, make_pair: Callable[..., Pair]) -> None:
        pair = make_pair()
        pair.send(b"\x81\x7f" + (16 * 1024 * 1024).to_bytes(8, "big") + b"x")
        tracemalloc.start()
        try:
            assert pair.look() == []
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * 1024 * 1024


class TestSending:
    @pytest.mark.usefixtures("way_of_waiting")
    def test_a_peer_that_does_not_read_blocks_neither_sending_nor_receiving(self, pair: Pair) -> None:
        sent = [b"%d" % n * 1_000_000 for n in range(10)]
        for payload in sent:
            Task(pair.transport.send_text, payload).result()
        pair.send(frame(b"meanwhile"))
        assert pair.receive(1) == [b"meanwhile"]

        def read_late() -> list[bytes]:
            received = [read_frame(pair.server).payload for _ in sent]
            pair.server.sendall(frame(b"done"))
            return received

        reading = Task(read_late)
        assert pair.receive(1) == [b"done"]
        assert reading.result() == sent

    def test_a_flood_of_pings_from_a_peer_that_does_not_read_takes_bounded_memory(
        self, make_pair: Callable[..., Pair], secure: bool
    ) -> None:
        pair = make_pair(secure, Limits(frame_bytes=256 * 1024))

        def send() -> None:
            pair.server.sendall(frame(b"last words"))
            pings = frame(b"x" * 125, PING) * 2000
            for _ in range(4000):  # a gigabyte: more than what lies between the two can hold
                pair.server.sendall(pings)

        flood = Task(send)
        messages, lost = pair.end()
        assert messages == [b"last words"]
        assert (lost.code, str(lost)) == (1006, "the peer does not read what is sent to it")
        assert isinstance(lost.error, ConnectionFailed)
        assert len(pair.transport._framing.sent) < 512 * 1024
        pair.transport.close()
        with pytest.raises(OSError, match=r"reset|pipe|EOF"):  # most of it was never read
            flood.result()

    def test_after_a_full_buffer_it_waits_for_reading_alone(self, pair: Pair, poll_begun: threading.Event) -> None:
        pair.transport.send_text(bytes(10_000_000))
        reading = Task(read_frame, pair.server)
        while pair.transport._framing.sent:
            assert pair.transport.receive(time.monotonic() + LIMIT) == []
        reading.result()
        poll_begun.clear()
        receiving = Task(pair.transport.receive, time.monotonic() + 1000 * LIMIT)
        reached(poll_begun, "the receive did not wait")
        pair.server.sendall(frame(b"next"))
        assert receiving.result() == [b"next"]

    def test_sending_after_close_is_no_error(self, pair: Pair) -> None:
        pair.transport.close()
        pair.transport.send_text(b"too late")


class TestBatches:
    def test_a_batch_that_ends_inside_a_tls_record_leaves_nothing_behind(self, make_pair: Callable[..., Pair]) -> None:
        """What stayed behind in the TLS layer would wake no `poll`."""
        room = 256 * 1024
        pair = make_pair(secure=True)
        large = frame(bytes(room - 10))  # fills the buffer, to the byte
        cut = len(large) - 66_000
        sending = Task(pair.server.sendall, large[:cut])
        while pair.transport._frames._length < cut:
            assert pair.transport.receive(time.monotonic() + LIMIT) == []
        sending.result()
        last = frame(b"behind")
        pair.send(large[cut : cut + 1000], large[cut + 1000 :] + last)
        assert pair.receive(2) == [bytes(room - 10), b"behind"]


class Counting:
    """A socket that counts reads."""

    def __init__(self, sock: Any) -> None:
        self.reads = 0
        self._sock = sock

    def recv_into(self, buffer: memoryview) -> int:
        self.reads += 1
        count: int = self._sock.recv_into(buffer)
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class TestRecords:
    """Messages over TLS, each in a record of its own, as KuCoin sends them."""

    @pytest.fixture
    def counting_pair(self, make_pair: Callable[..., Pair]) -> Pair:
        pair = make_pair(secure=True)
        pair.transport._socket.sock = Counting(pair.transport._socket.sock)  # type: ignore[assignment]
        return pair

    def test_where_one_comes_at_a_time_few_reads_look_for_another(self, counting_pair: Pair) -> None:
        for number in range(33):
            counting_pair.send(frame(b"%d" % number))
            assert counting_pair.receive(1) == [b"%d" % number]
        sock: Any = counting_pair.transport._socket.sock
        assert 33 < sock.reads <= 33 + 33 // 8 + 3

    def test_where_they_come_together_they_are_received_together(self, counting_pair: Pair) -> None:
        for number in range(10):
            counting_pair.send(frame(b"%d" % number))
            assert counting_pair.receive(1) == [b"%d" % number]
        counting_pair.send(*(frame(b"%d" % number) for number in range(100)))
        reads = 0
        received: list[bytes] = []
        while len(received) < 100:
            received += counting_pair.receive(1)
            reads += 1
        assert received == [b"%d" % number for number in range(100)]
        assert reads <= 8, "there are none to wait for"
        counting_pair.send(frame(b"1"), frame(b"2"))
        assert counting_pair.look() == [b"1", b"2"]


def as_they_are(messages: list[bytes], _now: float) -> list[bytes]:
    return messages


class TestLendingTheRead:
    """Another thread reads, and `receive` waits for what is its own to do."""

    MESSAGE = b'{"topic":"/market/ticker:ETH-USDT"}' * 5

    @pytest.fixture
    def taken(self) -> list[bytes]:
        return []

    @pytest.fixture
    def read_lease(self, pair: Pair, taken: list[bytes]) -> ReadLease:
        lent = pair.transport.lend_read(as_they_are, lambda pushes: taken.extend(pushes) is None)
        assert lent is not None
        return lent

    def test_messages_go_to_the_thread_that_reads(self, pair: Pair, read_lease: ReadLease, taken: list[bytes]) -> None:
        pair.send(frame(self.MESSAGE))
        read_one(read_lease)
        assert taken == [self.MESSAGE]

    def test_batches_go_to_the_thread_that_reads(self, pair: Pair, read_lease: ReadLease, taken: list[bytes]) -> None:
        for number in range(3):
            pair.send(b"".join(map(frame, texts(20))))
            read_one(read_lease)
            assert taken == texts(20) * (number + 1)
        assert read_lease.over is False

    def test_nothing_is_received_while_the_other_thread_reads(
        self, pair: Pair, read_lease: ReadLease, taken: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read_meanwhile(waker: Waker, seconds: float) -> bool:
            if len(taken) == 5:
                return wait(waker, seconds)
            pair.send(frame(self.MESSAGE))
            read_one(read_lease)
            return False

        wait = Waker.wait
        monkeypatch.setattr(Waker, "wait", read_meanwhile)
        assert pair.transport.receive(time.monotonic() + LIMIT) == []
        assert taken == [self.MESSAGE] * 5
        assert (read_lease.over, pair.transport.woken) == (True, False)

    def test_it_is_taken_back_where_the_other_thread_does_not_come(self, pair: Pair, read_lease: ReadLease) -> None:
        assert pair.transport.receive(time.monotonic() + LIMIT) == []
        assert (read_lease.over, pair.transport.woken) == (True, False)
        pair.send(frame(self.MESSAGE))
        assert pair.receive(1) == [self.MESSAGE]

    def test_it_is_taken_back_at_the_deadline(self, pair: Pair, read_lease: ReadLease) -> None:
        read_lease.last = float("inf")  # it is read all the time
        assert pair.transport.receive(time.monotonic() + SHORT) == []
        assert (read_lease.over, pair.transport.woken) == (True, False)

    def test_it_is_taken_back_at_a_wake(self, pair: Pair, read_lease: ReadLease, waker: Waker) -> None:
        read_lease.last = float("inf")  # it is read all the time
        waker.wake()
        assert pair.transport.receive(time.monotonic() + LIMIT) == []
        assert (read_lease.over, pair.transport.woken, waker.called) == (True, True, False)

    def test_a_cancelled_waker_ends_it_with_nobody_reading(
        self, pair: Pair, read_lease: ReadLease, waker: Waker
    ) -> None:
        read_lease.last = float("inf")  # it is read all the time
        waker.cancel()
        with pytest.raises(Cancelled):
            pair.transport.receive(time.monotonic() + LIMIT)
        assert read_lease.over

    def test_what_the_other_thread_has_left_is_received_first(self, pair: Pair) -> None:
        read_lease = pair.transport.lend_read(lambda messages, now: None, lambda _: True)
        assert read_lease is not None
        pair.send(frame(b"1") + frame(b"2") + frame(self.MESSAGE)[:9])
        until_over(read_lease)
        pair.send(frame(self.MESSAGE)[9:])
        assert pair.receive(3) == [b"1", b"2", self.MESSAGE]

    def test_a_partial_message_behind_a_batch_is_completed_by_the_next_receive(
        self, pair: Pair, read_lease: ReadLease, taken: list[bytes]
    ) -> None:
        pair.send(frame(b"first") + frame(b"second") + frame(self.MESSAGE)[:9])
        read_one(read_lease)
        assert (taken, read_lease.over) == ([b"first", b"second"], False)
        assert pair.transport.receive(time.monotonic()) == []
        assert read_lease.over
        pair.send(frame(self.MESSAGE)[9:])
        assert pair.receive(1) == [self.MESSAGE]

    def test_a_partial_message_of_before_is_completed_by_the_thread_that_reads(
        self, pair: Pair, taken: list[bytes]
    ) -> None:
        pair.send(frame(b"first") + frame(self.MESSAGE)[:9])
        assert pair.receive(1) == [b"first"]
        read_lease = pair.transport.lend_read(as_they_are, lambda pushes: taken.extend(pushes) is None)
        assert read_lease is not None
        pair.send(frame(self.MESSAGE)[9:])
        read_one(read_lease)
        assert taken == [self.MESSAGE]

    def test_a_ping_behind_a_batch_is_answered(
        self, pair: Pair, read_lease: ReadLease, taken: list[bytes], waker: Waker
    ) -> None:
        pair.send(frame(b"first") + frame(b"second") + frame(b"alive?", PING) + frame(b"third"))
        while not taken:
            read_lease.read(LIMIT)
        assert (taken, read_lease.over, waker.called) == ([b"first", b"second"], True, True)
        assert pair.transport.receive(time.monotonic() + LIMIT) == [b"third"]
        assert pair.transport.controls == 1
        assert pair.look() == []  # which sends the answer
        assert read_frame(pair.server) == Frame(PONG, b"alive?")

    def test_the_time_of_a_partial_message_is_counted_anew_after_the_lease(
        self, make_pair: Callable[..., Pair], secure: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The message that was partial before was completed by the other thread; now the next one is partial."""
        pair = make_pair(secure, Limits(step_timeout=LIMIT))
        now = time.monotonic()
        pair.send(frame(b"first") + frame(self.MESSAGE)[:9])
        assert pair.receive(1) == [b"first"]
        read_lease = pair.transport.lend_read(as_they_are, lambda _: True)
        assert read_lease is not None
        pair.send(frame(self.MESSAGE)[9:] + frame(self.MESSAGE)[:9])
        read_one(read_lease)
        monkeypatch.setattr(transport_module, "time", Clock(now + 2 * LIMIT))
        assert pair.transport.receive(now) == []
        pair.send(frame(self.MESSAGE)[9:])
        assert pair.transport.receive(now) == [self.MESSAGE]

    def test_half_a_message_that_it_has_left_has_its_deadline(
        self, make_pair: Callable[..., Pair], secure: bool
    ) -> None:
        pair = make_pair(secure, Limits(step_timeout=SHORT))
        read_lease = pair.transport.lend_read(as_they_are, lambda _: True)
        assert read_lease is not None
        pair.send(frame(self.MESSAGE)[:9])
        until_over(read_lease)
        messages, lost = pair.end()
        assert (messages, lost.code) == ([], 1002)

    def test_the_end_that_it_has_met_is_the_end(self, pair: Pair, read_lease: ReadLease) -> None:
        pair.server.shutdown(socket.SHUT_WR)
        until_over(read_lease)
        with pytest.raises(ConnectionLost, match="closed the connection without a close frame"):
            receive(pair.transport, 1)

    def test_the_error_that_it_has_met_is_the_end(self, make_pair: Callable[..., Pair]) -> None:
        pair = make_pair()
        read_lease = pair.transport.lend_read(as_they_are, lambda _: True)
        assert read_lease is not None
        reset(pair.server)
        until_over(read_lease)
        with pytest.raises(ConnectionLost, match=r"the connection to the peer failed: Connection reset by peer"):
            receive(pair.transport, 1)

    def test_where_it_was_interrupted_in_a_read_the_connection_is_given_up(
        self, pair: Pair, read_lease: ReadLease
    ) -> None:
        def read_and_raise(*arguments: Any) -> NoReturn:
            receive_into(*arguments)
            raise KeyboardInterrupt

        receive_into, read_lease._receive_into = read_lease._receive_into, read_and_raise
        pair.send(frame(self.MESSAGE))
        with pytest.raises(KeyboardInterrupt):
            until_over(read_lease)
        with pytest.raises(ConnectionLost, match="a signal came while a message of the peer was being read"):
            receive(pair.transport, 1)

    def test_where_the_other_thread_is_still_about_to_take_a_message_it_is_not_received_too(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A signal handler that waits has suspended the other thread between its read and its delivery."""
        monkeypatch.setattr(direct_read_module, "_TAKE_BACK_TIMEOUT", 0.01)
        inside, go_on, taken = threading.Event(), threading.Event(), []

        def put(pushes: list[bytes]) -> bool:
            inside.set()
            reached(go_on, "the test did not let the consumer go on")
            return taken.extend(pushes) is None

        read_lease = pair.transport.lend_read(as_they_are, put)
        assert read_lease is not None
        pair.send(frame(self.MESSAGE))
        reading = Task(read_one, read_lease)
        reached(inside, "nothing was read")
        messages, lost = pair.end()
        go_on.set()
        reading.result()
        assert (messages, taken) == ([], [self.MESSAGE])
        assert "a signal came while a message of the peer was being read" in str(lost)

    def test_it_is_not_lent_where_a_partial_message_leaves_no_room(self, pair: Pair) -> None:
        whole = frame(bytes(250_000))
        sending = Task(pair.server.sendall, whole[:200_000])
        while pair.transport._frames._length < 200_000:
            assert pair.transport.receive(time.monotonic() + LIMIT) == []
        sending.result()
        assert pair.transport.lend_read(as_they_are, lambda _: True) is None
        sending = Task(pair.server.sendall, whole[200_000:])
        assert pair.receive(1) == [bytes(250_000)]
        sending.result()

    def test_it_is_not_lent_while_fragments_wait(self, pair: Pair) -> None:
        pair.send(frame(self.MESSAGE, fin=False))
        pair.look()
        assert pair.transport.lend_read(as_they_are, lambda _: True) is None

    def test_it_is_not_lent_before_what_came_with_the_handshake_is_received(
        self, make_pair: Callable[..., Pair]
    ) -> None:
        assert make_pair(early=frame(self.MESSAGE)).transport.lend_read(as_they_are, lambda _: True) is None

    def test_it_is_not_lent_while_something_waits_to_be_sent(self, make_pair: Callable[..., Pair]) -> None:
        pair = make_pair()
        pair.transport.send_text(bytes(500_000))
        while not pair.transport._framing.sent:
            pair.transport.send_text(bytes(500_000))
        assert pair.transport.lend_read(as_they_are, lambda _: True) is None

    def test_it_is_not_lent_at_the_end(self, pair: Pair) -> None:
        pair.send(close(1000))
        pair.look()
        assert pair.transport.lend_read(as_they_are, lambda _: True) is None

    def test_it_is_not_lent_where_the_system_has_no_poll(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(select, "poll")
        assert pair.transport.lend_read(as_they_are, lambda _: True) is None


class Clock:
    """The module `time`, with a clock that stands still."""

    def __init__(self, now: float) -> None:
        self.monotonic = lambda: now


def read_one(read_lease: ReadLease) -> None:
    """Read until the consumer has taken something, or the lease is over; records of the handshake may come first."""
    put, taken = read_lease._put, []
    read_lease._put = lambda pushes: bool(taken.append(pushes)) or put(pushes)
    while not taken and not read_lease.over:
        read_lease.read(LIMIT)
    if not read_lease.over:
        read_lease._put = put


def until_over(read_lease: ReadLease) -> None:
    while not read_lease.over:
        read_lease.read(LIMIT)
