"""The order books that `Stream.book` returns. Each equals the exchange's at its sequence or refuses to be read.

`follower` holds the book and applies the updates, on the thread of `manager`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, cast

from ..delivery.subscription import Subscription
from ..exceptions import BookNotReady, StreamClosed
from ..internal.fork import NotPicklable
from ..internal.signals import holds_no_lock, run_or_defer
from ..payloads import Level
from . import (
    BookChange,
    BookSnapshot,
    Level2Book,
    Level2BookChange,
    Level3Book,
    Level3BookChange,
    Levels,
    Order,
    QueuePosition,
)
from .base import Book, Number, TopOfBook
from .follower import Follower

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # part of every type checker; the defaults are what `LocalBook` alone means

    B = TypeVar("B", bound=Book[Any], default=Any)
    C = TypeVar("C", bound=BookChange[Any], default=Any)

    from pandas import DataFrame  # type: ignore[import-untyped, import-not-found, unused-ignore]
else:
    from typing import TypeVar

    B = TypeVar("B")
    C = TypeVar("C")

__all__ = ["LocalBook", "LocalLevel2Book", "LocalLevel3Book"]

T = TypeVar("T")
Self = TypeVar("Self", bound="LocalBook[Any, Any]")


class Changes(NotPicklable, Generic[T]):
    """Iterates over the changes of a book from a moment on; made by `iter(book)`. Several threads may share it."""

    def __init__(self, subscription: Subscription[Any], book: object = None) -> None:
        self._subscription = subscription
        self._book = book  # kept alive while the changes are wanted
        self._get: Callable[[float | None], T] = cast(Any, subscription).get

    def get(self, timeout: float | None = None) -> T:
        """Return the next change; wait for it up to `timeout` seconds, None for no limit.

        Raises:
            TimeoutError: no change came in time.
            StreamClosed: the book has ended. SlowConsumer and others: as when iterating.
        """
        [change] = map(self._get, (timeout,))  # in one step, as `MessageQueue.source`
        return change

    @property
    def pending(self) -> int:
        """The number of changes that wait to be taken."""
        return self._subscription.pending

    def __iter__(self) -> Changes[T]:
        return self

    def __next__(self) -> T:
        changes: Iterator[T] = map(next, (cast(Any, self._subscription),))
        for change in changes:
            return change
        raise StopIteration


class LocalBook(NotPicklable, TopOfBook, Generic[B, C]):
    """The live order book of one symbol; made by `Stream.book`.

    Any thread may read it. A read sees the book after the newest applied update. Two reads may see two states; take a
    `snapshot` for one state. The book is not ready before its first snapshot, after a cut, and while it starts again
    from a snapshot. Then every read of its content raises `BookNotReady`, which says why, or `StreamClosed` once
    the stream is closed. Reads with a `timeout` first
    wait that many seconds for the book (None: no limit).

    Partial books. Without an API key a spot book begins with the best 100 levels of each side (`snapshot_depth`). It
    knows deeper levels only if they have changed since. `bids_complete_to` and `asks_complete_to` are the prices down
    and up to which it knows all levels. A list of levels says how many of them are reliable
    (`Levels.reliable_count`). Figures that would need unknown levels are None. A book of the UTA feed has at most the
    best 500 levels of each side.
    """

    def __init__(self, follower: Follower[B, C], maxsize: int, stream: object = None) -> None:
        self._follower = follower
        self._stream = stream  # kept alive while the book is held
        self._maxsize = maxsize

    # State

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self._follower.source.symbol

    @property
    def level(self) -> int:
        """2 for sizes at prices, 3 for single orders."""
        return self._follower.source.level

    @property
    def ready(self) -> bool:
        """Whether the book can be read."""
        self._follower.first_use()
        return self._follower.live

    def wait_ready(self: Self, timeout: float | None = None) -> Self:
        """Wait until the book can be read (None: without a limit); return the book.

        Raises:
            BookNotReady: it was not ready within `timeout` seconds.
            StreamClosed: it is closed.
            SubscriptionRejected, RestError, AuthenticationError, ConnectionFailed: it has ended with an error that no
                later attempt can fix, such as a symbol that KuCoin does not know.
        """
        self._follower.wait(timeout)
        return self

    @property
    def sequence(self) -> int:
        """The book's sequence; while the book is not ready, the last one that it had."""
        return self._follower.calibration.sequence

    @property
    def resyncs(self) -> int:
        """The number of times that the book was ready and had to start again."""
        return self._follower.calibration.resyncs

    @property
    def received_ns(self) -> int:
        """When the newest update was read from the socket, in nanoseconds since 1970; 0 before the first one."""
        return self._follower.received_ns

    @property
    def partial(self) -> bool:
        """Whether the book may lack levels of the exchange. Before it is ready, whether it is going to be partial."""
        return self._follower.under_lock(
            lambda: self._follower.require_book().partial if self._follower.live else self.snapshot_depth is not None
        )

    @property
    def snapshot_depth(self) -> int | None:
        """The number of levels of each side that the book begins with; None for all."""
        return self._follower.source.depth

    # Reading

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, a `Level(price, size)`; None if there is none."""
        return self._follower.read(lambda book: book.best_bid)

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, a `Level(price, size)`; None if there is none."""
        return self._follower.read(lambda book: book.best_ask)

    @property
    def spread(self) -> Decimal | None:
        """The lowest ask less the highest bid; None if a side is empty. Negative while a call auction crosses them."""
        return self._follower.read(lambda book: book.spread)

    @property
    def mid(self) -> Decimal | None:
        """The price in the middle between the best bid and ask, None if a side is empty."""
        return self._follower.read(lambda book: book.mid)

    @property
    def micro_price(self) -> Decimal | None:
        """The middle weighted by the sizes of the other side; None if a side is empty. See `TopOfBook.micro_price`."""
        return self._follower.read(lambda book: book.micro_price)

    @property
    def bids_complete_to(self) -> Decimal | None:
        """The price down to which all bids are known, None if all bids are known."""
        return self._follower.read(lambda book: book.bids_complete_to)

    @property
    def asks_complete_to(self) -> Decimal | None:
        """The price up to which all asks are known, None if all asks are known."""
        return self._follower.read(lambda book: book.asks_complete_to)

    def bids(self, n: int | None = None, *, timeout: float | None = 0.0) -> Levels:
        """Return the `n` best bids, each a `Level(price, size)`, best first; None for all known ones."""
        return self._read(lambda book: book.bids(n), timeout)

    def asks(self, n: int | None = None, *, timeout: float | None = 0.0) -> Levels:
        """Return the `n` best asks, each a `Level(price, size)`, best first; None for all known ones."""
        return self._read(lambda book: book.asks(n), timeout)

    def cumulative_bids(self, n: int | None = None, *, timeout: float | None = 0.0) -> Levels:
        """Return the `n` best bid prices, each with the total size at it and at all better prices."""
        return self._read(lambda book: book.cumulative_bids(n), timeout)

    def cumulative_asks(self, n: int | None = None, *, timeout: float | None = 0.0) -> Levels:
        """Return the `n` best ask prices, each with the total size at it and at all better prices."""
        return self._read(lambda book: book.cumulative_asks(n), timeout)

    def bid_size(self, price: Number, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return the size of the bid at a price, 0 if there is none; None if that is unknown."""
        return self._read(lambda book: book.bid_size(price), timeout)

    def ask_size(self, price: Number, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return the size of the ask at a price, 0 if there is none; None if that is unknown."""
        return self._read(lambda book: book.ask_size(price), timeout)

    def price_to_buy(self, size: Number, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return the volume-weighted average price at which `size` could be bought now, rounded to 28 digits.

        None if less than that is known to be offered. Raises ValueError if the size is not positive.
        """
        return self._read(lambda book: book.price_to_buy(size), timeout)

    def price_to_sell(self, size: Number, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return the volume-weighted average price at which `size` could be sold now; see `price_to_buy`."""
        return self._read(lambda book: book.price_to_sell(size), timeout)

    def imbalance(self, n: int = 1, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return how much more is bid than asked in the `n` best levels of each side: from -1 to 1, to 28 digits.

        It is (bids - asks) / (bids + asks), of their sizes. None if both sides are empty, or if the `n` best levels of
        a side are not known for sure. Raises ValueError if `n` is not positive.
        """
        return self._read(lambda book: book.imbalance(n), timeout)

    def snapshot(self, depth: int | None = None, *, timeout: float | None = 0.0) -> BookSnapshot:
        """Return a snapshot of the best `depth` levels of each side (None: all known ones) at one sequence."""
        return self._read(lambda book: self._cut(book, book.bids(depth), book.asks(depth)), timeout)

    def _cut(self, _: B, bids: Levels, asks: Levels) -> BookSnapshot:
        """Return a snapshot of these levels (under the lock)."""
        return BookSnapshot(self.symbol, self.level, self.sequence, self.received_ns, bids, asks)

    def to_frame(self, depth: int | None = None, *, floats: bool = False, timeout: float | None = 0.0) -> DataFrame:
        """Return a pandas data frame of a snapshot; see `BookSnapshot.to_frame`."""
        return self.snapshot(depth, timeout=timeout).to_frame(floats=floats)

    def _read(self, how: Callable[[B], T], timeout: float | None) -> T:
        """Return `how(book)`, after waiting up to `timeout` seconds for the book to be ready."""
        if timeout != 0.0:
            self._follower.wait_until_settled(timeout)
        return self._follower.read(how)

    # Changes

    def __iter__(self) -> Changes[C]:
        """Iterate over the changes from now on: one item for each applied update, in order.

        Every iterator gets all changes. None come while the book starts again; the next change then has a higher
        `resyncs`. The loop ends when the book or the stream is closed. It raises SlowConsumer if more than the book's
        `maxsize` changes were waiting, and any other error that ended the book.
        """
        return Changes(self._follower.listen(self._maxsize), self)

    def close(self) -> None:
        """Stop following the exchange and wake all threads that wait for the book. Closing it again does nothing."""
        run_or_defer(partial(self._follower.end, StreamClosed(f"{self._follower.source} was closed")))

    @property
    def closed(self) -> bool:
        """Whether the book has ended: it was closed, or KuCoin refused it."""
        return self._follower.ended is not None

    def __enter__(self: Self) -> Self:
        return self

    @holds_no_lock
    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            state = self._follower.under_lock(self._state)
        except BookNotReady:
            state = "in use"
        return f"<{type(self).__name__} of {self.symbol}: {state}>"

    def _state(self) -> str:
        follower = self._follower
        if follower.ended is not None:
            return f"ended, {follower.ended}"
        if follower.live:
            return f"at {self.sequence}, best bid {_shown(self.best_bid)}, best ask {_shown(self.best_ask)}"
        return f"not ready, {follower.calibration.reason}"


class LocalLevel2Book(LocalBook[Level2Book, Level2BookChange]):
    """The live price levels of one symbol."""


class LocalLevel3Book(LocalBook[Level3Book, Level3BookChange]):
    """The live orders of one symbol; its levels are the sums of its orders."""

    def order(self, order_id: str, *, timeout: float | None = 0.0) -> Order | None:
        """Return an order that rests on the book, None if there is none with that id."""
        return self._read(lambda book: book.order(order_id), timeout)

    def queue_position(self, order_id: str, *, timeout: float | None = 0.0) -> QueuePosition | None:
        """Return the orders that trade before an order at its price, None if it is not on the book."""
        return self._read(lambda book: book.queue_position(order_id), timeout)

    def orders_at(self, price: Number, *, timeout: float | None = 0.0) -> list[Order]:
        """Return the orders at a price, in the order in which they would trade."""
        return self._read(lambda book: book.orders_at(price), timeout)

    def bid_orders(self, n: int | None = None, *, timeout: float | None = 0.0) -> list[Order]:
        """Return the first `n` bids in the order in which they would trade, None for all."""
        return self._read(lambda book: book.bid_orders(n), timeout)

    def ask_orders(self, n: int | None = None, *, timeout: float | None = 0.0) -> list[Order]:
        """Return the first `n` asks in the order in which they would trade, None for all."""
        return self._read(lambda book: book.ask_orders(n), timeout)

    def _cut(self, book: Level3Book, bids: Levels, asks: Levels) -> BookSnapshot:
        bid_orders, ask_orders = (
            # While a call auction crosses the sides, both may have orders at one price.
            tuple(order for level in levels for order in book.orders_at(level.price) if order.side == side)
            for side, levels in (("buy", bids), ("sell", asks))
        )
        return BookSnapshot(
            self.symbol, self.level, self.sequence, self.received_ns, bids, asks, bid_orders, ask_orders
        )


def _shown(level: Level | None) -> str:
    return "none" if level is None else f"{level.size} at {level.price}"
