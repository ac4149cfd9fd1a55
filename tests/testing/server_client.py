"""What the tests of the local server share: an independent WebSocket peer, and plain HTTP."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from websockets.sync.client import ClientConnection, connect

from kucoin_sync import Credentials
from kucoin_sync.testing.server import KucoinServer

TIMEOUT = 5.0


def http(method: str, url: str, **options: Any) -> requests.Response:
    """Send one request on a connection of its own, past any proxy of the environment."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=TIMEOUT, **options)


def get(server: KucoinServer, path: str, **options: Any) -> requests.Response:
    return http("GET", server.rest_url + path, **options)


def token_of(server: KucoinServer, market: str = "spot", credentials: Credentials | None = None) -> dict[str, Any]:
    """Return the data of a token request: public, or private with credentials."""
    base = server.rest_url if market == "spot" else server.futures_rest_url
    path = "/api/v1/bullet-private" if credentials else "/api/v1/bullet-public"
    now_ms = http("GET", base + "/api/v1/timestamp").json()["data"]
    headers = credentials.headers(now_ms, "POST", path) if credentials else {}
    data: dict[str, Any] = http("POST", base + path, headers=headers).json()["data"]
    return data


class Client:
    """A peer that says and hears JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"id": "1", "type": kind, "response": True, **fields}))

    def recv(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(TIMEOUT))
        return message

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        self.send(kind, **fields)
        return self.recv()

    def subscribe(self, topic: str, **fields: Any) -> dict[str, Any]:
        return self.ask("subscribe", topic=topic, **fields)

    def is_silent(self) -> bool:
        """Whether nothing is on its way to us: the answer to a ping comes first."""
        return self.ask("ping", id="silent?").get("id") == "silent?"


@contextmanager
def websocket(url: str, context: ssl.SSLContext | None = None) -> Iterator[ClientConnection]:
    # No pings of its own: their thread can outlive the connection for a moment.
    with connect(
        url, proxy=None, ssl=context, open_timeout=TIMEOUT, close_timeout=TIMEOUT, ping_interval=None
    ) as socket:
        yield socket


@contextmanager
def client(
    server: KucoinServer,
    market: str = "spot",
    credentials: Credentials | None = None,
    *,
    token: str | None = None,
    connect_id: str = "c1",
    welcome: bool = True,
) -> Iterator[Client]:
    """Connect as a client does and take the welcome."""
    token = token_of(server, market, credentials)["token"] if token is None else token
    with websocket(f"{server.endpoint(market)}?token={quote(token)}&connectId={connect_id}") as socket:
        peer = Client(socket)
        if welcome:
            assert peer.recv() == {"id": connect_id, "type": "welcome"}
        yield peer


@contextmanager
def raw_client(server: KucoinServer, market: str = "spot") -> Iterator[socket.socket]:
    """Connect by hand: a socket after the handshake, which nobody reads in the background."""
    url = f"{server.endpoint(market)}?token={quote(token_of(server, market)['token'])}&connectId=raw"
    with raw_handshake(url) as sock:
        head = b""
        while not head.endswith(b'"type":"welcome"}'):
            head += sock.recv(1)
        yield sock


@contextmanager
def raw_handshake(url: str, **headers: str) -> Iterator[socket.socket]:
    """Send a WebSocket handshake by hand; `headers` replace the usual ones, "" leaves one out."""
    parts = urlsplit(url)
    usual = {
        "Host": parts.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    usual |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in usual.items() if value]
    request = "\r\n".join([f"GET {parts.path}?{parts.query} HTTP/1.1", *lines, "", ""])
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 0), timeout=TIMEOUT) as sock:
        sock.sendall(request.encode())
        yield sock
