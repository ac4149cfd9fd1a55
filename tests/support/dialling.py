"""Connections made by `dial`, and scripts for the peers at their other ends."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from kucoin_sync.net.dial import dial
from kucoin_sync.net.socket import CancellableSocket
from kucoin_sync.net.waker import Waker
from kucoin_sync.net.websocket import WebSocketConnection

from .sockets import HOST, Peer, drain
from .threads import LIMIT

__all__ = ["SocketPair", "connect", "dripping", "echo", "receive", "saying"]

#: A cancellable socket and the socket at its other end.
SocketPair: TypeAlias = tuple[CancellableSocket, socket.socket]


def connect(port: int, waker: Waker, *, seconds: float = LIMIT, host: str = HOST, **options: Any) -> CancellableSocket:
    options = {"context": None, "proxy": None, **options}
    return dial(host, port, waker=waker, deadline=time.monotonic() + seconds, **options)


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


def receive(transport: WebSocketConnection, count: int) -> list[bytes]:
    """Return `count` messages of a connection."""
    deadline = time.monotonic() + LIMIT
    messages: list[bytes] = []
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} messages came within {LIMIT:g} s"
        messages += transport.receive(deadline)
    return messages
