"""An HTTP proxy that opens tunnels, and remembers what it was asked."""

from __future__ import annotations

import socket
from types import TracebackType

from .sockets import Peer, read_head
from .threads import Task

__all__ = ["ConnectProxy"]


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
