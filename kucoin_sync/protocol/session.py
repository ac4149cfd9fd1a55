"""The protocol state of one connection, without I/O: commands to send, answers, deadlines.

Rules, from KuCoin's documentation unless another source is named:
1. Nothing is sent before `welcome`, which must come within the step timeout.
2. Pings go ahead of all other commands. `heartbeat` calculates when they are due and when the peer is lost.
3. Commands keep their order. The limits set their rate, and some of it is reserved for pings. Each key is in at most
   one queued command: a subscribe if it is wanted, an unsubscribe if it is not. While only unsubscribes are queued,
   half of the rate is reserved for new subscriptions.
4. A command without an answer within the ack timeout is sent again. After three attempts the peer is lost. A command
   that was refused because of the rate, or because the server is busy, is sent again after a pause.
5. The dialect says what an error answer means. If a command with several topics is refused, its topics are sent in
   smaller parts until the topic at fault is alone.
6. The session does not outlive its connection. Its owner keeps the wanted topics and subscribes them in the next one.

`now` is an argument everywhere (monotonic seconds). Not thread-safe: the owner calls it under its own lock.
"""

from __future__ import annotations

import bisect
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..exceptions import (
    AuthenticationError,
    ConnectionFailed,
    KucoinSyncError,
    ProtocolError,
    SubscriptionRejected,
    TokenError,
)
from ..internal.backoff import SlidingWindow
from ..limits import Limits
from ..topics.grammar import join
from .dialect import Answer, Dialect
from .envelopes import Push
from .heartbeat import Heartbeat
from .message import UNREADABLE, Arrival
from .session_events import (
    Acked,
    ConnectionFull,
    Proved,
    Refused,
    ServerError,
    SessionEvent,
    TopicKey,
    Welcomed,
)

__all__ = ["ACK_TIMEOUT", "Session"]

ACK_TIMEOUT = 10.0
_TRIES = 3
_PROOF_TIMEOUT = 1.0
_PING_RESERVE = 5
_NEVER = float("inf")
_UNSUBSCRIBING = ("unsubscribe", "closeTunnel")


class _Command:
    """One command, which is queued, then sent, then answered.

    `keys` are the keys to which its answer applies. A wanted key is either active or in exactly one subscribe command.
    After a command is sent, its keys may include unwanted ones, until an unsubscribe for them is sent.
    """

    __slots__ = ("attempts", "deadline", "id", "keys", "keys_sent", "kind", "order", "refusals", "tunnel")

    def __init__(self, kind: str, number: int, keys: tuple[TopicKey, ...], tunnel: str | None, order: int) -> None:
        self.kind = kind
        self.id = str(number)
        self.keys = keys
        self.tunnel = tunnel
        self.order = order  # its position in the queue
        self.attempts = 0  # how often it was sent without an answer
        self.refusals = 0  # how often the server asked to send it later
        self.keys_sent = 0  # number of keys when it was sent
        self.deadline = 0.0


class Session:
    """The protocol state of one connection to KuCoin.

    Args:
        dialect: the language of the feed.
        ids: yields rising command ids; successive sessions share it, so that a late answer matches no new command.
        ping_interval, ping_timeout: seconds, from the answer that brought the connect token.
        private: whether the connection is authorised.
        login: returns the login command for a command id, which must be acknowledged before any other command is
            sent; None without a login.
        now: the instant at which the handshake ended.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        ids: Iterator[int],
        ping_interval: float,
        ping_timeout: float,
        now: float,
        private: bool = False,
        limits: Limits | None = None,
        login: Callable[[str], bytes] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.welcomed = False
        #: The error that ended the connection, None before.
        self.lost: KucoinSyncError | None = None
        #: The numbers of malformed frames and of frames of unknown types; the owner resets them.
        self.unreadable = 0
        self.unknown = 0
        #: Whether a frame other than a push came; the owner resets it.
        self.eventful = False
        self.heartbeat = Heartbeat(ping_interval, ping_timeout, now)
        self._dialect = dialect
        self._ids = ids
        self._login = login
        self._login_id = ""  # of the login command, until it is answered
        self._private = private
        self._opened = now
        self._pace = SlidingWindow(self.limits.commands_per_10s, 10.0)
        self._paused_until = now
        self._outbox: deque[_Command] = deque()
        self._sent: dict[str, _Command] = {}
        self._tunnels: dict[str, int] = {}  # open or wanted tunnel -> queue position of the command that opens it
        self._active: set[TopicKey] = set()  # confirmed by the server, and not unsubscribed since
        self._wanted: set[TopicKey] = set()
        self._subscribed: set[TopicKey] = set()  # a subscribe was sent, and no unsubscribe since
        self._events: list[SessionEvent] = []
        self._reader = dialect.reader()
        #: `FrameReader.recognise`. Needs no lock. The caller sets `heartbeat.last_frame` if it returns pushes.
        self.recognise = self._reader.recognise
        self._pings: list[bytes] = []
        self._proofs_asked = 0
        self._proofs_begun = 0  # how many of them the last ping is for
        self._proof_id = ""
        self._proof_due = _NEVER  # when the pong of that ping is overdue

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
        """Return whether the server confirmed a subscription that is still wanted."""
        return key in self._active and key in self._wanted

    # What is wanted

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Queue the fewest commands that subscribe `keys` within the limits.

        If a key is in a queued unsubscribe, the key is removed from that instead.
        """
        fresh = [key for key in dict.fromkeys(keys) if key not in self._wanted]
        self._wanted.update(fresh)
        self._remove_from_queue("unsubscribe", fresh)
        if confirmed := tuple(key for key in fresh if key in self._active):
            self._events.append(Acked(confirmed))
        asked = {key for command in self._sent.values() if command.kind == "subscribe" for key in command.keys}
        unasked = [key for key in fresh if key not in self._active and key not in asked]
        for tunnel in dict.fromkeys(key.tunnel for key in unasked):
            if tunnel is not None and tunnel not in self._tunnels:
                self._tunnels[tunnel] = self._queue_for_tunnel("openTunnel", tunnel)
            self._queue_for_topics("subscribe", [key for key in unasked if key.tunnel == tunnel])

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Queue the commands that unsubscribe `keys`; remove keys from subscribe commands that were not sent yet."""
        gone = [key for key in dict.fromkeys(keys) if key in self._wanted]
        self._stop_wanting(gone)
        known = [key for key in gone if key in self._subscribed]
        for tunnel in dict.fromkeys(key.tunnel for key in known):
            self._queue_for_topics("unsubscribe", [key for key in known if key.tunnel == tunnel])

    def close_tunnel(self, tunnel: str) -> None:
        """Queue the command that closes a tunnel; all subscriptions in it end."""
        if tunnel not in self._tunnels:
            return
        order = self._tunnels.pop(tunnel)
        inside = [key for key in self._wanted | self._subscribed if key.tunnel == tunnel]
        self._stop_wanting(inside)
        self._remove_from_queue("unsubscribe", inside)
        self._mark_unsubscribed(inside)
        if (opening := next((each for each in self._outbox if each.order == order), None)) and not opening.attempts:
            self._outbox.remove(opening)  # the tunnel was never opened
            return
        self._queue_for_tunnel("closeTunnel", tunnel)

    def _stop_wanting(self, keys: Sequence[TopicKey]) -> None:
        """Remove keys from the wanted ones and from queued subscribe commands."""
        self._wanted.difference_update(keys)
        self._remove_from_queue("subscribe", keys)

    def _remove_from_queue(self, kind: str, keys: Iterable[TopicKey]) -> None:
        """Remove keys from the queued commands of a kind."""
        gone = set(keys)
        if gone and self._outbox:
            for command in self._outbox:
                if command.kind == kind:
                    command.keys = tuple(key for key in command.keys if key not in gone)
            self._outbox = deque(command for command in self._outbox if command.keys or command.kind != kind)

    def _mark_unsubscribed(self, keys: Iterable[TopicKey]) -> None:
        """Note that the server was told to unsubscribe keys; answers to earlier commands no longer apply to them."""
        gone = set(keys)
        self._subscribed -= gone
        self._active -= gone
        for command in self._sent.values():
            if command.kind == "subscribe":
                command.keys = tuple(key for key in command.keys if key not in gone)

    def _queue_for_tunnel(self, kind: str, tunnel: str) -> int:
        number = next(self._ids)
        self._queue(_Command(kind, number, (), tunnel, number))
        return number

    def _queue_for_topics(self, kind: str, keys: Sequence[TopicKey], order: int | None = None) -> None:
        """Queue commands for keys that share one tunnel, or none, at the queue position `order` if it is given."""
        tunnel = keys[0].tunnel
        for _, joined in join((key.topic for key in keys), self.limits.topics_per_command):
            number = next(self._ids)
            command_keys = tuple(TopicKey(single, tunnel) for single in joined)
            self._queue(_Command(kind, number, command_keys, tunnel, number if order is None else order))

    def _queue(self, command: _Command) -> None:
        bisect.insort(self._outbox, command, key=lambda queued: queued.order)

    def _queue_again(self, command: _Command) -> None:
        """Queue a command again that was not carried out, without the keys to which it no longer applies."""
        if command.kind == "unsubscribe":
            self._subscribed.update(command.keys)  # the server may still send their messages
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
        """Ask for proof that all messages were read that the server sent before now; return its number (see `Proved`).

        The proof is the pong of a new ping: the server sends the pong after these messages.
        """
        self._proofs_asked += 1
        return self._proofs_asked

    # Sending

    def frames_to_send(self, now: float) -> list[bytes]:
        """Return the text frames that may be sent at `now`, in order."""
        frames, self._pings = self._pings, []
        if not self.welcomed or self.lost is not None:
            return frames
        while self._outbox and now >= self._send_at(now):
            command = self._outbox.popleft()
            if command.kind == "subscribe":
                self._subscribed.update(command.keys)
            elif command.kind == "unsubscribe":
                self._mark_unsubscribed(command.keys)
                self._reader.forget(len(command.keys))
            self._pace.record(now)
            command.keys_sent = len(command.keys)
            command.attempts += 1
            command.deadline = now + ACK_TIMEOUT
            self._sent[command.id] = command
            topics = [key.topic for key in command.keys]
            frames.append(
                self._dialect.command(command.kind, command.id, topics, command.tunnel, private=self._private)
            )
        return frames

    def _send_at(self, now: float) -> float:
        # A program that unsubscribes a lot must not delay its next subscriptions.
        only_unsubscribing = all(command.kind in _UNSUBSCRIBING for command in self._outbox)
        reserve = max(_PING_RESERVE, self.limits.commands_per_10s // 2) if only_unsubscribing else _PING_RESERVE
        return max(self._paused_until, self._pace.free_at(now, reserve=reserve))

    # Time

    def next_deadline(self) -> float:
        """Return the next instant at which `handle_deadline` has something to do."""
        if not self.welcomed:
            return self._opened + self.limits.step_timeout
        deadline = min(self._ping_at(), self.heartbeat.lost_at(), self._proof_due)
        if self._sent:
            deadline = min(deadline, min(command.deadline for command in self._sent.values()))
        if self._outbox:
            deadline = min(deadline, self._send_at(self._opened))
        return deadline

    def is_overdue(self, now: float) -> bool:
        """Return whether a frame is missing, so that `handle_deadline` ends the connection or sends a command again."""
        if not self.welcomed:
            return now >= self._opened + self.limits.step_timeout
        return now >= self.heartbeat.lost_at() or any(now >= command.deadline for command in self._sent.values())

    def handle_deadline(self, now: float, *, behind: bool = False) -> None:
        """Do what is due at `now`: ping, send a command again, or end the connection.

        `behind` says that unread bytes have come. Then only pings are sent: the missing frame may be among the bytes.
        """
        if self.lost is not None:
            return
        if behind:
            if self.welcomed and now >= self._ping_at():
                self._ping(now)
            return
        if not self.welcomed:
            if now >= self._opened + self.limits.step_timeout:
                late = "answered no login" if self._login_id else "sent no welcome"
                since = "welcome" if self._login_id else "handshake"
                self.lost = ConnectionFailed(f"the server {late} within {self.limits.step_timeout:g} s of the {since}")
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
        """Return the instant of the next ping: as early as allowed if a proof was asked for and none is under way."""
        early = self._proofs_asked > self._proofs_begun and self._proof_due == _NEVER
        return self.heartbeat.earliest_ping() if early else self.heartbeat.ping_at()

    def _ping(self, now: float) -> None:
        ping_id = str(next(self._ids))
        self._pings.append(self._dialect.ping(ping_id))
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

    def receive(self, frames: list[bytes], arrival: Arrival, now: float) -> list[Push]:
        """Take any text frames; return the pushes among them, in order.

        Other frames change `events`, `lost` and the counts, and set `eventful`. No content of a frame makes it raise.
        """
        self.heartbeat.last_frame = now
        pushes: list[Push] = []
        make_push = self._reader.push
        for frame in frames:
            if not frame.isascii() and not _is_utf8(frame):
                self._control(frame, now)
                continue
            try:
                pushes.append(make_push(frame, arrival))
            except UNREADABLE:
                self._control(frame, now)
        return pushes

    def events(self) -> list[SessionEvent]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def _control(self, frame: bytes, now: float) -> None:
        self.eventful = True
        try:
            answer = self._dialect.answer(frame)
        except UNREADABLE:
            self.unreadable += 1
            return
        handle = _ANSWERS.get(answer.kind)
        if handle is None:
            self.unknown += 1
        else:
            handle(self, answer, now)

    def _on_welcome(self, answer: Answer, now: float) -> None:
        if self.welcomed or self._login_id:
            return
        self.heartbeat.adjust(answer.ping_interval, answer.ping_timeout)
        if self._login is None:
            self._begin()
        else:
            self._login_id, self._opened = str(next(self._ids)), now
            self._pings.append(self._login(self._login_id))

    def _begin(self) -> None:
        """Note that commands may be sent now."""
        self.welcomed = True
        self._events.append(Welcomed())

    def _on_pong(self, answer: Answer, now: float) -> None:
        self.heartbeat.pong_came(answer.command_id, now)
        if answer.command_id and answer.command_id == self._proof_id:
            self._proof_id, self._proof_due = "", _NEVER
            self._events.append(Proved(self._proofs_begun, answered=True))

    def _on_ack(self, answer: Answer, _: float) -> None:
        if self._login_id and answer.command_id == self._login_id:
            self._login_id = ""
            self._begin()
            return
        command = self._sent.pop(answer.command_id, None)
        if command is not None and command.kind == "subscribe":
            self._active.update(command.keys)
            if keys := self._still_wanted(command):
                self._events.append(Acked(keys))

    def _still_wanted(self, command: _Command) -> tuple[TopicKey, ...]:
        return tuple(key for key in command.keys if key in self._wanted)

    def _on_error(self, answer: Answer, now: float) -> None:
        code, reason, meaning = answer.code, answer.reason, answer.meaning
        command = self._sent.pop(answer.command_id, None)
        if self._login_id and answer.command_id == self._login_id:
            self.lost = AuthenticationError(f"KuCoin refused the login: {reason} (code {code})", code=str(code))
        elif meaning == "token":
            self.lost = TokenError(f"KuCoin refused the connect token: {reason} (code {code})")
        elif meaning == "idle":
            self.lost = ConnectionFailed(f"KuCoin ended the connection: {reason} (code {code})")
        elif command is None and not self.welcomed:
            self.lost = ConnectionFailed(f"KuCoin refused the connection: {reason} (code {code})")
        elif command is None:
            self._events.append(ServerError(code, reason))
            if meaning == "pace":  # any other command would be refused, too
                self._paused_until = max(self._paused_until, now + 1.0)
        elif meaning == "pace" or (meaning == "busy" and command.refusals < _TRIES - 1):
            self._postpone(command, now)
        elif command.kind == "openTunnel":
            if command.tunnel is not None and self._tunnels.get(command.tunnel) == command.order:
                self._refuse_tunnel(command.tunnel, code, reason)
        elif command.kind == "subscribe" and (command_keys := self._still_wanted(command)):
            command.keys = command_keys
            self._on_refusal(command, meaning, code, reason)

    def _postpone(self, command: _Command, now: float) -> None:
        """Queue a command again, after a pause that grows with each refusal."""
        command.refusals += 1
        command.attempts = 0
        self._paused_until = max(self._paused_until, now + float(command.refusals))
        self._queue_again(command)

    def _on_refusal(self, command: _Command, meaning: str, code: int, reason: str) -> None:
        keys = command.keys
        if (
            meaning == "full" and self._active and command.tunnel is None
        ):  # the topics of a tunnel can't move to another connection
            self._stop_wanting(keys)
            self._subscribed.difference_update(keys)
            self._events.append(ConnectionFull(keys))
        elif command.keys_sent > 1:
            self._split_refused(command.order, keys, reason)
        else:
            self._stop_wanting(keys)
            self._subscribed.difference_update(keys)
            self._events.append(Refused(keys[0], SubscriptionRejected(keys[0].topic, code, reason)))

    def _split_refused(self, order: int, keys: tuple[TopicKey, ...], reason: str) -> None:
        """Queue the topics of a refused command again, in several commands.

        Each topic that the text names gets its own command, and the others share one. If it names none or all, each
        half gets a command.
        """
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
        self._stop_wanting(inside)
        self._subscribed.difference_update(inside)
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


_ANSWERS = {
    "welcome": Session._on_welcome,
    "pong": Session._on_pong,
    "ack": Session._on_ack,
    "error": Session._on_error,
}
