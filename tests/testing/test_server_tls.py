"""The local server over TLS, which client and server use from several threads at once."""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from kucoin_sync.testing.server import KucoinServer, Pushed

from .server_client import Client, websocket

trustme = pytest.importorskip("trustme", reason="makes the certificates")

TICKER = "/market/ticker:BTC-USDT"


@pytest.fixture(scope="module")
def authority() -> Any:
    return trustme.CA()


@pytest.fixture
def server_options(authority: Any) -> dict[str, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return {"tls": context, "send_timeout": 1.0}


@pytest.fixture
def trust(authority: Any) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    # The peer reads in one thread and writes in another without a lock, which OpenSSL does not allow while TLS 1.3
    # still sends tickets after the handshake.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.fixture
def tls_peer(server: KucoinServer, authority: Any, trust: ssl.SSLContext) -> Iterator[Client]:
    with authority.cert_pem.tempfile() as path, requests.Session() as session:
        session.trust_env = False
        session.verify = path
        data = session.post(server.rest_url + "/api/v1/bullet-public", timeout=5).json()["data"]
    (instance,) = data["instanceServers"]
    assert (instance["endpoint"], instance["encrypt"]) == (server.endpoint(), True)
    assert instance["endpoint"].startswith("wss://127.0.0.1:")
    with websocket(f"{instance['endpoint']}?token={quote(data['token'])}&connectId=c1", trust) as socket:
        peer = Client(socket)
        assert peer.recv() == {"id": "c1", "type": "welcome"}
        yield peer


def test_it_speaks_https_and_wss(server: KucoinServer, tls_peer: Client) -> None:
    assert server.rest_url.startswith("https://")
    assert tls_peer.subscribe(TICKER)["type"] == "ack"
    assert server.publish_many(Pushed(TICKER, [n, "x" * 500]) for n in range(2000)) == 2000
    assert [tls_peer.recv()["data"][0] for _ in range(2000)] == list(range(2000))
    assert tls_peer.is_silent()


def test_a_large_push_and_large_commands_pass_each_other(server: KucoinServer, tls_peer: Client) -> None:
    tls_peer.subscribe(TICKER)
    tls_peer.socket.send(json.dumps({"id": "1", "type": "ping", "pad": "x" * 1_000_000}))
    assert server.publish(TICKER, "y" * 1_000_000) == 1
    assert {tls_peer.recv()["type"], tls_peer.recv()["type"]} == {"pong", "message"}


def test_stopping_is_immediate(server: KucoinServer, tls_peer: Client) -> None:
    with socket.create_connection(("127.0.0.1", int(server.rest_url.rpartition(":")[2]))) as silent:
        silent.sendall(b"\x16")  # the beginning of a handshake
        server.stop()
        silent.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
    with pytest.raises(Exception, match="no close frame"):
        tls_peer.socket.recv(5)


def test_a_client_that_does_not_trust_it_is_no_error(server: KucoinServer) -> None:
    port = int(server.rest_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock, pytest.raises(ssl.SSLError):
        ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")


def test_a_client_that_stalls_is_dropped(authority: Any, trust: ssl.SSLContext) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with KucoinServer(tls=context, send_timeout=0.1) as server:
        with server._state.lock:
            token = server._context.tokens.issue("spot", None, server._clock.now())
        port = int(server.rest_url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as sock,
            trust.wrap_socket(sock, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(
                f"GET /endpoint?token={quote(token)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            server.wait_for(lambda s: s.connections)
            command = json.dumps({"type": "subscribe", "topic": TICKER}).encode()
            tls.sendall(bytes((0x81, 0x80 | len(command))) + b"\0\0\0\0" + command)
            server.wait_subscribed(TICKER)
            assert server.publish(TICKER, "x" * 32_000_000) == 0
            server.wait_for(lambda s: s.ended)
        assert server.ended[0].stalled


def test_the_uta_feed_is_encrypted_too(server: KucoinServer, trust: ssl.SSLContext) -> None:
    assert all(url.startswith("wss://") for url in server.uta_urls.values())
    with websocket(server.endpoint("uta-spot"), trust) as socket:
        assert json.loads(socket.recv(5))["message"] == "welcome"
