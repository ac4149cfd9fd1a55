"""The conversation over one connection, without I/O: what to send, what came, what is late.

Rules, from KuCoin's documentation unless said otherwise:
1. Nothing is sent before `welcome`, which must come within the step timeout.
2. Pings go ahead of every other command; when they are due and when the peer is lost, `heartbeat` says.
3. Commands keep their order. They leave at the pace of the limits, with places kept free for pings. At most one is
   queued for a key: the difference between what is wanted and what the server was told. While only unsubscribes are
   queued, half of the pace stays free for what is wanted next.
4. A command without an answer within the ack timeout is sent again, three times in all; then the peer is lost.
   One that was refused for the pace, or because the server is busy, is sent again after a pause.
5. An error answer is told apart by its text, because one code has many meanings (see `events`). A refused
   command of several topics is narrowed down until the topic at fault is alone.
6. What is wanted outlives the session: its owner keeps it and says it again to the next one.

`now` is an argument everywhere (a monotonic clock's seconds). Not thread-safe: its owner's lock covers it.
"""

from __future__ import annotations

import bisect
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from ..exceptions import ConnectionFailed, KucoinSyncError, ProtocolError, SubscriptionRejected, TokenError
from ..internal.backoff import SlidingWindow
from ..limits import Limits
from ..topics.grammar import join
from . import message as messages
from .envelopes import DATA, EnvelopePrefix, EnvelopePrefixes, FrameBatch, Push, RawPush
from .heartbeat import Heartbeat
from .message import Arrival, Control, Origin
from .session_events import (
    Acked,
    ConnectionFull,
    Proved,
    Refused,
    ServerError,
    SessionEvent,
    TopicKey,
    Welcomed,
    classify_error,
)

__all__ = ["ACK_TIMEOUT", "Session"]

ACK_TIMEOUT = 10.0
_TRIES = 3
_PROOF_TIMEOUT = 1.0
_PING_RESERVE = 5
_NEVER = float("inf")
_LEAVING = ("unsubscribe", "closeTunnel")


class _Command:
    """One command on its way: queued, then sent, then answered.

    `keys` are those for which its answer counts: a wanted key is active or in exactly one command that subscribes. Once
    it is sent, they may include keys that are no longer wanted, until an unsubscribe for them is sent.
    """

    __slots__ = ("attempts", "deadline", "id", "keys", "kind", "order", "refusals", "said", "tunnel")

    def __init__(self, kind: str, number: int, keys: tuple[TopicKey, ...], tunnel: str | None, order: int) -> None:
        self.kind = kind
        self.id = str(number)
        self.keys = keys
        self.tunnel = tunnel
        self.order = order  # its place among the queued ones
        self.attempts = 0  # sent without an answer so far
        self.refusals = 0  # answered with "later" so far
        self.said = 0  # how many keys it had when it was sent
        self.deadline = 0.0


class Session:
    """One connection's conversation with KuCoin.

    Args:
        ids: yields the command ids, rising; shared by successive sessions so that a late answer fits no new command.
        ping_interval, ping_timeout: seconds, as the connect token's answer gave them.
        private: whether the connection is authorised; then commands ask for `privateChannel`.
        now: the instant at which the handshake ended.
    """

    def __init__(
        self,
        *,
        ids: Iterator[int],
        ping_interval: float,
        ping_timeout: float,
        now: float,
        private: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.welcomed = False
        #: Why the connection is of no use any more, None while it is.
        self.lost: KucoinSyncError | None = None
        #: Frames that could not be read, and frames of types that nobody knows; the owner takes them off.
        self.unreadable = 0
        self.unknown = 0
        #: Whether something other than pushes came; the owner takes it off.
        self.eventful = False
        self.heartbeat = Heartbeat(ping_interval, ping_timeout, now)
        self._ids = ids
        self._private = private
        self._opened = now
        self._pace = SlidingWindow(self.limits.commands_per_10s, 10.0)
        self._paused_until = now
        self._outbox: deque[_Command] = deque()
        self._sent: dict[str, _Command] = {}
        self._tunnels: dict[str, int] = {}  # open or wanted -> the place of the command that opens it
        self._active: set[TopicKey] = set()  # what the server confirmed since it was last unsubscribed
        self._wanted: set[TopicKey] = set()
        self._known: set[TopicKey] = set()  # what the server may carry: subscribed since it was last unsubscribed
        self._events: list[SessionEvent] = []
        self._prefixes = EnvelopePrefixes()
        self._last_prefix: EnvelopePrefix | None = None  # with which the last frame began
        self._urgent: list[bytes] = []
        self._proofs_asked = 0
        self._proofs_begun = 0  # those that the ping under way, or the last one, stands for
        self._proof_id = ""
        self._proof_due = _NEVER  # when the pong of the ping under way is overdue

    def __repr__(self) -> str:
        state = "lost" if self.lost else "welcomed" if self.welcomed else "opening"
        return (
            f"<Session {state}: {len(self._active & self._wanted)} active, "
            f"{len(self._sent)} unanswered, {len(self._outbox)} queued>"
        )

    @property
    def settled(self) -> bool:
        """Whether every wanted topic was confirmed or refused."""
        return self.welcomed and not self._outbox and not self._sent

    def is_active(self, key: TopicKey) -> bool:
        """Whether the server confirmed the subscription, and it is still wanted."""
        return key in self._active and key in self._wanted

    # What is wanted

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Queue the commands that subscribe `keys`, as few as the limits allow.

        Nothing is queued for a key whose unsubscribe was not sent yet: that is taken back instead.
        """
        fresh = [key for key in dict.fromkeys(keys) if key not in self._wanted]
        self._wanted.update(fresh)
        self._take_back("unsubscribe", fresh)
        if confirmed := tuple(key for key in fresh if key in self._active):
            self._events.append(Acked(confirmed))
        asked = {key for command in self._sent.values() if command.kind == "subscribe" for key in command.keys}
        unasked = [key for key in fresh if key not in self._active and key not in asked]
        for tunnel in dict.fromkeys(key.tunnel for key in unasked):
            if tunnel is not None and tunnel not in self._tunnels:
                self._tunnels[tunnel] = self._queue_for_tunnel("openTunnel", tunnel)
            self._queue_for_topics("subscribe", [key for key in unasked if key.tunnel == tunnel])

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Queue the commands that unsubscribe `keys`; one that was not yet sent is only taken back."""
        gone = [key for key in dict.fromkeys(keys) if key in self._wanted]
        self._forget(gone)
        known = [key for key in gone if key in self._known]
        for tunnel in dict.fromkeys(key.tunnel for key in known):
            self._queue_for_topics("unsubscribe", [key for key in known if key.tunnel == tunnel])

    def close_tunnel(self, tunnel: str) -> None:
        """Queue the command that closes a tunnel, with all that is subscribed in it."""
        if tunnel not in self._tunnels:
            return
        order = self._tunnels.pop(tunnel)
        inside = [key for key in self._wanted | self._known if key.tunnel == tunnel]
        self._forget(inside)
        self._take_back("unsubscribe", inside)
        self._no_longer_carried(inside)
        if (opening := next((each for each in self._outbox if each.order == order), None)) and not opening.attempts:
            self._outbox.remove(opening)  # the server knows nothing of it yet
            return
        self._queue_for_tunnel("closeTunnel", tunnel)

    def _forget(self, keys: Sequence[TopicKey]) -> None:
        """Want keys no longer, and have no queued command ask for them."""
        self._wanted.difference_update(keys)
        self._take_back("subscribe", keys)

    def _take_back(self, kind: str, keys: Iterable[TopicKey]) -> None:
        """Take keys away from the queued commands of a kind."""
        gone = set(keys)
        if gone and self._outbox:
            for command in self._outbox:
                if command.kind == kind:
                    command.keys = tuple(key for key in command.keys if key not in gone)
            self._outbox = deque(command for command in self._outbox if command.keys or command.kind != kind)

    def _no_longer_carried(self, keys: Iterable[TopicKey]) -> None:
        """Note that the server is told to stop these; no earlier answer says anything of them any more."""
        gone = set(keys)
        self._known -= gone
        self._active -= gone
        for command in self._sent.values():
            if command.kind == "subscribe":
                command.keys = tuple(key for key in command.keys if key not in gone)

    def _queue_for_tunnel(self, kind: str, tunnel: str) -> int:
        number = next(self._ids)
        self._queue(_Command(kind, number, (), tunnel, number))
        return number

    def _queue_for_topics(self, kind: str, keys: Sequence[TopicKey], order: int | None = None) -> None:
        """Queue commands for keys of one tunnel (or outside), in the place of an earlier one where `order` is its."""
        tunnel = keys[0].tunnel
        for _, batch in join((key.topic for key in keys), self.limits.topics_per_command):
            number = next(self._ids)
            batch_keys = tuple(TopicKey(single, tunnel) for single in batch)
            self._queue(_Command(kind, number, batch_keys, tunnel, number if order is None else order))

    def _queue(self, command: _Command) -> None:
        bisect.insort(self._outbox, command, key=lambda queued: queued.order)

    def _queue_again(self, command: _Command) -> None:
        """Queue a command that did not come through, as far as it still says what is wanted."""
        if command.kind == "unsubscribe":
            self._known.update(command.keys)  # the server may carry them still
            queued = {key for each in self._outbox if each.kind == "unsubscribe" for key in each.keys}
            command.keys = tuple(key for key in command.keys if key not in self._wanted and key not in queued)
        elif command.kind == "subscribe":
            command.keys = self._still_wanted(command)
        if command.kind in ("openTunnel", "closeTunnel"):
            wanted = (command.kind == "openTunnel") == (command.tunnel in self._tunnels)
        else:
            wanted = bool(command.keys)
        if wanted:
            self._queue(command)

    def prove(self) -> int:
        """Ask for a proof that all that the server has sent before now was read; return its number (see `Proved`).

        The server answers a ping behind all that.
        """
        self._proofs_asked += 1
        return self._proofs_asked

    # Sending

    def frames_to_send(self, now: float) -> list[bytes]:
        """Return the text frames that may leave at `now`, in order."""
        frames, self._urgent = self._urgent, []
        if not self.welcomed or self.lost is not None:
            return frames
        while self._outbox and now >= self._send_at(now):
            command = self._outbox.popleft()
            if command.kind == "subscribe":
                self._known.update(command.keys)
            elif command.kind == "unsubscribe":
                self._no_longer_carried(command.keys)
                self._prefixes.forget(len(command.keys))
            self._pace.record(now)
            command.said = len(command.keys)
            command.attempts += 1
            command.deadline = now + ACK_TIMEOUT
            self._sent[command.id] = command
            frames.append(self._frame(command))
        return frames

    def _frame(self, command: _Command) -> bytes:
        fields: dict[str, Any] = {}
        if command.keys:
            ((topic, _),) = join((key.topic for key in command.keys), len(command.keys))
            fields = {"topic": topic, "privateChannel": self._private}
        if command.tunnel is not None:
            fields["newTunnelId" if command.kind == "openTunnel" else "tunnelId"] = command.tunnel
        return messages.command(command.kind, command.id, **fields, response=True)

    def _send_at(self, now: float) -> float:
        # What comes and goes again and again must not hold up what is wanted next.
        only_leaving = all(command.kind in _LEAVING for command in self._outbox)
        reserve = max(_PING_RESERVE, self.limits.commands_per_10s // 2) if only_leaving else _PING_RESERVE
        return max(self._paused_until, self._pace.free_at(now, reserve=reserve))

    # Time

    def next_deadline(self) -> float:
        """Return the instant at which `handle_deadline` has something to do, if nothing comes before."""
        if not self.welcomed:
            return self._opened + self.limits.step_timeout
        deadline = min(self._ping_at(), self.heartbeat.lost_at(), self._proof_due)
        if self._sent:
            deadline = min(deadline, min(command.deadline for command in self._sent.values()))
        if self._outbox:
            deadline = min(deadline, self._send_at(self._opened))
        return deadline

    def is_overdue(self, now: float) -> bool:
        """Whether `handle_deadline` would give the peer up, or send a command again, for what has not come."""
        if not self.welcomed:
            return now >= self._opened + self.limits.step_timeout
        return now >= self.heartbeat.lost_at() or any(now >= command.deadline for command in self._sent.values())

    def handle_deadline(self, now: float, *, behind: bool = False) -> None:
        """Do what is due at `now`: ping, send again, or give the peer up.

        `behind` says that something has come which was not read yet: then nothing is held against the peer.
        """
        if self.lost is not None:
            return
        if behind:
            if self.welcomed and now >= self._ping_at():
                self._ping(now)
            return
        if not self.welcomed:
            if now >= self._opened + self.limits.step_timeout:
                self.lost = ConnectionFailed(
                    f"the server sent no welcome within {self.limits.step_timeout:g} s of the handshake"
                )
            return
        if now >= self.heartbeat.lost_at():
            self.lost = ConnectionFailed(self.heartbeat.complaint(now))
            return
        if now >= self._proof_due:
            self._proof_due = _NEVER
            self._events.append(Proved(self._proofs_begun, answered=False))
        if now >= self._ping_at():
            self._ping(now)
        self._repeat_unanswered(now)

    def _ping_at(self) -> float:
        """Return the instant at which the next ping is due: soon where a proof was asked for and none is under way."""
        soon = self._proofs_asked > self._proofs_begun and self._proof_due == _NEVER
        return self.heartbeat.soon() if soon else self.heartbeat.ping_at()

    def _ping(self, now: float) -> None:
        ping_id = str(next(self._ids))
        self._urgent.append(messages.command("ping", ping_id))
        self._pace.record(now)
        self.heartbeat.ping_sent(ping_id, now)
        if self._proofs_asked > self._proofs_begun:
            self._proofs_begun, self._proof_id, self._proof_due = self._proofs_asked, ping_id, now + _PROOF_TIMEOUT

    def _repeat_unanswered(self, now: float) -> None:
        for command in [command for command in self._sent.values() if now >= command.deadline]:
            del self._sent[command.id]
            if command.attempts >= _TRIES:
                what = ", ".join(key.topic for key in command.keys[:3]) or command.tunnel
                self.lost = ProtocolError(
                    f"the server has not answered {command.kind} {what} in {_TRIES} tries of {ACK_TIMEOUT:g} s"
                )
                return
            self._queue_again(command)

    # Receiving

    def recognise(self, frames: list[bytes], arrival: Arrival, now: float) -> FrameBatch | tuple[RawPush] | None:
        """Return text frames that came together as pushes, where all of them begin as pushes before them; else None.

        The only method that needs no lock beside the others: it changes nothing that they read.
        """
        last, known = self._last_prefix, self._prefixes.known.get
        if len(frames) == 1:
            frame = frames[0]
            if not frame.isascii():
                return None
            if last is None or not frame.startswith(last.start):
                last = known(frame[: frame.find(DATA)])
                if last is None:
                    return None
                self._last_prefix = last
            self.heartbeat.last_frame = now
            return (RawPush(frame, arrival, last),)
        text = b"".join(frames)
        if not text.isascii():
            return None
        if last is not None and all(map(bytes.startswith, frames, repeat(last.start))):
            self.heartbeat.last_frame = now
            return FrameBatch(frames, arrival, prefix=last, text=text)
        prefixes = self._prefixes.find(frames)
        if prefixes is None:
            return None
        self._last_prefix = prefixes[-1]
        self.heartbeat.last_frame = now
        return FrameBatch(frames, arrival, prefixes, text=text)

    def receive(self, frames: list[bytes], arrival: Arrival, now: float) -> list[Push]:
        """Take any text frames; return the pushes among them, in order.

        What else the frames bring is in `events`, `lost` and the counts afterwards, and `eventful` tells of it. Never
        raises for what a frame holds.
        """
        self.heartbeat.last_frame = now
        pushes: list[Push] = []
        known = self._prefixes.known.get
        for frame in frames:
            if not frame.isascii() and not _is_utf8(frame):
                self._control(frame, now)
            elif (found := known(frame[: frame.find(DATA)])) is not None:
                pushes.append(RawPush(frame, arrival, found))
                self._last_prefix = found
            else:
                self._decode(frame, arrival, now, pushes)
        return pushes

    def _decode(self, frame: bytes, arrival: Arrival, now: float, pushes: list[Push]) -> None:
        """Take a frame that begins like none before it."""
        try:
            message = messages.decode_message(frame)
        except messages.UNREADABLE:
            self._control(frame, now)
            return
        message.raw, message.origin = frame, Origin(arrival)
        pushes.append(message)
        self._prefixes.learn(frame)

    def events(self) -> list[SessionEvent]:
        """Return, once, what happened since the last call."""
        events, self._events = self._events, []
        return events

    def _control(self, frame: bytes, now: float) -> None:
        self.eventful = True
        try:
            control = messages.decode_control(frame)
            frame.decode()
        except messages.UNREADABLE:
            self.unreadable += 1
            return
        handle = _CONTROLS.get(control.type)
        if control.type == "message":
            self.unreadable += 1  # a push that has not the shape of one
        elif handle is None:
            self.unknown += 1
        else:
            handle(self, control, now)

    def _on_welcome(self, _: Control, __: float) -> None:
        if not self.welcomed:
            self.welcomed = True
            self._events.append(Welcomed())

    def _on_pong(self, control: Control, now: float) -> None:
        self.heartbeat.pong_came(control.command_id, now)
        if control.command_id and control.command_id == self._proof_id:
            self._proof_id, self._proof_due = "", _NEVER
            self._events.append(Proved(self._proofs_begun, answered=True))

    def _on_ack(self, control: Control, _: float) -> None:
        command = self._sent.pop(control.command_id, None)
        if command is not None and command.kind == "subscribe":
            self._active.update(command.keys)
            if keys := self._still_wanted(command):
                self._events.append(Acked(keys))

    def _still_wanted(self, command: _Command) -> tuple[TopicKey, ...]:
        return tuple(key for key in command.keys if key in self._wanted)

    def _on_error(self, control: Control, now: float) -> None:
        code, reason = control.status, control.reason
        command = self._sent.pop(control.command_id, None)
        means = classify_error(code, reason)
        if means == "token":
            self.lost = TokenError(f"KuCoin refused the connect token: {reason} (code {code})")
        elif means == "idle":
            self.lost = ConnectionFailed(f"KuCoin ended the connection: {reason} (code {code})")
        elif command is None and not self.welcomed:
            self.lost = ConnectionFailed(f"KuCoin refused the connection: {reason} (code {code})")
        elif command is None:
            self._events.append(ServerError(code, reason))
            if means == "pace":  # whichever command it was: more of them would be refused as well
                self._paused_until = max(self._paused_until, now + 1.0)
        elif means == "pace" or (means == "busy" and command.refusals < _TRIES - 1):
            self._postpone(command, now)
        elif command.kind == "openTunnel":
            if command.tunnel is not None and self._tunnels.get(command.tunnel) == command.order:
                self._refuse_tunnel(command.tunnel, code, reason)
        elif command.kind == "subscribe" and (command_keys := self._still_wanted(command)):
            command.keys = command_keys
            self._refused(command, means, code, reason)

    def _postpone(self, command: _Command, now: float) -> None:
        """Send a command again after a pause, which is longer each time."""
        command.refusals += 1
        command.attempts = 0
        self._paused_until = max(self._paused_until, now + float(command.refusals))
        self._queue_again(command)

    def _refused(self, command: _Command, means: str, code: int, reason: str) -> None:
        keys = command.keys
        if means == "full" and self._active and command.tunnel is None:  # a tunnel's topics can't move
            self._forget(keys)
            self._known.difference_update(keys)
            self._events.append(ConnectionFull(keys))
        elif command.said > 1:
            self._narrow(command.order, keys, reason)
        else:
            self._forget(keys)
            self._known.difference_update(keys)
            self._events.append(Refused(keys[0], SubscriptionRejected(keys[0].topic, code, reason)))

    def _narrow(self, order: int, keys: tuple[TopicKey, ...], reason: str) -> None:
        """Queue a refused command of several topics again, in parts: those that the text names, else halves."""
        named = [key for key in keys if re.search(re.escape(key.topic) + r"(?![\w,-])", reason)]
        if named and len(named) < len(keys):
            parts: list[Sequence[TopicKey]] = [[key for key in keys if key not in named], *([key] for key in named)]
        else:
            half = (len(keys) + 1) // 2
            parts = [keys[:half], keys[half:]]
        for part in filter(None, parts):
            self._queue_for_topics("subscribe", part, order)

    def _refuse_tunnel(self, tunnel: str, code: int, reason: str) -> None:
        del self._tunnels[tunnel]
        inside = [key for key in self._wanted if key.tunnel == tunnel]
        self._forget(inside)
        self._known.difference_update(inside)
        for key in inside:
            text = f"its tunnel {tunnel!r} was refused: {reason}"
            self._events.append(Refused(key, SubscriptionRejected(key.topic, code, text)))


def _is_utf8(frame: bytes) -> bool:
    """Return whether a frame is valid UTF-8; undecoded frames are not checked elsewhere."""
    try:
        frame.decode()
    except UnicodeDecodeError:
        return False
    return True


_CONTROLS = {
    "welcome": Session._on_welcome,
    "pong": Session._on_pong,
    "ack": Session._on_ack,
    "error": Session._on_error,
}
