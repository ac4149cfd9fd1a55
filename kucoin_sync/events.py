"""The events that a stream passes to `on_event`. Each is a small class; `str` of an event is a sentence.

`on_event` runs on the stream's callback thread, never on an I/O thread.
"""

from __future__ import annotations

import logging
from typing import ClassVar

import msgspec

__all__ = [
    "AccountFailed", "BookFailed", "BookReady", "BookRenumbered", "BookResyncing", "CallbackFailed", "CallbackSlow",
    "ConnectDelayed", "Connected", "Disconnected", "Event", "Overflowed", "PayloadMismatch", "Progress",
    "RecoveryIncomplete", "Rejected", "Resubscribed", "Retrying", "Rotated", "ServerNotice", "SnapshotFailed", "Stale",
    "ThreadNotStarted", "UnexpectedError",
]  # fmt: skip


class Event(msgspec.Struct, frozen=True):
    """Base class of all events."""

    _level: ClassVar[int] = logging.WARNING
    _sentence: ClassVar[str] = "{0!r}"  # {0} is the event

    @property
    def level(self) -> int:
        """The `logging` level of the event."""
        return self._level

    def __str__(self) -> str:
        return self._sentence.format(self)


class _OfMarket(Event, frozen=True):
    market: str
    private: bool

    @property
    def _which(self) -> str:
        return f"{self.market} {'private' if self.private else 'public'} connection"


class _OfConnection(_OfMarket, frozen=True):
    epoch: int


class _OfTopics(Event, frozen=True):
    topics: tuple[str, ...]

    @property
    def _which(self) -> str:
        shown = ", ".join(self.topics[:3])
        return shown if len(self.topics) <= 3 else f"{shown} and {len(self.topics) - 3} more"


class _OfBook(Event, frozen=True):
    symbol: str
    #: 2 or 3
    book_level: int

    @property
    def _which(self) -> str:
        return f"the {'level 3 ' if self.book_level == 3 else ''}book of {self.symbol}"


class Connected(_OfConnection, frozen=True):
    """The server welcomed a connection."""

    host: str
    _level = logging.INFO
    _sentence = "connected: {0._which} {0.epoch} to {0.host}"


class Disconnected(_OfConnection, frozen=True):
    """A connection was lost; `code` and `reason` are the close frame's (1006 without one)."""

    code: int
    reason: str
    error: Exception
    retry_in: float
    _sentence = "disconnected: {0._which} {0.epoch}: {0.error}; next attempt in {0.retry_in:.1f} s"


class ConnectDelayed(_OfMarket, frozen=True):
    """A connection is dialled only after `seconds`, because of `reason`."""

    seconds: float
    reason: str
    _sentence = "delayed: a {0._which} waits for {0.seconds:.1f} s, because {0.reason}"


class Retrying(_OfMarket, frozen=True):
    """An attempt to connect failed; the next follows in `retry_in` seconds."""

    attempt: int
    error: Exception
    retry_in: float
    _sentence = "attempt {0.attempt} to connect failed: {0.error}; next attempt in {0.retry_in:.1f} s"


class Resubscribed(_OfConnection, frozen=True):
    """After a reconnect the server has confirmed or refused all topics of the connection again."""

    topics: int
    _level = logging.INFO
    _sentence = "resubscribed: {0._which} {0.epoch} carries {0.topics} topics again"


class Rotated(_OfConnection, frozen=True):
    """A connection near the end of its 24 hours was replaced by a fresh one, without a gap."""

    _level = logging.INFO
    _sentence = "rotated: {0._which} {0.epoch} took over"


class Rejected(Event, frozen=True):
    """The server refused a topic; subscriptions that have no other topic end with `error`."""

    topic: str
    error: Exception
    _sentence = "rejected: {0.error}"


class Progress(Event, frozen=True):
    """`done` of `total` topics of one `subscribe` call are confirmed."""

    done: int
    total: int
    _level = logging.DEBUG
    _sentence = "subscribing: {0.done} of {0.total} topics confirmed"


class Stale(_OfTopics, frozen=True):
    """A subscription got no message for `seconds`, more than its `stale_after`."""

    seconds: float
    _sentence = (
        "stale: nothing came on {0._which} for {0.seconds:.1f} s; KuCoin also accepts symbols that do not exist and "
        "stays silent: check the spelling"
    )


class Overflowed(_OfTopics, frozen=True):
    """Messages of a subscription are dropped because its consumer is slow; emitted once per episode."""

    dropped: int
    _sentence = "slow consumer: messages of {0._which} are being dropped ({0.dropped} so far)"


class PayloadMismatch(Event, frozen=True):
    """A payload has a field of an unexpected form; emitted once per topic.

    `reason` names the field, such as "price is null". That property is None, or the value converted as far as possible.
    The other properties are not affected. `message.data` has all fields as KuCoin sent them. It is also emitted if a
    topic with structs has none for the subject of a message, whose payload is then `message.data`.
    """

    topic: str
    reason: str
    _sentence = (
        "odd data on {0.topic}: {0.reason}; the other properties of the payload are not touched, and message.data has "
        "all as KuCoin sent it. Told once for this topic: stats()['misfits'] counts on"
    )


class CallbackFailed(_OfTopics, frozen=True):
    """A callback raised; the stream goes on."""

    error: BaseException
    _level = logging.ERROR
    _sentence = "callback of {0._which} raised {0.error.__class__.__name__}: {0.error}"


class CallbackSlow(_OfTopics, frozen=True):
    """A callback has run for `seconds`, more than one; emitted once per subscription. Other callbacks go on."""

    seconds: float
    _sentence = "callback of {0._which} has run for {0.seconds:.1f} s; the others go on without it"


class ServerNotice(_OfConnection, frozen=True):
    """The server sent an error that answers none of our commands."""

    code: int
    reason: str = ""
    _sentence = "the server reports on {0._which} {0.epoch}: {0.reason}{0._coded}"

    @property
    def _coded(self) -> str:
        return f" (code {self.code})" if self.code else ""


class BookReady(_OfBook, frozen=True):
    """A local order book equals the exchange's and can be read, for the first time or again."""

    sequence: int
    _level = logging.INFO
    _sentence = "ready: {0._which} at {0.sequence}"


class BookRenumbered(_OfBook, frozen=True):
    """The exchange restarted the sequences of a book, which was at `was` and is ready at the lower `sequence`."""

    was: int
    sequence: int
    _sentence = "numbered anew: {0._which} was at {0.was} and is ready at {0.sequence}"


class BookResyncing(_OfBook, frozen=True):
    """A local order book cannot be read until a new snapshot has come; `reason` says why."""

    reason: str
    _sentence = "resyncing: {0._which}, because {0.reason}"


class SnapshotFailed(_OfBook, frozen=True):
    """A snapshot for a local order book failed or was too old; the next attempt follows in `retry_in` seconds."""

    reason: str
    retry_in: float
    _sentence = "no snapshot for {0._which}: {0.reason}; next attempt in {0.retry_in:.1f} s"


class BookFailed(_OfBook, frozen=True):
    """A local order book has ended with an error; a later attempt could not succeed."""

    error: Exception
    _level = logging.ERROR
    _sentence = "failed: {0._which}: {0.error}"


class AccountFailed(Event, frozen=True):
    """The local account has ended with an error; `Stream.account` opens another one."""

    error: Exception
    _level = logging.ERROR
    _sentence = "failed: the account: {0.error}"


class RecoveryIncomplete(Event, frozen=True):
    """After a cut, messages of a recovering topic may be missing; the `epoch` of its messages rises here.

    The hole is after `last_sequence`, at `last_time_ns`, and before `first_sequence`, at `first_time_ns`. Of candles
    the sequence is the start of the candle, in seconds since 1970. None stands for what is not known.
    """

    topic: str
    last_sequence: int | None
    last_time_ns: int | None
    first_sequence: int | None
    first_time_ns: int | None
    reason: str
    _sentence = (
        "not recovered: {0.topic} may lack messages between {0.last_sequence} and {0.first_sequence}, because "
        "{0.reason}"
    )


class UnexpectedError(Event, frozen=True):
    """An unexpected error, such as MemoryError, was raised in `place`; the code there goes on."""

    place: str
    error: BaseException
    _level = logging.ERROR
    _sentence = "unexpected error in {0.place}: {0.error.__class__.__name__}: {0.error}"


class ThreadNotStarted(Event, frozen=True):
    """The system refused a thread for `purpose`; it will be asked again."""

    purpose: str
    error: BaseException
    _level = logging.ERROR
    _sentence = (
        "no thread could be started for {0.purpose} ({0.error}); it will be tried again: look at the limits of threads "
        "and memory"
    )
