"""A TCP or TLS socket whose every wait ends: with data, at a deadline, or because another thread wakes it.

WebSocket connections and REST both use it, so that deadlines, cancelling and TLS errors work the same for both. Errors
of the system and of TLS are turned into this package's here, in `CancellableSocket.fail`.
"""

from __future__ import annotations

import io
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ..exceptions import ConnectionFailed
from ..internal import fork
from .waker import READABLE, WRITABLE, Cancelled, Poller, Waker

__all__ = ["NOT_NOW", "READ_WAIT", "CancellableSocket", "let_reads_wait"]

READ_WAIT = 0.02
"""Seconds that a read waits while messages follow each other closely. A wake-up may be noticed that much later."""

_MAX_HEADERS = 64 * 1024  # bytes
_TLS_RECORD = 16 * 1024  # bytes
_DEADLINE_EXTENSION = 1.0  # seconds

T = TypeVar("T")
#: What a non-blocking socket raises if a call would have to wait.
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_ORIGINAL_CONTEXT = ssl.SSLContext  # gevent and eventlet may replace `ssl.SSLContext` later


class CancellableSocket:
    """A connected non-blocking socket whose calls wait, until a deadline or until the waker is cancelled.

    If the deadline has passed but unread data has arrived, as after a pause of the process, the deadline is extended
    once, by a second. One thread owns the socket.

    Attributes:
        sock: the socket of the standard library.
        poller: waits for it or the waker.
        deadline: when `recv`, `recv_into`, `send` and `sendall` give up (monotonic seconds).
        peer: the name of the other end, for errors.
    """

    def __init__(self, sock: socket.socket, waker: Waker, deadline: float, peer: str) -> None:
        self.sock = sock
        self.poller = Poller(waker.fileno(), sock.fileno())
        self.deadline = deadline
        self.peer = peer
        self._waker = waker
        self._extended: float | None = None  # the last deadline that was the result of an extension
        self._readers = 0  # open ones of `makefile`
        self._closing = False

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 when closed."""
        return self.sock.fileno()

    def wait(self, *, write: bool = False) -> None:
        """Wait until the socket can be read (or written), at most until the deadline."""
        while True:
            ready, woken = self.poller.wait(self._remaining(write=write), WRITABLE if write else READABLE)
            if woken:
                self._waker.clear()
            if ready:
                return

    def _complete(self, call: Callable[..., T], *arguments: Any, write: bool = False) -> T:
        """Make a call of the socket, again after each wait for what it lacks; return its result."""
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                self.wait()
            except ssl.SSLWantWriteError:
                self.wait(write=True)
            except BlockingIOError:
                self.wait(write=write)
            except (OSError, ValueError) as error:
                self.fail(error)

    def recv_into(self, buffer: Any) -> int:
        """Wait for data and read it into `buffer`; return the number of bytes, 0 at the end."""
        self._remaining()  # checks the deadline, even if the peer sends so much that no read waits
        return self._complete(self.sock.recv_into, buffer)

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes, b"" at the end."""
        buffer = bytearray(count)
        return bytes(buffer[: self.recv_into(buffer)])

    def send(self, data: bytes) -> int:
        """Send all of `data`; return its length."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._complete(self.sock.send, rest, write=True) :]
        return len(data)

    sendall = send

    def read_head(self) -> tuple[bytes, bytes]:
        """Return the HTTP headers up to and with the empty line, and the bytes that came after them."""
        headers = bytearray()
        while (end := headers.find(b"\r\n\r\n")) < 0:
            if len(headers) > _MAX_HEADERS:
                raise ConnectionFailed(f"{self.peer} answered with HTTP headers of more than {_MAX_HEADERS} bytes")
            # Less than a record would leave bytes in the TLS layer, where `poll` does not see them.
            chunk = self.recv(_TLS_RECORD)
            if not chunk:
                raise ConnectionFailed(
                    f"{self.peer} closed the connection instead of answering; it may be overloaded{self._step_text()}"
                )
            headers += chunk
        return bytes(headers[: end + 4]), bytes(headers[end + 4 :])

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Do the TLS handshake, and verify the certificate with `context`."""
        if isinstance(context, _ORIGINAL_CONTEXT) and not isinstance(context, ssl.SSLContext):
            raise ConnectionFailed(
                "ssl_context= was made before gevent or eventlet replaced ssl, which can't use it; have them patch the "
                "process first, for gunicorn at the top of gunicorn.conf.py",
                retriable=False,
            )
        try:
            with fork.fork_guard():
                self.sock = secure = context.wrap_socket(self.sock, server_hostname=host, do_handshake_on_connect=False)
                fork.close_in_child(secure)
        except (OSError, ValueError) as error:
            self.fail(error)
        self._complete(secure.do_handshake)

    def _remaining(self, *, write: bool = False) -> float:
        """Return the seconds until the deadline. Raise if it has passed, or after `cancel`."""
        if self._waker.cancelled:
            raise Cancelled
        now = time.monotonic()
        remaining = self.deadline - now
        if remaining <= 0 and self.deadline != self._extended and self._is_ready(write):
            self.deadline = self._extended = now + _DEADLINE_EXTENSION
            return _DEADLINE_EXTENSION
        if remaining <= 0:
            step = self._waker.step
            why = "; check the network and try again" if step is None else f": {step}"
            raise ConnectionFailed(f"{self.peer} did not answer in time{why}")
        return remaining

    def _is_ready(self, write: bool) -> bool:
        """Return whether the socket can be read (or written) now."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        return bool(self.poller.wait(0.0, WRITABLE if write else READABLE)[0])

    def fail(self, error: Exception) -> NoReturn:
        """Raise an error of the system or of TLS as ConnectionFailed, with a remedy."""
        if isinstance(error, ssl.SSLCertVerificationError):
            cause = f"{error.verify_message}{_unreadable_authorities()}"
            raise ConnectionFailed(
                f"the TLS certificate of {self.peer} does not verify ({cause}). If a company proxy re-signs traffic, "
                "pass ssl_context= with its certificate, or set SSL_CERT_FILE; otherwise somebody may be listening",
                retriable=False,
            ) from error
        if isinstance(error, ssl.SSLError):
            reason = error.reason or type(error).__name__
            raise ConnectionFailed(f"TLS with {self.peer} failed: {reason}") from error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConnectionFailed(f"the connection to {self.peer} failed: {reason}{self._step_text()}") from error

    def _step_text(self) -> str:
        """Return the part of an error that names the step after TCP in which it came; "" once connected."""
        step = self._waker.step
        return "" if step is None or step.missing.startswith("the TCP connection") else f" ({step.missing})"

    def translate(self, error: Exception) -> ConnectionFailed:
        """Return what `fail` raises; both errors without traceback, which would keep objects alive."""
        try:
            self.fail(error)
        except ConnectionFailed as translated:
            error.__traceback__ = None
            return translated.with_traceback(None)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """Return a buffered reader for `http.client`; the socket stays open until its last reader is closed."""
        self._readers += 1
        return io.BufferedReader(_Reader(self))

    def settimeout(self, _: float | None) -> None:
        """Ignored: the deadline bounds every call."""

    def gettimeout(self) -> float | None:
        """Return None, as a blocking socket does."""
        return None

    def close(self) -> None:
        """Close the socket, once its readers are closed."""
        self._closing = True
        if self._readers <= 0:
            self.sock.close()

    def reader_closed(self) -> None:
        """Note that a reader of `makefile` is closed."""
        self._readers -= 1
        if self._closing and self._readers <= 0:
            self.sock.close()


class _Reader(io.RawIOBase):
    """The raw file under `CancellableSocket.makefile`."""

    def __init__(self, connection: CancellableSocket) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return 0 if self.closed else self._connection.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._connection.reader_closed()


def _unreadable_authorities() -> str:
    """Return the part of an error that names variables whose certificate authorities can't be read; "" if none."""
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    found = {name: path for name in names if (path := os.environ.get(name))}
    unread = [f"{name} names {path}" for name, path in found.items() if not _has_authorities(path)]
    return f"; {' and '.join(unread)}, which can't be read" if unread else ""


def _has_authorities(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError:
        return os.path.isdir(path)
    return True


def let_reads_wait(sock: socket.socket) -> bool:
    """Make each read wait for up to `READ_WAIT`, if the system can do that; return whether it can.

    It is not done for TLS, where the library decides when to read, nor for the sockets of gevent and eventlet, whose
    reads wait until data comes.
    """
    if type(sock).__module__ != "socket" or os.name != "posix" or not hasattr(socket, "MSG_DONTWAIT"):
        return False
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(READ_WAIT * 1e6)))
    sock.setblocking(True)
    return True
