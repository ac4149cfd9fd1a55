"""The listeners of a book: its owner, and the subscriptions that get its changes."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from ..delivery.overflow import queue_for
from ..delivery.subscription import Subscription
from ..events import BookReady, BookRenumbered, BookResyncing, Event
from ..exceptions import SlowConsumer, StreamClosed
from .calibration import Calibration
from .changes import Level2BookChange, Level3BookChange
from .feeds import Update
from .source import BookSource

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    C = TypeVar("C")

    Feed = Literal["classic", "uta"]

    class BookOptions(TypedDict, Generic[C], total=False):
        """The options of `Stream.book` that all books have."""

        on_change: Callable[[C], object] | None
        maxsize: int


__all__ = ["BookListener", "ChangeListeners", "state_events"]


class BookListener(Protocol):
    """The owner of a book. Its methods are never called with the book's lock held."""

    def request_snapshot(self, book: Any) -> None:
        """Fetch a snapshot soon; see `Follower.snapshot_attempt`."""

    def on_ended(self, book: Any) -> None:
        """Release what the book used: it has ended."""

    def emit(self, event: Event) -> None:
        """Take an event without waiting."""

    def obstacle(self, book: Any) -> str:
        """Return why the book has to wait, "" if that is unknown."""


class ChangeListeners:
    """Makes subscriptions to a book's changes and puts the changes into them.

    A subscription without a callback lives only while its consumer holds it: there is only a weak reference to it here.
    A subscription with a callback is kept alive. Not thread-safe: the book's lock guards it.
    """

    def __init__(self, source: BookSource) -> None:
        self._name = str(source)
        self._change_type: Any = Level3BookChange if source.level == 3 else Level2BookChange
        self._refs: tuple[weakref.ref[Subscription[Any]], ...] = ()
        self._with_callback: list[Subscription[Any]] = []

    def __len__(self) -> int:
        return len(self._refs)

    def make(
        self,
        maxsize: int,
        callback: Callable[[Any], object] | None,
        close: Callable[[Subscription[Any]], None],
        overflowed: Callable[[tuple[str, ...], int], None],
    ) -> Subscription[Any]:
        """Return a new subscription, which gets changes once it is added.

        Args:
            maxsize: changes that may wait in it.
            callback: called with each change, None for a consumer that iterates.
            close: called when the subscription is closed.
            overflowed: called with its topics and the number of dropped changes when it overflows.
        """
        name = self._name

        def slow(dropped: int) -> SlowConsumer:
            return SlowConsumer(
                f"{dropped} changes of {name} were dropped because {maxsize} were waiting already; take them faster, "
                "or raise maxsize; the book itself has them all",
                dropped=dropped,
            )

        message_queue = queue_for("raise", maxsize, lambda dropped: overflowed((name,), dropped), slow)
        on_message: Any = callback
        return Subscription[Any]((name,), message_queue, close=close, callback=on_message)

    def add(self, subscription: Subscription[Any]) -> None:
        """Put changes into a subscription from now on."""
        self._refs = tuple(weakref.ref(each) for each in (*self.alive(), subscription))
        if subscription.callback is not None:
            self._with_callback.append(subscription)

    def remove(self, subscription: Subscription[Any]) -> None:
        """Put no more changes into a subscription."""
        self._refs = tuple(weakref.ref(each) for each in self.alive() if each is not subscription)

    def end(self, error: Exception) -> list[Subscription[Any]]:
        """End and remove all subscriptions, because the book has ended with `error`; return them.

        `StreamClosed` ends them without an error, and no callback is called any more.
        """
        requested = isinstance(error, StreamClosed)
        listeners = self.alive()
        for listener in listeners:
            if requested:
                listener.withhold(listener.topics)
            listener.message_queue.finish(None if requested else error)
        self._refs = ()
        return listeners

    def finish(self) -> None:
        """End the subscriptions after the changes that they already have."""
        for listener in self.alive():
            listener.message_queue.finish(None)

    def alive(self) -> list[Subscription[Any]]:
        """Return the subscriptions that still exist."""
        return [listener for each in self._refs if (listener := each()) is not None]

    @property
    def with_callback(self) -> tuple[Subscription[Any], ...]:
        """The subscriptions with a callback."""
        return tuple(self._with_callback)

    def free_capacity(self) -> float:
        """Return the number of changes that all subscriptions have room for."""
        return min((listener.message_queue.room() for listener in self.alive()), default=math.inf)

    def publish(self, applied: Sequence[Update], before: int, resyncs: int) -> None:
        """Put the changes of applied updates into all subscriptions.

        Args:
            before: the book's sequence before the first of these updates.
            resyncs: the book's count of resyncs.
        """
        alive = self.alive()
        if len(alive) != len(self._refs):
            self._refs = tuple(map(weakref.ref, alive))
        for update in applied:
            change = self._change_type(update, before, resyncs)
            for listener in alive:
                listener.put(change if listener is alive[0] else change.with_lost(0))  # each gets its own object
            before = change.sequence_end


def state_events(
    source: BookSource, calibration: Calibration[Any, Any], was_live: bool, resyncs: int, reason: str
) -> list[Event]:
    """Return the events of a book whose state has changed: it starts again, or it is ready.

    Args:
        was_live, resyncs: those of the calibration before.
        reason: why the book can't be read, "" if it is ready again already.
    """
    symbol, level = source.symbol, source.level
    events: list[Event] = []
    if calibration.resyncs != resyncs:
        events.append(BookResyncing(symbol, level, reason or "updates before the newest snapshot are missing"))
    if calibration.live and not (was_live and calibration.resyncs == resyncs):
        if calibration.sequence < calibration.min_sequence:
            events.append(BookRenumbered(symbol, level, calibration.min_sequence, calibration.sequence))
        events.append(BookReady(symbol, level, calibration.sequence))
    return events
