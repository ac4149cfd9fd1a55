"""The interface between a stream and its message sources.

A message source delivers the messages of one market, public or private. `connection.Connection` is the source that
dials KuCoin; replay and relay have sources of their own. A stream makes a source when a topic needs one, and another
when all sources of that market are full.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Protocol, TypeAlias

import msgspec

from ..events import Event, UnexpectedError
from ..exceptions import ConnectionFailed, KucoinSyncError
from ..internal.guard import guarded, log
from ..internal.resources import acquiring, start_thread
from ..net.direct_read import ReadLease
from ..net.waker import Cancelled, Waker
from ..protocol.envelopes import FrameBatch, Pushes, RawPush
from ..protocol.message import Message
from ..protocol.session_events import TopicKey

__all__ = [
    "Counts",
    "Deliver",
    "MakeSource",
    "MessageSource",
    "OnThread",
    "SoleConsumer",
    "SourceListener",
    "weak_callback",
]

_RESTART_DELAY = 1.0
"""Seconds before a thread restarts its loop after an unexpected error."""
_IDLE_WAIT = 3600.0


class SoleConsumer(Protocol):
    """A subscription that gets all pushes of a source and has one consumer thread, which is waiting."""

    def takes_all_of(self, keys: Collection[TopicKey]) -> bool:
        """Return whether the subscription has exactly these keys and no observer is registered."""

    def accept(self, read_lease: ReadLease) -> None:
        """Let the consumer read the socket itself."""

    def put(self, pushes: FrameBatch | tuple[RawPush]) -> bool:
        """Deliver pushes, on the consumer's thread. Return False, and do nothing, if others want them too."""

    def has(self, pushes: FrameBatch | tuple[RawPush]) -> bool:
        """Return whether these pushes are still queued for the consumer."""


class SourceListener(Protocol):
    """The owner of a message source. The source calls it on its own thread, without holding a lock."""

    @property
    def command_ids(self) -> Iterator[int]: ...
    @property
    def epochs(self) -> Iterator[int]: ...
    def payload_mismatch(self, _: Message) -> None: ...
    def emit(self, event: Event) -> None: ...
    def was_live(self, source: MessageSource) -> bool: ...
    def acked(self, source: MessageSource, keys: tuple[TopicKey, ...]) -> None: ...
    def refused(self, source: MessageSource, key: TopicKey, error: KucoinSyncError) -> None: ...
    def full(self, source: MessageSource, keys: tuple[TopicKey, ...]) -> None: ...
    def failed(self, source: MessageSource, error: KucoinSyncError, *, fatal: bool) -> None: ...
    def settled(self, source: MessageSource) -> None: ...
    def proved(self, source: MessageSource) -> None: ...
    def aged(self, source: MessageSource) -> bool: ...
    def idle(self, source: MessageSource) -> None: ...
    def ended(self, source: MessageSource) -> None: ...


class Counts(msgspec.Struct):
    """Counters of one source; only its thread writes them."""

    messages: int = 0
    bytes: int = 0
    unreadable: int = 0
    unknown: int = 0
    connects: int = 0
    reconnects: int = 0
    disconnects: int = 0
    failures: int = 0
    pong_latency: float | None = None

    def add(self, other: Counts) -> None:
        """Add the counters of a source that has ended."""
        for name in ("messages", "bytes", "unreadable", "unknown", "connects", "reconnects", "disconnects", "failures"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class MessageSource(Protocol):
    """Delivers the messages of one market, public or private, until it is closed. Its own thread calls its owner.

    Attributes:
        last_error: why no messages can come now; None while they can.
        epoch: a number from the owner's `epochs`; it rises whenever messages may be missing between two messages.
    """

    @property
    def number(self) -> int: ...
    @property
    def market(self) -> str: ...
    @property
    def private(self) -> bool: ...
    @property
    def epoch(self) -> int: ...
    @property
    def counts(self) -> Counts: ...
    @property
    def last_error(self) -> KucoinSyncError | None: ...
    @property
    def thread(self) -> threading.Thread: ...
    @property
    def over(self) -> bool:
        """Whether the thread has run and ended."""

    def start(self) -> None:
        """Start to deliver messages, unless already started. The thread is idle until then.

        Called after each `subscribe`, because a signal handler may raise between the first `subscribe` and `start`.
        """

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Deliver these keys too; call the owner's `acked` or `refused` for each."""

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Stop to deliver these keys."""

    def close_tunnel(self, tunnel: str) -> None:
        """Close a tunnel and drop all keys in it."""

    def is_active(self, key: TopicKey) -> bool:
        """Return whether this key is delivered now."""

    def prove(self) -> None:
        """Call the owner's `proved` when everything sent before now has arrived, or when the proof is overdue."""

    def retire(self, seconds: float) -> None:
        """End when everything sent before now has arrived, after `seconds` at the latest. Another source takes over."""

    def close(self) -> None:
        """Tell the thread to end; it stops waiting at once. Does not join the thread."""

    def after_fork(self) -> None:
        """Drop this copy in a forked child; tell neither the peer nor the owner.

        Of the parent's threads only the one that forked exists in the child. The others may have held locks, so this
        must not wait for anything. The socket belongs to the parent: send nothing.
        """


class OnThread:
    """Base of the sources that run on a thread of their own.

    The thread and the waker are acquired in the constructor, so that `start` cannot fail for lack of resources.
    The thread is idle until `start`.
    """

    _waker: Waker
    _thread: threading.Thread
    _owner: SourceListener
    last_error: KucoinSyncError | None
    _started = False

    def serve_until_closed(self, serve: Callable[[], None], lost: Callable[[KucoinSyncError], None]) -> None:
        """Wait for `start`, then call `serve` until it returns or is cancelled.

        `serve` handles the expected errors itself. After any other error this logs and emits it, calls `lost`, and
        calls `serve` again.
        """
        try:
            while not self._started:
                self._waker.wait(_IDLE_WAIT)
                self._waker.clear()
            while True:
                try:
                    serve()
                    return
                except Cancelled:
                    raise
                except BaseException as error:
                    name = self._thread.name
                    log(logging.ERROR, "a defect in the thread %s, which begins again", name, error=error)
                    with guarded("the thread %s could not tell of its defect", name):
                        self._owner.emit(UnexpectedError(f"the thread {name}", error))
                        self.last_error = ConnectionFailed(f"a defect in this package: {type(error).__name__}: {error}")
                        lost(self.last_error)
                until = time.monotonic() + _RESTART_DELAY
                while (remaining := until - time.monotonic()) > 0:
                    self._waker.pause(remaining)
        except Cancelled:
            pass  # the owner has closed it

    def _acquire_thread(self, run: Callable[[], None], *, name: str) -> None:
        """Create the waker and start the thread that will call `run`; the last step of a constructor.

        Raises:
            ConnectionFailed: the system refused a socket or a thread; nothing is left behind.
        """
        with acquiring("another connection"):
            self._waker = Waker()
        try:
            waker = self._waker
            found = weakref.WeakMethod(run, lambda _: waker.wake())
            self._thread = start_thread(_run_when_started, found, waker, name=name)
        except BaseException:
            self._waker.cancel()  # an interrupted start may have left a running thread
            self._waker.close()
            raise

    def start(self) -> None:
        """Let the thread start its work."""
        self._started = True
        self._waker.wake()

    @property
    def begun(self) -> bool:
        """Whether `start` was called."""
        return self._started

    @property
    def thread(self) -> threading.Thread:
        """The thread that runs this source."""
        return self._thread

    @property
    def over(self) -> bool:
        """Whether the thread has run and ended."""
        return self._thread.ident is not None and not self._thread.is_alive()


def _run_when_started(found: weakref.WeakMethod[Callable[[], None]], waker: Waker) -> None:
    """Wait until a source is started or closed, then run it.

    Until then the thread holds only a weak reference. So a source is freed if a signal handler raises before the caller
    has stored it.
    """
    while True:
        run: Any = found()
        if run is None:
            waker.close()
            return
        if run.__self__.begun or waker.cancelled:
            break
        del run
        waker.wait(_IDLE_WAIT)
        try:
            waker.clear()
        except Cancelled:
            pass
    run()


#: Takes pushes, on the source's thread, without a lock held. Returns the sole consumer if it was waiting for them.
Deliver: TypeAlias = Callable[[MessageSource, Pushes], SoleConsumer | None]
#: Makes a source from its number, its market, whether it is private, its owner and the receiver of its pushes.
MakeSource: TypeAlias = Callable[[int, str, bool, SourceListener, Deliver], MessageSource]


def weak_callback(method: Callable[[Message], None]) -> Callable[[Message], None]:
    """Return a function that calls a method without keeping its object alive.

    The garbage collector does not track messages. A queued message that kept the stream alive would be a leak.
    """
    reference = weakref.WeakMethod(method)

    def call(message: Message) -> None:
        found = reference()
        if found is not None:
            found(message)

    return call
