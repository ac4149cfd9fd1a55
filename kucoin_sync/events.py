"""What a stream tells its `on_event`: one small class per kind of event, each printing as a sentence.

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
    """Base of all events."""

    @property
    def level(self) -> int:
        """The level of `logging` at which it is logged."""
        return 30


class _OfConnection(Event, frozen=True):
    market: str
    private: bool
    epoch: int

    @property
    def _which(self) -> str:
        return f"{self.market} {'private' if self.private else 'public'} connection {self.epoch}"


class Connected(_OfConnection, frozen=True):
    """A connection was welcomed by the server."""

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
    """A connection is not dialled before `seconds` are over, because of `reason`."""

    market: str
    private: bool
    seconds: float
    reason: str

    def __str__(self) -> str:
        which = f"{self.market} {'private' if self.private else 'public'} connection"
        return f"delayed: a {which} waits for {self.seconds:.1f} s, because {self.reason}"


class Retrying(Event, frozen=True):
    """An attempt to connect failed and another will follow after `retry_in` seconds."""

    market: str
    private: bool
    attempt: int
    error: Exception
    retry_in: float

    def __str__(self) -> str:
        return f"attempt {self.attempt} to connect failed: {self.error}; next attempt in {self.retry_in:.1f} s"


class Resubscribed(_OfConnection, frozen=True):
    """After a reconnect, all wanted topics of the connection were settled with the server again."""

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
    """Nothing came on a subscription for `seconds`, more than its `stale_after`."""

    topics: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f"stale: nothing came on {_named(self.topics)} for {self.seconds:.0f} s; KuCoin also accepts symbols "
            "that do not exist and stays silent: check the spelling"
        )


class Overflowed(Event, frozen=True):
    """A subscription's consumer fell behind and messages are being dropped; told once per episode."""

    topics: tuple[str, ...]
    dropped: int

    def __str__(self) -> str:
        return f"slow consumer: messages of {_named(self.topics)} are being dropped ({self.dropped} so far)"


class PayloadMismatch(Event, frozen=True):
    """A payload was read of which something has not the usual form; told once per topic.

    `reason` says what, such as "price is null": that property is None, or what its value could be converted to, and
    the others are as ever. `message.data` has all as KuCoin sent it.
    """

    topic: str
    reason: str

    def __str__(self) -> str:
        return (
            f"odd data on {self.topic}: {self.reason}; the other properties of the payload are not touched, and "
            "message.data has all as KuCoin sent it. Told once for this topic: stats()['misfits'] counts on"
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
    """A callback has run for more than a second; told once per subscription. The others go on beside it.

    `seconds` is how long it had run when that was noticed.
    """

    topics: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return f"callback of {_named(self.topics)} has run for {self.seconds:.1f} s; the others go on without it"


class ServerNotice(_OfConnection, frozen=True):
    """The server sent an error that belongs to no command of ours."""

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
    """A local order book equals the exchange's, and can be read: for the first time, or again."""

    sequence: int

    @property
    def level(self) -> int:
        return 20

    def __str__(self) -> str:
        return f"ready: {self._which} at {self.sequence}"


class BookRenumbered(_OfBook, frozen=True):
    """The exchange numbers a book anew, from lower sequences on, and the book follows.

    It was at the sequence `was` and is ready at the lower `sequence`.
    """

    was: int
    sequence: int

    def __str__(self) -> str:
        return f"numbered anew: {self._which} was at {self.was} and is ready at {self.sequence}"


class BookResyncing(_OfBook, frozen=True):
    """A local order book can't be read until a new snapshot has come; `reason` says why."""

    reason: str

    def __str__(self) -> str:
        return f"resyncing: {self._which}, because {self.reason}"


class SnapshotFailed(_OfBook, frozen=True):
    """The snapshot that a local order book needs could not be had, or was too old; another follows in `retry_in` s."""

    reason: str
    retry_in: float

    def __str__(self) -> str:
        return f"no snapshot for {self._which}: {self.reason}; next attempt in {self.retry_in:.1f} s"


class BookFailed(_OfBook, frozen=True):
    """A local order book has ended with an error that no later attempt can mend."""

    error: Exception

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        return f"failed: {self._which}: {self.error}"


class UnexpectedError(Event, frozen=True):
    """An error that nothing should have raised, such as MemoryError, came up in `place`; what ran there goes on."""

    place: str
    error: BaseException

    @property
    def level(self) -> int:
        return 40

    def __str__(self) -> str:
        return f"unexpected error in {self.place}: {type(self.error).__name__}: {self.error}"


class ThreadNotStarted(Event, frozen=True):
    """The system has refused a thread that is wanted for `purpose`; it will be asked again."""

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
