"""An HTTP proxy that opens tunnels, and a SOCKS proxy; both remember what they were asked."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import BinaryIO

from .sockets import Peer, read_head
from .threads import Task

__all__ = ["ConnectProxy", "SocksProxy"]


class ConnectProxy:
    """A proxy for tests; `with` starts and ends it. `heads` are the requests so far."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self._peer = Peer(self._serve)
        self.port = self._peer.port

    def __enter__(self) -> ConnectProxy:
        self._peer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._peer.__exit__(kind, error, trace)

    def _serve(self, client: socket.socket) -> None:
        self.heads.append(read_head(client))
        host, _, port = self.heads[-1].split(b" ")[1].decode().rpartition(":")
        with socket.create_connection((host, int(port))) as origin:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = Task(_pump, origin, client)
            _pump(client, origin)
            back.result()


class SocksProxy:
    """A SOCKS proxy of versions 4, 4a and 5 for tests; `with` starts and ends it. All targets are on this machine.

    Args:
        login: user name and password that version 5 asks for, None for none.
        answer: what it says instead of opening a connection; None opens it.

    Attributes:
        asked: version, host and port of the requests so far.
    """

    def __init__(self, login: tuple[str, str] | None = None, answer: bytes | None = None) -> None:
        self.asked: list[tuple[int, str, int]] = []
        self._login = login
        self._answer = answer
        self._peer = Peer(self._serve)
        self.port = self._peer.port

    def __enter__(self) -> SocksProxy:
        self._peer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._peer.__exit__(kind, error, trace)

    def _serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as reader:
            version = int.from_bytes(reader.read(1), "big")
            if not version:
                return  # the client looked whether anybody is there
            try:
                asked = self._asked_by_5(client, reader) if version == 5 else _asked_by_4(reader)
            except IndexError:
                return  # the client has gone in the middle
        if asked is None:
            return
        self.asked.append((version, *asked))
        if self._answer is not None:
            client.sendall(self._answer)
            return
        with socket.create_connection(("127.0.0.1", asked[1])) as origin:
            client.sendall(b"\5\0\0\1" + bytes(6) if version == 5 else b"\0\x5a" + bytes(6))
            back = Task(_pump, origin, client)
            _pump(client, origin)
            back.result()

    def _asked_by_5(self, client: socket.socket, reader: BinaryIO) -> tuple[str, int] | None:
        methods = reader.read(reader.read(1)[0])
        method = 0 if self._login is None else 2
        client.sendall(bytes([5, method if method in methods else 0xFF]))
        if method not in methods:
            return None
        if self._login is not None:
            reader.read(1)
            given = tuple(reader.read(reader.read(1)[0]).decode() for _ in range(2))
            client.sendall(bytes([1, given != self._login]))
            if given != self._login:
                return None
        kind = reader.read(4)[3]
        raw = reader.read(4 if kind == 1 else reader.read(1)[0])
        host = socket.inet_ntoa(raw) if kind == 1 else raw.decode()
        return host, int.from_bytes(reader.read(2), "big")


def _asked_by_4(reader: BinaryIO) -> tuple[str, int]:
    reader.read(1)
    port, raw = int.from_bytes(reader.read(2), "big"), reader.read(4)
    _text(reader)  # the user's name
    return (_text(reader) if raw[:3] == bytes(3) else socket.inet_ntoa(raw)), port


def _text(reader: BinaryIO) -> str:
    return b"".join(iter(lambda: reader.read(1), b"\0")).decode()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
    except OSError:
        pass  # one of the two went away
    for end, how in ((source, socket.SHUT_RD), (target, socket.SHUT_WR)):
        try:
            end.shutdown(how)
        except OSError:
            pass
