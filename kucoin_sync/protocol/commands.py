"""The commands of one session: those that wait, which are sent in order and within the limits, and those unanswered.

The limits set the rate of commands, and some of it is reserved for pings. While only unsubscribes wait, half of the
rate is reserved for new subscriptions.
"""

from __future__ import annotations

import bisect
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..internal.backoff import SlidingWindow
from ..limits import Limits
from ..topics.grammar import join
from .session_events import TopicKey

__all__ = ["ACK_TIMEOUT", "TRIES", "Command", "CommandQueue", "Delay", "split"]

ACK_TIMEOUT = 10.0  # seconds
TRIES = 3
_PING_RESERVE = 5
_PERIOD = 10.0  # seconds, of `Limits.commands_per_10s`
_MIN_TOLD = 1.0  # seconds; shorter delays are not worth telling
_UNSUBSCRIBING = ("unsubscribe", "closeTunnel")


@dataclass(eq=False, slots=True)
class Command:
    """One command, which waits, is sent, and is answered.

    `keys` are the keys to which its answer applies. A wanted key is either active or in exactly one subscribe command.
    After a command is sent, its keys may include unwanted ones, until an unsubscribe for them is sent.
    """

    kind: str
    id: str
    keys: tuple[TopicKey, ...]
    tunnel: str | None
    order: int  # its position in the queue
    attempts: int = 0  # how often it was sent without an answer
    refusals: int = 0  # how often the server asked to send it later
    keys_sent: int = 0  # number of keys when it was sent
    deadline: float = 0.0


class Delay(NamedTuple):
    """How long a command still waits before it is sent, and why."""

    seconds: float
    reason: str


class CommandQueue:
    """The commands of one session.

    Args:
        ids: yields rising command ids.
        now: the instant at which the session begins.

    Attributes:
        waiting: the commands to send, in order.
        sent: the commands without an answer, by their ids.
    """

    def __init__(self, ids: Iterator[int], limits: Limits, now: float) -> None:
        self.waiting: deque[Command] = deque()
        self.sent: dict[str, Command] = {}
        self._ids = ids
        self._limits = limits
        self._pace = SlidingWindow(limits.commands_per_10s, _PERIOD)
        self._begun = self._paused_until = now
        self._told = False  # whether `delay_to_tell` has told of the present wait

    @property
    def idle(self) -> bool:
        """Whether no command waits or is unanswered."""
        return not self.waiting and not self.sent

    def next_id(self) -> str:
        """Return the id of a new command that does not wait here."""
        return str(next(self._ids))

    # Waiting

    def add(self, kind: str, keys: Sequence[TopicKey], order: int | None = None) -> None:
        """Queue the fewest commands for keys that share one tunnel, or none; at the position `order` if it is given."""
        tunnel = keys[0].tunnel
        for _, joined in join((key.topic for key in keys), self._limits.topics_per_command):
            number = next(self._ids)
            command_keys = tuple(TopicKey(single, tunnel) for single in joined)
            self.put(Command(kind, str(number), command_keys, tunnel, number if order is None else order))

    def add_for_tunnel(self, kind: str, tunnel: str) -> int:
        """Queue a command without keys; return its position."""
        number = next(self._ids)
        self.put(Command(kind, str(number), (), tunnel, number))
        return number

    def put(self, command: Command) -> None:
        """Queue a command at its position."""
        bisect.insort(self.waiting, command, key=lambda queued: queued.order)

    def remove(self, kind: str, keys: Iterable[TopicKey]) -> None:
        """Remove keys from the waiting commands of a kind."""
        gone = set(keys)
        if gone and self.waiting:
            for command in self.waiting:
                if command.kind == kind:
                    command.keys = tuple(key for key in command.keys if key not in gone)
            self.waiting = deque(command for command in self.waiting if command.keys or command.kind != kind)

    def remove_unsent(self, order: int) -> bool:
        """Remove the waiting command at a position; return False if it is not there or was sent before."""
        command = next((each for each in self.waiting if each.order == order), None)
        if command is None or command.attempts:
            return False
        self.waiting.remove(command)
        return True

    # Sending

    def take(self, now: float) -> Command | None:
        """Return the next command if it may be sent at `now`; it then waits for its answer."""
        if not self.waiting or now < self._send_at(now):
            return None
        command = self.waiting.popleft()
        self._pace.record(now)
        command.keys_sent = len(command.keys)
        command.attempts += 1
        command.deadline = now + ACK_TIMEOUT
        self.sent[command.id] = command
        return command

    def record_ping(self, now: float) -> None:
        """Count a ping, which does not wait here."""
        self._pace.record(now)

    def pause(self, until: float) -> None:
        """Send no command before `until`."""
        self._paused_until = max(self._paused_until, until)

    def _send_at(self, now: float) -> float:
        # A program that unsubscribes a lot must not delay its next subscriptions.
        only_unsubscribing = all(command.kind in _UNSUBSCRIBING for command in self.waiting)
        reserve = max(_PING_RESERVE, self._limits.commands_per_10s // 2) if only_unsubscribing else _PING_RESERVE
        return max(self._paused_until, self._pace.free_at(now, reserve=reserve))

    # Delays

    def delay_of(self, key: TopicKey, now: float) -> Delay | None:
        """Return how long the subscribe of a key still waits; None if it may be sent at `now`, or waits no more."""
        for place, command in enumerate(self.waiting):
            if command.kind == "subscribe" and key in command.keys:
                return self._delay(place, now)
        return None

    def delay_to_tell(self, now: float) -> Delay | None:
        """Return how long the last subscribe waits, once, until no command waits; None if that is not for long."""
        if not self.waiting:
            self._told = False
        elif not self._told:
            places = [place for place, each in enumerate(self.waiting) if each.kind not in _UNSUBSCRIBING]
            delay = self._delay(places[-1], now) if places else None
            if delay is not None and delay.seconds >= _MIN_TOLD:
                self._told = True
                return delay
        return None

    def _delay(self, place: int, now: float) -> Delay | None:
        """Return how long the command at a place waits, if nothing but the commands before it is sent meanwhile."""
        limit = self._limits.commands_per_10s
        periods, excess = divmod(place, max(1, limit - _PING_RESERVE))
        paced = self._pace.free_at(now, reserve=_PING_RESERVE + excess) + periods * _PERIOD
        if max(paced, self._paused_until) <= now:
            return None
        if paced >= self._paused_until:
            return Delay(paced - now, f"Limits.commands_per_10s is {limit} for one connection, with its pings")
        return Delay(self._paused_until - now, "KuCoin is busy, or has asked for fewer commands")

    # Answers

    def answered(self, command_id: str) -> Command | None:
        """Return the command that an answer belongs to, which then is unanswered no more."""
        return self.sent.pop(command_id, None)

    def drop_answers(self, keys: set[TopicKey]) -> None:
        """Remove keys from the unanswered subscribes: their answers no longer apply to them."""
        for command in self.sent.values():
            if command.kind == "subscribe":
                command.keys = tuple(key for key in command.keys if key not in keys)

    def is_overdue(self, now: float) -> bool:
        """Return whether an answer is overdue."""
        return any(now >= command.deadline for command in self.sent.values())

    def take_overdue(self, now: float) -> list[Command]:
        """Return the commands whose answers are overdue; they are unanswered no more."""
        overdue = [command for command in self.sent.values() if now >= command.deadline]
        for command in overdue:
            del self.sent[command.id]
        return overdue

    def next_deadline(self) -> float:
        """Return the next instant at which a command may be sent, or an answer is overdue."""
        answer = min((command.deadline for command in self.sent.values()), default=float("inf"))
        return min(answer, self._send_at(self._begun)) if self.waiting else answer


def split(keys: Sequence[TopicKey], reason: str) -> list[Sequence[TopicKey]]:
    """Return the keys of a refused command in smaller parts.

    Each topic that the text of the refusal names is a part, and the others are one. If it names none or all, each half
    is a part.
    """
    named = [key for key in keys if re.search(re.escape(key.topic) + r"(?![\w,-])", reason)]
    if named and len(named) < len(keys):
        return [[key for key in keys if key not in named], *([key] for key in named)]
    half = (len(keys) + 1) // 2
    return [keys[:half], keys[half:]]
