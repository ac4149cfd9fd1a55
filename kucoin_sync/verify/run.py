"""Run the verification over a stream: subscribe the topics, note what comes, fetch snapshots of the books."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from queue import Empty

from .. import Client, Event, Message
from ..events import Disconnected, Retrying, ServerNotice
from ..exceptions import (
    KEY_NEEDED,
    AckTimeout,
    AuthenticationError,
    ConnectionFailed,
    KucoinSyncError,
    SubscriptionRejected,
)
from ..internal.timed_queue import TimedQueue
from ..net.waker import Waker
from ..topics.grammar import is_private, market_of
from .books import BookLog
from .plan import CONTRACT, SYMBOL, feeds_of, topics_of
from .probe import Probe
from .seen import BookSeen, Seen, StreamSeen
from .sequences import sources_of
from .topic_log import TopicLog

__all__ = ["Verification"]

_TICK = 0.2
_CATCH_UP = 10.0
"""Seconds to wait for the updates up to the later snapshot of a book."""
_TRIES = 3  # topics of a service that are not answered, before the others are not tried
_LONG, _SILENT = 60.0, 66.0
"""From how many seconds on it waits to see when a silent client is cut, and until when."""


class Verification:
    """One run.

    Args:
        stream: a stream to the venue, for this run only.
        feed: "classic", "uta" or "all".
        seconds: how long to listen after all topics are confirmed.
        private: whether to subscribe the account's topics, too.
        timeout: seconds to wait for each confirmation.
        events: where the owner of the stream puts its events.
        tell: called with a text of the progress, several times a second.
    """

    def __init__(
        self,
        stream: Client,
        feed: str,
        seconds: float,
        *,
        private: bool = False,
        timeout: float = 10.0,
        events: Iterable[Event] = (),
        tell: Callable[[str], object] = str,
    ) -> None:
        self._stream = stream
        self._feed = feed
        self._seconds = seconds
        self._private = private
        self._timeout = timeout
        self._tell = tell
        self._arrived: TimedQueue[tuple[TopicLog, Message]] = TimedQueue()
        self._logs: list[TopicLog] = []
        self._books: dict[str, list[BookLog]] = {}
        self._events = events
        self._probes: list[Probe] = []
        self._unanswered: Counter[tuple[str, bool]] = Counter()
        self._given_up: dict[tuple[str, bool], str] = {}  # why the other topics of a service are not tried

    def run(self, probes: Iterable[Probe] = ()) -> Seen:
        """Do everything, and return what was seen.

        Raises:
            ConnectionFailed: no service of the venue can be reached.
            AuthenticationError: the account's topics are to be subscribed, and there is no key.
        """
        self._probes = list(probes)
        try:
            for number, probe in enumerate(self._probes, 1):
                self._tell(f"asking service {number} of {len(self._probes)}")
                probe.talk()
            self._check()
            self._subscribe()
            self._fetch_snapshots()
            began = time.monotonic()
            with contextlib.suppress(KeyboardInterrupt):  # what was seen until then is worth a report
                self._listen(began + self._seconds)
            self._seconds = min(self._seconds, round(time.monotonic() - began, 1))
            self._fetch_snapshots()
            self._listen(time.monotonic() + _CATCH_UP, self._caught_up)
            noted = self._stream_seen()
        finally:
            silent = _SILENT if self._seconds >= _LONG else 0.0
            for probe in self._probes:
                self._tell("closing the connections")
                probe.close(silent)
        self._tell("comparing the books")
        sessions = [probe.seen() for probe in self._probes]
        return Seen(self._seconds, sessions, [log.seen() for log in self._logs], list(self._compared()), noted)

    def _check(self) -> None:
        """Raise an error if there is nothing to verify: no service has answered anything, or there is no key."""
        seen = [probe.seen() for probe in self._probes]
        if seen and not any(session.answers for session in seen):
            raise ConnectionFailed(f"no service of the venue can be reached: {seen[0].error}")
        if self._private and not self._stream.has_key():
            raise AuthenticationError(f"the topics of an account need an API key; {KEY_NEEDED}")

    def _stream_seen(self) -> StreamSeen:
        numbers = self._stream.stats()
        events = list(self._events)
        return StreamSeen(
            numbers["unreadable"],
            numbers["unknown_types"],
            numbers["unrouted"],
            [str(event) for event in events if isinstance(event, Disconnected | Retrying)],
            [str(event) for event in events if isinstance(event, ServerNotice)],
        )

    def _subscribe(self) -> None:
        for symbol in (SYMBOL, CONTRACT):
            for source in sources_of(symbol):
                dialect = "uta" if source.feed.pushed else "classic"
                if source.level == 2 and dialect in feeds_of(self._feed):
                    log = BookLog(source)
                    for topic in log.topics:
                        self._books.setdefault(topic, []).append(log)
        wanted = list(topics_of(self._feed, private=self._private))
        for number, topic in enumerate(wanted, 1):
            self._tell(f"subscribing {number} of {len(wanted)}: {topic}")
            self._logs.append(self._subscribed(topic))

    def _subscribed(self, topic: str) -> TopicLog:
        log = TopicLog(topic)
        put = self._arrived.put
        service = (market_of(topic), is_private(topic))
        if service in self._given_up:
            return TopicLog(topic, "skipped", self._given_up[service])

        def take(message: Message) -> None:
            put((log, message))

        try:
            self._stream.subscribe(topic, callback=take, inline=True, timeout=self._timeout)
        except SubscriptionRejected as error:
            return TopicLog(topic, "refused", f"{error.reason}{f' (code {error.code})' if error.code else ''}")
        except (AckTimeout, ConnectionFailed, AuthenticationError) as error:
            self._unanswered[service] += 1
            if not isinstance(error, AckTimeout) or self._unanswered[service] >= _TRIES:
                self._given_up[service] = str(error)
            return TopicLog(topic, "refused" if isinstance(error, AuthenticationError) else "unanswered", str(error))
        return log

    def _listen(self, until: float, enough: Callable[[], bool] = bool) -> None:
        """Take messages until an instant, or until enough have come."""
        shown = 0.0
        while (left := until - time.monotonic()) > 0 and not enough():
            try:
                log, message = self._arrived.get(timeout=min(left, _TICK))
            except Empty:
                pass
            else:
                log.add(message)
                for book in self._books.get(log.topic, ()):
                    book.add(message)
            if time.monotonic() >= shown + _TICK:
                shown = time.monotonic()
                for probe in self._probes:
                    probe.watch()
                count = sum(log.messages for log in self._logs)
                silent = sum(not log.messages for log in self._logs)
                self._tell(f"{count:,} messages, {silent} of {len(self._logs)} topics silent, {left:.0f} s left")

    def _fetch_snapshots(self) -> None:
        waker = Waker()
        fetcher = self._stream.fetcher(waker, False)
        try:
            for book in self._classic_books():
                source = book.source
                self._tell(f"fetching a snapshot of {source.symbol}")
                try:
                    data = fetcher.call(source.market, "GET", source.path, {"symbol": source.symbol})
                except KucoinSyncError as error:
                    book.add_problem(f"no snapshot came: {error}")
                else:
                    book.add_snapshot(data)
        finally:
            fetcher.close()
            waker.close()

    def _caught_up(self) -> bool:
        return all(book.caught_up for book in self._classic_books())

    def _classic_books(self) -> Iterator[BookLog]:
        return (book for books in self._books.values() for book in books if not book.source.feed.pushed)

    def _compared(self) -> Iterator[BookSeen]:
        for book in dict.fromkeys(book for books in self._books.values() for book in books):
            yield book.seen()
