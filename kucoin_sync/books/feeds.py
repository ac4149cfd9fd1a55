"""The feeds that a book can follow: how their updates are read and applied, and how a snapshot is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from .base import Book
from .codec import (
    Data,
    Rows,
    WireFuturesLevel2Update,
    WireLevel2Update,
    WireLevel3Event,
    read_futures_level2,
    read_futures_level2_frame,
    read_level2,
    read_level2_frame,
    read_level3,
    read_level3_frame,
    split_change,
)
from .l2 import Level2Book
from .l3 import Level3Book
from .uta import UtaLevel2Book, WireUtaLevel2Update, read_uta_level2, read_uta_level2_frame

__all__ = ["FUTURES_LEVEL2", "LEVEL2", "LEVEL3", "UTA_LEVEL2", "BookFeed", "Update"]


class Update(Protocol):
    """The part that updates of all feeds have in common."""

    @property
    def sequence_start(self) -> int:
        """The first sequence that the update covers."""

    @property
    def sequence_end(self) -> int:
        """The last sequence that the update covers."""


B = TypeVar("B", bound=Book[Any])
U = TypeVar("U", bound=Update)


class BookFeed(msgspec.Struct, Generic[B, U], frozen=True):
    """The functions that read and apply a feed's updates.

    Attributes:
        new: makes an empty book.
        update_type: the struct of an update.
        read: decodes a push's data, given the subject; raises ValueError if it can't.
        read_frame: decodes a whole push, given the subject; see `codec.read_level2_frame`.
        apply: applies an update to a book, except its rows up to a given sequence.
        load: fills a book from a snapshot's bids and asks. The last argument is the number of levels of each side that
            the snapshot was limited to, None for all.
        pushed: whether the feed pushes the snapshots, too; then `read` takes a whole push, because its envelope tells
            them from updates, and `pushed.PushedCalibration` keeps the book.
    """

    new: Callable[[], B]
    update_type: type[U]
    read: Callable[[Data, str | None], U]
    read_frame: Callable[[bytes, str | None], U]
    apply: Callable[[B, U, int], None]
    load: Callable[[B, Rows, Rows, int | None], None]
    pushed: bool = False

    def data_of(self, message: Any) -> Data:
        """Return the part of a message that `read` takes."""
        data: Data = message.raw if self.pushed else message.wire_data
        return data


def _apply_futures_level2(book: Level2Book, update: WireFuturesLevel2Update, _: int) -> None:
    try:
        price, side, size = update.change.split(",")
        book.set(side, price, size)  # type: ignore[arg-type]
    except ValueError:
        price, side, size = split_change(update.change)
        book.set(side, price, size)


def _apply_level3(book: Level3Book, event: WireLevel3Event, _: int) -> None:
    book.apply(event)


def _load_level3(book: Level3Book, bids: Rows, asks: Rows, _: int | None) -> None:
    book.load(bids, asks)


#: `/market/level2`
LEVEL2 = BookFeed(
    Level2Book,
    WireLevel2Update,
    lambda data, _: read_level2(data),
    read_level2_frame,
    Level2Book.apply,
    Level2Book.load,
)
#: `/contractMarket/level2`
FUTURES_LEVEL2 = BookFeed(
    Level2Book,
    WireFuturesLevel2Update,
    lambda data, _: read_futures_level2(data),
    read_futures_level2_frame,
    _apply_futures_level2,
    Level2Book.load,
)
#: `/market/level3` and `/spotMarket/level3`
LEVEL3 = BookFeed(Level3Book, WireLevel3Event, read_level3, read_level3_frame, _apply_level3, _load_level3)
#: `/uta/obu`, spot and futures
UTA_LEVEL2 = BookFeed(
    UtaLevel2Book,
    WireUtaLevel2Update,
    read_uta_level2,
    read_uta_level2_frame,
    UtaLevel2Book.apply,
    lambda book, bids, asks, _: book.load(bids, asks),
    pushed=True,
)
