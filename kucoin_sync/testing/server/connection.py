"""One WebSocket connection, seen from the server.

Its thread reads; `serve` is that thread's whole life. Everything else may be called from any thread.
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
_GONE_TIMEOUT = 5.0
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

    `id` is the client's connectId, `market` "spot" or "futures", `user` the account that it is authorised for
    (None for a public one), `accepted` whether its token and the limits let it in, `end` why it ended, "" while
    it lives.
    """

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
        #: The instant of the last message from the client, by the server's clock.
        self.heard_at = clock.now()
        self._channel = channel
        self._state = state
        self._index = index
        self._clock = clock
        self._closing_at: float | None = None  # when a close frame went out
        self._gone = threading.Event()
        # Tunnel (None: outside any) -> single topic -> subscription. Written to under the server's lock.
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
        """Whether it was cut because the client took nothing for the send timeout."""
        return self._channel.stalled

    # What a test does to it

    def drop(self, *, rst: bool = False) -> None:
        """Cut the socket without a close frame, with `rst` by a TCP reset; return when the server is done with it."""
        self.cut("dropped", rst=rst)
        self._gone.wait(_GONE_TIMEOUT)

    def close(self, code: int = 1000, reason: str = "Bye") -> None:
        """Send a close frame; the socket closes when the client answered it, or soon after."""
        self._note_end(f"closed with {code} {reason}")
        with self._channel.alone():
            if self.send_frames(close_frame(code, reason)):
                self._closing_at = self._clock.now()
        self._state.deadlines_moved.set()

    def send_raw(self, data: bytes | str, opcode: int = ABNF.OPCODE_TEXT, fin: int = 1) -> bool:
        """Send one frame with this payload."""
        return self.send_frames(frame(data.encode() if isinstance(data, str) else data, opcode, fin))

    def send_bytes(self, data: bytes) -> bool:
        """Send these very bytes, whatever the protocol says."""
        return self._channel.send(data)

    # What the server does with it

    def send(self, message: dict[str, Any]) -> bool:
        """Send one message as a text frame."""
        return self.send_frames(frame(_encode(message)))

    def send_frames(self, frames: bytes) -> bool:
        """Send whole frames; return whether they went out. Nothing goes out after a close frame."""
        with self._channel.alone():
            if self._closing_at is not None:
                return False
            if self._channel.send(frames):
                return True
        self._note_lost()
        return False

    def alone(self) -> AbstractContextManager[Any]:
        """Return the lock under which nobody else sends on this connection."""
        return self._channel.alone()

    def topic_count(self) -> int:
        """Return the number of its subscriptions, those in tunnels included."""
        with self._state.lock:
            return sum(map(len, self._namespaces.values()))

    def namespace(self, tunnel: str | None) -> dict[str, Subscription] | None:
        """Return the subscriptions in a tunnel, or outside; None where there is no such tunnel."""
        return self._namespaces.get(tunnel)

    def open_tunnel(self, tunnel: str) -> None:
        """Open a tunnel."""
        with self._state.lock:
            self._namespaces.setdefault(tunnel, {})
        self._state.changed()

    def close_tunnel(self, tunnel: str) -> None:
        """Close a tunnel and unsubscribe what is in it."""
        self.unsubscribe(tunnel, tuple(self._namespaces[tunnel]))
        with self._state.lock:
            del self._namespaces[tunnel]
        self._state.changed()

    def subscribe(self, tunnel: str | None, singles: dict[str, bool]) -> None:
        """Subscribe single topics; the value of each says whether only its own account's messages are wanted.

        One that is subscribed already stays one; it is for everybody's messages once it was for them.
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
        """Unsubscribe single topics, where they are subscribed."""
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
        """Return the instant at which `expire` is due, if nothing comes before."""
        if self._channel.is_cut:
            return float("inf")
        if self._closing_at is not None:
            return self._closing_at + _CLOSE_TIMEOUT
        return self.heard_at + (float("inf") if idle_timeout is None else idle_timeout)

    def expire(self) -> None:
        """End it: the client was silent for too long, or has not answered the close frame."""
        if self._closing_at is not None:
            self._channel.cut()
            return
        self._closing_at = self._clock.now()
        self._note_end("ping timeout")
        message = frame(_encode({"type": "error", "code": 400, "data": "ping timeout"}))
        self._channel.send_at_once(message + close_frame(1000, "Bye"))

    def serve(self, handle: Callable[[bytes], None]) -> None:
        """Read until the end, giving each message to `handle`."""
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
            self._gone.set()

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
        self._note_end("dropped: the client took nothing" if self._channel.stalled else "the client went away")

    def _note_end(self, why: str) -> None:
        with self._state.lock:
            self.end = self.end or why
