"""TCP on this machine: connected pairs, ports where nobody answers, and peers that do what a test says."""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .threads import LIMIT

__all__ = ["HOST", "Peer", "black_hole", "drain", "open_descriptors", "read_head", "refusing_port", "reset", "tcp_pair"]

HOST = "127.0.0.1"


class Peer:
    """A TCP server that runs `script(connection)` for each connection, on a thread of its own.

    `with` starts it; at its end, connections are shut down, threads are joined, and what a script raised is raised
    again (except that the other side went away, which is often the point).

    Attributes:
        connections: how many were accepted.
        over: set at the end of the `with`, for scripts that keep a connection open without reading.
    """

    def __init__(self, script: Callable[[socket.socket], object], context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.over = threading.Event()
        self._script = script
        self._context = context
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._errors: list[BaseException] = []

    def __enter__(self) -> Peer:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        _shutdown(self._listener)
        self._threads[0].join(LIMIT)
        self._listener.close()
        for connection in self._open:
            _shutdown(connection)
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), f"the script of a peer has not ended within {LIMIT:g} s"
        for connection in self._open:
            connection.close()
        for error in self._errors:
            raise error

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._run, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _run(self, connection: socket.socket) -> None:
        try:
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            self._script(connection)
        except OSError:
            pass  # the other side went away
        except BaseException as error:
            self._errors.append(error)


def _shutdown(sock: socket.socket) -> None:
    try:
        # Not SSLSocket's own, which would also change the object under the thread that uses it.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # not connected, or closed by its script


def drain(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    received = bytearray()
    while chunk := connection.recv(65536):
        received += chunk
    return bytes(received)


def read_head(connection: socket.socket) -> bytes:
    """Return an HTTP head, read byte by byte so that nothing behind it is taken."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError("the other side closed in the middle of a head")
        head += byte
    return bytes(head)


def reset(connection: socket.socket) -> None:
    """Close with a RST in the place of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def open_descriptors() -> set[str]:
    """Return the sockets that the process has open; pipes are those of peers in other packages."""
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue  # that of the listing itself
    return {entry for entry in found if "socket" in entry}


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a TCP connection."""
    with socket.create_server((HOST, 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for end in (ours, theirs):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    theirs.settimeout(LIMIT)
    return ours, theirs


@contextmanager
def refusing_port() -> Iterator[int]:
    """Lend a port on which nobody listens, and nobody else can."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()[1]


@contextmanager
def black_hole() -> Iterator[int]:
    """Lend a port that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(0)
        queued: list[socket.socket] = []
        try:
            while _connects(listener.getsockname(), queued):
                assert len(queued) < 100, "the queue of a listening socket never fills on this system"
            yield listener.getsockname()[1]
        finally:
            for sock in queued:
                sock.close()


def _connects(address: tuple[str, int], queued: list[socket.socket]) -> bool:
    sock = socket.socket()
    queued.append(sock)
    sock.setblocking(False)
    sock.connect_ex(address)
    _, writable, _ = select.select([], [sock], [], 0.2)
    return bool(writable)
