"""One WebSocket connection: handshake, batches of frames in, frames out. The only import of websocket-client.

Reading takes what the socket has in one system call; `frames` cuts every plain text message out of it.
Anything else (control frames, fragments, masked or reserved ones) goes to websocket-client's own
`recv_data_frame`, once that frame is complete, so that it never waits half-way. Nothing here blocks for longer
than its deadline, and nothing is read beyond the caps of `Limits`.

Owned by one thread; other threads only use its `Waker`, or read by its `ReadLease` while the owner rests.
"""

from __future__ import annotations

import importlib.util
import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..exceptions import ConnectionFailed, KucoinSyncError, ProtocolError, TokenError
from ..limits import Limits
from .dial import dial, proxy_for
from .direct_read import LEASE, ReadLease
from .framing import FrameBuffer
from .socket import NOT_NOW, CancellableSocket
from .waker import Cancelled, Waker

try:
    import websocket
    from websocket import WebSocketBadStatusException, WebSocketException
except Exception as error:  # whatever a module raises that has the name and is another one
    _found = importlib.util.find_spec("websocket")
    if _found is None:
        raise ImportError("websocket-client is not installed: pip install websocket-client") from error
    raise ImportError(
        f"the module websocket is {_found.origin or list(_found.submodule_search_locations or ())}, which is not that "
        "of websocket-client: rename it where it is your own file; where another package has it, pip uninstall "
        "websocket, then pip install --force-reinstall websocket-client"
    ) from error

__all__ = ["ConnectionLost", "SecretUrl", "WebSocketConnection"]

_TLS_BATCH = 64 * 1024
_TLS_LOOK = 8  # reads for each look whether there is another record
_LINGER = 0.02
"""Seconds for which a read waits while messages flow; what wakes us is noticed so much later then."""


class ConnectionLost(KucoinSyncError):
    """The connection is over; `error` says why, `code` and `reason` are those of the close frame (1006 without one)."""

    retriable = True

    def __init__(self, error: KucoinSyncError, code: int = 1006, reason: str = "") -> None:
        super().__init__(str(error))
        self.error = error
        self.code = code
        self.reason = reason


class SecretUrl(str):
    """A URL with a token in its query, which is not shown where a debugger shows the values of variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.partition("?")[0] + "?***")


class _Incomplete(Exception):
    """websocket-client asked for bytes beyond the frame that it was given."""


class _Socket:
    """What websocket-client sees of a `CancellableSocket` during its handshake: the head of the answer, read at once.

    Cookies are left out of both: websocket-client keeps them in a jar of the whole process.
    """

    def __init__(self, wire: CancellableSocket) -> None:
        self._wire = wire
        self._head = b""
        self.rest = b""

    def send(self, data: bytes) -> int:
        self._wire.send(b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"Cookie:")))
        return len(data)

    def recv(self, count: int) -> bytes:
        if not self._head:
            head, self.rest = self._wire.read_head()
            # As websocket-client takes lines: ended by a bare line feed too, and stripped.
            self._head = b"\n".join(
                line
                for line in head.split(b"\n")
                if not line.strip().lower().startswith((b"set-cookie", b"content-length"))
            )
        data, self._head = self._head[:count], self._head[count:]
        return data

    def gettimeout(self) -> float | None:
        return None

    def close(self) -> None:
        self._wire.close()


class _Framing(websocket.WebSocket):
    """websocket-client over bytes in memory: `feed` holds one complete frame, `sent` collects the answers."""

    def __init__(self) -> None:
        super().__init__(skip_utf8_validation=True, enable_multithread=False)
        # Messages are checked where they are decoded; frames by themselves are only checked for the reason of a close.
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
        woken: whether the last `receive` was ended by the waker.
    """

    def __init__(self, wire: CancellableSocket, waker: Waker, limits: Limits, early: bytes = b"") -> None:
        self.woken = False
        self._controls = 0
        self._skipped = 0
        self._early = bool(early)
        self._wire = wire
        self._waker = waker
        self._limits = limits
        self._framing = _Framing()
        self._frames = FrameBuffer(limits.frame_bytes, early)
        self._unfinished: float | None = None  # since when part of a message waits for its rest
        self._failure: ConnectionLost | Cancelled | None = None
        self._poller = _Poller(wire.fileno(), waker.fileno())
        # Whether messages follow each other closely, so that reading waits by itself: one system call each.
        self._flowing = False
        self._can_linger = _let_reads_linger(wire.sock)
        self._secure = isinstance(wire.sock, ssl.SSLSocket)
        self._since_look = -1  # reads since the last look for another TLS record
        self._read_lease: ReadLease | None = None  # while somebody else reads
        self._at_once = socket.MSG_DONTWAIT if self._can_linger else 0

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
    ) -> WebSocketConnection:
        """Dial `url` and shake hands, within the limits' step timeout.

        Raises:
            ConnectionFailed, TokenError (HTTP 401), ProtocolError, Cancelled.
        """
        parts = urlsplit(url.partition("?")[0])
        secure = parts.scheme == "wss"
        host = parts.hostname or ""
        wire = dial(
            host,
            parts.port or (443 if secure else 80),
            context=(context or ssl.create_default_context()) if secure else None,
            proxy=proxy_for(host, secure=secure, proxy=proxy),
            waker=waker,
            deadline=time.monotonic() + limits.step_timeout,
        )
        waker.begin(
            f"the WebSocket handshake with {wire.peer} was not answered",
            "check that firewall and proxy let WebSocket connections through",
        )
        try:
            return cls(wire, waker, limits, _shake_hands(wire, url, user_agent))
        except BaseException:
            wire.close()
            raise

    def receive(self, deadline: float, now: float | None = None) -> list[bytes]:
        """Return the text messages that came, [] at the deadline (monotonic seconds) or when woken.

        `now` is the instant, where the caller knows it.

        Raises:
            ConnectionLost: after everything that came before the end has been returned.
            Cancelled: the waker was cancelled.
        """
        if self._read_lease is not None:
            return self._rest(self._read_lease, deadline)
        if self._early:
            self._early = False
            if messages := self._take():
                return messages
        now = now or time.monotonic()
        sent = self._framing.sent
        unfinished = self._unfinished
        if unfinished is not None:
            deadline = min(deadline, unfinished + self._limits.step_timeout)
        if self._flowing and not sent and now + _LINGER < deadline and not self._waker.called:
            self.woken = False  # the read itself waits, for a moment
            return self._received(self._fill())
        if self._failure is not None:
            raise self._failure
        readable, self.woken = self._poller.wait(bool(sent), deadline - now)
        if self.woken:
            self._waker.clear()
        if sent:
            self._flush()
        return self._received(self._fill() if readable else None)

    def _received(self, end: KucoinSyncError | None) -> list[bytes]:
        """Return the complete messages of what was read, and note what is left; `end` is why no more will come."""
        messages = self._take() if self._frames.ripe else []
        if end is not None:
            self._end_with(end)
        elif not messages:
            self._check_unfinished()
        return messages

    def lend_read(
        self,
        recognise: Callable[[list[bytes]], Any],
        put: Callable[[Any], bool],
        has: Callable[[Any], bool] = lambda pushes: True,
    ) -> ReadLease | None:
        """Let another thread read until the next `receive` takes the right back; see `ReadLease` for the arguments.

        None where there is something for the owner to do first.
        """
        busy = self._early or self._framing.sent or self._failure is not None
        if busy or self._frames.room_for_direct_read() is None or not hasattr(select, "poll"):
            return None
        self._unfinished = None  # what is incomplete afterwards need not be what is incomplete now
        self._read_lease = ReadLease(
            self._wire.sock, self._at_once, self._frames, recognise, put, self._waker.wake, has
        )
        return self._read_lease

    def _rest(self, read_lease: ReadLease, deadline: float) -> list[bytes]:
        """Wait while another thread reads; then return what it has left."""
        self.woken = False
        while not self.woken and (rest := min(read_lease.last + LEASE, deadline) - time.monotonic()) > 0:
            self.woken = self._waker.wait(rest)
        self._read_lease = None
        read_lease.take_back()
        if self.woken:
            self._waker.clear()
        if read_lease.spoiled:  # then the other thread may still be about to take what has come
            self._end_with(ConnectionFailed(f"a signal came while a message of {self._wire.peer} was being read"))
            return []
        failure = read_lease.failure
        return self._received(None if failure is None else _translated(self._wire, failure))

    @property
    def taken(self) -> int:
        """The bytes of all frames so far."""
        return self._frames.taken

    def has_more(self) -> bool:
        """Whether something has come that `receive` has not told yet, be it the end."""
        return self._early or self._failure is not None or self._poller.wait(False, 0.0)[0]

    def take_controls(self) -> int:
        """Return the number of control frames since the last call; they tell that the peer lives."""
        count, self._controls = self._controls, 0
        return count

    def take_skipped(self) -> int:
        """Return the number of binary messages since the last call, which KuCoin does not send."""
        count, self._skipped = self._skipped, 0
        return count

    def send_text(self, data: bytes) -> None:
        """Send one text frame; what the socket does not take at once leaves during `receive`."""
        self._framing.send(data)
        self._flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye as far as the socket takes it at once, and close."""
        if self._failure is None:
            self._framing.send_close(code, reason)
            self._flush()
        self._wire.close()

    def abandon(self) -> None:
        """Close the descriptor without a word to the peer, not even a TLS alert; `receive` raises Cancelled."""
        self._failure, self._flowing = Cancelled(), False
        self._wire.sock.close()

    # Receiving

    def _fill(self) -> KucoinSyncError | None:
        """Read once what the socket has (TLS: record after record); return why nothing more will come, if so.

        No part of a TLS record stays behind: it would not show in a poll. Another record would; where there was none
        behind the last ones, as on a quiet feed, a look for one each time would cost more than all the rest.
        """
        sock, frames = self._wire.sock, self._frames
        try:
            count = total = sock.recv_into(frames.room())
            frames.added(count)
            if self._secure:
                self._since_look = (self._since_look + 1) % _TLS_LOOK
                most = 0 if self._since_look else _TLS_BATCH
                while count and (total < most or sock.pending()):  # type: ignore[attr-defined]
                    count = sock.recv_into(frames.room())
                    frames.added(count)
                    total += count
                    self._since_look = -1  # there was one: look the next time, too
        except NOT_NOW:
            self._flowing = False
            return None
        except OSError as error:
            return _translated(self._wire, error)
        self._flowing = self._can_linger
        return None if count else self._at_end()

    def _at_end(self) -> KucoinSyncError:
        return ConnectionFailed(f"{self._wire.peer} closed the connection without a close frame")

    def _take(self) -> list[bytes]:
        """Return the complete messages, and note since when the rest waits."""
        taken, fragments = self._frames.taken, self._frames.fragments
        messages = self._frames.take(self._other)
        if self._frames.excess:
            limit = self._limits.frame_bytes
            self._refuse(1009, f"a message of {self._frames.excess} bytes, more than the limit of {limit}")
        if messages or (taken != self._frames.taken and not 0 < fragments == self._frames.fragments):
            self._unfinished = None  # a frame is whole; a ping between two fragments does not count
        if self._unfinished is None and self._frames.partial:
            self._unfinished = time.monotonic()
        return messages

    def _other(self, frame: bytes, messages: list[bytes]) -> bool:
        """Let websocket-client take one complete frame that is not a plain text message; whether to go on."""
        self._framing.feed = frame
        try:
            opcode, whole = self._framing.recv_data_frame(control_frame=True)
        except _Incomplete:
            self._frames.fragments += len(frame)  # one fragment more of a message that goes on
            return True
        except WebSocketException as error:
            self._refuse(1002, f"a frame that breaks the WebSocket protocol ({error})")
            return False
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self._closed_by_peer(whole.data)
            return False
        if opcode in (websocket.ABNF.OPCODE_PING, websocket.ABNF.OPCODE_PONG):
            self._controls += 1
            if len(self._framing.sent) > self._limits.frame_bytes:  # answers to a flood of pings
                self._flush()
            return self._failure is None
        self._frames.fragments = 0
        if opcode == websocket.ABNF.OPCODE_TEXT:
            messages.append(bytes(whole.data))
        else:
            self._skipped += 1
        return True

    def _closed_by_peer(self, data: bytes) -> None:
        code = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005
        reason = data[2:].decode("utf-8", "replace")
        said = f"code {code}" + (f", {reason!r}" if reason else "")
        self._flush()
        self._end_with(ConnectionFailed(f"{self._wire.peer} closed the connection ({said})"), code, reason)

    def _refuse(self, code: int, what: str) -> None:
        self._framing.send_close(code, "")
        self._flush()
        self._end_with(
            ProtocolError(f"{self._wire.peer} sent {what}; the connection was closed with code {code}"), code
        )

    def _end_with(self, error: KucoinSyncError, code: int = 1006, reason: str = "") -> None:
        self._flowing = False
        if self._failure is None:
            self._failure = ConnectionLost(error, code, reason)

    def _check_unfinished(self) -> None:
        timeout = self._limits.step_timeout
        if self._unfinished is None:
            if self._frames.partial:  # a single byte, with which there was nothing to take
                self._unfinished = time.monotonic()
        elif time.monotonic() >= self._unfinished + timeout and not self.has_more():
            self._refuse(1002, f"part of a message and not the rest within {timeout:g} s")

    # Sending

    def _flush(self) -> None:
        """Give the socket what it takes without waiting."""
        pending = self._framing.sent
        try:
            while pending:
                del pending[: self._wire.sock.send(pending, self._at_once)]
        except NOT_NOW:
            if len(pending) > self._limits.frame_bytes:  # such as answers to a flood of pings
                self._end_with(ConnectionFailed(f"{self._wire.peer} does not read what is sent to it"))
        except OSError:
            # What the peer sent before may still be there to read; reading meets the same end.
            pending.clear()


def _let_reads_linger(sock: socket.socket) -> bool:
    """Let reads wait for a moment before they say that nothing is there; return whether the system can do that.

    Not for TLS, where the library decides when to read. Not where gevent or eventlet have replaced the socket: theirs
    waits by itself, for data only.
    """
    if type(sock).__module__ != "socket" or os.name != "posix" or not hasattr(socket, "MSG_DONTWAIT"):
        return False
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(_LINGER * 1e6)))
    sock.setblocking(True)
    return True


class _Poller:
    """Wait for the socket and the waker."""

    def __init__(self, fd: int, waker: int) -> None:
        self._fd = fd
        self._waker = waker
        self._writing = False
        self._poll: Any = None
        self._data = [(fd, getattr(select, "POLLIN", 0))]  # what `poll` returns nearly always
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLIN)
            self._poll.register(waker, select.POLLIN)

    def wait(self, writing: bool, seconds: float) -> tuple[bool, bool]:
        """Return whether the socket has something, and whether the waker has."""
        seconds = min(max(0.0, seconds), 3600.0)
        if self._poll is None:
            readable, _, _ = select.select([self._fd, self._waker], [self._fd] if writing else [], [], seconds)
            return self._fd in readable, self._waker in readable
        if writing != self._writing:
            self._writing = writing
            self._poll.modify(self._fd, select.POLLIN | select.POLLOUT if writing else select.POLLIN)
        events = self._poll.poll(seconds * 1000)
        if events == self._data:
            return True, False
        readable_fd = any(fd == self._fd and event & ~select.POLLOUT for fd, event in events)
        return readable_fd, any(fd == self._waker for fd, _ in events)


def _translated(wire: CancellableSocket, error: Exception) -> KucoinSyncError:
    """Return an error of the system as ours, without the frames of either, which would hold on to the transport."""
    try:
        wire.fail(error)
    except ConnectionFailed as translated:
        error.__traceback__ = None
        return translated.with_traceback(None)


def _shake_hands(wire: CancellableSocket, url: SecretUrl, user_agent: str) -> bytes:
    """Do the opening handshake; return what the server sent right behind it."""
    sock = _Socket(wire)
    framing = websocket.WebSocket(enable_multithread=False)
    try:
        framing.connect(  # type: ignore[no-untyped-call]
            url,
            socket=sock,
            redirect_limit=0,
            suppress_origin=True,
            header=[f"User-Agent: {user_agent}"] if user_agent else [],
        )
    except WebSocketBadStatusException as error:
        if error.status_code == 401:
            raise TokenError(f"{wire.peer} refused the connect token in the handshake (HTTP 401)") from None
        raise ConnectionFailed(f"{wire.peer} refused the WebSocket handshake with HTTP {error.status_code}") from None
    except WebSocketException as error:
        text = str(error).partition(":")[0]  # behind it stands what the peer said, maybe our own token
        if "Redirect" in text:
            raise ConnectionFailed(
                f"{wire.peer} redirects the WebSocket handshake elsewhere, which is refused", retriable=False
            ) from None
        raise ProtocolError(f"{wire.peer} answered the WebSocket handshake with what is none: {text}") from None
    except ValueError as error:
        raise ProtocolError(f"the WebSocket handshake with {wire.peer} failed: {error}") from None
    return sock.rest
