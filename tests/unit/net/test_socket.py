"""Reading, writing, TLS and deadlines of `CancellableSocket`, against real sockets on this machine."""

from __future__ import annotations

import datetime as dt
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kucoin_sync import ConnectionFailed
from kucoin_sync.net import socket as net_socket
from kucoin_sync.net.socket import CancellableSocket
from kucoin_sync.net.waker import Cancelled, Waker

from ...support.certificates import client_context, server_context
from ...support.dialling import SocketPair, connect, dripping, echo, saying
from ...support.sockets import HOST, Peer, drain, reset
from ...support.threads import LIMIT, Task, reached

SHORT = 0.2  # seconds until a deadline that a test waits for


class TestCancellableSocket:
    @pytest.mark.usefixtures("way_of_waiting")
    def test_it_reads_what_is_there_and_waits_for_the_first_byte(
        self, socket_pair: SocketPair, poll_begun: threading.Event
    ) -> None:
        ours, theirs = socket_pair
        reader = Task(ours.recv, 100)
        reached(poll_begun, "the reader did not wait")
        theirs.sendall(b"abc")
        assert reader.result() == b"abc"
        theirs.close()
        assert ours.recv(100) == b""

    @pytest.mark.usefixtures("way_of_waiting")
    def test_it_sends_all_to_a_peer_that_reads_late(self, socket_pair: SocketPair, poll_begun: threading.Event) -> None:
        ours, theirs = socket_pair
        data = bytes(range(256)) * 65536
        sender = Task(ours.sendall, data)
        reached(poll_begun, "the sender did not wait for room")
        reader = Task(drain, theirs)
        sender.result()
        ours.close()
        assert reader.result() == data

    def test_it_fails_at_the_deadline_where_the_peer_says_nothing(self, socket_pair: SocketPair) -> None:
        socket_pair[0].deadline = time.monotonic() + SHORT
        with pytest.raises(ConnectionFailed, match=r"the peer did not answer in time; check the network") as failure:
            Task(socket_pair[0].recv, 1).result()
        assert failure.value.retriable

    def test_it_fails_at_the_deadline_where_the_peer_does_not_read(self, socket_pair: SocketPair) -> None:
        socket_pair[0].deadline = time.monotonic() + SHORT
        with pytest.raises(ConnectionFailed, match="the peer did not answer in time"):
            Task(socket_pair[0].sendall, bytes(64 * 1024 * 1024)).result()

    def test_it_fails_at_the_deadline_where_the_peer_never_stops(
        self, socket_pair: SocketPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(net_socket, "_DEADLINE_EXTENSION", 0.0)
        ours, theirs = socket_pair
        ours.deadline = time.monotonic() - 1
        theirs.sendall(b"there is always something to read")
        assert select.select([ours], [], [], LIMIT)[0]
        assert ours.recv(1) == b"t", "it had come"
        with pytest.raises(ConnectionFailed, match="the peer did not answer in time"):
            ours.recv(1)

    @pytest.mark.parametrize("read", [CancellableSocket.read_head, lambda ours: (ours.wait(), ours.recv(100))[1]])
    def test_what_came_during_a_pause_of_the_process_is_read_after_the_deadline(
        self,
        socket_pair: SocketPair,
        monkeypatch: pytest.MonkeyPatch,
        read: Callable[[CancellableSocket], Any],
    ) -> None:
        monkeypatch.setattr(net_socket, "_DEADLINE_EXTENSION", LIMIT)
        ours, theirs = socket_pair
        ours.deadline = time.monotonic() - 15
        theirs.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        assert select.select([ours], [], [], LIMIT)[0]
        answer = read(ours)
        assert b"200 OK" in (answer if isinstance(answer, bytes) else answer[0])
        ours.deadline = time.monotonic() - 1
        with pytest.raises(ConnectionFailed, match="the peer did not answer in time"):
            ours.recv(1)

    def test_a_wake_that_is_no_cancel_does_not_end_a_read(
        self, socket_pair: SocketPair, waker: Waker, poll_begun: threading.Event
    ) -> None:
        waker.wake()
        reader = Task(socket_pair[0].recv, 10)
        reached(poll_begun, "the reader did not wait")
        socket_pair[1].sendall(b"late")
        assert reader.result() == b"late"

    @pytest.mark.usefixtures("way_of_waiting")
    @pytest.mark.parametrize("call", ["recv", "read_head", "sendall"])
    def test_cancel_ends_every_call(
        self, socket_pair: SocketPair, waker: Waker, poll_begun: threading.Event, call: str
    ) -> None:
        ours, _ = socket_pair
        arguments: dict[str, tuple[Any, ...]] = {"recv": (1,), "sendall": (bytes(64 * 1024 * 1024),)}
        task = Task(getattr(ours, call), *arguments.get(call, ()))
        reached(poll_begun, "the call did not wait")
        waker.cancel()
        with pytest.raises(Cancelled):
            task.result()

    def test_cancel_ends_a_read_that_never_has_to_wait(self, socket_pair: SocketPair, waker: Waker) -> None:
        ours, theirs = socket_pair
        theirs.sendall(b"there is always something to read")
        assert select.select([ours], [], [], LIMIT)[0]
        waker.cancel()
        with pytest.raises(Cancelled):
            ours.recv(1)

    @pytest.mark.parametrize("call", ["recv", "sendall"])
    def test_a_reset_is_a_retriable_error(self, socket_pair: SocketPair, call: str) -> None:
        ours, theirs = socket_pair
        reset(theirs)
        arguments: dict[str, Any] = {"recv": 1, "sendall": b"x" * 10_000_000}
        with pytest.raises(
            ConnectionFailed, match=r"the connection to the peer failed: (Connection reset by peer|Broken pipe)"
        ) as failure:
            Task(getattr(ours, call), arguments[call]).result()
        assert failure.value.retriable

    def test_an_error_without_a_system_text_is_still_a_sentence(self, socket_pair: SocketPair) -> None:
        unknown = ssl.SSLError()
        unknown.reason = None  # type: ignore[assignment]
        for error, text in (
            (OSError("no number"), "the connection to the peer failed: no number"),
            (OSError(), "the connection to the peer failed: OSError"),
            (unknown, "TLS with the peer failed: SSLError"),
        ):
            with pytest.raises(ConnectionFailed) as failure:
                socket_pair[0].fail(error)
            assert str(failure.value) == text

    def test_tls_that_has_to_write_before_it_reads_waits_for_room(self, socket_pair: SocketPair) -> None:
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

        ours, theirs = socket_pair
        sock = Renegotiating(ours.sock)
        made = CancellableSocket(sock, ours._waker, ours.deadline, "the peer")  # type: ignore[arg-type]
        assert made.recv(10) == b"ok"
        theirs.sendall(b"something to read")
        made.sendall(b"hello")
        assert sock.calls == ["read", "read", "write", "write"]

    def test_a_socket_library_finds_a_blocking_socket(self, socket_pair: SocketPair) -> None:
        ours, theirs = socket_pair
        ours.settimeout(0.0)
        assert ours.gettimeout() is None
        assert ours.fileno() == ours.sock.fileno()
        assert ours.send(b"abc") == 3
        assert theirs.recv(3) == b"abc"


class TestReadHead:
    def test_it_returns_the_head_and_what_came_behind_it(self, socket_pair: SocketPair) -> None:
        socket_pair[1].sendall(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n")
        assert socket_pair[0].read_head() == (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"body\r\n\r\n")

    def test_it_takes_a_head_in_pieces(self, socket_pair: SocketPair) -> None:
        ours, theirs = socket_pair
        head = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
        reader = Task(ours.read_head)
        for byte in head:
            theirs.sendall(bytes([byte]))
        assert reader.result() == (head, b"")

    def test_it_refuses_a_head_without_end(self, socket_pair: SocketPair) -> None:
        ours, theirs = socket_pair
        endless = Task(theirs.sendall, b"A: b\r\n" * 1_000_000)
        with pytest.raises(ConnectionFailed, match="answered with HTTP headers of more than 65536 bytes"):
            Task(ours.read_head).result()
        ours.close()
        with pytest.raises(OSError, match=r"reset|pipe"):  # most of it was never read
            endless.result()

    def test_it_fails_where_the_peer_closes_instead(self, socket_pair: SocketPair) -> None:
        socket_pair[1].sendall(b"HTTP/1.1 200 OK\r\n")
        socket_pair[1].close()
        with pytest.raises(ConnectionFailed, match="the peer closed the connection instead of answering"):
            socket_pair[0].read_head()

    def test_the_step_is_named_where_the_peer_closes_instead(self, socket_pair: SocketPair, waker: Waker) -> None:
        waker.begin("the handshake was not answered", "ask for one")
        socket_pair[1].close()
        with pytest.raises(ConnectionFailed, match=r"instead of answering; .* \(the handshake was not answered\)"):
            socket_pair[0].read_head()

    def test_a_head_that_drips_ends_at_the_deadline(self, socket_pair: SocketPair) -> None:
        ours, theirs = socket_pair
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
    def test_it_reads_lines_and_bytes(self, socket_pair: SocketPair) -> None:
        ours, theirs = socket_pair
        theirs.sendall(b"one\r\ntwo")
        theirs.close()
        with ours.makefile("rb") as file:
            assert file.readable()
            assert file.readline() == b"one\r\n"
            assert file.read() == b"two"

    def test_the_socket_outlives_close_until_its_last_file_is_closed(self, socket_pair: SocketPair) -> None:
        ours, theirs = socket_pair
        first, second = ours.makefile("rb"), ours.makefile("rb")
        ours.close()
        theirs.sendall(b"a")
        assert first.read(1) == b"a"
        first.close()
        first.close()
        assert ours.fileno() >= 0
        second.close()
        assert ours.fileno() == -1

    def test_closed_files_do_not_close_the_socket(self, socket_pair: SocketPair) -> None:
        ours, _ = socket_pair
        ours.makefile("rb").close()
        assert ours.fileno() >= 0
        ours.close()
        assert ours.fileno() == -1

    def test_a_closed_file_is_at_its_end(self, socket_pair: SocketPair) -> None:
        file = socket_pair[0].makefile("rb")
        file.raw.close()
        file.raw.close()
        assert file.raw.readinto(bytearray(1)) == 0


class TestTls:
    def test_a_context_from_before_ssl_was_replaced_is_refused_in_words(
        self, socket_pair: SocketPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = client_context()
        monkeypatch.setattr(ssl, "SSLContext", type("SSLContext", (ssl.SSLContext,), {}))
        with pytest.raises(ConnectionFailed, match="have them patch the process first") as caught:
            socket_pair[0].start_tls(context, "feed.example")
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

    def test_a_name_that_no_certificate_can_have(self, socket_pair: SocketPair) -> None:
        with pytest.raises(ConnectionFailed, match="the connection to the peer failed"):
            socket_pair[0].start_tls(client_context(), "")

    def test_a_handshake_waits_for_room_to_write(self, socket_pair: SocketPair) -> None:
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

        ours, _ = socket_pair
        plain = ours.sock
        ours.start_tls(Context(), "feed.example")  # type: ignore[arg-type]
        assert ours.sock.attempts == 2  # type: ignore[attr-defined]
        ours.sock = plain
