"""The listeners of a book: its owner, and the subscriptions that get its changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from ..delivery.listeners import Listeners
from ..events import BookReady, BookRenumbered, BookResyncing, Event
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
    """The owner of a book. Most methods are never called with the book's lock held."""

    def request_snapshot(self, book: Any) -> None:
        """Fetch a snapshot soon; see `Follower.snapshot_attempt`."""

    def on_ended(self, book: Any) -> None:
        """Release what the book used: it has ended."""

    def emit(self, event: Event) -> None:
        """Take an event without waiting."""

    def obstacle(self, book: Any) -> str:
        """Return why the book has to wait, "" if that is unknown."""

    def snapshot_obstacle(self, book: Any) -> str:
        """Return what the running request for the book's snapshot waits for, "" if none runs. Takes no lock."""

    @property
    def closed(self) -> bool:
        """Whether the stream of the book is closed."""


class ChangeListeners(Listeners):
    """Makes subscriptions to a book's changes and puts the changes into them."""

    def __init__(self, source: BookSource) -> None:
        super().__init__(str(source), "book")
        self._change_type: Any = Level3BookChange if source.level == 3 else Level2BookChange

    def publish(self, applied: Sequence[Update], before: int, resyncs: int) -> None:
        """Put the changes of applied updates into all subscriptions.

        Args:
            before: the book's sequence before the first of these updates.
            resyncs: the book's count of resyncs.
        """
        self.put(self._changes(applied, before, resyncs))

    def _changes(self, applied: Sequence[Update], before: int, resyncs: int) -> Iterator[Any]:
        for update in applied:
            change = self._change_type(update, before, resyncs)
            yield change
            before = change.sequence_end


def state_events(
    source: BookSource, calibration: Calibration[Any, Any], was_live: bool, resyncs: int, reason: str
) -> list[Event]:
    """Return the events of a book whose state has changed: it starts again, or it is ready.

    If a book could not be read before nor after the change, nobody saw it live in between, and there is none.

    Args:
        was_live, resyncs: those of the calibration before.
        reason: why the book can't be read, "" if it is ready again already.
    """
    symbol, level = source.symbol, source.level
    events: list[Event] = []
    if was_live and calibration.resyncs != resyncs:
        events.append(BookResyncing(symbol, level, reason or "updates before the newest snapshot are missing"))
    if calibration.live and not (was_live and calibration.resyncs == resyncs):
        if calibration.sequence < calibration.min_sequence:
            events.append(BookRenumbered(symbol, level, calibration.min_sequence, calibration.sequence))
        events.append(BookReady(symbol, level, calibration.sequence))
    return events
