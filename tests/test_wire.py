"""Dialling, TLS, proxies, deadlines and waking of `wire`, against real sockets on this machine."""

from __future__ import annotations

import base64
import datetime as dt
import select
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed, forking, wire
from kucoin_sync.wire import Cancelled, Proxy, Waker, Wire, dial, proxy_for

from .support.certificates import client_context, server_context
from .support.forks import child, client_sockets
from .support.proxy import ConnectProxy
from .support.sockets import HOST, Peer, black_hole, drain, read_head, refusing_port, reset, tcp_pair
from .support.threads import LIMIT, Task, reached

SHORT = 0.2  # seconds until a deadline that a test waits for


@pytest.fixture
def waker() -> Iterator[Waker]:
    made = Waker()
    yield made
    made.close()


@pytest.fixture
def pair(waker: Waker) -> Iterator[tuple[Wire, socket.socket]]:
    """A wire and the socket at its other end."""
    ours, theirs = tcp_pair()
    ours.setblocking(False)
    made = Wire(ours, waker, time.monotonic() + LIMIT, "the peer")
    yield made, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that is set when a wait begins."""
    begun = threading.Event()
    poll = wire._poll

    def noting(*arguments: Any) -> tuple[bool, bool]:
        begun.set()
        return poll(*arguments)

    monkeypatch.setattr(wire, "_poll", noting)
    return begun


@pytest.fixture(params=["poll", "select"])
def way_of_waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `poll`, and as on systems that have none."""
    if request.param == "select":
        monkeypatch.delattr(select, "poll")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def connect(port: int, waker: Waker, *, seconds: float = LIMIT, host: str = HOST, **options: Any) -> Wire:
    options = {"context": None, "proxy": None, **options}
    return dial(host, port, waker=waker, deadline=time.monotonic() + seconds, **options)


def address(port: int, host: str = HOST) -> tuple[Any, ...]:
    """Return an address as `getaddrinfo` does."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[Any, ...]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(addresses))


def echo(connection: socket.socket) -> None:
    while chunk := connection.recv(65536):
        connection.sendall(chunk)


def saying(*chunks: bytes) -> Callable[[socket.socket], None]:
    """Return a script that says something and keeps the connection."""

    def script(connection: socket.socket) -> None:
        for chunk in chunks:
            connection.sendall(chunk)
        drain(connection)

    return script


def dripping(peer_of: list[Peer], first: bytes) -> Callable[[socket.socket], None]:
    """Return a script that says `first`, then one byte now and then."""

    def script(connection: socket.socket) -> None:
        connection.sendall(first)
        while not peer_of[0].over.wait(0.02):
            connection.sendall(b"x")

    return script


class TestWaker:
    @pytest.mark.usefixtures("way_of_waiting")
    def test_wake_ends_a_sleep_under_way(self, waker: Waker, waiting: threading.Event) -> None:
        sleeper = Task(waker.sleep, 1000 * LIMIT)
        reached(waiting, "the sleep never began")
        waker.wake()
        sleeper.result()

    def test_wake_ends_the_next_sleep(self, waker: Waker) -> None:
        waker.wake()
        waker.sleep(1000 * LIMIT)

    @pytest.mark.usefixtures("way_of_waiting")
    @pytest.mark.parametrize("seconds", [0.01, 0.0, -5.0])
    def test_a_sleep_ends_by_itself(self, waker: Waker, seconds: float) -> None:
        Task(waker.sleep, seconds).result()

    def test_wakes_that_nobody_waits_for_are_one(self, waker: Waker) -> None:
        for _ in range(5000):  # more than the system holds
            waker.wake()
        waker.sleep(1000 * LIMIT)
        assert wire._poll(waker.fileno(), -1, False, 0.0) == (False, False)

    def test_cancel_ends_a_sleep_under_way(self, waker: Waker, waiting: threading.Event) -> None:
        sleeper = Task(waker.sleep, 1000 * LIMIT)
        reached(waiting, "the sleep never began")
        waker.cancel()
        with pytest.raises(Cancelled):
            sleeper.result()

    def test_cancel_ends_every_wait_from_now_on(self, waker: Waker, pair: tuple[Wire, socket.socket]) -> None:
        waker.cancel()
        for _ in range(3):
            with pytest.raises(Cancelled):
                Task(waker.sleep, 1000 * LIMIT).result()
            with pytest.raises(Cancelled):
                Task(pair[0].recv, 1).result()

    def test_clear_forgets_wakes_and_tells_of_cancel(self, waker: Waker) -> None:
        waker.wake()
        waker.clear()
        assert wire._poll(waker.fileno(), -1, False, 0.0) == (False, False)
        waker.cancel()
        with pytest.raises(Cancelled):
            waker.clear()

    def test_a_wake_that_meets_a_clear_is_still_told_of(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who looks at `called` instead of waiting must not miss what a wait would notice."""
        sender = waker._sender

        class Met:
            def send(self, data: bytes) -> int:
                waker.clear()  # by the other thread, at this very moment
                return sender.send(data)

        assert not waker.called
        monkeypatch.setattr(waker, "_sender", Met())
        waker.wake()
        monkeypatch.undo()
        assert wire._poll(waker.fileno(), -1, False, 0.0) == (False, True)
        assert waker.called
        waker.clear()
        assert not waker.called

    def test_waking_after_close_is_allowed(self) -> None:
        closed = Waker()
        closed.close()
        closed.wake()
        closed.clear()
        closed.cancel()
        with pytest.raises(Cancelled):
            closed.clear()


class TestWire:
    @pytest.mark.usefixtures("way_of_waiting")
    def test_it_reads_what_is_there_and_waits_for_the_first_byte(
        self, pair: tuple[Wire, socket.socket], waiting: threading.Event
    ) -> None:
        ours, theirs = pair
        reader = Task(ours.recv, 100)
        reached(waiting, "the reader did not wait")
        theirs.sendall(b"abc")
        assert reader.result() == b"abc"
        theirs.close()
        assert ours.recv(100) == b""

    @pytest.mark.usefixtures("way_of_waiting")
    def test_it_sends_all_to_a_peer_that_reads_late(
        self, pair: tuple[Wire, socket.socket], waiting: threading.Event
    ) -> None:
        ours, theirs = pair
        data = bytes(range(256)) * 65536
        sender = Task(ours.sendall, data)
        reached(waiting, "the sender did not wait for room")
        reader = Task(drain, theirs)
        sender.result()
        ours.close()
        assert reader.result() == data

    def test_it_fails_at_the_deadline_where_the_peer_says_nothing(self, pair: tuple[Wire, socket.socket]) -> None:
        pair[0].deadline = time.monotonic() + SHORT
        with pytest.raises(ConnectionFailed, match=r"the peer did not answer in time; check the network") as failure:
            Task(pair[0].recv, 1).result()
        assert failure.value.retriable

    def test_it_fails_at_the_deadline_where_the_peer_does_not_read(self, pair: tuple[Wire, socket.socket]) -> None:
        pair[0].deadline = time.monotonic() + SHORT
        with pytest.raises(ConnectionFailed, match="the peer did not answer in time"):
            Task(pair[0].sendall, bytes(64 * 1024 * 1024)).result()

    def test_it_fails_at_the_deadline_where_the_peer_never_stops(
        self, pair: tuple[Wire, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wire, "_LAST_LOOK", 0.0)
        ours, theirs = pair
        ours.deadline = time.monotonic() - 1
        theirs.sendall(b"there is always something to read")
        assert select.select([ours], [], [], LIMIT)[0]
        assert ours.recv(1) == b"t", "it had come"
        with pytest.raises(ConnectionFailed, match="the peer did not answer in time"):
            ours.recv(1)

    @pytest.mark.parametrize("read", [Wire.read_head, lambda ours: (ours.wait(), ours.recv(100))[1]])
    def test_what_came_during_a_pause_of_the_process_is_read_after_the_deadline(
        self, pair: tuple[Wire, socket.socket], monkeypatch: pytest.MonkeyPatch, read: Callable[[Wire], Any]
    ) -> None:
        monkeypatch.setattr(wire, "_LAST_LOOK", LIMIT)
        ours, theirs = pair
        ours.deadline = time.monotonic() - 15
        theirs.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        assert select.select([ours], [], [], LIMIT)[0]
        answer = read(ours)
        assert b"200 OK" in (answer if isinstance(answer, bytes) else answer[0])
        ours.deadline = time.monotonic() - 1
        with pytest.raises(ConnectionFailed, match="the peer did not answer in time"):
            ours.recv(1)

    def test_a_wake_that_is_no_cancel_does_not_end_a_read(
        self, pair: tuple[Wire, socket.socket], waker: Waker, waiting: threading.Event
    ) -> None:
        waker.wake()
        reader = Task(pair[0].recv, 10)
        reached(waiting, "the reader did not wait")
        pair[1].sendall(b"late")
        assert reader.result() == b"late"

    @pytest.mark.usefixtures("way_of_waiting")
    @pytest.mark.parametrize("call", ["recv", "read_head", "sendall"])
    def test_cancel_ends_every_call(
        self, pair: tuple[Wire, socket.socket], waker: Waker, waiting: threading.Event, call: str
    ) -> None:
        ours, _ = pair
        arguments: dict[str, tuple[Any, ...]] = {"recv": (1,), "sendall": (bytes(64 * 1024 * 1024),)}
        task = Task(getattr(ours, call), *arguments.get(call, ()))
        reached(waiting, "the call did not wait")
        waker.cancel()
        with pytest.raises(Cancelled):
            task.result()

    def test_cancel_ends_a_read_that_never_has_to_wait(self, pair: tuple[Wire, socket.socket], waker: Waker) -> None:
        ours, theirs = pair
        theirs.sendall(b"there is always something to read")
        assert select.select([ours], [], [], LIMIT)[0]
        waker.cancel()
        with pytest.raises(Cancelled):
            ours.recv(1)

    @pytest.mark.parametrize("call", ["recv", "sendall"])
    def test_a_reset_is_a_retriable_error(self, pair: tuple[Wire, socket.socket], call: str) -> None:
        ours, theirs = pair
        reset(theirs)
        arguments: dict[str, Any] = {"recv": 1, "sendall": b"x" * 10_000_000}
        with pytest.raises(
            ConnectionFailed, match=r"the connection to the peer failed: (Connection reset by peer|Broken pipe)"
        ) as failure:
            Task(getattr(ours, call), arguments[call]).result()
        assert failure.value.retriable

    def test_an_error_without_a_system_text_is_still_a_sentence(self, pair: tuple[Wire, socket.socket]) -> None:
        unknown = ssl.SSLError()
        unknown.reason = None  # type: ignore[assignment]
        for error, text in (
            (OSError("no number"), "the connection to the peer failed: no number"),
            (OSError(), "the connection to the peer failed: OSError"),
            (unknown, "TLS with the peer failed: SSLError"),
        ):
            with pytest.raises(ConnectionFailed) as failure:
                pair[0].fail(error)
            assert str(failure.value) == text

    def test_tls_that_has_to_write_before_it_reads_waits_for_room(self, pair: tuple[Wire, socket.socket]) -> None:
        class Renegotiating:
            """A socket that has to do the other thing first."""

            def __init__(self, sock: socket.socket) -> None:
                self.fileno = sock.fileno
                self.calls: list[str] = []

            def recv_into(self, buffer: Any) -> int:
                self.calls.append("read")
                if len(self.calls) == 1:
                    raise ssl.SSLWantWriteError
                buffer[:2] = b"ok"
                return 2

            def send(self, data: bytes) -> int:
                self.calls.append("write")
                if len(self.calls) == 3:
                    raise ssl.SSLWantReadError
                return len(data)

        ours, theirs = pair
        sock = Renegotiating(ours.sock)
        made = Wire(sock, ours._waker, ours.deadline, "the peer")  # type: ignore[arg-type]
        assert made.recv(10) == b"ok"
        theirs.sendall(b"something to read")
        made.sendall(b"hello")
        assert sock.calls == ["read", "read", "write", "write"]

    def test_a_socket_library_finds_a_blocking_socket(self, pair: tuple[Wire, socket.socket]) -> None:
        ours, theirs = pair
        ours.settimeout(0.0)
        assert ours.gettimeout() is None
        assert ours.fileno() == ours.sock.fileno()
        assert ours.send(b"abc") == 3
        assert theirs.recv(3) == b"abc"


class TestReadHead:
    def test_it_returns_the_head_and_what_came_behind_it(self, pair: tuple[Wire, socket.socket]) -> None:
        pair[1].sendall(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n")
        assert pair[0].read_head() == (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"body\r\n\r\n")

    def test_it_takes_a_head_in_pieces(self, pair: tuple[Wire, socket.socket]) -> None:
        ours, theirs = pair
        head = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
        reader = Task(ours.read_head)
        for byte in head:
            theirs.sendall(bytes([byte]))
        assert reader.result() == (head, b"")

    def test_it_refuses_a_head_without_end(self, pair: tuple[Wire, socket.socket]) -> None:
        ours, theirs = pair
        endless = Task(theirs.sendall, b"A: b\r\n" * 1_000_000)
        with pytest.raises(ConnectionFailed, match="answered with HTTP headers of more than 65536 bytes"):
            Task(ours.read_head).result()
        ours.close()
        with pytest.raises(OSError, match=r"reset|pipe"):  # most of it was never read
            endless.result()

    def test_it_fails_where_the_peer_closes_instead(self, pair: tuple[Wire, socket.socket]) -> None:
        pair[1].sendall(b"HTTP/1.1 200 OK\r\n")
        pair[1].close()
        with pytest.raises(ConnectionFailed, match="the peer closed the connection instead of answering"):
            pair[0].read_head()

    def test_a_head_that_drips_ends_at_the_deadline(self, pair: tuple[Wire, socket.socket]) -> None:
        ours, theirs = pair
        over = threading.Event()

        def drip() -> None:
            while not over.wait(0.01):
                theirs.sendall(b"x")

        ours.deadline = time.monotonic() + SHORT
        dripper = Task(drip)
        try:
            with pytest.raises(ConnectionFailed, match="the peer did not answer in time"):
                Task(ours.read_head).result()
        finally:
            over.set()
            dripper.result()

    def test_it_leaves_nothing_in_a_tls_record(self, waker: Waker) -> None:
        """What stayed behind in the TLS layer would wake no `poll`."""
        behind = b"x" * 16_000
        with Peer(saying(b"HTTP/1.1 200 OK\r\n\r\n" + behind), server_context()) as peer:
            made = connect(peer.port, waker, context=client_context())
            assert made.read_head()[1] == behind
            made.close()


class TestMakefile:
    def test_it_reads_lines_and_bytes(self, pair: tuple[Wire, socket.socket]) -> None:
        ours, theirs = pair
        theirs.sendall(b"one\r\ntwo")
        theirs.close()
        with ours.makefile("rb") as file:
            assert file.readable()
            assert file.readline() == b"one\r\n"
            assert file.read() == b"two"

    def test_the_socket_outlives_close_until_its_last_file_is_closed(self, pair: tuple[Wire, socket.socket]) -> None:
        ours, theirs = pair
        first, second = ours.makefile("rb"), ours.makefile("rb")
        ours.close()
        theirs.sendall(b"a")
        assert first.read(1) == b"a"
        first.close()
        first.close()
        assert ours.fileno() >= 0
        second.close()
        assert ours.fileno() == -1

    def test_closed_files_do_not_close_the_socket(self, pair: tuple[Wire, socket.socket]) -> None:
        ours, _ = pair
        ours.makefile("rb").close()
        assert ours.fileno() >= 0
        ours.close()
        assert ours.fileno() == -1

    def test_a_closed_file_is_at_its_end(self, pair: tuple[Wire, socket.socket]) -> None:
        file = pair[0].makefile("rb")
        file.raw.close()
        file.raw.close()
        assert file.raw.readinto(bytearray(1)) == 0


class TestDial:
    @pytest.mark.usefixtures("way_of_waiting")
    def test_it_connects(self, waker: Waker) -> None:
        with Peer(echo) as peer:
            made = connect(peer.port, waker)
            made.sendall(b"hello")
            assert made.recv(100) == b"hello"
            assert made.peer == f"{HOST}:{peer.port}"
            made.close()

    @pytest.mark.usefixtures("way_of_waiting")
    def test_a_port_where_nobody_listens(self, waker: Waker) -> None:
        with refusing_port() as port, pytest.raises(ConnectionFailed) as failure:
            connect(port, waker)
        assert str(failure.value) == f"the connection to {HOST}:{port} failed: Connection refused"
        assert failure.value.retriable

    @pytest.mark.usefixtures("way_of_waiting")
    def test_a_host_that_swallows_packets_ends_at_the_deadline(self, waker: Waker) -> None:
        with black_hole() as port, pytest.raises(ConnectionFailed, match=f"{HOST}:{port} did not answer in time"):
            Task(connect, port, waker, seconds=SHORT).result()

    def test_cancel_ends_connecting(self, waker: Waker, waiting: threading.Event) -> None:
        with black_hole() as port:
            dialling = Task(connect, port, waker)
            reached(waiting, "the dial did not wait")
            waker.cancel()
            with pytest.raises(Cancelled):
                dialling.result()

    def test_an_address_that_is_refused_at_once_is_an_error(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve(monkeypatch, address(1, "255.255.255.255"))
        with pytest.raises(ConnectionFailed, match=r"the connection to feed\.example:443 failed: \w"):
            connect(443, waker, host="feed.example")

    def test_the_next_address_is_tried_after_one_that_refuses(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with refusing_port() as refusing, Peer(echo) as peer:
            resolve(monkeypatch, address(refusing), address(peer.port))
            made = connect(443, waker, host="feed.example")
            assert made.peer == "feed.example:443"
            assert made.sock.getpeername()[1] == peer.port
            made.close()

    def test_the_next_address_is_tried_after_one_that_swallows_packets(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with black_hole() as swallowing, Peer(echo) as peer:
            resolve(monkeypatch, address(swallowing), address(peer.port))
            deadline = time.monotonic() + 2
            made = dial("feed.example", 443, context=None, proxy=None, waker=waker, deadline=deadline)
            assert made.sock.getpeername()[1] == peer.port
            assert made.deadline == deadline
            made.close()

    def test_the_next_address_is_tried_after_one_of_a_family_that_this_system_lacks(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unknown = (9999, socket.SOCK_STREAM, 6, "", ("::1", 443))
        with Peer(echo) as peer:
            resolve(monkeypatch, unknown, address(peer.port))
            made = connect(443, waker, host="feed.example")
            assert made.sock.getpeername()[1] == peer.port
            made.close()
        resolve(monkeypatch, unknown)
        with pytest.raises(ConnectionFailed, match=r"the connection to feed\.example:443 failed: Address family"):
            connect(443, waker, host="feed.example")

    def test_the_failure_of_the_last_address_is_told(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        with refusing_port() as one, refusing_port() as other:
            resolve(monkeypatch, address(one), address(other))
            with pytest.raises(ConnectionFailed, match=r"feed\.example:443 failed: Connection refused"):
                connect(443, waker, host="feed.example")

    def test_a_host_without_addresses(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        resolve(monkeypatch)
        with pytest.raises(ConnectionFailed, match=r"feed\.example has no address to connect to"):
            connect(443, waker, host="feed.example")

    def test_a_name_that_does_not_resolve(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(ConnectionFailed) as failure:
            connect(443, waker, host="feed.example")
        assert str(failure.value) == (
            "the address of feed.example could not be found (Name or service not known); "
            "check the network, the host name and DNS"
        )
        assert failure.value.retriable

    @pytest.mark.parametrize("host", ["a" * 70 + ".example", "a\0b.example"])
    def test_a_name_that_can_not_exist(self, waker: Waker, host: str) -> None:
        with pytest.raises(ConnectionFailed, match="could not be found"):
            connect(443, waker, host=host)

    def test_cancel_while_the_name_is_resolved_ends_before_a_socket_is_opened(
        self, waker: Waker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def resolving(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
            waker.cancel()
            return [address(1)]

        monkeypatch.setattr(socket, "getaddrinfo", resolving)
        monkeypatch.setattr(socket, "socket", None)
        with pytest.raises(Cancelled):
            connect(443, waker)


class TestTls:
    def test_a_context_from_before_ssl_was_replaced_is_refused_in_words(
        self, pair: tuple[Wire, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = client_context()
        monkeypatch.setattr(ssl, "SSLContext", type("SSLContext", (ssl.SSLContext,), {}))
        with pytest.raises(ConnectionFailed, match="have them patch the process first") as caught:
            pair[0].start_tls(context, "feed.example")
        assert not caught.value.retriable

    @pytest.mark.usefixtures("way_of_waiting")
    def test_it_connects(self, waker: Waker) -> None:
        data = bytes(range(256)) * 4096
        with Peer(echo, server_context()) as peer:
            made = connect(peer.port, waker, context=client_context())
            received = bytearray()
            sender = Task(made.sendall, data[:100_000])
            sender.result()
            while len(received) < 100_000:
                received += made.recv(65536)
            assert received == data[:100_000]
            made.close()

    def test_an_unknown_authority_is_refused_for_good(self, waker: Waker) -> None:
        with Peer(echo, server_context()) as peer, pytest.raises(ConnectionFailed) as failure:
            connect(peer.port, waker, context=ssl.create_default_context())
        assert f"the TLS certificate of {HOST}:{peer.port} does not verify" in str(failure.value)
        assert "pass ssl_context=" in str(failure.value)
        assert not failure.value.retriable

    def test_a_certificate_of_another_host_is_refused_for_good(self, waker: Waker) -> None:
        with (
            Peer(echo, server_context("other.example")) as peer,
            pytest.raises(ConnectionFailed, match=r"does not verify \(.*mismatch") as failure,
        ):
            connect(peer.port, waker, context=client_context())
        assert not failure.value.retriable

    def test_an_expired_certificate_is_refused_for_good(self, waker: Waker) -> None:
        yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
        with (
            Peer(echo, server_context(not_after=yesterday)) as peer,
            pytest.raises(ConnectionFailed, match=r"does not verify \(certificate has expired\)") as failure,
        ):
            connect(peer.port, waker, context=client_context())
        assert not failure.value.retriable

    def test_a_handshake_that_gets_no_answer_ends_at_the_deadline(self, waker: Waker) -> None:
        with Peer(drain) as peer, pytest.raises(ConnectionFailed, match="did not answer in time"):
            Task(connect, peer.port, waker, context=client_context(), seconds=SHORT).result()

    def test_a_handshake_that_drips_ends_at_the_deadline(self, waker: Waker) -> None:
        peers: list[Peer] = []
        with Peer(dripping(peers, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")) as peer:
            peers.append(peer)
            with pytest.raises(ConnectionFailed, match="did not answer in time"):
                Task(connect, peer.port, waker, context=client_context(), seconds=SHORT).result()

    def test_cancel_ends_the_handshake(self, waker: Waker) -> None:
        said = threading.Event()

        def silent(connection: socket.socket) -> None:
            connection.recv(1)
            said.set()
            drain(connection)

        with Peer(silent) as peer:
            dialling = Task(connect, peer.port, waker, context=client_context())
            reached(said, "the handshake never began")
            waker.cancel()
            with pytest.raises(Cancelled):
                dialling.result()

    def test_a_peer_that_speaks_no_tls(self, waker: Waker) -> None:
        with (
            Peer(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer,
            pytest.raises(ConnectionFailed, match=f"TLS with {HOST}:{peer.port} failed: [A-Z_]+") as failure,
        ):
            connect(peer.port, waker, context=client_context())
        assert failure.value.retriable

    def test_a_peer_that_closes_in_the_handshake(self, waker: Waker) -> None:
        with (
            Peer(lambda connection: (connection.recv(65536), connection.close())) as peer,
            pytest.raises(ConnectionFailed, match=rf"{HOST}:{peer.port} failed: \w"),
        ):
            connect(peer.port, waker, context=client_context())

    def test_a_name_that_no_certificate_can_have(self, pair: tuple[Wire, socket.socket]) -> None:
        with pytest.raises(ConnectionFailed, match="the connection to the peer failed"):
            pair[0].start_tls(client_context(), "")

    def test_a_handshake_waits_for_room_to_write(self, pair: tuple[Wire, socket.socket]) -> None:
        class Handshaking:
            """A TLS socket whose handshake finds no room at first."""

            def __init__(self, sock: socket.socket) -> None:
                self.fileno = sock.fileno
                self.attempts = 0

            def do_handshake(self) -> None:
                self.attempts += 1
                if self.attempts == 1:
                    raise ssl.SSLWantWriteError

        class Context:
            def wrap_socket(self, sock: socket.socket, **_: Any) -> Handshaking:
                return Handshaking(sock)

        ours, _ = pair
        plain = ours.sock
        ours.start_tls(Context(), "feed.example")  # type: ignore[arg-type]
        assert ours.sock.attempts == 2  # type: ignore[attr-defined]
        ours.sock = plain


class TestThroughAProxy:
    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    def test_it_opens_a_tunnel(self, waker: Waker, secure: bool) -> None:
        with ConnectProxy() as proxy, Peer(echo, server_context() if secure else None) as peer:
            made = connect(
                peer.port,
                waker,
                proxy=Proxy(HOST, proxy.port, "Basic abc"),
                context=client_context() if secure else None,
            )
            made.sendall(b"hello")
            assert made.recv(100) == b"hello"
            assert made.peer == f"{HOST}:{peer.port}"
            made.close()
        assert proxy.heads == [
            f"CONNECT {HOST}:{peer.port} HTTP/1.1\r\nHost: {HOST}:{peer.port}\r\n"
            "Proxy-Authorization: Basic abc\r\n\r\n".encode()
        ]

    def test_the_certificate_has_to_be_that_of_the_host_and_not_of_the_proxy(self, waker: Waker) -> None:
        with (
            ConnectProxy() as proxy,
            Peer(echo, server_context("proxy.example")) as peer,
            pytest.raises(ConnectionFailed, match=f"certificate of {HOST}:{peer.port} does not verify"),
        ):
            connect(peer.port, waker, proxy=Proxy(HOST, proxy.port), context=client_context())

    def test_an_ipv6_address_stands_in_brackets(self, waker: Waker) -> None:
        heads = []

        def refuse(connection: socket.socket) -> None:
            heads.append(read_head(connection))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        with Peer(refuse) as proxy, pytest.raises(ConnectionFailed, match=r"to open a tunnel to \[::1\]:443: "):
            connect(443, waker, host="::1", proxy=Proxy(HOST, proxy.port))
        assert heads == [b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"]

    def test_a_proxy_that_wants_another_login(self, waker: Waker) -> None:
        answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"
        with Peer(saying(answer)) as proxy, pytest.raises(ConnectionFailed) as failure:
            connect(443, waker, host="feed.example", proxy=Proxy(HOST, proxy.port, "Basic c2VjcmV0"))
        assert str(failure.value) == (
            f"the proxy {HOST}:{proxy.port} refused to open a tunnel to feed.example:443: HTTP/1.1 407 Proxy "
            "Authentication Required; check its address, login and rules"
        )
        assert failure.value.retriable

    @pytest.mark.parametrize(
        "answer",
        [
            b"\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"\xff\xfe 201\r\n\r\n",
            b"HTTP/1.1 " + b"9" * 10_000 + b"\r\n\r\n",
        ],
    )
    def test_a_proxy_that_answers_with_something_else(self, waker: Waker, answer: bytes) -> None:
        with (
            Peer(saying(answer)) as proxy,
            pytest.raises(ConnectionFailed, match=r"refused to open a tunnel to feed\.example:443") as failure,
        ):
            connect(443, waker, host="feed.example", proxy=Proxy(HOST, proxy.port))
        assert len(str(failure.value)) < 400

    def test_a_proxy_that_closes_instead(self, waker: Waker) -> None:
        with (
            Peer(lambda connection: (read_head(connection), connection.close())) as proxy,
            pytest.raises(ConnectionFailed, match=f"the proxy {HOST}:{proxy.port} closed the connection instead"),
        ):
            connect(443, waker, host="feed.example", proxy=Proxy(HOST, proxy.port))

    def test_a_proxy_that_says_nothing(self, waker: Waker) -> None:
        with (
            Peer(drain) as proxy,
            pytest.raises(ConnectionFailed, match=f"the proxy {HOST}:{proxy.port} did not answer in time"),
        ):
            Task(connect, 443, waker, seconds=SHORT, host="feed.example", proxy=Proxy(HOST, proxy.port)).result()

    def test_a_proxy_that_drips(self, waker: Waker) -> None:
        peers: list[Peer] = []
        with Peer(dripping(peers, b"HTTP/1.1 200 ")) as proxy:
            peers.append(proxy)
            with pytest.raises(ConnectionFailed, match=f"the proxy {HOST}:{proxy.port} did not answer in time"):
                Task(connect, 443, waker, seconds=SHORT, host="feed.example", proxy=Proxy(HOST, proxy.port)).result()

    def test_a_proxy_where_nobody_listens(self, waker: Waker) -> None:
        with (
            refusing_port() as port,
            pytest.raises(ConnectionFailed, match=f"the connection to the proxy {HOST}:{port} failed"),
        ):
            connect(443, waker, host="feed.example", proxy=Proxy(HOST, port))

    def test_cancel_ends_the_wait_for_the_tunnel(self, waker: Waker) -> None:
        asked = threading.Event()

        def silent(connection: socket.socket) -> None:
            read_head(connection)
            asked.set()
            drain(connection)

        with Peer(silent) as proxy:
            dialling = Task(connect, 443, waker, host="feed.example", proxy=Proxy(HOST, proxy.port))
            reached(asked, "the proxy was not asked")
            waker.cancel()
            with pytest.raises(Cancelled):
                dialling.result()


@pytest.mark.usefixtures("clean_environment")
class TestProxyFor:
    def test_without_any_there_is_none(self) -> None:
        assert proxy_for("feed.example", secure=True, proxy=None) is None

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://proxy.example:3128", Proxy("proxy.example", 3128)),
            ("proxy.example:3128", Proxy("proxy.example", 3128)),
            ("http://proxy.example", Proxy("proxy.example", 80)),
            ("HTTP://[::1]:3128/", Proxy("::1", 3128)),
            (
                "http://us%40er:pass%3Aword@proxy.example:3128",
                Proxy("proxy.example", 3128, "Basic " + base64.b64encode(b"us@er:pass:word").decode()),
            ),
            (
                "http://user@proxy.example:3128",
                Proxy("proxy.example", 3128, "Basic " + base64.b64encode(b"user:").decode()),
            ),
        ],
    )
    def test_the_argument_is_a_url(self, url: str, expected: Proxy) -> None:
        assert proxy_for("feed.example", secure=True, proxy=url) == expected
        assert proxy_for(HOST, secure=True, proxy=url) == expected  # also for this machine, as it was asked for

    @pytest.mark.parametrize(
        "url",
        [
            "socks9://user:secret@proxy.example:1080",
            "https://user:secret@proxy.example:3128",
            "http://user:secret@proxy.example:99999",
            "http://user:secret@proxy.example:port",
            "http://user:secret@[::1:3128",
            "http://user:secret@proxy℀.example:3128",
            "http://user:secret@:3128",
            "http://",
        ],
    )
    def test_a_url_that_is_no_http_proxys_is_refused_without_its_login(self, url: str) -> None:
        with pytest.raises(ConnectionFailed, match="is not of the form http://host:port") as failure:
            proxy_for("feed.example", secure=True, proxy=url)
        assert not failure.value.retriable
        assert "secret" not in "".join(traceback.format_exception(failure.value))

    @pytest.mark.parametrize(
        ("name", "secure", "used"),
        [
            ("http_proxy", False, True),
            ("http_proxy", True, False),
            ("https_proxy", True, True),
            ("https_proxy", False, False),
            ("HTTPS_PROXY", True, True),
            ("all_proxy", True, True),
            ("all_proxy", False, True),
        ],
    )
    def test_the_environment_names_one_for_each_scheme(
        self, monkeypatch: pytest.MonkeyPatch, name: str, secure: bool, used: bool
    ) -> None:
        monkeypatch.setenv(name, "http://proxy.example:3128")
        assert (proxy_for("feed.example", secure=secure, proxy=None) is not None) == used

    def test_the_argument_goes_before_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
        assert proxy_for("feed.example", secure=True, proxy="http://mine.example:1") == Proxy("mine.example", 1)
        assert proxy_for("feed.example", secure=True, proxy="") is None

    def test_no_proxy_excepts_hosts_of_the_environments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
        monkeypatch.setenv("no_proxy", "feed.example")
        assert proxy_for("feed.example", secure=True, proxy=None) is None
        assert proxy_for("other.example", secure=True, proxy=None) is not None

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
    def test_this_machine_is_never_reached_through_one_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
        assert proxy_for(host, secure=False, proxy=None) is None
        assert proxy_for("10.0.0.1", secure=False, proxy=None) is not None

    def test_a_wrong_url_in_the_environment_is_told_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "ftp://proxy.example:1080")
        with pytest.raises(ConnectionFailed, match="environment variables http_proxy and https_proxy"):
            proxy_for("feed.example", secure=True, proxy=None)

    def test_a_proxy_does_not_show_its_login(self, waker: Waker) -> None:
        made = proxy_for("feed.example", secure=True, proxy="http://user:secret@127.0.0.1:3128")
        assert made is not None
        assert repr(made) == "Proxy(127.0.0.1:3128)"
        with refusing_port() as port, pytest.raises(ConnectionFailed) as failure:
            connect(443, waker, proxy=made._replace(port=port))
        shown = "".join(traceback.format_exception(failure.value))
        assert "secret" not in shown
        assert made.authorization.removeprefix("Basic ") not in shown


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_child_that_is_forked_closes_its_copies_and_the_peer_hears_nothing_of_it(secure: bool) -> None:
    heard: list[bytes] = []
    forking.watch()
    waker = Waker()
    with Peer(lambda connection: heard.append(drain(connection)), server_context() if secure else None) as peer:
        made = dial(
            HOST,
            peer.port,
            context=client_context() if secure else None,
            proxy=None,
            waker=waker,
            deadline=time.monotonic() + LIMIT,
        )
        with child(lambda say: say([made.fileno(), waker.fileno(), client_sockets(peer.port)])) as forked:
            assert forked.hear() == [-1, -1, 0]
        assert not heard, "the connection was ended"
        made.send(b"still here")
        made.close()
    assert heard == [b"still here"]
    waker.close()
