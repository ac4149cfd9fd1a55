"""The server's side of one WebSocket connection.

Its thread runs `serve`, which reads. All other methods may be called from any thread.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec
from websocket import ABNF, WebSocketException

from .channel import Channel, ChannelEnded
from .frames import MessageReader, close_frame, frame
from .limits import Clock

__all__ = ["Connection", "Registry", "Subscription", "Subscriptions"]

_CLOSE_TIMEOUT = 1.0
_END_TIMEOUT = 5.0
_encode = msgspec.json.Encoder().encode


class Subscription:
    """A single topic on one connection, either in a tunnel or outside (`tunnel` is None).

    A `personal` subscription gets only messages for its own account (`privateChannel` of a topic that has both kinds).
    """

    __slots__ = ("connection", "personal", "topic", "tunnel")

    def __init__(self, connection: Connection, tunnel: str | None, topic: str, personal: bool) -> None:
        self.connection = connection
        self.tunnel = tunnel
        self.topic = topic
        self.personal = personal

    def accepts(self, user: str | None) -> bool:
        """Return whether this subscription gets a push for `user` (None: for every user)."""
        return not self.personal if user is None else self.connection.user == user


class Registry(Protocol):
    """The server state that a connection changes (see `state.State`)."""

    lock: threading.RLock
    deadlines_moved: threading.Event

    def changed(self) -> None:
        """Wake every waiter."""

    def remove(self, connection: Connection, /) -> None:
        """Move a connection from the open ones to the ended ones."""


class Subscriptions(Protocol):
    """The subscriptions of all connections (see `index.Index`)."""

    def add(self, subscription: Subscription, /) -> None:
        """Add a subscription."""

    def remove(self, subscription: Subscription, /) -> None:
        """Remove a subscription."""


class Connection:
    """A client's connection.

    `id` is the client's connectId, `market` "spot" or "futures", `user` the account that it is authorised for (None:
    public). `accepted` says whether token and limits allowed it, `end` why it ended ("" while it is open).
    """

    #: The opcode of its messages.
    opcode: int = ABNF.OPCODE_TEXT

    def __init__(
        self,
        connect_id: str,
        market: str,
        user: str | None,
        channel: Channel,
        state: Registry,
        index: Subscriptions,
        clock: Clock,
    ) -> None:
        self.id = connect_id
        self.market = market
        self.user = user
        self.accepted = False
        self.end = ""
        #: The instant of the client's last message, on the server's clock.
        self.heard_at = clock.now()
        self._channel = channel
        self._state = state
        self._index = index
        self._clock = clock
        self._closing_at: float | None = None  # instant at which a close frame was sent
        self._ended = threading.Event()
        # Tunnel (None: outside tunnels) -> single topic -> subscription. Changed under the server's lock.
        self._namespaces: dict[str | None, dict[str, Subscription]] = {None: {}}

    def __repr__(self) -> str:
        who = self.user or "public"
        state = self.end or f"{self.topic_count()} topics"
        return f"<Connection {self.id} {self.market} {who}: {state}>"

    @property
    def private(self) -> bool:
        """Whether it is authorised for an account."""
        return self.user is not None

    @property
    def topics(self) -> frozenset[str]:
        """The single topics that are subscribed outside of tunnels."""
        with self._state.lock:
            return frozenset(self._namespaces[None])

    @property
    def tunnels(self) -> dict[str, frozenset[str]]:
        """The open tunnels with the single topics in each."""
        with self._state.lock:
            return {
                tunnel: frozenset(namespace) for tunnel, namespace in self._namespaces.items() if tunnel is not None
            }

    @property
    def stalled(self) -> bool:
        """Whether it was cut because the client read nothing for the send timeout."""
        return self._channel.stalled

    # For tests

    def drop(self, *, rst: bool = False) -> None:
        """Cut the socket without a close frame, with `rst` by a TCP reset; return when the server has closed it."""
        self.cut("dropped", rst=rst)
        self._ended.wait(_END_TIMEOUT)

    def close(self, code: int = 1000, reason: str = "Bye") -> None:
        """Send a close frame; the socket is closed when the client answers it, or soon after."""
        self._note_end(f"closed with {code} {reason}")
        with self._channel.alone():
            if self.send_frames(close_frame(code, reason)):
                self._closing_at = self._clock.now()
        self._state.deadlines_moved.set()

    def send_raw(self, data: bytes | str, opcode: int | None = None, fin: int = 1) -> bool:
        """Send one frame with this payload; without an opcode it is of the kind that this connection has."""
        opcode = self.opcode if opcode is None else opcode
        return self.send_frames(frame(data.encode() if isinstance(data, str) else data, opcode, fin))

    def send_bytes(self, data: bytes) -> bool:
        """Send raw bytes, valid frames or not."""
        return self._channel.send(data)

    # For the server

    def send(self, message: dict[str, Any]) -> bool:
        """Send one message."""
        return self.send_frames(frame(_encode(message), self.opcode))

    def send_frames(self, frames: bytes) -> bool:
        """Send whole frames; return whether they were sent. Nothing is sent after a close frame."""
        with self._channel.alone():
            if self._closing_at is not None:
                return False
            if self._channel.send(frames):
                return True
        self._note_lost()
        return False

    def alone(self) -> AbstractContextManager[Any]:
        """Return the lock that excludes other senders on this connection."""
        return self._channel.alone()

    def topic_count(self) -> int:
        """Return the number of its subscriptions, those in tunnels included."""
        with self._state.lock:
            return sum(map(len, self._namespaces.values()))

    def namespace(self, tunnel: str | None) -> dict[str, Subscription] | None:
        """Return the subscriptions in a tunnel, or outside tunnels; None if the tunnel is not open."""
        return self._namespaces.get(tunnel)

    def open_tunnel(self, tunnel: str) -> None:
        """Open a tunnel."""
        with self._state.lock:
            self._namespaces.setdefault(tunnel, {})
        self._state.changed()

    def close_tunnel(self, tunnel: str) -> None:
        """Close a tunnel with its subscriptions."""
        self.unsubscribe(tunnel, tuple(self._namespaces[tunnel]))
        with self._state.lock:
            del self._namespaces[tunnel]
        self._state.changed()

    def subscribe(self, tunnel: str | None, singles: dict[str, bool]) -> None:
        """Subscribe single topics; each value says whether the subscription is personal.

        A topic that is subscribed already is not subscribed again. It stays personal only if it is personal again.
        """
        with self._state.lock:
            namespace = self._namespaces[tunnel]
            for single, personal in singles.items():
                if single in namespace:
                    namespace[single].personal &= personal
                else:
                    namespace[single] = Subscription(self, tunnel, single, personal)
                    self._index.add(namespace[single])
        self._state.changed()

    def unsubscribe(self, tunnel: str | None, singles: tuple[str, ...]) -> None:
        """Unsubscribe single topics; ignore those that are not subscribed."""
        with self._state.lock:
            namespace = self._namespaces[tunnel]
            for single in singles:
                if single in namespace:
                    self._index.remove(namespace.pop(single))
        self._state.changed()

    def cut(self, why: str, *, rst: bool = False) -> None:
        """Cut the socket; its thread notices and ends."""
        self._note_end(why)
        self._channel.cut(rst=rst)

    def deadline(self, idle_timeout: float | None) -> float:
        """Return the instant at which `expire` is due unless the client sends something."""
        if self._channel.is_cut:
            return float("inf")
        if self._closing_at is not None:
            return self._closing_at + _CLOSE_TIMEOUT
        return self.heard_at + (float("inf") if idle_timeout is None else idle_timeout)

    def expire(self) -> None:
        """End a connection whose client was silent for too long or has not answered the close frame."""
        if self._closing_at is not None:
            self._channel.cut()
            return
        self._closing_at = self._clock.now()
        self._note_end("ping timeout")
        message = frame(_encode({"type": "error", "code": 400, "data": "ping timeout"}))
        self._channel.send_at_once(message + close_frame(1000, "Bye"))

    def serve(self, handle: Callable[[bytes], None]) -> None:
        """Read until the end; pass each message to `handle`."""
        try:
            self._read(MessageReader(self._channel.read), handle)
        except ChannelEnded:
            self._note_lost()
        except WebSocketException as error:
            self.close(1002, str(error))
        finally:
            self._channel.close()
            for tunnel, namespace in list(self._namespaces.items()):
                self.unsubscribe(tunnel, tuple(namespace))
            self._state.remove(self)
            self._ended.set()

    def _read(self, reader: MessageReader, handle: Callable[[bytes], None]) -> None:
        while True:
            opcode, payload = reader.next()
            if opcode == ABNF.OPCODE_CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else 1000
                self._note_end(f"the client closed with {code}")
                self.close(code, "")
                return
            if opcode == ABNF.OPCODE_PING:
                self.send_raw(payload, ABNF.OPCODE_PONG)
            elif opcode != ABNF.OPCODE_PONG and self._closing_at is None:
                self.heard_at = self._clock.now()
                handle(payload)

    def _note_lost(self) -> None:
        self._note_end("dropped: the client did not read" if self._channel.stalled else "the client went away")

    def _note_end(self, why: str) -> None:
        with self._state.lock:
            self.end = self.end or why
