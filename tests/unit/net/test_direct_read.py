"""A read lease between an I/O thread and a consumer: what the consumer takes, what it leaves, how the lease ends."""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_sync.net import direct_read as direct_read_module
from kucoin_sync.net.direct_read import HandoffPolicy, ReadLease
from kucoin_sync.net.framing import FrameBuffer

from ...support.certificates import client_context, server_context
from ...support.frames import BINARY, PING, frame
from ...support.interrupts import code_of, handled_before, interrupt
from ...support.selection import examples, first
from ...support.sockets import HOST, reset, tcp_pair
from ...support.threads import LIMIT, Task, reached
from .test_framing import PONG, Others, read, traffic

PUSH = b'{"type":"message","topic":"/market/ticker:ETH-USDT","subject":"trade.ticker","data":{"price":"3000.1"}}' * 2
BRIEF = b'{"id":"1","type":"pong"}'
UNKNOWN = b'{"unknown":1}'


class Lending:
    """A read lease, what was taken with it, and the server's socket."""

    def __init__(self, *, secure: bool) -> None:
        self.batches: list[list[bytes]] = []
        self.takers: list[int] = []
        self.mine = True
        self.recalls = 0
        self.sock, self.server = tcp_pair()
        self.sock.setblocking(False)
        if secure:
            self.sock, self.server = secured(self.sock, self.server)
        self.frames = FrameBuffer(1_000_000)
        self.lend()

    def lend(self) -> None:
        self.read_lease = ReadLease(self.sock, 0, self.frames, self.recognise, self.put, self.recall, self.has)

    @property
    def taken(self) -> list[bytes]:
        return [message for batch in self.batches for message in batch]

    def recognise(self, messages: list[bytes], _now: float) -> list[bytes] | None:
        return None if UNKNOWN in messages else messages

    def put(self, pushes: list[bytes]) -> bool:
        if self.mine:
            self.batches.append(pushes)
            self.takers.append(threading.get_ident())
        return self.mine

    def has(self, pushes: list[bytes]) -> bool:
        return any(batch is pushes for batch in self.batches)

    def recall(self) -> None:
        self.recalls += 1

    def send(self, data: bytes) -> None:
        """Send, over TLS in one record, and wait until all of it can be read."""
        self.server.sendall(data)
        assert select.select([self.sock], [], [], LIMIT)[0], "nothing came"
        while not isinstance(self.sock, ssl.SSLSocket) and len(self.sock.recv(1 << 20, socket.MSG_PEEK)) < len(data):
            pass

    def left(self) -> list[bytes]:
        """Return what is left to the I/O thread: text messages, and any other frame as it was sent."""
        return self.frames.take(lambda other, messages: messages.append(other) is None)

    def read_as_the_owner(self) -> None:
        """Read what nobody has read, as the I/O thread does."""
        try:
            while True:
                self.frames.added(self.sock.recv_into(self.frames.room()))
        except (BlockingIOError, ssl.SSLWantReadError):
            pass

    def read_until_over(self) -> None:
        while not self.read_lease.over:
            assert self.read_lease.read(LIMIT)

    def close(self) -> None:
        self.sock.close()
        self.server.close()


def secured(ours: socket.socket, theirs: socket.socket) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    server = server_context().wrap_socket(theirs, server_side=True, do_handshake_on_connect=False)
    ours.setblocking(True)
    shaking = Task(server.do_handshake)
    client = client_context().wrap_socket(ours, server_hostname=HOST)
    shaking.result()
    client.setblocking(False)
    return client, server


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def lending(request: pytest.FixtureRequest) -> Iterator[Lending]:
    made = Lending(secure=request.param)
    yield made
    made.close()


def take_batch(lending: Lending) -> list[bytes]:
    """Read until a batch was taken, or the lease is over; return the last batch."""
    count = len(lending.batches)
    while len(lending.batches) == count and not lending.read_lease.over:
        assert lending.read_lease.read(LIMIT)
    return lending.batches[-1]


class TestReading:
    def test_a_message_that_came_alone_is_taken_on_the_thread_that_reads(self, lending: Lending) -> None:
        for message in (PUSH, BRIEF, PUSH):
            lending.send(frame(message))
            assert Task(take_batch, lending).result() == [message]
        assert threading.get_ident() not in lending.takers
        assert (lending.read_lease.over, lending.recalls) == (False, 0)
        assert lending.read_lease.reads >= 3
        assert not lending.frames.partial

    def test_a_message_that_comes_while_the_consumer_waits_is_taken(
        self, lending: Lending, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(direct_read_module, "_SILENCE", LIMIT)
        reading = Task(take_batch, lending)
        lending.server.sendall(frame(PUSH))
        assert reading.result() == [PUSH]

    @pytest.mark.parametrize("count", [2, 3, 60])
    def test_messages_that_came_together_are_taken_as_one_batch(self, lending: Lending, count: int) -> None:
        batch = [b"%d" % number + PUSH for number in range(count)]
        for _ in range(3):
            lending.send(b"".join(map(frame, batch)))
            assert take_batch(lending) == batch
        assert (len(lending.batches), lending.read_lease.over, lending.recalls) == (3, False, 0)
        assert not lending.frames.partial

    @pytest.mark.parametrize("cut", [1, 3, 50])
    def test_the_next_read_of_the_consumer_completes_a_partial_frame(self, lending: Lending, cut: int) -> None:
        half, rest = frame(BRIEF + PUSH)[:cut], frame(BRIEF + PUSH)[cut:]
        lending.send(frame(PUSH) + frame(BRIEF) + half)
        assert take_batch(lending) == [PUSH, BRIEF]
        assert (lending.frames.partial, lending.read_lease.over) == (True, False)
        lending.send(rest + frame(PUSH) + half)
        assert take_batch(lending) == [BRIEF + PUSH, PUSH]
        lending.send(rest)
        assert take_batch(lending) == [BRIEF + PUSH]
        assert (lending.frames.partial, lending.read_lease.over, lending.recalls) == (False, False, 0)

    @pytest.mark.parametrize("cut", [1, 3, 50])
    def test_the_next_read_of_the_io_thread_completes_a_partial_frame(self, lending: Lending, cut: int) -> None:
        lending.send(frame(PUSH) + frame(PUSH)[:cut])
        assert take_batch(lending) == [PUSH]
        lending.read_lease.take_back()
        assert lending.left() == []
        lending.send(frame(PUSH)[cut:] + frame(BRIEF))
        lending.read_as_the_owner()
        assert lending.left() == [PUSH, BRIEF]

    def test_a_smaller_frame_behind_the_completed_one_is_not_overlooked(self, lending: Lending) -> None:
        """The buffer has noted how many bytes the incomplete frame needs, and that is no longer the first."""
        read(lending.frames, frame(PUSH)[:50])
        assert lending.left() == []
        lending.send(frame(PUSH)[50:] + frame(b"", PING))
        assert take_batch(lending) == [PUSH]
        lending.read_lease.take_back()
        assert lending.frames.ripe
        assert lending.left() == [frame(b"", PING)]

    @pytest.mark.parametrize(
        ("behind", "left"),
        [
            (frame(b"beat", PING), [frame(b"beat", PING)]),
            (frame(b"data", BINARY), [frame(b"data", BINARY)]),
            (frame(b"first part", fin=False), [frame(b"first part", fin=False)]),
            (frame(PUSH, mask=b"mask"), [frame(PUSH, mask=b"mask")]),
            (frame(b"", PING) + frame(PUSH) + frame(PUSH)[:9], [frame(b"", PING), PUSH]),
            (frame(b"?"), [b"?"]),
            (frame(b""), [b""]),
        ],
        ids=["ping", "binary", "fragment", "masked", "ping and more", "one letter", "empty"],
    )
    def test_a_complete_frame_of_another_kind_behind_a_batch_ends_the_lease_at_once(
        self, lending: Lending, behind: bytes, left: list[bytes]
    ) -> None:
        lending.send(frame(PUSH) + frame(BRIEF) + behind)
        assert take_batch(lending) == [PUSH, BRIEF]
        assert (lending.read_lease.over, lending.recalls) == (True, 1)
        lending.read_lease.take_back()
        assert (lending.taken, lending.left()) == ([PUSH, BRIEF], left)

    def test_the_header_of_a_message_beyond_the_limit_behind_a_batch_ends_the_lease_at_once(
        self, lending: Lending
    ) -> None:
        lending.send(frame(PUSH) + frame(b"x" * 1_000_001)[:10])
        assert take_batch(lending) == [PUSH]
        assert lending.read_lease.over
        lending.read_lease.take_back()
        assert lending.frames.ripe, "the owner has to see it"
        assert (lending.left(), lending.frames.excess) == ([], 1_000_001)

    def test_an_incomplete_frame_of_another_kind_is_left_when_it_is_complete(self, lending: Lending) -> None:
        ping = frame(b"beat", PING)
        lending.send(frame(PUSH) + ping[:3])
        assert take_batch(lending) == [PUSH]
        assert not lending.read_lease.over
        lending.send(ping[3:])
        lending.read_until_over()
        lending.read_lease.take_back()
        assert lending.left() == [ping]

    @pytest.mark.parametrize(
        ("sent", "left", "partial"),
        [
            (frame(b"", PING), [frame(b"", PING)], False),
            (frame(PUSH)[:50], [], True),
            (frame(PUSH)[:1], [], True),
            (frame(b"", PING) + frame(PUSH)[:50], [frame(b"", PING)], True),
            (frame(b"", PING) + frame(PUSH), [frame(b"", PING), PUSH], False),
            (frame(b"x" * 70_000)[:5_000], [], True),
        ],
        ids=["ping", "half", "a byte", "ping and half", "ping and text", "large"],
    )
    def test_everything_else_is_left_to_the_io_thread_from_its_first_byte(
        self, lending: Lending, sent: bytes, left: list[bytes], partial: bool
    ) -> None:
        lending.send(sent)
        lending.read_until_over()
        lending.read_lease.take_back()
        assert (lending.taken, lending.recalls, lending.read_lease.spoiled) == ([], 1, False)
        assert lending.left() == left
        assert lending.frames.partial is partial

    @pytest.mark.parametrize("place", range(3))
    def test_a_batch_with_an_unknown_message_is_left_whole_once_and_in_order(
        self, lending: Lending, place: int
    ) -> None:
        batch = [PUSH, BRIEF]
        batch.insert(place, UNKNOWN)
        lending.send(frame(BRIEF))
        assert take_batch(lending) == [BRIEF]
        lending.send(b"".join(map(frame, batch)) + frame(PUSH)[:20])
        lending.read_until_over()
        lending.send(frame(PUSH)[20:])
        assert lending.read_lease.read(LIMIT), "the lease is over: nothing more is read with it"
        lending.read_lease.take_back()
        assert (lending.taken, lending.recalls, lending.read_lease.spoiled) == ([BRIEF], 1, False)
        assert lending.left() == batch
        lending.read_as_the_owner()
        assert lending.left() == [PUSH]

    def test_so_is_a_batch_that_is_not_the_consumers_alone(self, lending: Lending) -> None:
        lending.mine = False
        lending.send(frame(PUSH) + frame(BRIEF))
        lending.read_until_over()
        lending.read_lease.take_back()
        assert (lending.taken, lending.left(), lending.read_lease.spoiled) == ([], [PUSH, BRIEF], False)

    def test_where_another_thread_has_read_everything_the_lease_goes_on(self, lending: Lending) -> None:
        lending.send(frame(PUSH))
        receive_into, lending.read_lease._receive_into = lending.read_lease._receive_into, find_nothing
        assert lending.read_lease.read(LIMIT) is True
        assert (lending.taken, lending.read_lease.over) == ([], False)
        lending.read_lease._receive_into = receive_into
        assert take_batch(lending) == [PUSH]

    def test_the_end_of_the_connection_is_left_to_the_io_thread(self, lending: Lending) -> None:
        lending.server.shutdown(socket.SHUT_WR)
        lending.read_until_over()
        lending.read_lease.take_back()
        assert (lending.read_lease.failure, lending.read_lease.spoiled, lending.frames.partial) == (None, False, False)
        lending.sock.setblocking(True)
        assert lending.sock.recv(1) == b""

    @pytest.mark.parametrize("partial", [b"", frame(PUSH)[:20]], ids=["nothing before", "a partial frame before"])
    def test_an_error_is_noted(self, lending: Lending, partial: bytes) -> None:
        read(lending.frames, partial)
        reset(lending.server)
        lending.read_until_over()
        lending.read_lease.take_back()
        assert lending.read_lease.spoiled is False
        if not isinstance(lending.sock, ssl.SSLSocket):  # which reports an end in the place of this error
            assert isinstance(lending.read_lease.failure, ConnectionResetError)

    def test_an_error_of_tls_is_noted_and_no_reason_to_suspect_a_signal(self, lending: Lending) -> None:
        def fail(*_: Any) -> NoReturn:
            raise ssl.SSLError("bad record")

        lending.read_lease._receive_into = fail
        lending.send(frame(PUSH))
        lending.read_until_over()
        read(lending.frames, frame(PUSH)[:20])
        lending.read_lease.take_back()
        assert isinstance(lending.read_lease.failure, ssl.SSLError)
        assert lending.read_lease.spoiled is False

    def test_many_reads_never_run_out_of_room(self, lending: Lending) -> None:
        """Partial frames wander through the buffer; it is compacted and does not grow."""
        stream = b"".join(frame(b"%d" % number + PUSH * 10) for number in range(400))
        sent = 0
        while sent < len(stream):
            lending.send(stream[sent : sent + 9_000])
            sent += 9_000
            take_batch(lending)
        assert lending.taken == [b"%d" % number + PUSH * 10 for number in range(400)]
        assert (lending.read_lease.over, len(lending.frames._buffer)) == (False, 256 * 1024)

    def test_where_no_room_can_be_made_the_io_thread_reads(self, lending: Lending) -> None:
        whole = frame(bytes(240 * 1024))
        read(lending.frames, whole[: 200 * 1024])
        lending.send(whole[200 * 1024 : 201 * 1024])
        lending.read_until_over()
        assert lending.taken == []
        lending.read_lease.take_back()
        lending.read_as_the_owner()
        read(lending.frames, whole[201 * 1024 :])
        assert lending.left() == [whole]


class TestSilence:
    def test_the_lease_is_given_back(self, lending: Lending) -> None:
        assert lending.read_lease.read(None) is True
        lending.read_until_over()
        assert lending.recalls == 1

    def test_the_lease_is_kept_where_the_consumer_waits_for_less(self, lending: Lending) -> None:
        while lending.read_lease.read(0):  # records of the handshake may come first
            pass
        assert lending.read_lease.read(0.001) is False
        assert lending.read_lease.read(-1) is False
        assert (lending.read_lease.over, lending.recalls) == (False, 0)

    def test_giving_it_back_again_recalls_nobody(self, lending: Lending) -> None:
        lending.read_lease.give_back()
        lending.read_lease.give_back()
        assert lending.recalls == 1


class TestTakingBack:
    def test_nothing_is_read_any_more(self, lending: Lending) -> None:
        lending.read_lease.take_back()
        lending.server.sendall(frame(PUSH))
        assert lending.read_lease.read(LIMIT) is True
        assert (lending.taken, lending.recalls) == ([], 0)

    def test_a_consumer_that_waits_meanwhile_reads_nothing_any_more(self, lending: Lending) -> None:
        while lending.read_lease.read(0):
            pass
        reading = Task(lending.read_lease.read, LIMIT)
        lending.read_lease.take_back()
        lending.server.sendall(frame(PUSH))
        assert reading.result() is True
        assert lending.taken == []

    def test_it_waits_for_a_read_that_is_under_way(self, lending: Lending) -> None:
        inside, go_on = threading.Event(), threading.Event()

        def put_slowly(pushes: list[bytes]) -> bool:
            inside.set()
            reached(go_on, "the test did not let the consumer go on")
            return lending.put(pushes)

        lending.read_lease._put = put_slowly
        lending.server.sendall(frame(PUSH))
        reading = Task(take_batch, lending)
        reached(inside, "the message was not read")
        returning = Task(lending.read_lease.take_back)
        assert not returning.done.is_set()
        go_on.set()
        returning.result()
        assert reading.result() == [PUSH]
        assert lending.read_lease.spoiled is False


class TestInterruptions:
    def test_ctrl_c_before_a_read_spoils_nothing(self, lending: Lending) -> None:
        lending.read_lease._receive_into = raise_interrupt
        lending.send(frame(PUSH))
        until_interrupted(lending)
        assert lending.read_lease.read(LIMIT)
        lending.read_lease.take_back()
        assert (lending.read_lease.over, lending.recalls, lending.read_lease.spoiled) == (True, 1, False)

    @pytest.mark.parametrize("cut", [0, 1, frame(PUSH).index(b"price")])
    def test_ctrl_c_in_a_read_of_which_nobody_can_tell_what_it_has_read_spoils_it(
        self, lending: Lending, cut: int
    ) -> None:
        """Also where what was read begins with the very byte that marks a place as unread."""
        receive_into = lending.read_lease._receive_into

        def read_and_raise(*arguments: Any) -> NoReturn:
            receive_into(*arguments)
            raise KeyboardInterrupt

        read(lending.frames, frame(PUSH)[:cut])
        lending.read_lease._receive_into = read_and_raise
        lending.send(frame(PUSH)[cut:])
        until_interrupted(lending)
        lending.server.sendall(frame(PUSH))
        assert lending.read_lease.read(LIMIT), "again, as nothing had happened"
        lending.read_lease.take_back()
        assert (lending.taken, lending.read_lease.over, lending.read_lease.spoiled) == ([], True, True)

    def test_ctrl_c_behind_a_read_leaves_the_batch_to_the_io_thread(self, lending: Lending) -> None:
        lending.read_lease._recognise = raise_interrupt
        lending.send(frame(PUSH) + frame(BRIEF))
        until_interrupted(lending)
        lending.server.sendall(frame(UNKNOWN))
        assert lending.read_lease.read(LIMIT)
        Task(lending.read_lease.take_back).result()
        assert (lending.taken, lending.left(), lending.read_lease.spoiled) == ([], [PUSH, BRIEF], False)

    def test_ctrl_c_behind_the_delivery_does_not_deliver_again(self, lending: Lending) -> None:
        def put_and_raise(pushes: list[bytes]) -> NoReturn:
            lending.put(pushes)
            raise KeyboardInterrupt

        lending.read_lease._put = put_and_raise
        lending.send(frame(PUSH) + frame(BRIEF))
        until_interrupted(lending)
        lending.read_lease.take_back()
        assert (lending.taken, lending.left(), lending.read_lease.spoiled) == ([PUSH, BRIEF], [], False)

    def test_ctrl_c_before_the_delivery_leaves_the_batch_to_the_io_thread(self, lending: Lending) -> None:
        lending.read_lease._put = raise_interrupt
        lending.send(frame(PUSH) + frame(BRIEF))
        until_interrupted(lending)
        lending.read_lease.take_back()
        assert (lending.taken, lending.left(), lending.read_lease.spoiled) == ([], [PUSH, BRIEF], False)

    def test_a_signal_handler_that_waits_for_messages_itself_gives_the_lease_back(self, lending: Lending) -> None:
        seen: list[bool] = []

        def handle_and_recognise(messages: list[bytes], now: float) -> list[bytes] | None:
            seen.append(lending.read_lease.read(LIMIT))
            Task(lending.read_lease.take_back).result()  # while the read is suspended
            return lending.recognise(messages, now)

        lending.read_lease._recognise = handle_and_recognise
        lending.server.sendall(frame(PUSH))
        take_batch_or_none(lending)
        assert (seen, lending.recalls, lending.read_lease.over, lending.read_lease.spoiled) == ([True], 1, True, True)
        assert lending.taken == [], "it is another connection's turn"

    def test_a_read_that_does_not_end_is_not_waited_for(self, lending: Lending) -> None:
        inside, go_on = threading.Event(), threading.Event()
        receive_into = lending.read_lease._receive_into

        def read_late(*arguments: Any) -> Any:
            inside.set()
            reached(go_on, "the test did not let the consumer go on")
            return receive_into(*arguments)

        lending.read_lease._receive_into = read_late
        lending.server.sendall(frame(PUSH))
        reading = Task(take_batch_or_none, lending)
        reached(inside, "nothing was read")
        Task(lending.read_lease.take_back).result()
        assert (lending.read_lease.over, lending.read_lease.spoiled) == (True, True)
        go_on.set()
        reading.result()
        assert lending.taken == [], "it is another connection's turn"


STEPS = code_of(FrameBuffer, Lending, ssl.SSLSocket) | {ReadLease._take.__code__}
CUT = frame(PUSH).index(b"price")  # then the next byte is the one that marks a place as unread


@pytest.mark.parametrize("place", first(0, 220_000), ids=["at the front", "compacted"])
@pytest.mark.parametrize("part", first(CUT, 0), ids=["a partial frame before", "nothing before"])
class TestEveryInstant:
    """Signal handlers before every single bytecode of a direct read."""

    def walk(
        self, lending: Lending, handle: Callable[[], object], part: int, place: int
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Yield the step, and what the consumer and then the I/O thread took, each time for the same frames."""
        batch = frame(PUSH)[part:] + frame(BRIEF) + frame(PUSH)[:CUT]
        step, going_on = 0, True
        while going_on:
            step += 1
            lending.frames = FrameBuffer(1_000_000)
            lending.frames._view[place : place + part] = frame(PUSH)[:part]
            lending.frames.filled = place, place + part, []
            lending.batches.clear()
            lending.lend()
            lending.send(batch)
            going_on = handled_before(step, lambda: lending.read_lease.read(LIMIT), handle, STEPS)
            Task(lending.read_lease.take_back).result()
            lending.read_as_the_owner()
            left = lending.left()
            read(lending.frames, frame(PUSH)[CUT:])
            yield step, lending.taken + left + lending.left()

    @pytest.mark.parametrize("mine", [True, False], ids=["delivered", "not for this consumer alone"])
    def test_an_interrupt_loses_nothing_and_delivers_nothing_twice(
        self, lending: Lending, part: int, place: int, mine: bool
    ) -> None:
        lending.mine = mine
        spoiled, steps, secure = 0, 0, isinstance(lending.sock, ssl.SSLSocket)
        for step, came in self.walk(lending, interrupt, part, place):
            if lending.read_lease.spoiled:
                assert secure, f"step {step}"
                assert lending.taken == [], f"step {step}"
                spoiled += 1
            else:
                assert came == [PUSH, BRIEF, PUSH], f"step {step}"
            steps = step
        assert steps > 100
        assert spoiled < steps / 3
        assert (spoiled > 0) == secure

    def test_a_handler_that_reads_itself_loses_nothing_and_delivers_nothing_twice(
        self, lending: Lending, part: int, place: int
    ) -> None:
        def handle() -> None:
            lending.read_lease.read(0)
            lending.send(frame(PUSH)[CUT:] + frame(UNKNOWN[1:] + BRIEF) + frame(PUSH)[:CUT])

        steps = 0
        for step, came in self.walk(lending, handle, part, place):
            if came != [PUSH, BRIEF, PUSH]:
                assert came == [PUSH, BRIEF, PUSH, UNKNOWN[1:] + BRIEF, PUSH], f"step {step}"
                steps = step
        assert steps > 100


def take_batch_or_none(lending: Lending) -> None:
    while not lending.batches and not lending.read_lease.over:
        lending.read_lease.read(LIMIT)


def find_nothing(*_: object) -> NoReturn:
    raise BlockingIOError


def raise_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def until_interrupted(lending: Lending) -> None:
    with pytest.raises(KeyboardInterrupt):
        take_batch(lending)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_lease_that_is_kept_afterwards_keeps_no_buffer(lending: Lending, interrupted: bool) -> None:
    if interrupted:
        lending.read_lease._receive_into = raise_interrupt
        lending.send(frame(PUSH))
        until_interrupted(lending)
    frames = weakref.ref(lending.frames)
    del lending.frames
    assert frames() is not None
    lending.read_lease.take_back()
    assert frames() is None
    assert lending.read_lease._view is None


class Pieces:
    """A socket that has one piece to read at a time."""

    def __init__(self) -> None:
        self.piece = b""

    def fileno(self) -> int:
        return 0

    def recv_into(self, view: memoryview, size: int, _: int) -> int:
        if not self.piece:
            raise BlockingIOError
        count = min(size, len(self.piece))
        view[:count], self.piece = self.piece[:count], self.piece[count:]
        return count


@settings(max_examples=examples(200), deadline=None)
@given(drawn=traffic(), data=st.data(), repeats=st.integers(1, 4), unknown=st.booleans())
def test_any_mixture_of_direct_reads_and_reads_of_the_owner_gives_the_same_messages(
    drawn: tuple[list[bytes], list[bytes], list[bytes]], data: st.DataObject, repeats: int, unknown: bool
) -> None:
    whole_frames, messages, controls = drawn
    stream = b"".join(whole_frames) * repeats
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    frames, sock, came = FrameBuffer(100_000), Pieces(), []
    others, lease = Others(frames), None

    def recognise(batch: list[bytes], _now: float) -> list[bytes] | None:
        return None if unknown and any(len(message) % 5 == 0 for message in batch) else batch

    def put(batch: list[bytes]) -> bool:
        came.extend(batch)
        return True

    def take() -> None:
        if frames.ripe:
            came.extend(frames.take(others))

    for begin, end in itertools.pairwise([0, *cuts, len(stream)]):
        sock.piece = stream[begin:end]
        while sock.piece:
            if lease is None and data.draw(st.booleans()) and frames.room_for_direct_read() is not None:
                lease = ReadLease(sock, 0, frames, recognise, put, list)  # type: ignore[arg-type]
            if lease is not None:
                if lease._take(0.0) and data.draw(st.booleans()):
                    start, stop, _ = frames.filled
                    rest = FrameBuffer(100_000, bytes(frames._view[start:stop]))
                    unseen: list[bytes] = []
                    assert rest.take(lambda other, _: unseen.append(other) is None) + unseen == []  # noqa: B023
                    continue
                lease.take_back()
                assert not lease.spoiled
                lease = None
            else:
                piece, sock.piece = sock.piece, b""
                read(frames, piece)
            take()
            assert not frames.ripe, "what is complete must be taken at once"
    if lease is not None:
        lease.take_back()
        take()
    assert came == messages * repeats
    assert [other for other in others.frames if other[0] & 0x0F in (BINARY, PING, PONG)] == controls * repeats
    assert not frames.partial
    assert not frames.excess


class TestHandoffPolicy:
    def test_the_first_message_is_no_occasion(self) -> None:
        assert HandoffPolicy().offers(1000.0, 1) is False

    @pytest.mark.parametrize("messages", [1, 4])
    def test_messages_far_apart_are_no_occasion(self, messages: int) -> None:
        handoff_policy = HandoffPolicy()
        instants = [second * 0.006 * messages for second in range(100, 110)]
        assert [handoff_policy.offers(instant, messages) for instant in instants] == [False] * 10

    @pytest.mark.parametrize("messages", [1, 4])
    def test_messages_that_follow_each_other_closely_are_an_occasion(self, messages: int) -> None:
        handoff_policy = HandoffPolicy()
        assert handoff_policy.offers(1.0, messages) is False
        assert handoff_policy.offers(1.0 + 0.004 * messages, messages) is True

    def test_offers_become_rarer_where_nothing_comes_of_them(self) -> None:
        handoff_policy, clock = HandoffPolicy(), iter(range(10_000))
        offered = [number for number in range(2_000) if handoff_policy.offers(next(clock) * 0.001, 1)]
        gaps = [after - before for before, after in itertools.pairwise(offered)]
        assert gaps[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
        assert set(gaps[8:]) == {256}

    @pytest.mark.parametrize(("reads", "gap"), [(9, 8), (10, 1)])
    def test_a_lease_that_was_worthwhile_is_followed_by_the_next_at_once(
        self, lending: Lending, reads: int, gap: int
    ) -> None:
        handoff_policy, clock = HandoffPolicy(), iter(range(10_000))
        until_offered(handoff_policy, clock)
        until_offered(handoff_policy, clock)
        handoff_policy.lent = lending.read_lease
        lending.read_lease.reads = reads
        until_offered(handoff_policy, clock)
        assert until_offered(handoff_policy, clock) == gap


def until_offered(handoff_policy: HandoffPolicy, clock: Iterator[int]) -> int:
    """Return how many occasions there were until the lease was offered."""
    return next(count for count in range(1, 1000) if handoff_policy.offers(next(clock) * 0.001, 1))
