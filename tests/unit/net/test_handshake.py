"""Handshakes with real sockets on this machine, each by `WebSocketConnection.connect`."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import websocket

from kucoin_sync import ConnectionFailed, KucoinSyncError, Limits, ProtocolError, TokenError
from kucoin_sync.net.handshake import SecretUrl
from kucoin_sync.net.waker import Cancelled, Waker
from kucoin_sync.net.websocket import WebSocketConnection

from ...support.certificates import client_context, server_context
from ...support.dialling import receive
from ...support.frames import frame, shake, switch
from ...support.proxy import ConnectProxy
from ...support.sockets import HOST, Peer, drain, read_head
from ...support.threads import LIMIT, Task, reached

SHORT = 0.2  # seconds until a deadline that a test waits for
TOKEN = "s3cret-token"


def connect(
    peer: Peer, waker: Waker, *, secure: bool = False, seconds: float = LIMIT, **options: Any
) -> WebSocketConnection:
    url = f"{'wss' if secure else 'ws'}://{HOST}:{peer.port}/endpoint?token={TOKEN}&connectId=1"
    options = {"context": client_context() if secure else None, "proxy": "", **options}
    return WebSocketConnection.connect(url, waker=waker, limits=Limits(step_timeout=seconds), **options)


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    """Return a script that gives one answer to the handshake and keeps the connection."""

    def script(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)
        drain(connection)

    return script


class TestHandshake:
    def test_it_asks_as_rfc_6455_says(self, waker: Waker, secure: bool) -> None:
        heads: list[bytes] = []

        def script(connection: socket.socket) -> None:
            heads.append(shake(connection))
            drain(connection)

        with Peer(script, server_context() if secure else None) as peer:
            connect(peer, waker, secure=secure, user_agent="kucoin-sync/1").close()
        lines = heads[0].decode().split("\r\n")
        assert lines[0] == f"GET /endpoint?token={TOKEN}&connectId=1 HTTP/1.1"
        assert f"Host: {HOST}:{peer.port}" in lines
        assert {"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"} <= set(lines)
        assert "User-Agent: kucoin-sync/1" in lines
        assert not [line for line in lines if line.lower().startswith(("origin", "cookie", "sec-websocket-ext"))]

    def test_what_came_with_the_answer_is_received(self, waker: Waker, secure: bool) -> None:
        """Also where it came in one TLS record, of which a rest would wake no `poll`."""
        early = [b"w" * 5000, b"x" * 5000]

        def script(connection: socket.socket) -> None:
            shake(connection, then=b"".join(map(frame, early)))
            drain(connection)

        with Peer(script, server_context() if secure else None) as peer:
            transport = connect(peer, waker, secure=secure)
            assert receive(transport, 2) == early
            transport.close()

    def test_it_goes_through_a_proxy(self, waker: Waker, secure: bool) -> None:
        def script(connection: socket.socket) -> None:
            shake(connection, then=frame(b"hello"))
            drain(connection)

        with ConnectProxy() as proxy, Peer(script, server_context() if secure else None) as peer:
            transport = connect(peer, waker, secure=secure, proxy=f"http://user:pw@{HOST}:{proxy.port}")
            assert receive(transport, 1) == [b"hello"]
            transport.close()
        assert proxy.heads[0].startswith(f"CONNECT {HOST}:{peer.port} ".encode())
        assert TOKEN.encode() not in proxy.heads[0]

    def test_it_goes_through_the_proxy_of_the_environment(self, waker: Waker, monkeypatch: pytest.MonkeyPatch) -> None:
        heads: list[bytes] = []

        def script(connection: socket.socket) -> None:
            heads.append(read_head(connection))
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            shake(connection)
            drain(connection)

        with Peer(script) as proxy:
            monkeypatch.setenv("http_proxy", f"http://{HOST}:{proxy.port}")
            monkeypatch.delenv("no_proxy", raising=False)
            limits = Limits(step_timeout=LIMIT)
            WebSocketConnection.connect("ws://feed.internal.example/", waker=waker, limits=limits).close()
        assert heads[0].startswith(b"CONNECT feed.internal.example:80 HTTP/1.1\r\n")

    def test_an_unknown_certificate_is_refused(self, waker: Waker) -> None:
        with (
            Peer(drain, server_context()) as peer,
            pytest.raises(ConnectionFailed, match=r"certificate .* does not verify") as failure,
        ):
            connect(peer, waker, secure=True, context=None)
        assert not failure.value.retriable

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_refused_and_not_followed(self, waker: Waker, status: int) -> None:
        with Peer(drain) as target:
            to = f"HTTP/1.1 {status} Over there\r\nLocation: ws://{HOST}:{target.port}/\r\n\r\n".encode()
            with Peer(answering(to)) as peer, pytest.raises(ConnectionFailed) as failure:
                connect(peer, waker)
        assert "redirects the WebSocket handshake elsewhere, which is refused" in str(failure.value)
        assert not failure.value.retriable
        assert target.connections == 0

    def test_the_token_is_refused_by_401(self, waker: Waker) -> None:
        answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 100000\r\n\r\nexpired"
        with Peer(answering(answer)) as peer, pytest.raises(TokenError, match=r"refused the connect token .*401") as e:
            connect(peer, waker)
        assert e.value.retriable

    @pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 503])
    @pytest.mark.parametrize("length", [b"Content-Length", b"content-length", b" Content-Length"])
    def test_another_status_is_told_without_waiting_for_its_body(
        self, waker: Waker, status: int, length: bytes
    ) -> None:
        answer = b"HTTP/1.1 %d What\r\n%b: 100000\r\n\r\nsome" % (status, length)
        with (
            Peer(answering(answer)) as peer,
            pytest.raises(ConnectionFailed, match=f"refused the WebSocket handshake with HTTP {status}") as failure,
        ):
            Task(connect, peer, waker).result()
        assert failure.value.retriable

    @pytest.mark.parametrize(
        ("was", "instead"),
        [
            (b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"),
            (b"Sec-WebSocket-Accept", b"X"),
            (b"Upgrade: websocket", b"Upgrade: h2c"),
            (b"Connection: Upgrade", b"Connection: keep-alive"),
        ],
    )
    def test_an_answer_that_does_not_accept_is_refused(self, waker: Waker, was: bytes, instead: bytes) -> None:
        def script(connection: socket.socket) -> None:
            connection.sendall(switch(read_head(connection)).replace(was, instead))
            drain(connection)

        with (
            Peer(script) as peer,
            pytest.raises(ProtocolError, match="did not answer with a valid WebSocket handshake"),
        ):
            connect(peer, waker)

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 101 OK\r\nno header\r\n\r\n",
            b"HTTP/1.1 101 OK\r\nA: \xff\r\n\r\n",
            b"HTTP/1.1 302 Found\r\n\r\n",
        ],
    )
    def test_an_answer_that_is_none_is_refused(self, waker: Waker, answer: bytes) -> None:
        with Peer(answering(answer)) as peer, pytest.raises((ProtocolError, ConnectionFailed)) as failure:
            Task(connect, peer, waker, seconds=1.0).result()
        assert f"{HOST}:{peer.port}" in str(failure.value)

    def test_the_token_is_in_no_error(self, waker: Waker) -> None:
        """Not even where the peer gives back what it was sent."""

        def echoing(connection: socket.socket) -> None:
            connection.sendall(read_head(connection))
            drain(connection)

        def echoing_in_a_header(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 500 No\r\nPath: " + read_head(connection))
            drain(connection)

        def echoing_as_no_header(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 101 OK\r\n\xff" + read_head(connection))
            drain(connection)

        for script in (echoing, echoing_in_a_header, echoing_as_no_header, answering(b"HTTP/1.1 401 No\r\n\r\n")):
            with Peer(script) as peer, pytest.raises(KucoinSyncError) as failure:
                connect(peer, waker)
            assert TOKEN not in "".join(traceback.format_exception(failure.value))

    def test_a_url_that_is_no_websockets_is_refused(self, waker: Waker) -> None:
        with Peer(drain) as peer, pytest.raises(ProtocolError, match="scheme http is invalid"):
            WebSocketConnection.connect(f"http://{HOST}:{peer.port}/", waker=waker, limits=Limits(), proxy="")

    def test_a_peer_that_says_nothing_ends_at_the_deadline(self, waker: Waker) -> None:
        with Peer(drain) as peer, pytest.raises(ConnectionFailed, match="did not answer in time"):
            Task(connect, peer, waker, seconds=SHORT).result()

    def test_an_answer_that_drips_ends_at_the_deadline(self, waker: Waker) -> None:
        def script(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 101 ")
            while not peer.over.wait(0.01):
                connection.sendall(b"x")

        with Peer(script) as peer, pytest.raises(ConnectionFailed, match="did not answer in time"):
            Task(connect, peer, waker, seconds=SHORT).result()

    def test_headers_without_end_are_refused(self, waker: Waker) -> None:
        with (
            Peer(answering(b"HTTP/1.1 101 OK\r\n" + b"A: b\r\n" * 1_000_000)) as peer,
            pytest.raises(ConnectionFailed, match="HTTP headers of more than 65536 bytes"),
        ):
            Task(connect, peer, waker).result()

    def test_a_peer_that_closes_instead(self, waker: Waker) -> None:
        with (
            Peer(lambda connection: (read_head(connection), connection.close())) as peer,
            pytest.raises(ConnectionFailed, match="closed the connection instead of answering"),
        ):
            connect(peer, waker)

    def test_cancel_ends_it(self, waker: Waker) -> None:
        asked = threading.Event()

        def silent(connection: socket.socket) -> None:
            read_head(connection)
            asked.set()
            drain(connection)

        with Peer(silent) as peer:
            connecting = Task(connect, peer, waker)
            reached(asked, "the handshake never began")
            waker.cancel()
            with pytest.raises(Cancelled):
                connecting.result()

    def test_a_failed_one_closes_its_socket(self, waker: Waker) -> None:
        closed = threading.Event()

        def script(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(b"HTTP/1.1 500 No\r\n\r\n")
            drain(connection)
            closed.set()

        with Peer(script) as peer:
            with pytest.raises(ConnectionFailed):
                connect(peer, waker)
            reached(closed, "the socket of a failed handshake stayed open")


class TestCookies:
    """websocket-client has one jar for the whole process; nothing of ours goes into it, nothing of others' out."""

    @pytest.fixture
    def jar(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        from websocket import _handshake

        kept: dict[str, Any] = {}
        monkeypatch.setattr(_handshake.CookieJar, "jar", kept)
        return kept

    @pytest.mark.parametrize(
        "line",
        [
            b"Set-Cookie: a=b; Domain=127.0.0.1",
            b"set-cookie: a=b; domain=127.0.0.1",
            b"X: y\r\n Set-Cookie: a=b; Domain=127.0.0.1",
            b"X: y\n\tSet-Cookie: a=b; Domain=127.0.0.1",
            b"X: y\nSet-Cookie: a=b; Domain=127.0.0.1",
        ],
    )
    @pytest.mark.parametrize("accepts", [True, False])
    def test_those_of_the_server_are_not_kept(
        self, waker: Waker, jar: dict[str, Any], line: bytes, accepts: bool
    ) -> None:
        def script(connection: socket.socket) -> None:
            if accepts:
                shake(connection, line)
            else:
                answering(b"HTTP/1.1 302 Found\r\n" + line + b"\r\n\r\n")(connection)
            drain(connection)

        with Peer(script) as peer:
            if accepts:
                connect(peer, waker).close()
            else:
                with pytest.raises(ConnectionFailed):
                    connect(peer, waker)
        assert jar == {}

    def test_those_of_other_code_are_not_sent(self, waker: Waker, jar: dict[str, Any]) -> None:
        heads: list[bytes] = []

        def script(connection: socket.socket) -> None:
            heads.append(shake(connection))
            drain(connection)

        websocket._handshake.CookieJar.add(f"session=others; Domain={HOST}")
        assert jar
        with Peer(script) as peer:
            connect(peer, waker).close()
        assert b"others" not in heads[0]
        assert b"Cookie" not in heads[0]
        assert heads[0].endswith(b"\r\n\r\n")
        assert heads[0].count(b"\r\n\r\n") == 1


def test_a_url_shows_no_token() -> None:
    url = SecretUrl(f"wss://a.example/?token={TOKEN}")
    assert repr(url) == "'wss://a.example/?***'"
    assert url.endswith(TOKEN)
