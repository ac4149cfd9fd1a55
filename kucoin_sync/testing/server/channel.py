"""A connected socket, plain or TLS, with reads that end when it is cut and writes that end when the peer stalls.

One thread reads and closes; any thread may send or cut. Frames of several senders never mix. The socket is
non-blocking and every wait is a `select` on it, which cutting ends at once; so a TLS object, which takes
one call at a time, is never busy for longer than the call takes.
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
_PATIENCE = 0.1  # longer than one send takes
_READABLE = (BlockingIOError, ssl.SSLWantReadError)
_WRITABLE = (BlockingIOError, ssl.SSLWantWriteError)
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # neither needs a descriptor of its own


class ChannelEnded(Exception):
    """There is nothing more to read: the peer has gone or the channel was cut."""


class Channel:
    """The bytes of one peer.

    Args:
        sock: connected; the channel owns it from now on.
        send_timeout: seconds that a send waits for a peer that takes nothing; then the channel is cut.
        received: what was read from the socket before.
    """

    def __init__(self, sock: socket.socket, send_timeout: float, received: bytes = b"") -> None:
        sock.setblocking(False)
        self._sock = sock
        self._send_timeout = send_timeout
        self._received = memoryview(received)
        #: Whether the peer took nothing for the send timeout.
        self.stalled = False
        #: Whether nothing comes or goes any more.
        self.is_cut = False
        self._reset = False
        # Held by whoever is sending, for a whole frame or several; reentrant so that a caller can send in one
        # act with something else (see `alone`).
        self._sending = threading.RLock()
        # Held for single calls on the socket, because of TLS.
        self._calls = threading.Lock()

    def read(self, count: int) -> bytes:
        """Return some bytes, at most `count`, waiting for the first one.

        Raises:
            ChannelEnded: there are no more.
        """
        if not self._received:
            self._received = memoryview(self._receive())
        part, self._received = self._received[:count], self._received[count:]
        return bytes(part)

    def send(self, data: bytes) -> bool:
        """Send all of `data`; return False where the channel is cut, or was for this."""
        with self._sending:
            return self._send(data)

    def send_at_once(self, data: bytes) -> bool:
        """Send `data` if the peer takes it at once and nobody else is stuck in sending to it; cut it otherwise."""
        if not self._sending.acquire(timeout=_PATIENCE):
            self.cut()
            return False
        try:
            return self._send(data, wait=False)
        finally:
            self._sending.release()

    def alone(self) -> AbstractContextManager[Any]:
        """Return the lock under which nobody else sends."""
        return self._sending

    def cut(self, *, rst: bool = False) -> None:
        """End the channel for both sides, from any thread; its reader then closes it.

        With `rst` what is under way is thrown away and the peer sees a reset.
        """
        self.is_cut = True
        with contextlib.suppress(OSError):  # the peer was faster
            if rst:
                self._reset = True
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Not SSLSocket's own method: it would turn the TLS socket into a plain one under the reader's hands.
            socket.socket.shutdown(self._sock, socket.SHUT_RD if rst else socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back; for the thread that reads."""
        if not self._reset:
            self.cut()
        with self._sending:  # a sender may still be waiting on the descriptor
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
