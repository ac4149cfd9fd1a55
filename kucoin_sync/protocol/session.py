"""The protocol state of one connection, without I/O: what is wanted, what to send, what frames mean, deadlines.

Rules, from KuCoin's documentation unless another source is named:
1. Nothing is sent before the welcome, which must come within the step timeout. A login, if there is one, comes next,
   and nothing else before its acknowledgement.
2. Pings go ahead of all other commands. `heartbeat` calculates when they are due and when the peer is lost.
3. `commands` keeps the order of commands and their rate. Each key is in at most one waiting command: a subscribe if it
   is wanted, an unsubscribe if it is not.
4. A command without an answer within the ack timeout is sent again. After three attempts the peer is lost. A command
   that was refused because of the rate, or because the server is busy, is sent again after a pause.
5. The dialect says what an error answer means. If a command with several topics is refused, its topics are sent in
   smaller parts until the topic at fault is alone.
6. The session does not outlive its connection. Its owner keeps the wanted topics and subscribes them in the next one.

`now` is an argument everywhere (monotonic seconds). Not thread-safe: the owner calls it under its own lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..exceptions import (
    CLOCK_REFUSED,
    AuthenticationError,
    ConnectionFailed,
    KucoinSyncError,
    ProtocolError,
    SubscriptionRejected,
    TokenError,
)
from ..limits import Limits
from .commands import ACK_TIMEOUT, TRIES, Command, CommandQueue, split
from .dialect import Answer, Dialect
from .envelopes import Push
from .heartbeat import Heartbeat
from .message import UNREADABLE, Arrival
from .session_events import (
    Acked,
    ConnectionFull,
    Proved,
    ServerError,
    SessionEvent,
    TopicKey,
    TopicRefused,
    Unsubscribed,
    Welcomed,
)

__all__ = ["Session"]


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
        self._login = login
        self._login_id = ""  # of the login command, until it is answered
        self._private = private
        self._opened = now
        self._commands = CommandQueue(ids, self.limits, now)
        #: `CommandQueue.delay_of` and `CommandQueue.delay_to_tell`.
        self.delay_of, self.delay_to_tell = self._commands.delay_of, self._commands.delay_to_tell
        self._tunnels: dict[str | None, int] = {}  # the open and wanted ones, each with the order of its open command
        self._active: set[TopicKey] = set()  # confirmed by the server, and not unsubscribed since
        self._wanted: set[TopicKey] = set()
        self._subscribed: set[TopicKey] = set()  # a subscribe was sent, and no unsubscribe since
        self._events: list[SessionEvent] = []
        self._reader = dialect.reader()
        #: `FrameReader.recognise`. Needs no lock. The caller sets `heartbeat.last_frame` if it returns pushes.
        self.recognise = self._reader.recognise
        self._urgent: list[bytes] = []  # frames that go ahead of all commands

    @property
    def settled(self) -> bool:
        """Whether every wanted topic was confirmed or refused."""
        return self.welcomed and self._commands.idle

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
        self._commands.remove("unsubscribe", fresh)
        if confirmed := tuple(key for key in fresh if key in self._active):
            self._events.append(Acked(confirmed))
        asked = {key for command in self._commands.sent.values() if command.kind == "subscribe" for key in command.keys}
        unasked = [key for key in fresh if key not in self._active and key not in asked]
        for tunnel in dict.fromkeys(key.tunnel for key in unasked):
            if tunnel is not None and tunnel not in self._tunnels:
                self._tunnels[tunnel] = self._commands.add_for_tunnel("openTunnel", tunnel)
            self._commands.add("subscribe", [key for key in unasked if key.tunnel == tunnel])

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Queue the commands that unsubscribe `keys`; remove keys from subscribe commands that were not sent yet."""
        gone = list(dict.fromkeys(keys))
        self._stop_wanting(gone)
        queued = {key for each in self._commands.waiting if each.kind == "unsubscribe" for key in each.keys}
        known = [key for key in gone if key in self._subscribed and key not in queued]
        for tunnel in dict.fromkeys(key.tunnel for key in known):
            self._commands.add("unsubscribe", [key for key in known if key.tunnel == tunnel])

    def close_tunnel(self, tunnel: str) -> None:
        """Queue the command that closes a tunnel; all subscriptions in it end."""
        if tunnel not in self._tunnels:
            return
        inside = [key for key in self._wanted | self._subscribed if key.tunnel == tunnel]
        self._stop_wanting(inside)
        self._commands.remove("unsubscribe", inside)
        self._mark_unsubscribed(inside)
        if not self._commands.remove_unsent(self._tunnels[tunnel]):
            self._commands.add_for_tunnel("closeTunnel", tunnel)
        del self._tunnels[tunnel]

    def _stop_wanting(self, keys: Sequence[TopicKey]) -> None:
        """Remove keys from the wanted ones and from queued subscribe commands."""
        self._wanted.difference_update(keys)
        self._commands.remove("subscribe", keys)

    def _mark_unsubscribed(self, keys: Iterable[TopicKey]) -> None:
        """Note that the server was told to unsubscribe keys; answers to earlier commands no longer apply to them."""
        gone = set(keys)
        self._subscribed -= gone
        self._active -= gone
        self._commands.drop_answers(gone)

    def _queue_again(self, command: Command) -> None:
        """Queue a command again that was not carried out, without the keys to which it no longer applies."""
        if command.kind == "unsubscribe":
            self._subscribed.update(command.keys)  # the server may still send their messages
            queued = {key for each in self._commands.waiting if each.kind == "unsubscribe" for key in each.keys}
            command.keys = tuple(key for key in command.keys if key not in self._wanted and key not in queued)
        elif command.kind == "subscribe":
            command.keys = self._still_wanted(command)
        elif (command.kind == "openTunnel") == (command.tunnel in self._tunnels):  # it is still to be carried out
            self._commands.put(command)
        if command.keys:
            self._commands.put(command)

    def prove(self) -> int:
        """Ask for proof that all messages were read that the server sent before now; return its number (see `Proved`).

        The proof is the pong of a new ping: the server sends the pong after these messages.
        """
        return self.heartbeat.ask_proof()

    # Sending

    def frames_to_send(self, now: float) -> list[bytes]:
        """Return the text frames that may be sent at `now`, in order."""
        frames, self._urgent = self._urgent, []
        if not self.welcomed or self.lost is not None:
            return frames
        while (command := self._commands.take(now)) is not None:
            if command.kind == "subscribe":
                self._subscribed.update(command.keys)
            elif command.kind == "unsubscribe":
                self._mark_unsubscribed(command.keys)
                self._reader.forget(len(command.keys))
            topics = [key.topic for key in command.keys]
            frames.append(
                self._dialect.command(command.kind, command.id, topics, command.tunnel, private=self._private)
            )
        return frames

    # Time

    def next_deadline(self) -> float:
        """Return the next instant at which `handle_deadline` has something to do."""
        if not self.welcomed:
            return self._opened + self.limits.step_timeout
        beat = self.heartbeat
        return min(beat.ping_at(), beat.lost_at(), beat.proof_due, self._commands.next_deadline())

    def is_overdue(self, now: float) -> bool:
        """Return whether a frame is missing, so that `handle_deadline` ends the connection or sends a command again."""
        if not self.welcomed:
            return now >= self._opened + self.limits.step_timeout
        return now >= self.heartbeat.lost_at() or self._commands.is_overdue(now)

    def handle_deadline(self, now: float, *, behind: bool = False) -> None:
        """Do what is due at `now`: ping, send a command again, or end the connection.

        `behind` says that unread bytes have come. Then only pings are sent: the missing frame may be among the bytes.
        """
        if self.lost is not None:
            return
        if behind:
            if self.welcomed and now >= self.heartbeat.ping_at():
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
        if now >= self.heartbeat.proof_due:
            self._events.append(Proved(self.heartbeat.proof_missed(), answered=False))
        if now >= self.heartbeat.ping_at():
            self._ping(now)
        self._repeat_unanswered(now)

    def _ping(self, now: float) -> None:
        ping_id = self._commands.next_id()
        self._urgent.append(self._dialect.ping(ping_id))
        self._commands.record_ping(now)
        self.heartbeat.ping_sent(ping_id, now)

    def _repeat_unanswered(self, now: float) -> None:
        for command in self._commands.take_overdue(now):
            if command.attempts >= TRIES:
                what = ", ".join(key.topic for key in command.keys[:3]) or command.tunnel
                self.lost = ProtocolError(
                    f"the server has not answered {command.kind} {what} in {TRIES} tries of {ACK_TIMEOUT:g} s"
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
            try:
                if not frame.isascii():
                    frame.decode()  # undecoded frames are not checked elsewhere
                pushes.append(make_push(frame, arrival))
            except UNREADABLE:
                self._control(frame, now)
        return pushes

    def events(self) -> list[SessionEvent]:
        """Return the events since the last call. No key is acknowledged that was unsubscribed meanwhile."""
        events, self._events = self._events, []
        for place, event in enumerate(events):
            if isinstance(event, Acked):
                events[place] = Acked(tuple(key for key in event.keys if key in self._wanted))
        return [event for event in events if event != Acked(())]

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
            self._login_id, self._opened = self._commands.next_id(), now
            self._urgent.append(self._login(self._login_id))

    def _begin(self) -> None:
        """Note that commands may be sent now."""
        self.welcomed = True
        self._events.append(Welcomed())

    def _on_pong(self, answer: Answer, now: float) -> None:
        if number := self.heartbeat.pong_came(answer.command_id, now):
            self._events.append(Proved(number, answered=True))

    def _on_ack(self, answer: Answer, _: float) -> None:
        if self._login_id and answer.command_id == self._login_id:
            self._login_id = ""
            self._begin()
            return
        command = self._commands.answered(answer.command_id)
        if command is not None and command.kind == "unsubscribe":
            self._events.append(Unsubscribed(command.keys))
        elif command is not None and command.kind == "subscribe":
            self._active.update(command.keys)
            if keys := self._still_wanted(command):
                self._events.append(Acked(keys))

    def _still_wanted(self, command: Command) -> tuple[TopicKey, ...]:
        return tuple(key for key in command.keys if key in self._wanted)

    def _on_error(self, answer: Answer, now: float) -> None:
        code, reason, meaning = answer.code, answer.reason, answer.meaning
        told = f"{reason} (code {code})" if code else reason  # the UTA feed has no codes
        command = self._commands.answered(answer.command_id)
        if self._login_id and answer.command_id == self._login_id:
            known = CLOCK_REFUSED if meaning == "clock" else str(code) if code else None
            self.lost = AuthenticationError(f"KuCoin refused the login: {told}", code=known, login=True)
        elif meaning == "token":
            self.lost = TokenError(f"KuCoin refused the connect token: {told}")
        elif meaning == "idle":
            self.lost = ConnectionFailed(f"KuCoin ended the connection: {told}")
        elif command is None and not self.welcomed:
            self.lost = ConnectionFailed(f"KuCoin refused the connection: {told}")
        elif command is None:
            self._events.append(ServerError(code, reason))
            if meaning == "pace":  # any other command would be refused, too
                self._commands.pause(now + 1.0)
        elif meaning == "pace" or (meaning == "busy" and command.refusals < TRIES - 1):
            self._postpone(command, now)
        elif command.kind == "openTunnel":
            if self._tunnels.get(command.tunnel) == command.order:  # else it was closed meanwhile, or opened again
                del self._tunnels[command.tunnel]
                inside = [key for key in self._wanted if key.tunnel == command.tunnel]
                self._refuse(inside, code, f"its tunnel {command.tunnel!r} was refused: {reason}")
        elif command.kind == "unsubscribe":
            self._events.append(Unsubscribed(command.keys))  # whatever it means, no other answer comes
        elif command.kind == "subscribe" and (command_keys := self._still_wanted(command)):
            command.keys = command_keys
            self._on_refusal(command, meaning, code, reason)

    def _postpone(self, command: Command, now: float) -> None:
        """Queue a command again, after a pause that grows with each refusal."""
        command.refusals += 1
        command.attempts = 0
        self._commands.pause(now + command.refusals)
        self._queue_again(command)

    def _on_refusal(self, command: Command, meaning: str, code: int, reason: str) -> None:
        keys = command.keys
        if meaning == "full" and self._active and command.tunnel is None:  # a tunnel can't move to another connection
            self._give_up(keys)
            self._events.append(ConnectionFull(keys))
        elif command.keys_sent > 1:
            for part in filter(None, split(keys, reason)):
                self._commands.add("subscribe", part, command.order)
        else:
            self._refuse(keys, code, reason)

    def _refuse(self, keys: Sequence[TopicKey], code: int, reason: str) -> None:
        self._give_up(keys)
        self._events.extend(TopicRefused(key, SubscriptionRejected(key.topic, code, reason)) for key in keys)

    def _give_up(self, keys: Sequence[TopicKey]) -> None:
        """Forget keys that this connection can't have."""
        self._stop_wanting(keys)
        self._subscribed.difference_update(keys)


_ANSWERS = {
    "welcome": Session._on_welcome,
    "pong": Session._on_pong,
    "ack": Session._on_ack,
    "error": Session._on_error,
}
