"""The events that a stream passes to `on_event`. Each is a small class; `str` of an event is a sentence.

`on_event` runs on the stream's callback thread, never on an I/O thread.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "BookFailed",
    "BookReady",
    "BookRenumbered",
    "BookResyncing",
    "CallbackFailed",
    "CallbackSlow",
    "ConnectDelayed",
    "Connected",
    "Disconnected",
    "Event",
    "Overflowed",
    "PayloadMismatch",
    "Progress",
    "Rejected",
    "Resubscribed",
    "Retrying",
    "Rotated",
    "ServerNotice",
    "SnapshotFailed",
    "Stale",
    "ThreadNotStarted",
    "UnexpectedError",
]


class Event(msgspec.Struct, frozen=True):
    """Base class of all events."""

    @property
    def level(self) -> int:
        """The `logging` level of the event."""
        return 30


class _OfConnection(Event, frozen=True):
    market: str
    private: bool
    epoch: int

    @property
    def _which(self) -> str:
        return f"{self.market} {'private' if self.private else 'public'} connection {self.epoch}"


class Connected(_OfConnection, frozen=True):
    """The server welcomed a connection."""

    host: str

    @property
    def level(self) -> int:
        return 20

    def __str__(self) -> str:
        return f"connected: {self._which} to {self.host}"


class Disconnected(_OfConnection, frozen=True):
    """A connection was lost; `code` and `reason` are the close frame's (1006 without one)."""

    code: int
    reason: str
    error: Exception
    retry_in: float

    def __str__(self) -> str:
        return f"disconnected: {self._which}: {self.error}; next attempt in {self.retry_in:.1f} s"


class ConnectDelayed(Event, frozen=True):
    """A connection is dialled only after `seconds`, because of `reason`."""

    market: str
    private: bool
    seconds: float
    reason: str

    def __str__(self) -> str:
        which = f"{self.market} {'private' if self.private else 'public'} connection"
        return f"delayed: a {which} waits for {self.seconds:.1f} s, because {self.reason}"


class Retrying(Event, frozen=True):
    """An attempt to connect failed; the next follows in `retry_in` seconds."""

    market: str
    private: bool
    attempt: int
    error: Exception
    retry_in: float

    def __str__(self) -> str:
        return f"attempt {self.attempt} to connect failed: {self.error}; next attempt in {self.retry_in:.1f} s"


class Resubscribed(_OfConnection, frozen=True):
    """After a reconnect the server has confirmed or refused all topics of the connection again."""

    topics: int

    @property
    def level(self) -> int:
        return 20

    def __str__(self) -> str:
        return f"resubscribed: {self._which} carries {self.topics} topics again"


class Rotated(_OfConnection, frozen=True):
    """A connection near the end of its 24 hours was replaced by a fresh one, without a gap."""

    @property
    def level(self) -> int:
        return 20

    def __str__(self) -> str:
        return f"rotated: {self._which} took over"


class Rejected(Event, frozen=True):
    """The server refused a topic; subscriptions that have no other topic end with `error`."""

    topic: str
    error: Exception

    def __str__(self) -> str:
        return f"rejected: {self.error}"


class Progress(Event, frozen=True):
    """`done` of `total` topics of one `subscribe` call are confirmed."""

    done: int
    total: int

    @property
    def level(self) -> int:
        return 10

    def __str__(self) -> str:
        return f"subscribing: {self.done} of {self.total} topics confirmed"


class Stale(Event, frozen=True):
    """A subscription got no message for `seconds`, more than its `stale_after`."""

    topics: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f"stale: nothing came on {_named(self.topics)} for {self.seconds:.0f} s; KuCoin also accepts symbols "
            "that do not exist and stays silent: check the spelling"
        )


class Overflowed(Event, frozen=True):
    """Messages of a subscription are dropped because its consumer is slow; emitted once per episode."""

    topics: tuple[str, ...]
    dropped: int

    def __str__(self) -> str:
        return f"slow consumer: messages of {_named(self.topics)} are being dropped ({self.dropped} so far)"


class PayloadMismatch(Event, frozen=True):
    """A payload has a field of an unexpected form; emitted once per topic.

    `reason` names the field, such as "price is null". That property is None, or the value converted as far as possible.
    The other properties are not affected. `message.data` has all fields as KuCoin sent them.
    """

    topic: str
    reason: str

    def __str__(self) -> str:
        return (
            f"odd data on {self.topic}: {self.reason}; the other properties of the payload are not touched, and "
            "message.data has all as KuCoin sent it. Told once for this topic: stats()['mismatches'] counts on"
        )


class CallbackFailed(Event, frozen=True):
    """A callback raised; the stream goes on."""

    topics: tuple[str, ...]
    error: BaseException

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        return f"callback of {_named(self.topics)} raised {type(self.error).__name__}: {self.error}"


class CallbackSlow(Event, frozen=True):
    """A callback has run for more than a second; emitted once per subscription. Other callbacks go on.

    `seconds` is how long it had run when the event was emitted.
    """

    topics: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return f"callback of {_named(self.topics)} has run for {self.seconds:.1f} s; the others go on without it"


class ServerNotice(_OfConnection, frozen=True):
    """The server sent an error that answers none of our commands."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        return f"the server reports on {self._which}: {self.reason} (code {self.code})"


class _OfBook(Event, frozen=True):
    symbol: str
    #: 2 or 3
    book_level: int

    @property
    def _which(self) -> str:
        return f"the {'level 3 ' if self.book_level == 3 else ''}book of {self.symbol}"


class BookReady(_OfBook, frozen=True):
    """A local order book equals the exchange's and can be read, for the first time or again."""

    sequence: int

    @property
    def level(self) -> int:
        return 20

    def __str__(self) -> str:
        return f"ready: {self._which} at {self.sequence}"


class BookRenumbered(_OfBook, frozen=True):
    """The exchange restarted the sequences of a book at a lower number; the local book follows.

    It was at the sequence `was` and is ready at the lower `sequence`.
    """

    was: int
    sequence: int

    def __str__(self) -> str:
        return f"numbered anew: {self._which} was at {self.was} and is ready at {self.sequence}"


class BookResyncing(_OfBook, frozen=True):
    """A local order book cannot be read until a new snapshot has come; `reason` says why."""

    reason: str

    def __str__(self) -> str:
        return f"resyncing: {self._which}, because {self.reason}"


class SnapshotFailed(_OfBook, frozen=True):
    """A snapshot for a local order book failed or was too old; the next attempt follows in `retry_in` seconds."""

    reason: str
    retry_in: float

    def __str__(self) -> str:
        return f"no snapshot for {self._which}: {self.reason}; next attempt in {self.retry_in:.1f} s"


class BookFailed(_OfBook, frozen=True):
    """A local order book has ended with an error; a later attempt could not succeed."""

    error: Exception

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        return f"failed: {self._which}: {self.error}"


class UnexpectedError(Event, frozen=True):
    """An unexpected error, such as MemoryError, was raised in `place`; the code there goes on."""

    place: str
    error: BaseException

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        return f"unexpected error in {self.place}: {type(self.error).__name__}: {self.error}"


class ThreadNotStarted(Event, frozen=True):
    """The system refused a thread for `purpose`; it will be asked again."""

    purpose: str
    error: BaseException

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        return (
            f"no thread could be started for {self.purpose} ({self.error}); it will be tried again: look at the limits "
            "of threads and memory"
        )


def _named(topics: tuple[str, ...]) -> str:
    shown = ", ".join(topics[:3])
    return shown if len(topics) <= 3 else f"{shown} and {len(topics) - 3} more"
