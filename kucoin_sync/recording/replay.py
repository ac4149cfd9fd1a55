"""`ReplayStream`: replays a recording with the interface of `Stream`."""

from __future__ import annotations

import datetime as dt
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..client import Client
from ..connections.gate import TopicRecovery
from ..connections.source import Deliver, MessageSource, SourceListener
from ..credentials import Credentials
from ..delivery.callbacks import Callbacks, held_by
from ..events import Event
from ..exceptions import StreamClosed
from ..internal.signals import defer, is_reentrant, run_or_defer
from .index import Paths, RecordingIndex
from .player import Clock, Player
from .recorded_snapshots import RecordedSnapshots
from .replay_source import ReplaySource, SubscribedTopics

if TYPE_CHECKING:
    from ..books.snapshot_fetcher import SnapshotProvider

__all__ = ["ReplayStream"]

_UNLIMITED = 10**9
_SIGNED_PATHS = "/api/v3/"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


class ReplayStream(Client):
    """A recording as a stream: subscriptions, callbacks, tunnels and books work as on `Stream`, without a network.

    Nothing is played before `start`. The first wait calls it: `get`, iterating, waiting for a book, or `wait`. So every
    subscription that was made before sees the whole recording. A program that only has callbacks or tunnels calls
    `start` or `wait` itself.

    Messages are byte for byte those of the recording, with the recorded `received_ns` and `epoch`. Books get the
    recorded snapshots, and lose their connection where the recording lost it. After the last message, subscriptions end
    as if they were closed. Books can still be read.

    `subscribe` raises SubscriptionRejected for a topic that the recording does not have; the text names those that it
    has. Its `stale_after` has no effect. `wait_ready` of a book raises RecordingError if the recording has no snapshot
    for it.

    Args:
        path: a file, a folder, a pattern such as "day-*.jsonl.zst", or several of these. All files are read once.
        speed: 1.0 plays in real time, 2.0 twice as fast. None plays as fast as the consumers read: then the replay
            waits while a queue is full (a "latest" queue never is), and nothing is dropped. A thread that reads two
            subscriptions in turn must then give each a queue that is large enough to hold what arrives meanwhile.
        on_event: called with each `Event`, including those of the recorded connections.

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
        self._index = index = RecordingIndex(path)
        sources = _Sources(index)
        signed = any(private for _, private in index.topics) or any(
            path.startswith(_SIGNED_PATHS) for _, path, _ in index.snapshots
        )
        # A recording made with an API key has full books and private topics. A placeholder key allows them here; it
        # signs nothing.
        credentials = Credentials("replay", "replay", "replay") if signed else None
        super().__init__(
            index.name,
            sources.make,
            lambda *_: _UNLIMITED,
            Callbacks(held_by(self, on_event)),
            credentials,
            _no_fetcher,
            1,
            lambda: None,
        )
        self._subscription_manager.recover_by(TopicRecovery())
        self._subscription_manager.tells_silence = False  # silence can't be measured: the clock is the recording's
        self._recorded_snapshots = RecordedSnapshots(index, self._subscription_manager.on_snapshot)
        output = _Output(self._subscription_manager, self._callbacks)
        self._player = player = sources.player = Player(index, speed, output, self._recorded_snapshots, clock)
        self._subscription_manager.before_wait = lambda: run_or_defer(player.start)
        # The player's thread never holds this object; what else ends with it, see `Client`.
        weakref.finalize(self, _end, player).atexit = False

    # Playing

    def start(self) -> None:
        """Begin to play; nothing is played before. Calling it again does nothing."""
        run_or_defer(self._player.start)

    def wait(self, timeout: float | None = None) -> bool:
        """Start, and wait for the end of the replay; return whether it ended within `timeout` seconds.

        At the end all callbacks have been called. Subscriptions that are read in other threads may still have messages.
        In a finaliser or signal handler that has interrupted this package, this does not wait.

        Raises:
            RecordingError: the replay has failed, for example because a file can't be read any more.
            StreamClosed: the replay was closed before its end.
        """
        self.start()
        ended = self._player.ended.is_set() if is_reentrant() else self._player.ended.wait(timeout)
        if ended and self._player.error is not None:
            raise self._player.error
        if ended and self._player.cut:
            raise StreamClosed(f"the replay of {self._index.name} was closed before its end")
        return ended

    def seek(self, to: float | dt.datetime) -> None:
        """Continue at another time, which may be earlier.

        Books are rebuilt from their last snapshot before that time, if there is one. After the end of the replay, make
        new subscriptions: the old ones have ended.

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
            at_ns = self._index.begin_ns + round(to * 1e9)
        run_or_defer(lambda: self._player.move(max(self._index.begin_ns, at_ns)))

    @property
    def began(self) -> dt.datetime:
        """The time at which the recording begins, in UTC."""
        return _EPOCH + dt.timedelta(microseconds=self._index.begin_ns // 1000)

    @property
    def duration(self) -> float:
        """Seconds from the beginning of the recording to its end."""
        return (self._index.end_ns - self._index.begin_ns) / 1e9

    @property
    def position(self) -> float:
        """Seconds from the beginning of the recording to the current position of the replay."""
        return (self._player.now_ns - self._index.begin_ns) / 1e9

    @property
    def recorded(self) -> tuple[str, ...]:
        """The topics in the recording."""
        return tuple(sorted({topic for topics in self._index.topics.values() for topic, _ in topics}))

    @property
    def missing(self) -> int:
        """The number of messages that the recorder dropped."""
        return self._index.dropped

    @property
    def torn(self) -> tuple[str, ...]:
        """The files that the recorder did not close, or that are damaged; their complete messages are played."""
        return tuple(str(path) for path in self._index.torn)

    # As on any stream

    def after_fork(self) -> None:
        """Close the replay in a forked child, which does not have the player's thread."""
        if hasattr(self, "_player"):  # else the replay could not be made
            self._player.after_fork()
        super().after_fork()
        self._begin_to_close()

    def close(self, timeout: float = 5.0) -> None:
        """Close everything; see `Stream.close`."""
        run_or_defer(self._player.close)
        super().close(timeout)

    def _recovery_of(self, _: tuple[str, ...]) -> TopicRecovery:
        """Return what delivers recovered messages; a recording has them of some topics, and of others just none."""
        return self._subscription_manager.recovery or TopicRecovery()

    def _make_snapshots(self) -> SnapshotProvider:
        return self._recorded_snapshots

    def _make_pushed_snapshots(self) -> SnapshotProvider:
        return self._recorded_snapshots  # a topic of a recording can't be subscribed again: the next one is waited for


class _Sources:
    """Makes the message sources of a replay. `player` is set before the first one is made."""

    player: Player

    def __init__(self, index: RecordingIndex) -> None:
        self._index = index

    def make(self, number: int, market: str, private: bool, owner: SourceListener, deliver: Deliver) -> MessageSource:
        player, kind = self.player, (market, private)
        topics = player.playback.topics_by_kind.get(kind)
        if topics is None:
            recorded = self._index.topics.get(kind, set())
            topics = SubscribedTopics(market, recorded, self._index.name, player.playback.changed)
        source = ReplaySource(number, market, private, owner, deliver, topics, lambda: player.thread)
        player.playback.topics_by_kind[kind] = topics
        return source


class _Output:
    """What the player uses of a replay, of its `SubscriptionManager` and its callbacks; see `ReplayOutput`."""

    def __init__(self, manager: Any, callbacks: Callbacks) -> None:
        self.emit: Callable[[Event], None] = callbacks.emit
        self._manager = manager

    def consumers(self) -> Sequence[Any]:
        subscriptions: list[Any] = self._manager.subscriptions
        return subscriptions

    def books(self) -> Sequence[tuple[Any, Any]]:
        watcher: Any = self._manager.watchers.get(False)  # the `BookManager`, from the first book on
        return getattr(watcher, "books", ())


def _end(player: Player) -> None:
    """End the thread of a replay that nothing refers to. Runs on any thread, in the garbage collector."""
    if player.thread.is_alive():
        defer(player.close)


def _no_fetcher(_: object, __: bool) -> NoReturn:
    raise AssertionError("books of a replay fetch nothing")
