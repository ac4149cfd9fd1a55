"""A TCP proxy in front of any server, for tests of clients under network faults."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from .flow import Flow
from .settings import Faults

__all__ = ["FaultProxy"]

T = TypeVar("T")

_JOIN = 10.0
_IN_PROGRESS = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # unlike epoll, these need no file descriptor


class _Link:
    """A client's connection and its connection to the server."""

    def __init__(self, client: socket.socket, server: socket.socket, to_client: Faults, to_server: Faults) -> None:
        self.ends = (client, server)
        self.flows = (Flow(server, client, to_client), Flow(client, server, to_server))
        self.connected = False

    def close(self, *, rst: bool) -> None:
        """Close both sockets, with `rst` by a reset."""
        for end in self.ends:
            with contextlib.suppress(OSError):  # the peer has closed it already
                if rst:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    end.shutdown(socket.SHUT_WR)  # before close(), which would send a reset if unread bytes are left
            end.close()


class FaultProxy:
    """A proxy that passes bytes on to a server and back, with the faults that are set on `to_client` and `to_server`.

    It does not interpret the bytes, so TLS works through it. One thread, which runs during the `with` block, serves all
    connections.

        with KucoinServer() as server, FaultProxy(*server.address) as proxy:
            server.announce(*proxy.address)           # connect tokens name the proxy
            with Stream(**server.stream_options) as stream:
                subscription = stream.subscribe("/market/ticker:BTC-USDT")
                proxy.to_client.hold()                # a black hole: the connection stays open, nothing passes
                ...                                   # check your program here
                proxy.heal()                          # back to normal

    Args:
        host, port: of the server.
        listen_host: the address to listen on; the port is a free one.

    Attributes:
        to_client, to_server: the faults of each direction; see `Faults`.
        accepted: connections that clients have made so far.
    """

    def __init__(self, host: str, port: int, *, listen_host: str = "127.0.0.1") -> None:
        self.accepted = 0
        # The proxy's thread holds this except while it waits, so other threads that hold it see no half-done work.
        self._lock = threading.RLock()
        self.to_client = Faults(self._changed, self._lock)
        self.to_server = Faults(self._changed, self._lock)
        self._server = (host, port)
        self._listen_host = listen_host
        self._progress = threading.Condition(self._lock)  # notified after each round, for `wait_for`
        self._links: list[_Link] = []
        self._error: BaseException | None = None
        self._closing = False
        self._listener: socket.socket | None = None
        self._waker: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        where = "{}:{}".format(*self.address) if self._listener is not None else "not started"
        return f"<FaultProxy {where}: {len(self._links)} connections, {self.to_client!r}, {self.to_server!r}>"

    # Life

    def start(self) -> None:
        """Listen, on a free port."""
        if self._thread is not None:
            raise RuntimeError("this proxy was started already; make a new one")
        self._listener = socket.create_server((self._listen_host, 0), backlog=512)
        self._listener.setblocking(False)
        self._waker = socket.socketpair()
        for end in self._waker:
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="kucoin-fault-proxy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cut every connection, stop listening and wait for the thread. Closing twice is allowed."""
        if self._thread is None or self._listener is None or self._waker is None:
            return
        self._closing = True
        self._changed()
        self._thread.join(_JOIN)
        for sock in (self._listener, *self._waker):
            sock.close()

    def check(self) -> None:
        """Raise an error of the proxy's thread again, if there was one."""
        with self._lock:
            error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> FaultProxy:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self.check()

    # Addresses

    @property
    def address(self) -> tuple[str, int]:
        """The host and port to connect to."""
        if self._listener is None:
            raise RuntimeError("this proxy has no port yet: start it, or use it in a with statement")
        host, port, *_ = self._listener.getsockname()
        return host, port

    def url(self, url: str) -> str:
        """Return a URL of the server with the proxy's address."""
        host, port = self.address
        return urlunsplit(urlsplit(url)._replace(netloc=f"{host}:{port}"))

    # Faults

    def heal(self) -> None:
        """Clear all faults of both directions; held bytes pass."""
        with self._lock:
            self.to_client.clear()
            self.to_server.clear()

    def reset(self) -> int:
        """Reset every connection on both sides (RST); return how many there were."""
        return self._end_all(rst=True)

    def cut(self) -> int:
        """Close every connection on both sides (FIN); return how many there were."""
        return self._end_all(rst=False)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        with self._lock:
            return len(self._links)

    def wait_for(self, predicate: Callable[[FaultProxy], T], timeout: float = 10.0) -> T:
        """Wait until `predicate(proxy)` is true, and return its value; it is called whenever bytes were passed on.

        Raises:
            AssertionError: it was not true within `timeout` seconds.
        """
        with self._progress:
            found = self._progress.wait_for(lambda: predicate(self), timeout)
            assert found, f"waited {timeout:g} s in vain; {self!r} has passed {self.to_client.passed} bytes to clients"
            return found

    # The thread

    def _changed(self) -> None:
        if self._waker is not None:
            with contextlib.suppress(OSError):  # full: the thread wakes anyway; closed: the proxy has stopped
                self._waker[1].send(b"\0")

    def _end_all(self, *, rst: bool) -> int:
        with self._lock:
            links, self._links = self._links, []
            for link in links:
                link.close(rst=rst)
        self._changed()
        return len(links)

    def _run(self) -> None:
        assert self._listener is not None and self._waker is not None
        try:
            while not self._closing:
                self._round(self._listener, self._waker[0])
        except BaseException as error:
            self._error = error
        finally:
            self._end_all(rst=False)

    def _round(self, listener: socket.socket, waker: socket.socket) -> None:
        with self._lock:
            selector = _Selector()
            selector.register(listener, selectors.EVENT_READ)
            selector.register(waker, selectors.EVENT_READ)
            for sock, events in self._wanted().items():
                selector.register(sock, events)
            due = min((flow.due() for link in self._links if link.connected for flow in link.flows), default=None)
        timeout = None if due is None or due == float("inf") else max(0.0, due - time.monotonic())
        ready = {key.fileobj: events for key, events in selector.select(timeout)}
        with self._lock:
            if waker in ready:
                with contextlib.suppress(BlockingIOError):
                    while waker.recv(1024):
                        pass
            if listener in ready:
                self._accept(listener)
            self._links = [link for link in self._links if self._serve(link, ready)]
            self._progress.notify_all()

    def _wanted(self) -> dict[socket.socket, int]:
        """Return the sockets to wait for. Idle sockets are left out, because a failed one would always be ready."""
        wanted: dict[socket.socket, int] = {}
        for link in self._links:
            if not link.connected:
                wanted[link.ends[1]] = selectors.EVENT_WRITE
                continue
            for flow in link.flows:
                if flow.reads:
                    wanted[flow.source] = wanted.get(flow.source, 0) | selectors.EVENT_READ
                if flow.writes:
                    wanted[flow.target] = wanted.get(flow.target, 0) | selectors.EVENT_WRITE
        return wanted

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # the client has closed its connection already
        self.accepted += 1
        family = socket.AF_INET6 if ":" in self._server[0] else socket.AF_INET
        server = socket.socket(family)
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # send each piece at once
        link = _Link(client, server, self.to_client, self.to_server)
        if server.connect_ex(self._server) in _IN_PROGRESS:
            self._links.append(link)
        else:
            link.close(rst=True)

    def _serve(self, link: _Link, ready: dict[object, int]) -> bool:
        """Move the bytes of a connection; return whether it stays open."""
        try:
            if not link.connected and not self._connect(link, ready):
                return True
            now = time.monotonic()
            for flow in link.flows:
                if ready.get(flow.source, 0) & selectors.EVENT_READ and flow.reads:
                    flow.read(now)
                if ready.get(flow.target, 0) & selectors.EVENT_WRITE:
                    flow.unblock()
                flow.step(now)
            verdict = next((flow.verdict for flow in link.flows if flow.verdict), "")
        except OSError:
            verdict = "reset"  # one end has failed: reset the other
        if verdict or all(flow.done for flow in link.flows):
            link.close(rst=verdict == "reset")
            return False
        return True

    def _connect(self, link: _Link, ready: dict[object, int]) -> bool:
        """Return whether the connection to the server is established."""
        server = link.ends[1]
        if server not in ready:
            return False
        code = server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        link.connected = True
        return True
