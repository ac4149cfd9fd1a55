"""Fetches the snapshots that the order books of a stream need, at a pace, on one thread and up to three more.

Rules:
1. At most `_HANDS` requests at a time and `Limits.snapshots_per_30s`. Who has failed least goes first. So a symbol that
   REST has trouble with, or does not answer for, holds up no other one.
2. A book whose snapshot failed, or was too old, has to wait: longer each time, jittered. One that needs another
   soon after a good one waits for a moment, too.
3. Where KuCoin asks to slow down, all books of the site wait as long as it says; likewise while it can't be reached.
4. An error that no later attempt can mend ends a book whose symbol never had a ready one here. Any other ends only
   where KuCoin refuses the key that its snapshots need.

The first thread is acquired with the first book and stays as long as there is a book, so that no snapshot ever has to
wait for one. The others are started where there is more to do, if they can be had, and end some seconds after that.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

from . import backoff
from .answers import RATE_CODES
from .books import Source
from .exceptions import ConnectionFailed, KucoinSyncError, RestError, is_fatal
from .guard import guarded, log
from .resources import acquiring, shortage, start_thread
from .wire import Cancelled, Waker

__all__ = ["Fetcher", "Giver", "MakeFetcher", "Snapshots"]

_HANDS = 4
_PERIOD = 30.0
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_SPACING = 1.0
"""Seconds between a good snapshot of a book and the next one."""

_LINGER = 5.0
_MOST_LIVE = 1_000
_AFTER_DEFECT = 0.1


class _Book(Protocol):
    """Who needs a snapshot; see `following.Follower`."""

    @property
    def source(self) -> Source: ...
    @property
    def was_live(self) -> bool: ...
    def asks(self) -> int | None: ...
    def answered(self, data: Any, attempt: int) -> bool: ...
    def delayed(self, seconds: float, error: Exception | None = None) -> None: ...
    def end(self, error: KucoinSyncError) -> None: ...


class Fetcher(Protocol):
    """Fetches snapshots on one thread; see `rest.Rest`."""

    def call(
        self, market: str, method: str, path: str, query: dict[str, str] | None = None, *, signed: bool = False
    ) -> Any: ...
    def close(self) -> None: ...


class Giver(Protocol):
    """Gives books their snapshots; see `Snapshots`."""

    @property
    def requests(self) -> int: ...
    def admit(self, book: Any) -> None:
        """Be able to fetch snapshots for a book, until `forget`; ConnectionFailed where that can't be."""

    def need(self, book: Any) -> None: ...
    def forget(self, book: Any) -> None: ...
    def obstacle(self, book: Any) -> str:
        """Return what the snapshot of a book waits for, "" where nothing is known of that."""

    def afresh(self) -> Giver:
        """Return what takes over in a forked child, which has none of the threads here."""

    def close(self) -> list[threading.Thread]: ...


#: Makes a fetcher that is cancelled through a waker, and that can sign requests or need not.
MakeFetcher: TypeAlias = "Callable[[Waker, bool], Fetcher]"


def _delays() -> Iterator[float]:
    return backoff.delays(_FIRST_DELAY, _LONGEST_DELAY)


class _Errand:
    """What is to be done for one book."""

    __slots__ = ("called", "delays", "due", "earliest", "failures", "under_way", "waker")

    def __init__(self) -> None:
        self.due = math.inf  # when to fetch; never, without a need and while one is under way
        self.under_way = False
        self.called = False  # whether the need arose again since the last one was begun
        self.earliest = 0.0  # when the next snapshot may be fetched after a good one
        self.failures = 0  # since the last good one
        self.delays = _delays()
        self.waker: Waker | None = None  # of the thread that fetches it, or was the last to


class _Site:
    """One of KuCoin's two REST services."""

    __slots__ = ("delays", "free_at")

    def __init__(self) -> None:
        self.free_at = 0.0  # when it may be asked again
        self.delays = _delays()


class Snapshots:
    """The snapshots of one stream's books.

    Args:
        fetcher: makes what fetches them, for one thread.
        per_period: how many snapshots may be fetched in 30 seconds.
        fetched: called with each snapshot before its book takes it: market, path, symbol, data.

    Attributes:
        requests: how many were asked for so far.
    """

    def __init__(
        self,
        fetcher: MakeFetcher,
        per_period: int,
        fetched: Callable[[str, str, str, Any], None] = lambda market, path, symbol, data: None,
    ) -> None:
        self._make_fetcher = fetcher
        self._fetched = fetched
        self._lock = threading.Lock()  # guards all of the following
        self._pace = backoff.SlidingWindow(per_period, _PERIOD)
        self._errands: dict[_Book, _Errand] = {}
        self._sites = {"spot": _Site(), "futures": _Site()}
        self._hands: dict[Waker, threading.Thread] = {}  # the threads that take errands
        self._idle: dict[Waker, None] = {}  # those of them that wait for one to be due
        self._live: dict[tuple[str, str], None] = {}  # path and symbol of the books that were ready, the latest last
        self._closed = False
        self.requests = 0

    def admit(self, book: _Book) -> None:
        """Be able to fetch snapshots for a book, until `forget`.

        Raises:
            ConnectionFailed: no thread could be had for it, and nothing has changed.
        """
        with self._lock:
            if not self._closed:
                self._admit(book)

    def need(self, book: _Book) -> None:
        """Fetch a snapshot for a book, as soon as the pace allows."""
        with self._lock:
            if self._closed:
                return
            ready = bool(self._hands)
            errand = self._admit(book)
            errand.called = True
            if errand.under_way or errand.due < math.inf:
                return
            errand.due = max(time.monotonic(), errand.earliest)
            if self._idle:
                self._idle.popitem()[0].wake()
            elif ready and len(self._hands) < _HANDS:
                with suppress(ConnectionFailed):  # whoever is at work now comes to it afterwards
                    self._add_hand()

    def _admit(self, book: _Book) -> _Errand:
        """Return the errand of a book (under the lock)."""
        if not self._hands:
            self._add_hand()
        errand = self._errands.get(book)
        if errand is None:
            errand = self._errands[book] = _Errand()
        return errand

    def _add_hand(self) -> None:
        """Have another thread take errands (under the lock)."""
        with acquiring("the snapshots of order books"):
            waker = Waker()
        try:
            self._hands[waker] = start_thread(self._run, waker, name="kucoin-snapshots")
        except BaseException:
            waker.cancel()  # an interrupted start may have left a running thread
            waker.close()
            raise

    def obstacle(self, book: _Book) -> str:
        """Return what the request under way for a book waits for, "" where there is none."""
        errand = self._errands.get(book)
        step = errand.waker.step if errand is not None and errand.under_way and errand.waker is not None else None
        return "" if step is None else str(step)

    def afresh(self) -> Snapshots:
        """Return what takes over in a forked child, which has none of the threads here."""
        fresh = Snapshots(self._make_fetcher, self._pace.count)
        fresh._live = dict(self._live)
        return fresh

    def forget(self, book: _Book) -> None:
        """Fetch no more snapshots for a book."""
        with self._lock:
            self._errands.pop(book, None)
            if not self._errands:
                for waker in self._hands:
                    waker.wake()  # to end

    def close(self) -> list[threading.Thread]:
        """Let the threads end, from whatever they are waiting in; return them."""
        with self._lock:
            self._closed = True
            self._errands.clear()
            for waker in self._hands:
                waker.cancel()
            return list(self._hands.values())

    # A thread

    def _run(self, waker: Waker) -> None:
        fetchers: dict[bool, Fetcher] = {}
        try:
            while True:
                try:
                    self._serve(waker, fetchers)
                    return
                except Cancelled:
                    raise
                except BaseException as error:
                    log(logging.ERROR, "a defect where snapshots are fetched, which goes on", error=error)
                waker.sleep(_AFTER_DEFECT)
        except Cancelled:
            pass  # closed by the stream
        finally:
            for fetcher in fetchers.values():
                with guarded("a REST client could not be closed"):
                    fetcher.close()
            with self._lock:
                self._hands.pop(waker, None)
                self._idle.pop(waker, None)
                waker.close()

    def _serve(self, waker: Waker, fetchers: dict[bool, Fetcher]) -> None:
        idle_since = time.monotonic()
        while True:
            with self._lock:
                now = time.monotonic()
                self._idle.pop(waker, None)
                book, delay = self._next(now)
                if book is not None:
                    self._errands[book].waker = waker
                else:
                    lingering = idle_since + _LINGER - now
                    spare = len(self._hands) > 1 and lingering <= 0 and (self._idle or delay == math.inf)
                    if spare or not self._errands:
                        self._hands.pop(waker, None)  # it is not there where a signal's handler ended the start
                        return
                    self._idle[waker] = None
            if book is None:
                waker.sleep(min(delay, lingering) if lingering > 0 else delay)
                continue
            try:
                self._fetch(fetchers, waker, book)
            except Cancelled:
                raise
            except BaseException:
                self._later(book, None)  # before it is told: the book still needs one
                raise
            idle_since = time.monotonic()

    def _next(self, now: float) -> tuple[_Book | None, float]:
        """Return whose turn it is at `now`; or None, and the seconds until somebody's is (under the lock)."""
        paced = self._pace.free_at(now)
        waiting = {
            book: max(errand.due, self._sites[book.source.market].free_at, paced)
            for book, errand in self._errands.items()
            if errand.due < math.inf
        }
        ready = [book for book, at in waiting.items() if at <= now]
        if not ready:
            return None, min(waiting.values(), default=math.inf) - now
        book = min(ready, key=lambda book: (self._errands[book].failures, self._errands[book].due))
        errand = self._errands[book]
        errand.under_way, errand.called, errand.due = True, False, math.inf
        self._pace.take(now)
        if len(waiting) > 1 and self._idle:
            self._idle.popitem()[0].wake()  # to see to the others while this thread can't
        return book, 0.0

    def _fetch(self, fetchers: dict[bool, Fetcher], waker: Waker, book: _Book) -> None:
        attempt = book.asks()
        if attempt is None:
            self._settle(book)
            return
        source = book.source
        with self._lock:
            self.requests += 1
        try:
            if source.signed not in fetchers:
                fetchers[source.signed] = self._make_fetcher(waker, source.signed)
            fetcher = fetchers[source.signed]
            data = fetcher.call(source.market, "GET", source.path, {"symbol": source.symbol}, signed=source.signed)
            self._fetched(source.market, source.path, source.symbol, data)
            again, error = book.answered(data, attempt), None
            if book.was_live:
                self._note_live(source)
        except KucoinSyncError as caught:
            was_live = book.was_live or (source.path, source.symbol) in self._live
            if is_fatal(caught, was_live=was_live, needs_key=source.signed):
                book.end(caught)
                return
            again, error = True, caught
        except Cancelled:
            raise
        except BaseException as caught:
            missing = shortage(caught, f"a snapshot of {source.symbol}")
            if missing is None:
                log(logging.ERROR, "a defect spoilt a snapshot for %s; another will be fetched", source, error=caught)
                missing = ConnectionFailed(f"a defect in this package: {type(caught).__name__}: {caught}")
            again, error = True, missing
        if again:
            book.delayed(self._later(book, error), error)
        else:
            self._settle(book, earliest=time.monotonic() + _SPACING)

    def _note_live(self, source: Source) -> None:
        """Remember that a book of this source was ready; of those beyond a limit the ones of long ago are forgotten."""
        with self._lock:
            self._live.pop((source.path, source.symbol), None)
            self._live[source.path, source.symbol] = None
            if len(self._live) > _MOST_LIVE:
                del self._live[next(iter(self._live))]

    def _settle(self, book: _Book, earliest: float | None = None) -> None:
        """Note that a book needs none now, because it got a good one if `earliest` tells when it may have the next."""
        with self._lock:
            errand = self._errands.get(book)
            if errand is None:
                return
            if earliest is not None:
                self._sites[book.source.market].delays, errand.delays = _delays(), _delays()
                errand.failures, errand.earliest = 0, earliest
            errand.under_way = False
            errand.due = errand.earliest if errand.called else math.inf

    def _later(self, book: _Book, error: KucoinSyncError | None) -> float:
        """Have a book wait for its next snapshot; return for how many seconds."""
        now = time.monotonic()
        with self._lock:
            site = self._sites[book.source.market]
            limited = isinstance(error, RestError) and error.code in RATE_CODES
            if site.free_at <= now and (limited or isinstance(error, ConnectionFailed)):
                site.free_at = now + next(site.delays)
            asked = getattr(error, "retry_after", None)
            if asked is not None:
                site.free_at = max(site.free_at, now + asked)
            errand = self._errands.get(book)
            if errand is None:
                return 0.0
            errand.failures += 1
            errand.under_way = False
            errand.due = now + next(errand.delays)
            return max(errand.due, site.free_at) - now
