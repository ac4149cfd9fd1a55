"""One WebSocket connection: reading and sending; `handshake` begins it.

One system call reads all bytes that have arrived. `framing` cuts the plain messages out of them. All other
frames (control frames, fragments, masked or reserved frames) are passed to websocket-client's `recv_data_frame`, each
once it is complete, so that websocket-client never waits. No call blocks beyond its deadline, and no message may be
larger than `Limits` allow.

One thread owns a connection. Other threads use only its `Waker`, or read through its `ReadLease` while the owner waits.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..exceptions import ConnectionFailed, KucoinSyncError, ProtocolError
from ..limits import Limits
from .dial import dial, proxy_for
from .direct_read import LEASE, ReadLease
from .framing import FrameBuffer
from .handshake import ABNF, SecretUrl, WebSocket, WebSocketException, shake_hands
from .socket import NOT_NOW, READ_WAIT, CancellableSocket, let_reads_wait
from .waker import READABLE, WRITABLE, Cancelled, Waker

__all__ = ["ConnectionLost", "SecretUrl", "WebSocketConnection"]

_TLS_BATCH = 64 * 1024  # bytes after which no further TLS record is read
_TLS_CHECK_EVERY = 8  # reads between two checks for another TLS record


class ConnectionLost(KucoinSyncError):
    """The connection has ended.

    Attributes:
        error: why it has ended.
        code: the code of the close frame, 1006 without one.
        reason: the text of the close frame.
    """

    retriable = True

    def __init__(self, error: KucoinSyncError, code: int = 1006, reason: str = "") -> None:
        super().__init__(str(error))
        self.error = error
        self.code = code
        self.reason = reason


class _Incomplete(Exception):
    """websocket-client asked for more bytes than the frame that it was given."""


class _Framing(WebSocket):
    """websocket-client without a socket.

    Attributes:
        feed: the bytes that it reads: one complete frame.
        sent: the bytes that it has sent.
    """

    def __init__(self) -> None:
        super().__init__(skip_utf8_validation=True, enable_multithread=False)
        # `Session` checks that messages are UTF-8. Here only the reason of a close frame is checked.
        self.frame_buffer.skip_utf8_validation = False
        self.feed = b""
        self.sent = bytearray()

    def _recv(self, bufsize: int) -> bytes:
        data, self.feed = self.feed[:bufsize], self.feed[bufsize:]
        if not data:
            raise _Incomplete
        return data

    def _send(self, data: bytes | str) -> int:
        assert isinstance(data, bytes)
        self.sent += data
        return len(data)


class WebSocketConnection:
    """A WebSocket connection after its handshake.

    Attributes:
        woken: whether the waker ended the last `receive`.
        controls: how many control frames came, which show that the peer is alive; the owner resets it.
        skipped: how many messages were skipped, binary ones where text is expected; the owner resets it.
    """

    def __init__(
        self, connected: CancellableSocket, waker: Waker, limits: Limits, early: bytes = b"", *, binary: bool = False
    ) -> None:
        self.woken = False
        self.controls = 0
        self.skipped = 0
        self._has_early = bool(early)
        self._socket = connected
        self._waker = waker
        self._limits = limits
        self._framing = _Framing()
        self._frames = FrameBuffer(limits.frame_bytes, early, binary=binary)
        self._binary = binary
        self._partial_since: float | None = None  # since when a message is incomplete
        self._failure: ConnectionLost | Cancelled | None = None
        self._poller = connected.poller
        # Whether messages follow each other closely. Then the read itself waits: one system call instead of two.
        self._flowing = False
        self._reads_can_wait = let_reads_wait(connected.sock)
        self._secure = isinstance(connected.sock, ssl.SSLSocket)
        self._since_check = -1  # reads since the last check for another TLS record
        self._read_lease: ReadLease | None = None  # set while another thread reads
        self._no_wait = getattr(socket, "MSG_DONTWAIT", 0) if self._reads_can_wait else 0

    @classmethod
    def connect(
        cls,
        url: SecretUrl,
        *,
        waker: Waker,
        limits: Limits,
        context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        user_agent: str = "",
        binary: bool = False,
    ) -> WebSocketConnection:
        """Connect to `url` and do the WebSocket handshake, within the limits' step timeout.

        `binary` says that messages come in binary frames; those in text frames are taken all the same.

        Raises:
            ConnectionFailed, TokenError (HTTP 401), ProtocolError, Cancelled.
        """
        parts = urlsplit(url.partition("?")[0])
        secure = parts.scheme == "wss"
        host = parts.hostname or ""
        connected = dial(
            host,
            parts.port or (443 if secure else 80),
            context=(context or ssl.create_default_context()) if secure else None,
            proxy=proxy_for(host, secure=secure, proxy=proxy),
            waker=waker,
            deadline=time.monotonic() + limits.step_timeout,
        )
        waker.begin(
            f"the WebSocket handshake with {connected.peer} was not answered",
            "check that firewall and proxy let WebSocket connections through",
        )
        try:
            return cls(connected, waker, limits, shake_hands(connected, url, user_agent), binary=binary)
        except BaseException:
            connected.close()
            raise

    def receive(self, deadline: float, now: float | None = None) -> list[bytes]:
        """Wait for messages and return them; return [] at the deadline (monotonic seconds) or after a wake-up.

        `now` is the current instant, if the caller knows it.

        Raises:
            ConnectionLost: the connection has ended, and all messages that came before were returned.
            Cancelled: the waker was cancelled.
        """
        if self._read_lease is not None:
            return self._wait_for_lease(self._read_lease, deadline)
        if self._has_early:
            self._has_early = False
            if messages := self._take():
                return messages
        now = now or time.monotonic()
        sent = self._framing.sent
        partial_since = self._partial_since
        if partial_since is not None:
            deadline = min(deadline, partial_since + self._limits.step_timeout)
        if self._flowing and not sent and now + READ_WAIT < deadline and not self._waker.called:
            self.woken = False  # the read itself waits
            return self._read_next() if partial_since is None else self._finish_read(self._read())
        if self._failure is not None:
            raise self._failure
        ready, self.woken = self._poller.wait(deadline - now, READABLE | WRITABLE if sent else READABLE)
        if self.woken:
            self._waker.clear()
        if sent:
            self._flush()
        return self._finish_read(self._read() if ready & ~WRITABLE else None)

    def _read_next(self) -> list[bytes]:
        """Read while messages flow and nothing is in the buffer: the shortest path of a single message."""
        try:
            count = self._socket.sock.recv_into(self._frames.room())
        except BlockingIOError:
            self._flowing = False
            return []
        except OSError as error:
            return self._finish_read(self._socket.translate(error))
        lone = self._frames.add_lone(count)
        if lone is not None:
            return [lone]
        return self._finish_read(None if count else self._at_end())

    def _finish_read(self, end: KucoinSyncError | None) -> list[bytes]:
        """Return the complete messages among the bytes read; `end` is the error that ended the connection, if any."""
        messages = self._take() if self._frames.ripe else []
        if end is not None:
            self._end_with(end)
        elif not messages:
            self._check_partial()
        return messages

    def lend_read(
        self,
        recognise: Callable[[list[bytes], float], Any],
        put: Callable[[Any], bool],
        has: Callable[[Any], bool] = lambda pushes: True,
    ) -> ReadLease | None:
        """Let another thread read until the next `receive`; see `ReadLease` for the arguments.

        Return None if the owner has something to read, to send or to report first.
        """
        busy = self._has_early or self._framing.sent or self._failure is not None
        if busy or self._frames.room_for_direct_read() is None or not hasattr(select, "poll"):
            return None
        self._partial_since = None  # the other thread may complete this message and leave another incomplete
        self._read_lease = ReadLease(
            self._socket.sock, self._no_wait, self._frames, recognise, put, self._waker.wake, has
        )
        return self._read_lease

    def _wait_for_lease(self, read_lease: ReadLease, deadline: float) -> list[bytes]:
        """Wait while another thread reads; then end its lease, and return the messages that it has left."""
        self.woken = False
        while not self.woken and (rest := min(read_lease.last + LEASE, deadline) - time.monotonic()) > 0:
            self.woken = self._waker.wait(rest)
        self._read_lease = None
        read_lease.take_back()
        if self.woken:
            self._waker.clear()
        if read_lease.spoiled:  # whether the other thread has taken bytes is not known
            self._end_with(ConnectionFailed(f"a signal came while a message of {self._socket.peer} was being read"))
            return []
        failure = read_lease.failure
        return self._finish_read(None if failure is None else self._socket.translate(failure))

    @property
    def taken(self) -> int:
        """The number of bytes of all frames so far."""
        return self._frames.taken

    def has_more(self) -> bool:
        """Return whether unread bytes, or the end of the connection, are waiting for `receive`."""
        return self._has_early or self._failure is not None or bool(self._poller.wait(0.0)[0])

    def send_text(self, data: bytes) -> None:
        """Send one text frame. If the socket is full, `receive` sends the rest."""
        self._framing.send(data)
        self._flush()

    def close(self) -> None:
        """Send a close frame, as far as that is possible without waiting, and close the socket."""
        self.send_close()
        self._socket.close()

    def send_close(self) -> None:
        """Send a close frame, as far as that is possible without waiting; `receive` raises once the peer answers it."""
        if self._failure is None:
            self._framing.send_close()
            self._flush()

    def after_fork(self) -> None:
        """Close the descriptor without sending anything, not even a TLS alert; `receive` then raises Cancelled."""
        self._failure, self._flowing = Cancelled(), False
        self._socket.sock.close()

    # Receiving

    def _read(self) -> KucoinSyncError | None:
        """Read once from the socket, with TLS maybe several records; return the error if the connection has ended.

        A TLS record is always read completely, because `poll` does not show the rest of one. Whether another record has
        arrived is checked after each read that found one, and else only now and then: on a quiet feed the checks
        would take more time than the reads.
        """
        sock, frames = self._socket.sock, self._frames
        try:
            count = total = sock.recv_into(frames.room())
            frames.added(count)
            if self._secure:
                self._since_check = (self._since_check + 1) % _TLS_CHECK_EVERY
                most = 0 if self._since_check else _TLS_BATCH
                while count and (total < most or sock.pending()):  # type: ignore[attr-defined]
                    count = sock.recv_into(frames.room())
                    frames.added(count)
                    total += count
                    self._since_check = -1  # a record was found: check after the next read, too
        except NOT_NOW:
            self._flowing = False
            return None
        except OSError as error:
            return self._socket.translate(error)
        self._flowing = self._reads_can_wait
        return None if count else self._at_end()

    def _at_end(self) -> KucoinSyncError:
        return ConnectionFailed(f"{self._socket.peer} closed the connection without a close frame")

    def _take(self) -> list[bytes]:
        """Return the complete messages; note since when the next one is incomplete."""
        taken, fragments = self._frames.taken, self._frames.fragments
        messages = self._frames.take(self._take_other_frame)
        if self._frames.excess:
            limit = self._limits.frame_bytes
            self._refuse(1009, f"a message of {self._frames.excess} bytes, more than the limit of {limit}")
        if messages or (taken != self._frames.taken and not 0 < fragments == self._frames.fragments):
            self._partial_since = None  # a frame was completed; a ping between two fragments does not count
        if self._partial_since is None and self._frames.partial:
            self._partial_since = time.monotonic()
        return messages

    def _take_other_frame(self, frame: bytes, messages: list[bytes]) -> bool:
        """Let websocket-client take a complete frame that is not a plain message.

        Return whether to take more frames.
        """
        self._framing.feed = frame
        try:
            opcode, taken = self._framing.recv_data_frame(control_frame=True)
        except _Incomplete:
            self._frames.fragments += len(frame)  # one more fragment of an unfinished message
            return True
        except WebSocketException as error:
            self._refuse(1002, f"a frame that breaks the WebSocket protocol ({error})")
            return False
        if opcode == ABNF.OPCODE_CLOSE:
            self._closed_by_peer(taken.data)
            return False
        if opcode in (ABNF.OPCODE_PING, ABNF.OPCODE_PONG):
            self.controls += 1
            if len(self._framing.sent) > self._limits.frame_bytes:  # answers to many pings
                self._flush()
            return self._failure is None
        self._frames.fragments = 0
        if opcode == ABNF.OPCODE_TEXT or self._binary:
            messages.append(bytes(taken.data))
        else:
            self.skipped += 1
        return True

    def _closed_by_peer(self, data: bytes) -> None:
        code = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005
        reason = data[2:].decode("utf-8", "replace")
        said = f"code {code}" + (f", {reason!r}" if reason else "")
        self._flush()
        self._end_with(ConnectionFailed(f"{self._socket.peer} closed the connection ({said})"), code, reason)

    def _refuse(self, code: int, what: str) -> None:
        self._framing.send_close(code, "")
        self._flush()
        self._end_with(
            ProtocolError(f"{self._socket.peer} sent {what}; the connection was closed with code {code}"), code
        )

    def _end_with(self, error: KucoinSyncError, code: int = 1006, reason: str = "") -> None:
        self._flowing = False
        if self._failure is None:
            self._failure = ConnectionLost(error, code, reason)

    def _check_partial(self) -> None:
        timeout = self._limits.step_timeout
        if self._partial_since is None:
            if self._frames.partial:  # a single byte came, which `_take` was not called for
                self._partial_since = time.monotonic()
        elif time.monotonic() >= self._partial_since + timeout and not self.has_more():
            self._refuse(1002, f"part of a message and not the rest within {timeout:g} s")

    # Sending

    def _flush(self) -> None:
        """Send as much as the socket accepts without waiting."""
        pending = self._framing.sent
        try:
            while pending:
                del pending[: self._socket.sock.send(pending, self._no_wait)]
        except NOT_NOW:
            if len(pending) > self._limits.frame_bytes:  # for example answers to many pings
                self._end_with(ConnectionFailed(f"{self._socket.peer} does not read what is sent to it"))
        except OSError:
            # Unread bytes may still be there. The read after them meets the same error and reports it.
            pending.clear()
