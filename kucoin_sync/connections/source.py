"""What brings messages to a stream, as the stream sees it: a connection to KuCoin, or what stands for one.

A stream routes, queues and waits in the same way whatever its messages come from; `connection.Connection` is the
carrier that dials KuCoin. Carriers are made one for each market, public and private, as topics need them, and one more
whenever the last has no room left.
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

_PAUSE = 1.0
"""Seconds after which a thread begins again whose handling of an error has failed."""
_IDLE = 3600.0


class SoleConsumer(Protocol):
    """A subscription whose one consumer thread waited for pushes that are for nobody else."""

    def takes_all_of(self, keys: Collection[TopicKey]) -> bool:
        """Return whether these keys are all that it has, and no observer hears of them."""

    def accept(self, read_lease: ReadLease) -> None:
        """Let the consumer read the socket itself."""

    def put(self, pushes: FrameBatch | tuple[RawPush]) -> bool:
        """Deliver pushes, on the consumer's thread; False, with nothing done, where others have a share in them."""

    def has(self, pushes: FrameBatch | tuple[RawPush]) -> bool:
        """Return whether pushes wait for the consumer."""


class SourceListener(Protocol):
    """What a carrier asks of its owner and tells it; called on the carrier's thread, without any lock held."""

    @property
    def command_ids(self) -> Iterator[int]: ...
    @property
    def epochs(self) -> Iterator[int]: ...
    def payload_mismatch(self, _: Message) -> None: ...
    def emit(self, event: Event) -> None: ...
    def was_live(self, carrier: MessageSource) -> bool: ...
    def acked(self, carrier: MessageSource, keys: tuple[TopicKey, ...]) -> None: ...
    def refused(self, carrier: MessageSource, key: TopicKey, error: KucoinSyncError) -> None: ...
    def full(self, carrier: MessageSource, keys: tuple[TopicKey, ...]) -> None: ...
    def failed(self, carrier: MessageSource, error: KucoinSyncError, *, fatal: bool) -> None: ...
    def settled(self, carrier: MessageSource) -> None: ...
    def proved(self, carrier: MessageSource) -> None: ...
    def aged(self, carrier: MessageSource) -> bool: ...
    def idle(self, carrier: MessageSource) -> None: ...
    def ended(self, carrier: MessageSource) -> None: ...


class Counts(msgspec.Struct):
    """Plain numbers of one carrier; written by its thread only."""

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
        """Add the numbers of a carrier that is gone."""
        for name in ("messages", "bytes", "unreadable", "unknown", "connects", "reconnects", "disconnects", "failures"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class MessageSource(Protocol):
    """What brings the messages of one market, public or private, until it is closed; its own thread calls its owner.

    Attributes:
        last_error: why it brings nothing now, None while it does.
        epoch: rises whenever messages may be missing between two; an owner's `epochs` gives the numbers.
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
        """Whether its thread has run and ended."""

    def start(self) -> None:
        """Begin to bring messages, where it has not begun; its thread has been idle until then.

        Called after each `subscribe`: an exception of a signal's handler may have come between the first and this.
        """

    def subscribe(self, keys: Iterable[TopicKey]) -> None:
        """Bring these keys, too, and tell the owner that they were `acked` or `refused`."""

    def unsubscribe(self, keys: Iterable[TopicKey]) -> None:
        """Bring these keys no longer."""

    def close_tunnel(self, tunnel: str) -> None:
        """Close a tunnel with all that is in it."""

    def is_active(self, key: TopicKey) -> bool:
        """Whether this key is brought now."""

    def prove(self) -> None:
        """Tell the owner that it is `proved` when all has come that was sent before now, or its proof is overdue."""

    def retire(self, seconds: float) -> None:
        """End when all has come that was sent before now, at the latest in so many seconds: another one takes over."""

    def close(self) -> None:
        """Let its thread end, from whatever it is waiting in. Does not wait for it."""

    def abandon(self) -> None:
        """Let go, in a forked child, of this copy of what the parent has, without a word to peer or owner.

        No thread of the parent's is there, but maybe the one that forked, and locks may be held by the others. Must not
        wait for anything; what reaches the peer belongs to the parent.
        """


class OnThread:
    """What a carrier has that runs on a thread of its own.

    The thread and the waker are acquired when the carrier is made, so that nothing can be missing at `start`.
    Until then the thread is idle.
    """

    _waker: Waker
    _thread: threading.Thread
    _owner: SourceListener
    last_error: KucoinSyncError | None
    _started = False

    def serve_until_closed(self, serve: Callable[[], None], lost: Callable[[KucoinSyncError], None]) -> None:
        """After `start`, call `serve` until it returns or is cancelled: again where it raises, which is told.

        It sees to errors of its own. What it raises came up where it did that, so that `lost` is called for it.
        """
        try:
            while not self._started:
                self._waker.wait(_IDLE)
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
                until = time.monotonic() + _PAUSE
                while (remaining := until - time.monotonic()) > 0:
                    self._waker.sleep(remaining)
        except Cancelled:
            pass  # closed by its owner, who knows

    def _acquire_thread(self, run: Callable[[], None], *, name: str) -> None:
        """Acquire a waker and a thread that is to run; the last step of making a carrier.

        Raises:
            ConnectionFailed: there was none to have, and nothing is left behind.
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
        """Let the thread begin."""
        self._started = True
        self._waker.wake()

    @property
    def begun(self) -> bool:
        """Whether it was started."""
        return self._started

    @property
    def thread(self) -> threading.Thread:
        """The thread."""
        return self._thread

    @property
    def over(self) -> bool:
        """Whether the thread has run and ended."""
        return self._thread.ident is not None and not self._thread.is_alive()


def _run_when_started(found: weakref.WeakMethod[Callable[[], None]], waker: Waker) -> None:
    """Run a carrier once it is started or closed.

    Until then the thread does not hold it: a signal's handler may have raised before anybody else did.
    """
    while True:
        run: Any = found()
        if run is None:
            waker.close()
            return
        if run.__self__.begun or waker.cancelled:
            break
        del run
        waker.wait(_IDLE)
        try:
            waker.clear()
        except Cancelled:
            pass
    run()


#: Takes what came, on the carrier's thread and without any lock held; returns who waited for it, where that is known.
Deliver: TypeAlias = Callable[[MessageSource, Pushes], SoleConsumer | None]
#: Makes a carrier from its number, its market, whether it is private, who owns it and who takes what it brings.
MakeSource: TypeAlias = Callable[[int, str, bool, SourceListener, Deliver], MessageSource]


def weak_callback(method: Callable[[Message], None]) -> Callable[[Message], None]:
    """Return a function that calls a method and does not keep its object alive.

    Messages are not seen by the garbage collector: one that waits in a queue must not hold on to the stream.
    """
    reference = weakref.WeakMethod(method)

    def call(message: Message) -> None:
        found = reference()
        if found is not None:
            found(message)

    return call
