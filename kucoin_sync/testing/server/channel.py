"""A connected socket, plain or TLS. A cut ends its reads, and a peer that stalls ends its writes.

One thread reads and closes; any thread may send or cut. Frames of several senders never mix. The socket is non-blocking
and every wait is a `select` on it, which a cut ends at once. So no wait holds the lock of a TLS object, which allows
one call at a time.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["Channel", "ChannelEnded"]

_CHUNK = 16_384
_SEND_LOCK_TIMEOUT = 0.1  # seconds, longer than one send takes
_READABLE = (BlockingIOError, ssl.SSLWantReadError)
_WRITABLE = (BlockingIOError, ssl.SSLWantWriteError)
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # unlike epoll, these need no file descriptor


class ChannelEnded(Exception):
    """There is nothing more to read: the peer has closed the connection or the channel was cut."""


class Channel:
    """The bytes of one peer.

    Args:
        sock: a connected socket, which the channel owns from now on.
        send_timeout: seconds that a send waits for a peer that reads nothing; then the channel is cut.
        received: bytes that were read from the socket before.
    """

    def __init__(self, sock: socket.socket, send_timeout: float, received: bytes = b"") -> None:
        sock.setblocking(False)
        self._sock = sock
        self._send_timeout = send_timeout
        self._received = memoryview(received)
        #: Whether the peer read nothing for the send timeout.
        self.stalled = False
        #: Whether the channel was cut.
        self.is_cut = False
        self._reset = False
        # Held by a sender for one frame or several. It is reentrant, so that a caller of `alone` can send while it
        # holds the lock.
        self._sending = threading.RLock()
        # Held for a single call on the socket, because a TLS object allows one call at a time.
        self._calls = threading.Lock()

    def read(self, count: int) -> bytes:
        """Return 1 to `count` bytes; wait for the first one.

        Raises:
            ChannelEnded: there are no more.
        """
        if not self._received:
            self._received = memoryview(self._receive())
        part, self._received = self._received[:count], self._received[count:]
        return bytes(part)

    def send(self, data: bytes) -> bool:
        """Send all of `data`; return False if the channel was cut before or during the send."""
        with self._sending:
            return self._send(data)

    def send_at_once(self, data: bytes) -> bool:
        """Send `data` if the peer accepts it at once and no other send is stuck; cut the channel otherwise."""
        if not self._sending.acquire(timeout=_SEND_LOCK_TIMEOUT):
            self.cut()
            return False
        try:
            return self._send(data, wait=False)
        finally:
            self._sending.release()

    def alone(self) -> AbstractContextManager[Any]:
        """Return the lock that excludes other senders."""
        return self._sending

    def cut(self, *, rst: bool = False) -> None:
        """End the channel for both sides, from any thread; its reader then closes it.

        With `rst` unsent bytes are discarded and the peer gets a reset.
        """
        self.is_cut = True
        with contextlib.suppress(OSError):  # the peer has closed it already
            if rst:
                self._reset = True
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # SSLSocket.shutdown would turn the TLS socket into a plain one while the reader uses it.
            socket.socket.shutdown(self._sock, socket.SHUT_RD if rst else socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; only the reading thread may call this."""
        if not self._reset:
            self.cut()
        with self._sending:  # a sender may still wait on the descriptor
            self._sock.close()

    def _receive(self) -> bytes:
        while not self.is_cut:
            try:
                with self._calls:
                    data = self._sock.recv(_CHUNK)
            except _READABLE:
                self._wait(selectors.EVENT_READ, None)
            except ssl.SSLWantWriteError:
                self._wait(selectors.EVENT_WRITE, None)
            except OSError:
                break
            else:
                if data:
                    return data
                break
        raise ChannelEnded

    def _send(self, data: bytes, *, wait: bool = True) -> bool:
        rest = memoryview(data)
        while not self.is_cut:
            try:
                with self._calls:
                    rest = rest[self._sock.send(rest) :]
            except _WRITABLE:
                direction = selectors.EVENT_WRITE
            except ssl.SSLWantReadError:
                direction = selectors.EVENT_READ
            except OSError:
                break
            else:
                if not rest:
                    return True
                continue
            if not wait:
                break
            if not self._wait(direction, self._send_timeout):
                self.stalled = True
                break
        self.cut()
        return False

    def _wait(self, direction: int, timeout: float | None) -> bool:
        with _Selector() as selector:
            selector.register(self._sock, direction)
            return bool(selector.select(timeout))
