"""`ReplayStream`: a recording, read in the way in which a stream is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..client import Client
from ..connections.source import Deliver, MessageSource, SourceListener
from ..credentials import Credentials
from ..delivery.callbacks import Callbacks
from ..events import Event
from ..internal.signals import is_reentrant, run_or_defer
from .index import Paths, RecordingIndex
from .player import Clock, Player
from .recorded_snapshots import RecordedSnapshots
from .replay_source import ReplaySource, Track

if TYPE_CHECKING:
    from ..books.snapshot_fetcher import SnapshotProvider

__all__ = ["ReplayStream"]

_ALL = 10**9
_SIGNED = "/api/v3/"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


class ReplayStream(Client):
    """A recording as a stream: subscriptions, callbacks, tunnels and books work as on `Stream`, without a network.

    Nothing is played before `start`, which is called by whoever first waits for something: by `get` and by
    iterating, by the waits of a book, and by `wait`. So what was subscribed before sees everything. A program that has
    callbacks or tunnels only, and waits in a way of its own, calls `start` or `wait`.

    Messages are byte for byte what was recorded, with the `received_ns` and the `epoch` of then. Books are given the
    recorded snapshots, and lose their connection where it was lost. Behind the last message, subscriptions end as
    if they were closed; books stay, to be read.

    Args:
        path: a file, a folder, a pattern such as "day-*.jsonl.zst", or several of these. It is read through once.
        speed: 1.0 plays as it was, 2.0 twice as fast; None as fast as the consumers take it, in which case nothing is
            dropped: the replay waits while a queue is full ("latest" never is). Who reads two subscriptions in turn
            in one thread must then leave room for all that comes on the other.
        on_event: called with each `Event`, those of the recorded connections included.

    Raises:
        RecordingError: there is no such recording, or it can't be read.
        ValueError: the speed is not a positive number.
    """

    def __init__(
        self,
        path: Paths,
        speed: float | None = 1.0,
        *,
        on_event: Callable[[Event], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if speed is not None and not speed > 0:
            raise ValueError(f"speed is {speed!r}; it is a positive number, or None for as fast as possible")
        self._library = library = RecordingIndex(path)
        signed = any(private for _, private in library.topics) or any(
            path.startswith(_SIGNED) for _, path, _ in library.snapshots
        )
        # Whoever recorded with a key has whole books and private topics: this stands for that key, and signs nothing.
        credentials = Credentials("replay", "replay", "replay") if signed else None
        super().__init__(library.name, self._carrier, _ALL, Callbacks(on_event), credentials, _none, 1, lambda: None)
        self._board.tells_silence = False  # the time is that of the recording
        self._given = RecordedSnapshots(library, self._board.fetched)
        self._player = Player(library, speed, self, self._given, clock)

    # Playing

    def start(self) -> None:
        """Begin to play; nothing is played before. Calling it again does nothing."""
        run_or_defer(self._player.start)

    def wait(self, timeout: float | None = None) -> bool:
        """Start, and wait for the end; return whether it came within `timeout` seconds.

        A finaliser or handler that has interrupted this package does not wait.

        At the end all callbacks have been called. Who iterates in another thread may still have messages to take.

        Raises:
            RecordingError: the replay has failed, such as where a file can't be read any more.
        """
        self.start()
        ended = self._player.ended.is_set() if is_reentrant() else self._player.ended.wait(timeout)
        if ended and self._player.error is not None:
            raise self._player.error
        return ended

    def seek(self, to: float | dt.datetime) -> None:
        """Go on at another time, which may be earlier.

        Books are made ready for it from the last snapshot before it, where there is one. After the end, subscriptions
        are to be made anew.

        Args:
            to: seconds from the beginning, or a time with a time zone.

        Raises:
            ValueError: the time has no time zone.
        """
        if isinstance(to, dt.datetime):
            if to.tzinfo is None:
                raise ValueError(f"{to} has no time zone; pass one, such as datetime.timezone.utc")
            at_ns = (to - _EPOCH) // dt.timedelta(microseconds=1) * 1000
        else:
            at_ns = self._library.begin_ns + round(to * 1e9)
        run_or_defer(lambda: self._player.move(max(self._library.begin_ns, at_ns)))

    @property
    def began(self) -> dt.datetime:
        """When the recording begins, with the time zone UTC."""
        return _EPOCH + dt.timedelta(microseconds=self._library.begin_ns // 1000)

    @property
    def duration(self) -> float:
        """Seconds from the beginning of the recording to its end."""
        return (self._library.end_ns - self._library.begin_ns) / 1e9

    @property
    def position(self) -> float:
        """Seconds from the beginning of the recording to where the replay is."""
        return (self._player.now_ns - self._library.begin_ns) / 1e9

    @property
    def recorded(self) -> tuple[str, ...]:
        """The topics that the recording has."""
        return tuple(sorted({topic for topics in self._library.topics.values() for topic, _ in topics}))

    @property
    def missing(self) -> int:
        """Messages that the recorder had to drop."""
        return self._library.dropped

    @property
    def torn(self) -> tuple[str, ...]:
        """Files that end where the recorder was killed; all whole messages before are played."""
        return tuple(str(path) for path in self._library.torn)

    # As on any stream

    if not TYPE_CHECKING:  # type checkers know these of `Client`, with all their overloads

        def subscribe(self, topic: str, *more_topics: str, **options: Any) -> Any:
            """Subscribe topics, as `Stream.subscribe` does; `stale_after` tells nothing here.

            Raises:
                SubscriptionRejected: the recording does not have a topic; the text says what it has.
            """
            subscription = super().subscribe(topic, *more_topics, **options)
            self._start_with(subscription.inbox, "wait")
            return subscription

        def book(self, symbol: str, **options: Any) -> Any:
            """Keep the order book of a symbol, as `Stream.book` does, from the recorded snapshots and updates.

            `wait_ready` raises RecordingError where the recording has no snapshot for it.
            """
            book = super().book(symbol, **options)
            follower = book._follower
            self._start_with(follower, "wait_until_settled")
            listen = follower.listen

            def listening(*args: Any) -> Any:
                subscription = listen(*args)
                self._start_with(subscription.inbox, "wait")
                return subscription

            vars(follower)["listen"] = listening
            return book

    def after_fork(self) -> None:
        """Be closed in a forked child: who plays is the parent's thread. A child makes a replay of its own."""
        self._player.after_fork()
        super().after_fork()
        self._begin_to_close()

    def close(self, timeout: float = 5.0) -> None:
        """Close everything; see `Stream.close`."""
        run_or_defer(self._player.close)
        super().close(timeout)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__()} - {"books", "consumers"})

    # For the player

    def consumers(self) -> Sequence[Any]:
        """Return the subscriptions, the books' included."""
        return self._board.subscriptions

    def books(self) -> Sequence[tuple[Any, Any]]:
        """Return the books that live, and what each has its updates from."""
        return [] if self._books is None else self._books.books

    def _start_with(self, waited_for: object, method: str) -> None:
        """Have the replay start when somebody first waits by this method of this one object.

        It is put on the object, so that other streams' waits are what they were.
        """
        wait = getattr(waited_for, method)

        def waiting(timeout: float | None) -> Any:
            self.start()
            return wait(timeout)

        vars(waited_for)[method] = waiting

    def _carrier(
        self, number: int, market: str, private: bool, owner: SourceListener, deliver: Deliver
    ) -> MessageSource:
        kind = market, private
        track = self._player.tracks.get(kind)
        if track is None:
            track = Track(self._library.topics.get(kind, set()), self._library.name)
            carrier = ReplaySource(number, market, private, owner, deliver, track, self._player)
            self._player.tracks[kind] = track
            return carrier
        return ReplaySource(number, market, private, owner, deliver, track, self._player)

    def _make_snapshots(self) -> SnapshotProvider:
        return self._given


def _none(_: object, __: bool) -> NoReturn:
    raise AssertionError("books of a replay fetch nothing")
