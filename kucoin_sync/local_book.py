"""Local order books, as `Stream.book` returns them: each equals the exchange's at its sequence, or refuses to be read.

How a book follows the exchange is in `following`, the thread that does it in `bookkeeping`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, cast

from .books import (
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
from .books.reading import Book, Number, Quotes
from .exceptions import BookNotReady, StreamClosed
from .following import Follower
from .forking import OfOneProcess
from .interruption import holds_nothing, now_or_later
from .payloads import Level
from .subscription import Subscription

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


class Changes(OfOneProcess, Generic[C]):
    """The changes of a book from a moment on; made by `iter(book)`. Several threads may share it."""

    def __init__(self, subscription: Subscription[Any], book: object = None) -> None:
        self._subscription = subscription
        self._book = book  # which exists as long as somebody wants its changes
        self._get: Callable[[float | None], C] = cast(Any, subscription).get

    def get(self, timeout: float | None = None) -> C:
        """Return the next change, waiting up to `timeout` seconds, for ever with None.

        Raises:
            TimeoutError: none came in time. StreamClosed: the book has ended. SlowConsumer and others: as iterating.
        """
        [change] = map(self._get, (timeout,))  # in one step, as `Inbox.source`
        return change

    @property
    def pending(self) -> int:
        """Changes that wait to be taken."""
        return self._subscription.pending

    def __iter__(self) -> Changes[C]:
        return self

    def __next__(self) -> C:
        changes: Iterator[C] = map(next, (cast(Any, self._subscription),))
        for change in changes:
            return change
        raise StopIteration


class LocalBook(OfOneProcess, Quotes, Generic[B, C]):
    """The live order book of one symbol; made by `Stream.book`.

    Everything can be read from any thread. A read takes the book as it is after the newest update that was applied;
    two reads may see two states, for one state take a `snapshot`. While the book is not ready, which is before its
    first snapshot, after a cut and while it starts again from a snapshot, every read of its content raises
    `BookNotReady`, which says why; reads with a `timeout` wait that many seconds for the book first (None: for ever).

    Partial books. Without an API key a spot book begins with the best 100 levels of each side (`snapshot_depth`). Of
    deeper levels it knows those that changed since. `bids_complete_to` and `asks_complete_to` are the prices as far as
    it knows all; lists of levels tell how many of them are sure (`Levels.sure`); figures that would need more than is
    known are None.
    """

    def __init__(self, follower: Follower[B, C], maxsize: int, stream: object = None) -> None:
        self._follower = follower
        self._stream = stream  # which exists as long as somebody holds the book
        self._maxsize = maxsize

    # How it fares

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
        self._follower.use()
        return self._follower.live

    def wait_ready(self: Self, timeout: float | None = None) -> Self:
        """Wait until the book can be read, for ever with None; return it.

        Raises:
            BookNotReady: it could not within `timeout` seconds.
            StreamClosed: it is closed. SubscriptionRejected, RestError, AuthenticationError, ConnectionFailed: it has
                ended with what no later attempt can mend, such as a symbol that KuCoin does not know.
        """
        self._follower.wait(timeout)
        return self

    @property
    def sequence(self) -> int:
        """The sequence that the book is at, or was at when it was last ready."""
        return self._follower.calibration.sequence

    @property
    def resyncs(self) -> int:
        """How often the book was ready and had to start again."""
        return self._follower.calibration.resyncs

    @property
    def received_ns(self) -> int:
        """When the newest update was read from the socket, in nanoseconds since 1970; 0 where none came yet."""
        return self._follower.received_ns

    @property
    def partial(self) -> bool:
        """Whether the book may lack levels of the exchange; before it is ready, whether that is to be expected."""
        return self._follower.held(
            lambda: self._follower.ready().partial if self._follower.live else self.snapshot_depth is not None
        )

    @property
    def snapshot_depth(self) -> int | None:
        """How many levels of each side the book began with; None where it began with all."""
        return self._follower.source.depth

    # Reading

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, None when there is none."""
        return self._follower.read(lambda book: book.best_bid)

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, None when there is none."""
        return self._follower.read(lambda book: book.best_ask)

    @property
    def spread(self) -> Decimal | None:
        """The lowest ask less the highest bid, None when a side is empty; below 0 while a call auction crosses them."""
        return self._follower.read(lambda book: book.spread)

    @property
    def mid(self) -> Decimal | None:
        """The price in the middle between the best two, None when a side is empty."""
        return self._follower.read(lambda book: book.mid)

    @property
    def bids_complete_to(self) -> Decimal | None:
        """The price down to which all bids are known, None when simply all are."""
        return self._follower.read(lambda book: book.bids_complete_to)

    @property
    def asks_complete_to(self) -> Decimal | None:
        """The price up to which all asks are known, None when simply all are."""
        return self._follower.read(lambda book: book.asks_complete_to)

    def bids(self, n: int | None = None, *, timeout: float | None = 0.0) -> Levels:
        """Return the `n` best bids, or all that are known, best first."""
        return self._read(lambda book: book.bids(n), timeout)

    def asks(self, n: int | None = None, *, timeout: float | None = 0.0) -> Levels:
        """Return the `n` best asks, or all that are known, best first."""
        return self._read(lambda book: book.asks(n), timeout)

    def cumulative_bids(self, n: int | None = None, *, timeout: float | None = 0.0) -> Levels:
        """Return the `n` best bid prices, each with what rests at it and at all better ones."""
        return self._read(lambda book: book.cumulative_bids(n), timeout)

    def cumulative_asks(self, n: int | None = None, *, timeout: float | None = 0.0) -> Levels:
        """Return the `n` best ask prices, each with what rests at it and at all better ones."""
        return self._read(lambda book: book.cumulative_asks(n), timeout)

    def bid_size(self, price: Number, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return the size that bids at a price, 0 where none does; None where that is not known."""
        return self._read(lambda book: book.bid_size(price), timeout)

    def ask_size(self, price: Number, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return the size that is offered at a price, 0 where none is; None where that is not known."""
        return self._read(lambda book: book.ask_size(price), timeout)

    def price_to_buy(self, size: Number, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return the volume-weighted average price at which `size` could be bought now, rounded to 28 digits.

        None where less is offered, as far as that is known; ValueError when the size is not positive.
        """
        return self._read(lambda book: book.price_to_buy(size), timeout)

    def price_to_sell(self, size: Number, *, timeout: float | None = 0.0) -> Decimal | None:
        """Return the volume-weighted average price at which `size` could be sold now; see `price_to_buy`."""
        return self._read(lambda book: book.price_to_sell(size), timeout)

    def snapshot(self, depth: int | None = None, *, timeout: float | None = 0.0) -> BookSnapshot:
        """Return one consistent cut of the best `depth` levels of each side, or of all that are known."""
        return self._read(lambda book: self._cut(book, book.bids(depth), book.asks(depth)), timeout)

    def _cut(self, _: B, bids: Levels, asks: Levels) -> BookSnapshot:
        """Return a snapshot of levels (under the lock)."""
        return BookSnapshot(self.symbol, self.level, self.sequence, self.received_ns, bids, asks)

    def to_frame(self, depth: int | None = None, *, floats: bool = False, timeout: float | None = 0.0) -> DataFrame:
        """Return a pandas data frame of a snapshot; see `BookSnapshot.to_frame`."""
        return self.snapshot(depth, timeout=timeout).to_frame(floats=floats)

    def _read(self, how: Callable[[B], T], timeout: float | None) -> T:
        """Return what `how` makes of the book, once it is ready."""
        if timeout != 0.0:
            self._follower.settle(timeout)
        return self._follower.read(how)

    # Following

    def __iter__(self) -> Changes[C]:
        """Iterate over what changes from now on: one item for each update that is applied, in order.

        Every iterator gets all of them. While the book starts again none come; `resyncs` of the next one has risen
        then. Iterating ends when the book or the stream is closed, and raises SlowConsumer where more than the book's
        `maxsize` changes were waiting, and what the book has ended with.
        """
        return Changes(self._follower.listen(self._maxsize), self)

    def close(self) -> None:
        """Follow the exchange no more; wakes all who wait for the book. Closing twice is allowed."""
        now_or_later(partial(self._follower.end, StreamClosed(f"{self._follower.source} was closed")))

    @property
    def closed(self) -> bool:
        """Whether the book has ended: it was closed, or KuCoin refused it."""
        return self._follower.ended is not None

    def __enter__(self: Self) -> Self:
        return self

    @holds_nothing
    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            state = self._follower.held(self._state)
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
    """The live sizes at prices of one symbol."""


class LocalLevel3Book(LocalBook[Level3Book, Level3BookChange]):
    """The live orders of one symbol; levels are what its orders add up to."""

    def order(self, order_id: str, *, timeout: float | None = 0.0) -> Order | None:
        """Return an order that rests on the book, None when there is none of that id."""
        return self._read(lambda book: book.order(order_id), timeout)

    def queue_position(self, order_id: str, *, timeout: float | None = 0.0) -> QueuePosition | None:
        """Return what trades before an order at its price, None when it is not on the book."""
        return self._read(lambda book: book.queue_position(order_id), timeout)

    def orders_at(self, price: Number, *, timeout: float | None = 0.0) -> list[Order]:
        """Return the orders at a price, in the order in which they would trade."""
        return self._read(lambda book: book.orders_at(price), timeout)

    def bid_orders(self, n: int | None = None, *, timeout: float | None = 0.0) -> list[Order]:
        """Return the first `n` bids, or all, in the order in which they would trade."""
        return self._read(lambda book: book.bid_orders(n), timeout)

    def ask_orders(self, n: int | None = None, *, timeout: float | None = 0.0) -> list[Order]:
        """Return the first `n` asks, or all, in the order in which they would trade."""
        return self._read(lambda book: book.ask_orders(n), timeout)

    def _cut(self, book: Level3Book, bids: Levels, asks: Levels) -> BookSnapshot:
        bid_orders, ask_orders = (
            # While a call auction crosses the sides, a price may have orders of both.
            tuple(order for level in levels for order in book.orders_at(level.price) if order.side == side)
            for side, levels in (("buy", bids), ("sell", asks))
        )
        return BookSnapshot(
            self.symbol, self.level, self.sequence, self.received_ns, bids, asks, bid_orders, ask_orders
        )


def _shown(level: Level | None) -> str:
    return "none" if level is None else f"{level.size} at {level.price}"
