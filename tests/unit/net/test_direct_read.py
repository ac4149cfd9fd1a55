"""The right to read, between an I/O thread and a consumer: what the consumer takes, what it leaves, how it ends."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from typing import NoReturn

import pytest

from kucoin_sync.net import direct_read as baton_module
from kucoin_sync.net.direct_read import HandoffPolicy, ReadLease
from kucoin_sync.net.framing import FrameBuffer
from kucoin_sync.protocol.message import Batch, RawPush

from ...support.certificates import client_context, server_context
from ...support.frames import PING, frame
from ...support.messages import prefix_of
from ...support.sockets import HOST, reset, tcp_pair
from ...support.threads import LIMIT, Task, reached

PUSH = b'{"type":"message","topic":"/market/ticker:ETH-USDT","subject":"trade.ticker","data":{"price":"3000.1"}}' * 2
HEAD = prefix_of(b"", "/market/ticker:ETH-USDT")
BRIEF = b'{"id":"1","type":"pong"}'


class Course:
    """A baton, what was taken with it, and the server's socket."""

    def __init__(self, *, secure: bool) -> None:
        self.taken: list[bytes] = []
        self.takers: list[int] = []
        self.known = self.mine = True
        self.recalls = 0
        self.sock, self.server = tcp_pair()
        self.sock.setblocking(False)
        if secure:
            self.sock, self.server = secured(self.sock, self.server)
        self.frames = FrameBuffer(1_000_000)
        self.read_lease = ReadLease(self.sock, 0, self.frames, self.seal, self.put, self.recall)

    def seal(self, message: bytes) -> RawPush | None:
        return RawPush(message, Batch(), HEAD) if self.known else None

    def put(self, push: RawPush) -> bool:
        if self.mine:
            self.taken.append(push.frame)
            self.takers.append(threading.get_ident())
        return self.mine

    def recall(self) -> None:
        self.recalls += 1

    def left(self) -> list[bytes]:
        """Return what is left to the I/O thread."""
        others: list[bytes] = []
        messages = self.frames.take(lambda other, _: others.append(other) is None)
        return messages + others

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
def course(request: pytest.FixtureRequest) -> Iterator[Course]:
    made = Course(secure=request.param)
    yield made
    made.close()


def taken_one(course: Course) -> bytes:
    """Read until a message was taken, or the baton is over; return it."""
    count = len(course.taken)
    while len(course.taken) == count and not course.read_lease.over:
        assert course.read_lease.read(LIMIT)
    return course.taken[-1]


class TestReading:
    def test_a_message_that_came_alone_is_taken_on_the_thread_that_reads(self, course: Course) -> None:
        for message in (PUSH, BRIEF, PUSH):
            course.server.sendall(frame(message))
            assert Task(taken_one, course).result() == message
        assert threading.get_ident() not in course.takers
        assert (course.read_lease.over, course.recalls) == (False, 0)
        assert course.read_lease.executor >= 3
        assert not course.frames.partial

    def test_one_that_comes_while_it_waits_is_taken(self, course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(baton_module, "_SILENCE", LIMIT)
        reading = Task(taken_one, course)
        course.server.sendall(frame(PUSH))
        assert reading.result() == PUSH

    @pytest.mark.parametrize(
        ("sent", "left", "partial"),
        [
            (frame(PUSH) + frame(PUSH), [PUSH, PUSH], False),
            (frame(b"", PING), [frame(b"", PING)], False),
            (frame(PUSH)[:50], [], True),
            (frame(PUSH)[:1], [], True),
            (frame(PUSH) + frame(PUSH)[:50], [PUSH], True),
        ],
        ids=["two", "ping", "half", "a byte", "one and a half"],
    )
    def test_anything_else_is_left_to_the_io_thread_from_its_first_byte(
        self, course: Course, sent: bytes, left: list[bytes], partial: bool
    ) -> None:
        course.server.sendall(sent)
        course.read_until_over()
        course.read_lease.take_back()
        assert (course.taken, course.recalls, course.read_lease.spoiled) == ([], 1, False)
        assert course.left() == left
        assert course.frames.partial is partial

    @pytest.mark.parametrize("what", ["known", "mine"])
    def test_so_is_a_message_that_is_unknown_or_not_the_consumers_alone(self, course: Course, what: str) -> None:
        setattr(course, what, False)
        course.server.sendall(frame(PUSH))
        course.read_until_over()
        course.read_lease.take_back()
        assert (course.taken, course.left(), course.read_lease.spoiled) == ([], [PUSH], False)

    def test_where_another_has_read_it_already_there_is_nothing_to_do(self, course: Course) -> None:
        course.server.sendall(frame(PUSH))
        read_now, course.read_lease._read_now = course.read_lease._read_now, nothing_there
        assert course.read_lease.read(LIMIT) is True
        assert (course.taken, course.read_lease.over) == ([], False)
        course.read_lease._read_now = read_now
        assert taken_one(course) == PUSH

    def test_so_is_the_end(self, course: Course) -> None:
        course.server.shutdown(socket.SHUT_WR)
        course.read_until_over()
        course.read_lease.take_back()
        assert (course.read_lease.failure, course.read_lease.spoiled, course.frames.partial) == (None, False, False)
        course.sock.setblocking(True)
        assert course.sock.recv(1) == b""

    def test_an_error_is_noted(self, course: Course) -> None:
        reset(course.server)
        course.read_until_over()
        if not isinstance(course.sock, ssl.SSLSocket):  # to which this is an end
            assert isinstance(course.read_lease.failure, ConnectionResetError)


class TestSilence:
    def test_the_baton_is_given_back(self, course: Course) -> None:
        assert course.read_lease.read(None) is True
        course.read_until_over()
        assert course.recalls == 1

    def test_it_is_kept_where_the_consumer_waits_for_less(self, course: Course) -> None:
        while course.read_lease.read(0):  # records of the handshake may come first
            pass
        assert course.read_lease.read(0.001) is False
        assert course.read_lease.read(-1) is False
        assert (course.read_lease.over, course.recalls) == (False, 0)

    def test_giving_it_back_again_recalls_nobody(self, course: Course) -> None:
        course.read_lease.give_back()
        course.read_lease.give_back()
        assert course.recalls == 1


class TestTakingBack:
    def test_nothing_is_read_any_more(self, course: Course) -> None:
        course.read_lease.take_back()
        course.server.sendall(frame(PUSH))
        assert course.read_lease.read(LIMIT) is True
        assert (course.taken, course.recalls) == ([], 0)

    def test_a_consumer_that_waits_meanwhile_reads_nothing_any_more(self, course: Course) -> None:
        course.sock.setblocking(False)
        while course.read_lease.read(0):
            pass
        reading = Task(course.read_lease.read, LIMIT)
        course.read_lease.take_back()
        course.server.sendall(frame(PUSH))
        assert reading.result() is True
        assert course.taken == []

    def test_it_waits_for_a_read_that_is_under_way(self, course: Course) -> None:
        inside, go_on = threading.Event(), threading.Event()

        def slowly(push: RawPush) -> bool:
            inside.set()
            reached(go_on, "the test did not let the consumer go on")
            return course.put(push)

        course.read_lease._put = slowly
        course.server.sendall(frame(PUSH))
        reading = Task(taken_one, course)
        reached(inside, "the message was not read")
        returning = Task(course.read_lease.take_back)
        assert not returning.done.is_set()
        go_on.set()
        returning.result()
        assert reading.result() == PUSH
        assert course.read_lease.spoiled is False


class TestInterruptions:
    def test_ctrl_c_before_a_read_spoils_nothing(self, course: Course) -> None:
        course.read_lease._read_now = interrupt
        course.server.sendall(frame(PUSH))
        until_interrupted(course)
        assert course.read_lease.read(LIMIT)
        course.read_lease.take_back()
        assert (course.read_lease.over, course.recalls, course.read_lease.spoiled) == (True, 1, False)

    def test_ctrl_c_in_a_read_of_which_nobody_can_tell_what_it_has_read_spoils_it(self, course: Course) -> None:
        read_now = course.read_lease._read_now

        def interrupted(how: int) -> NoReturn:
            read_now(how)
            raise KeyboardInterrupt

        course.read_lease._read_now = interrupted
        course.server.sendall(frame(PUSH))
        until_interrupted(course)
        course.server.sendall(frame(PUSH))
        assert course.read_lease.read(LIMIT), "again, as nothing had happened"
        course.read_lease.take_back()
        assert (course.taken, course.read_lease.over, course.read_lease.spoiled) == ([], True, True)

    def test_ctrl_c_behind_a_read_leaves_the_message_to_the_io_thread(self, course: Course) -> None:
        course.read_lease._seal = interrupt
        course.server.sendall(frame(PUSH))
        until_interrupted(course)
        course.server.sendall(frame(BRIEF))
        assert course.read_lease.read(LIMIT)
        Task(course.read_lease.take_back).result()
        assert (course.taken, course.left(), course.read_lease.spoiled) == ([], [PUSH], False)

    def test_ctrl_c_behind_its_delivery_does_not_deliver_it_again(self, course: Course) -> None:
        def interrupted(push: RawPush) -> NoReturn:
            course.put(push)
            raise KeyboardInterrupt

        course.read_lease._put = interrupted
        course.server.sendall(frame(PUSH))
        until_interrupted(course)
        course.read_lease.take_back()
        assert (course.taken, course.left(), course.read_lease.spoiled) == ([PUSH], [], False)

    def test_a_signals_handler_that_waits_for_messages_itself_gives_the_baton_back(self, course: Course) -> None:
        seen: list[bool] = []

        def handled(message: bytes) -> RawPush | None:
            seen.append(course.read_lease.read(LIMIT))
            Task(course.read_lease.take_back).result()  # while the read is suspended
            return course.seal(message)

        course.read_lease._seal = handled
        course.server.sendall(frame(PUSH))
        taken_one_or_none(course)
        assert (seen, course.recalls, course.read_lease.over, course.read_lease.spoiled) == ([True], 1, True, True)
        assert course.taken == [], "it is another connection's turn"

    def test_a_read_that_does_not_end_is_not_waited_for(self, course: Course) -> None:
        inside, go_on = threading.Event(), threading.Event()
        read_now = course.read_lease._read_now

        def suspended(how: int) -> int:
            inside.set()
            reached(go_on, "the test did not let the consumer go on")
            return read_now(how)

        course.read_lease._read_now = suspended
        course.server.sendall(frame(PUSH))
        reading = Task(taken_one_or_none, course)
        reached(inside, "nothing was read")
        Task(course.read_lease.take_back).result()
        assert (course.read_lease.over, course.read_lease.spoiled) == (True, True)
        go_on.set()
        reading.result()
        assert course.taken == [], "it is another connection's turn"


def taken_one_or_none(course: Course) -> None:
    while not course.taken and not course.read_lease.over:
        course.read_lease.read(LIMIT)


def nothing_there(_: int) -> NoReturn:
    raise BlockingIOError


def interrupt(_: object) -> NoReturn:
    raise KeyboardInterrupt


def until_interrupted(course: Course) -> None:
    with pytest.raises(KeyboardInterrupt):
        taken_one(course)


def test_who_keeps_it_afterwards_keeps_no_buffer(course: Course) -> None:
    frames = weakref.ref(course.frames)
    del course.frames
    assert frames() is not None
    course.read_lease.take_back()
    assert frames() is None


class TestChances:
    def test_the_first_message_is_none(self) -> None:
        assert HandoffPolicy().take(1000.0) is False

    def test_messages_far_apart_are_none(self) -> None:
        handoff_policy = HandoffPolicy()
        assert [handoff_policy.take(second * 0.006) for second in range(100, 110)] == [False] * 10

    def test_two_that_follow_each_other_closely_are_one(self) -> None:
        handoff_policy = HandoffPolicy()
        assert [handoff_policy.take(1.0), handoff_policy.take(1.004)] == [False, True]

    def test_they_are_taken_more_and_more_rarely_where_nothing_comes_of_it(self) -> None:
        handoff_policy, clock = HandoffPolicy(), iter(range(10_000))
        took = [number for number in range(2_000) if handoff_policy.take(next(clock) * 0.001)]
        gaps = [after - before for before, after in itertools.pairwise(took)]
        assert gaps[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
        assert set(gaps[8:]) == {256}

    @pytest.mark.parametrize(("executor", "gap"), [(9, 8), (10, 1)])
    def test_a_baton_that_was_worth_it_is_followed_by_the_next_at_once(
        self, course: Course, executor: int, gap: int
    ) -> None:
        handoff_policy, clock = HandoffPolicy(), iter(range(10_000))
        until_taken(handoff_policy, clock)
        until_taken(handoff_policy, clock)
        handoff_policy.taken = course.read_lease
        course.read_lease.executor = executor
        until_taken(handoff_policy, clock)
        assert until_taken(handoff_policy, clock) == gap


def until_taken(handoff_policy: HandoffPolicy, clock: Iterator[int]) -> int:
    """Return how many chances there were until one was taken."""
    return next(count for count in range(1, 1000) if handoff_policy.take(next(clock) * 0.001))
